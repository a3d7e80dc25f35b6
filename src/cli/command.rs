//! The commands of `rstuf`, and what is common to them.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind};

use super::{
    admin, artifact, failure::Failure, generated, interview::Interview, key, output::Output,
    person::token::choose_module, profile::Profile, task,
};

/// The command line of the repository service for The Update Framework (TUF).
#[derive(Debug, Parser)]
#[command(
    name = "rstuf",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "\
A first repository:
  rstuf key generate --out ada.pem
      each person makes a root key
  rstuf admin --api-server URL ceremony
      create the repository, guided
  rstuf artifact add dist/* --api-server URL --wait
      sign what you release
  rstuf artifact download NAME -m METADATA_URL -a FILES_URL
      fetch it as a client does

Next: the --help of each of these commands has examples."
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
    /// Say how to complete commands in a shell
    #[arg(long, exclusive = true)]
    pub autocomplete: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Common {
    /// The configuration file
    #[arg(
        short,
        long,
        value_name = "FILE",
        global = true,
        env = "RSTUF_CONFIG",
        hide_env_values = true,
        help_heading = "Common options"
    )]
    pub config: Option<PathBuf>,
    /// Answer questions from this YAML file; what it leaves open gets its default
    #[arg(long, value_name = "FILE", global = true, help_heading = "Common options")]
    pub answers: Option<PathBuf>,
    /// The library (PKCS#11 module) of the token that has a key [default: those that are installed]
    #[arg(long, value_name = "FILE", global = true, env = "RSTUF_PKCS11_MODULE", help_heading = "Common options")]
    pub pkcs11_module: Option<PathBuf>,
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
    /// Reads the arguments of this program.
    ///
    /// # Errors
    /// What is wrong with them, or what they ask to know.
    pub fn read() -> Result<Self, clap::Error> {
        let cli = Self::try_parse()?;
        match (&cli.command, cli.autocomplete) {
            (None, false) => Err(Self::command().error(ErrorKind::MissingSubcommand, "a command is missing")),
            (Some(_), true) => {
                let why = "--autocomplete can't be used with a command";
                Err(Self::command().error(ErrorKind::ArgumentConflict, why))
            }
            _ => Ok(cli),
        }
    }

    /// Does what was asked for.
    ///
    /// # Errors
    /// [`Failure`] says why it could not be done.
    pub async fn run(self) -> Result<(), Failure> {
        let output = self.output();
        let Some(command) = self.command else {
            output.document(generated::HOW_TO_COMPLETE);
            return Ok(());
        };
        if let Some(path) = self.common.pkcs11_module {
            choose_module(path);
        }
        let profile = Profile::load(self.common.config)?;
        let interview = Interview::new(self.common.answers.as_deref(), output)?;
        let context = Context { profile, output, interview };
        match command {
            Command::Admin(args) => args.run(context).await,
            Command::Artifact(command) => command.run(context).await,
            Command::Task(command) => command.run(context).await,
            Command::Key(command) => command.run(context).await,
            Command::Completions(args) => args.run(output),
            Command::Man(args) => args.run(output),
        }
    }

    /// How it prints.
    pub fn output(&self) -> Output {
        if self.common.json { Output::Json } else { Output::Text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_commands_is_sound() {
        Cli::command().debug_assert();
    }
}
