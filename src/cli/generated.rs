//! What is made from the tree of commands: completion scripts and manual pages.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use super::{command::Cli, failure::Failure};

/// The options.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

impl CompletionsArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        clap_complete::generate(self.shell, &mut Cli::command(), "rstuf", &mut std::io::stdout());
        Ok(())
    }
}

/// The options.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The directory that they are written to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl ManArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.out).and_then(|()| clap_mangen::generate_to(Cli::command(), &self.out)).map_err(
            |error| Failure::new(format_args!("can't write the manual pages to {}: {error}", self.out.display())),
        )
    }
}
