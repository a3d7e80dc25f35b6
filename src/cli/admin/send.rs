//! `rstuf admin send`: what was made and signed offline goes to the server.

use clap::Args;

use crate::cli::{command::Context, failure::Failure, server::ServerArgs};

/// The options.
#[derive(Debug, Args)]
pub struct SendArgs {}

impl SendArgs {
    pub(in crate::cli) async fn run(self, _server: ServerArgs, _context: Context) -> Result<(), Failure> {
        Err(Failure::new("not built yet"))
    }
}
