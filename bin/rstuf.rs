//! The command line for people.

use std::{
    any::Any,
    env,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
};

use clap::error::ErrorKind;
use rstuf::cli::{self, command::Cli, failure::Failure, output::Output};

fn main() -> ExitCode {
    // Whoever reads is told once, below, and not of lines in files.
    panic::set_hook(Box::new(|_| {}));
    let (output, done) = match panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(done)) => done,
        Ok(Err(usage)) => return usage,
        Err(panic) => (Output::Text, Err(defect(&*panic))),
    };
    if let Err(failure) = &done {
        output.fail(failure);
    }
    if done.is_ok() && output.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Does what was asked for, or says how to ask.
fn run() -> Result<(Output, Result<(), Failure>), ExitCode> {
    let cli = Cli::read().map_err(|error| say(&error))?;
    let output = cli.output();
    cli::install_tls();
    Ok((output, actix::System::new().block_on(cli.run())))
}

/// What is wrong with the arguments, or what they ask to know of the program.
fn say(error: &clap::Error) -> ExitCode {
    let is_fault = !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if is_fault && env::args().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let cause = text.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let failure = Failure::new(cause.trim_start_matches("error: ")).remedy("see --help");
        Output::Json.fail(&failure);
    } else if error.kind() == ErrorKind::DisplayVersion {
        // In the words of the command line in Python: scripts read them.
        println!("rstuf, version {}", env!("CARGO_PKG_VERSION"));
    } else {
        // A reader that went away is no fault.
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn defect(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    Failure::new(format_args!("this program has a defect: {}", text.unwrap_or("it does not say which"))).remedy(
        "please report it, with the command that you gave; what was sent before is not lost, see rstuf task info",
    )
}
