//! `rstuf admin import-artifacts`: millions of artifacts from files.

use clap::Args;

use crate::cli::{command::Context, failure::Failure, server::ServerArgs};

/// The options.
#[derive(Debug, Args)]
pub struct ImportArgs {}

impl ImportArgs {
    pub(in crate::cli) async fn run(self, _server: ServerArgs, _context: Context) -> Result<(), Failure> {
        Err(Failure::new("not built yet"))
    }
}
