//! What is made from the tree of commands: completion scripts and manual pages.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use serde_json::json;

use super::{command::Cli, failure::Failure, output::Output};

/// How a shell learns to complete the commands.
pub(super) const HOW_TO_COMPLETE: &str = "\
Put one of these lines where your shell starts from:
  bash  ~/.bashrc                    source <(rstuf completions bash)
  zsh   ~/.zshrc                     source <(rstuf completions zsh)
  fish  ~/.config/fish/config.fish   rstuf completions fish | source";

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: rstuf completions bash > ~/.local/share/bash-completion/completions/rstuf

Next: start a new shell; then rstuf <Tab><Tab> shows the commands.")]
pub struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

impl CompletionsArgs {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "rstuf", &mut script);
        output.document(&String::from_utf8_lossy(&script));
        Ok(())
    }
}

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: rstuf man --out ~/.local/share/man/man1

Next: man rstuf; each command has a page of its own, such as rstuf-task-info.")]
pub struct ManArgs {
    /// The directory that they are written to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl ManArgs {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let place = self.out.display();
        std::fs::create_dir_all(&self.out)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), &self.out))
            .map_err(|error| Failure::new(format_args!("can't write the manual pages to {place}: {error}")))?;
        output.say(format_args!("the manual pages are in {place}: man -l {place}/rstuf.1"));
        output.result(&json!({"directory": self.out}));
        Ok(())
    }
}
