//! `rstuf admin delegations update`: other keys, paths or days for a role.

use clap::Args;

use crate::cli::{command::Context, failure::Failure, server::ServerArgs};

/// The options.
#[derive(Debug, Args)]
pub struct UpdateArgs {}

impl UpdateArgs {
    pub(in crate::cli) async fn run(self, _server: ServerArgs, _context: Context) -> Result<(), Failure> {
        Err(Failure::new("not built yet"))
    }
}
