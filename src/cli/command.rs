//! The commands of `rstuf`, and what is common to them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{
    admin, artifact, failure::Failure, generated, interview::Interview, key, output::Output, profile::Profile, task,
};

/// The command line of the repository service for The Update Framework (TUF).
#[derive(Debug, Parser)]
#[command(
    name = "rstuf",
    version,
    max_term_width = 100,
    after_help = "\
A first repository:
  rstuf key generate --out ada.pem                          each person makes a root key
  rstuf admin --api-server URL ceremony                     create the repository, guided
  rstuf artifact add dist/* --api-server URL --wait         sign what you release
  rstuf artifact download NAME -m METADATA_URL -a FILES_URL  fetch it as a client does"
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Common {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", global = true, env = "RSTUF_CONFIG", help_heading = "Common options")]
    pub config: Option<PathBuf>,
    /// Answer questions from this YAML file; what it leaves open gets its default
    #[arg(long, value_name = "FILE", global = true, help_heading = "Common options")]
    pub answers: Option<PathBuf>,
    /// Print one JSON document for programs
    #[arg(long, global = true, help_heading = "Common options")]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create and change a repository, with the people who hold its root keys
    #[command(subcommand_required = true)]
    Admin(admin::Args),
    /// Add, delete and download artifacts
    #[command(subcommand)]
    Artifact(artifact::Command),
    /// Ask how tasks go
    #[command(subcommand)]
    Task(task::Command),
    /// Make and look at keys
    #[command(subcommand)]
    Key(key::Command),
    /// Print a completion script for a shell
    Completions(generated::CompletionsArgs),
    /// Write the manual pages
    Man(generated::ManArgs),
}

/// What every command is given.
#[derive(Debug)]
pub struct Context {
    /// The configuration file.
    pub profile: Profile,
    /// How to print.
    pub output: Output,
    /// How to ask.
    pub interview: Interview,
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// [`Failure`] says why it could not be done.
    pub async fn run(self) -> Result<(), Failure> {
        let output = self.output();
        let profile = Profile::load(self.common.config)?;
        let interview = Interview::new(self.common.answers.as_deref(), output)?;
        let context = Context { profile, output, interview };
        match self.command {
            Command::Admin(args) => args.run(context).await,
            Command::Artifact(command) => command.run(context).await,
            Command::Task(command) => command.run(context).await,
            Command::Key(command) => command.run(context).await,
            Command::Completions(args) => args.run(),
            Command::Man(args) => args.run(),
        }
    }

    /// How it prints.
    pub fn output(&self) -> Output {
        if self.common.json { Output::Json } else { Output::Text }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_tree_of_commands_is_sound() {
        Cli::command().debug_assert();
    }
}
