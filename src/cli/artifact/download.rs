//! `rstuf artifact download`: what a TUF client does.

use clap::Args;

use crate::cli::{command::Context, failure::Failure};

/// The options.
#[derive(Debug, Args)]
pub struct DownloadArgs {}

impl DownloadArgs {
    pub(in crate::cli) async fn run(self, _context: Context) -> Result<(), Failure> {
        Err(Failure::new("not built yet"))
    }
}
