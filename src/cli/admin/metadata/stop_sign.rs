//! `rstuf admin metadata stop-sign`: what waits for signatures is given up.

use clap::Args;

use crate::cli::{command::Context, failure::Failure, server::ServerArgs};

/// The options.
#[derive(Debug, Args)]
pub struct StopSignArgs {}

impl StopSignArgs {
    pub(in crate::cli) async fn run(self, _server: ServerArgs, _context: Context) -> Result<(), Failure> {
        Err(Failure::new("not built yet"))
    }
}
