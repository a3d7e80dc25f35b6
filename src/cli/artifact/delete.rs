//! `rstuf artifact delete`: artifacts are forgotten.

use clap::Args;

use crate::cli::{command::Context, failure::Failure};

/// The options.
#[derive(Debug, Args)]
pub struct DeleteArgs {}

impl DeleteArgs {
    pub(in crate::cli) async fn run(self, _context: Context) -> Result<(), Failure> {
        Err(Failure::new("not built yet"))
    }
}
