//! `rstuf artifact`: what is distributed.

use clap::Subcommand;

use super::{command::Context, failure::Failure};

pub mod add;
pub mod delete;
pub mod digests;
pub mod download;
pub mod files;
pub mod publish;
pub mod repository;
pub mod tasks;

/// What is done with artifacts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add files as artifacts
    Add(add::AddArgs),
    /// Delete artifacts
    Delete(delete::DeleteArgs),
    /// Publish what was added without being published
    Publish(publish::PublishArgs),
    /// Download an artifact, verified
    Download(download::DownloadArgs),
    /// Keep where artifacts are downloaded from
    Repository(repository::RepositoryArgs),
}

impl Command {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Add(args) => args.run(context).await,
            Self::Delete(args) => args.run(context).await,
            Self::Publish(args) => args.run(context).await,
            Self::Download(args) => args.run(context).await,
            Self::Repository(args) => args.run(context).await,
        }
    }
}
