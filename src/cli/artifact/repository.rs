//! `rstuf artifact repository`: where artifacts are downloaded from.

use clap::Args;

use crate::cli::{command::Context, failure::Failure};

/// The options.
#[derive(Debug, Args)]
pub struct RepositoryArgs {}

impl RepositoryArgs {
    pub(in crate::cli) async fn run(self, _context: Context) -> Result<(), Failure> {
        Err(Failure::new("not built yet"))
    }
}
