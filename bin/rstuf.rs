//! The command line for people.

use std::process::ExitCode;

use clap::Parser;
use rstuf::cli::{self, command::Cli};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = cli.output();
    cli::install_tls();
    match actix::System::new().block_on(cli.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.fail(&failure);
            ExitCode::FAILURE
        }
    }
}
