//! `rstuf artifact publish`: what was added without being published.

use clap::Args;

use crate::cli::{command::Context, failure::Failure};

/// The options.
#[derive(Debug, Args)]
pub struct PublishArgs {}

impl PublishArgs {
    pub(in crate::cli) async fn run(self, _context: Context) -> Result<(), Failure> {
        Err(Failure::new("not built yet"))
    }
}
