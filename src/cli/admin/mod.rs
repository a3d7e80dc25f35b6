//! `rstuf admin`: what people with root keys do.

use clap::Subcommand;

use super::{command::Context, failure::Failure, server::ServerArgs};

pub mod acceptable;
pub mod ceremony;
pub mod config;
pub mod delegations;
pub mod delivery;
pub mod diff;
pub mod files;
pub mod import;
pub mod keys;
pub mod metadata;
mod missing;
pub mod numbers;
pub mod pending;
mod preview;
pub mod published;
mod review;
pub mod roles;
mod saved;
pub mod send;
pub mod shown;
pub mod signature;
mod trusted;

/// The options of all of these.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    command: Command,
}

/// What people do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create the repository: choose keys and settings, sign the first root, send it
    Ceremony(ceremony::CeremonyArgs),
    /// Change and sign root, and what else waits for signatures
    #[command(subcommand)]
    Metadata(metadata::Command),
    /// Let roles of other people or keys sign for a part of the paths
    #[command(subcommand)]
    Delegations(delegations::Command),
    /// Send what was made and signed offline
    Send(send::SendArgs),
    /// Add millions of artifacts from CSV or JSON lines
    ImportArtifacts(import::ImportArgs),
    /// Look at the settings of the repository, and change them
    Config(config::ConfigArgs),
}

impl Args {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let server = self.server;
        match self.command {
            Command::Ceremony(args) => args.run(server, context).await,
            Command::Metadata(command) => command.run(server, context).await,
            Command::Delegations(command) => command.run(server, context).await,
            Command::Send(args) => args.run(server, context).await,
            Command::ImportArtifacts(args) => args.run(server, context).await,
            Command::Config(args) => args.run(server, context).await,
        }
    }
}
