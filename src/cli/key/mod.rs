//! `rstuf key`: key pairs of people and of the service.

use clap::Subcommand;

use super::{command::Context, failure::Failure};

pub mod convert;
pub mod generate;
pub mod show;

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key pair
    Generate(generate::GenerateArgs),
    /// Show the public half of a key and its id
    Show(show::ShowArgs),
    /// Write a key in another form
    Convert(convert::ConvertArgs),
}

impl Command {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Generate(args) => args.run(context).await,
            Self::Show(args) => args.run(context).await,
            Self::Convert(args) => args.run(context).await,
        }
    }
}
