//! `rstuf admin metadata`: root, and what else people sign.

use clap::Subcommand;

use crate::cli::{command::Context, failure::Failure, server::ServerArgs};

pub mod bump;
pub mod sign;
pub mod stop_sign;
pub mod update;
mod waiting;

/// What is done with metadata.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the next root: other keys, thresholds, expiry
    Update(update::UpdateArgs),
    /// Sign what waits for signatures, after seeing what it changes
    Sign(sign::SignArgs),
    /// Give up what waits for signatures
    StopSign(stop_sign::StopSignArgs),
    /// Have online roles signed anew at once
    Bump(bump::BumpArgs),
}

impl Command {
    pub(super) async fn run(self, server: ServerArgs, context: Context) -> Result<(), Failure> {
        match self {
            Self::Update(args) => args.run(server, context).await,
            Self::Sign(args) => args.run(server, context).await,
            Self::StopSign(args) => args.run(server, context).await,
            Self::Bump(args) => args.run(server, context).await,
        }
    }
}
