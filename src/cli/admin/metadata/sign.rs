//! `rstuf admin metadata sign`: a person signs what waits for signatures.

use clap::Args;

use crate::cli::{command::Context, failure::Failure, server::ServerArgs};

/// The options.
#[derive(Debug, Args)]
pub struct SignArgs {}

impl SignArgs {
    pub(in crate::cli) async fn run(self, _server: ServerArgs, _context: Context) -> Result<(), Failure> {
        Err(Failure::new("not built yet"))
    }
}
