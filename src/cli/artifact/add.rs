//! `rstuf artifact add`: files become artifacts.

use clap::Args;

use crate::cli::{command::Context, failure::Failure};

/// The options.
#[derive(Debug, Args)]
pub struct AddArgs {}

impl AddArgs {
    pub(in crate::cli) async fn run(self, _context: Context) -> Result<(), Failure> {
        Err(Failure::new("not built yet"))
    }
}
