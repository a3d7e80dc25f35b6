//! `rstuf admin delegations`: roles that sign for a part of the paths.

use clap::Subcommand;

use crate::cli::{command::Context, failure::Failure, server::ServerArgs};

mod changed;
pub mod delete;
pub mod new;
mod present;
mod sending;
pub(super) mod told;
pub mod update;

/// What is done with delegations.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Delegate a part of the paths to new roles
    New(new::NewArgs),
    /// Change keys, paths or days of roles
    Update(update::UpdateArgs),
    /// Take delegations back
    Delete(delete::DeleteArgs),
}

impl Command {
    pub(super) async fn run(self, server: ServerArgs, context: Context) -> Result<(), Failure> {
        match self {
            Self::New(args) => args.run(server, context).await,
            Self::Update(args) => args.run(server, context).await,
            Self::Delete(args) => args.run(server, context).await,
        }
    }
}
