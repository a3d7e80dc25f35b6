//! `rstuf artifact repository`: where artifacts are downloaded from.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::download::harmless;
use crate::{
    cli::{
        client,
        command::Context,
        failure::Failure,
        interview::{Interview, Stop, Text},
        output::Output,
        profile::{Profile, Repository},
    },
    tuf::verify::Trusted,
};

/// The options.
#[derive(Debug, Args)]
pub struct RepositoryArgs {
    /// What is done
    #[command(subcommand)]
    command: Command,
}

/// What is done with the repositories of the configuration file.
#[derive(Debug, Subcommand)]
enum Command {
    /// Keep a repository in the configuration file
    #[command(after_help = "\
Example:
  rstuf artifact repository add -n prod -r 1.root.json \\
      -m https://tuf.example.com/metadata -a https://files.example.com

What comes next: rstuf artifact repository set prod, then rstuf artifact download NAME. What no
option says is asked for; --answers FILE answers name, root, metadata_url and artifacts_url.")]
    Add(AddArgs),
    /// List the repositories, or show one of them
    #[command(after_help = "\
Example: rstuf artifact repository show prod --json

Next: rstuf artifact repository set prod makes it the one that downloads come from.")]
    Show(ShowArgs),
    /// Use a repository when no options say another one
    #[command(after_help = "\
Example: rstuf artifact repository set prod

Next: rstuf artifact download NAME")]
    Set(NameArgs),
    /// Change what is given of a repository, and nothing else
    #[command(after_help = "\
Example: rstuf artifact repository update prod -a https://mirror.example.com

Next: rstuf artifact download NAME; a root that was trusted before stays trusted until it is given anew.")]
    Update(UpdateArgs),
    /// Forget a repository; what was downloaded stays
    #[command(after_help = "\
Example: rstuf artifact repository delete prod

Next: rstuf artifact repository set NAME, if it was the one in use.")]
    Delete(NameArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// How it is called here
    #[arg(short, long)]
    name: Option<String>,
    /// The root that is trusted: a file, or an http(s) URL
    #[arg(short, long, value_name = "FILE|URL")]
    root: Option<String>,
    /// Where the metadata is
    #[arg(short, long, value_name = "URL")]
    metadata_url: Option<String>,
    /// Where the files of the artifacts are
    #[arg(short, long, value_name = "URL")]
    artifacts_url: Option<String>,
    /// Files are called by their digest, a dot and their name
    #[arg(short = 'p', long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    hash_prefix: Option<bool>,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The repository; all of them if not given
    name: Option<String>,
}

#[derive(Debug, Args)]
struct NameArgs {
    /// The repository
    name: String,
}

#[derive(Debug, Args)]
struct UpdateArgs {
    /// The repository
    name: String,
    /// Another root that is trusted: a file, or an http(s) URL
    #[arg(short, long, value_name = "FILE|URL")]
    root: Option<String>,
    /// Another place of the metadata
    #[arg(short, long, value_name = "URL")]
    metadata_url: Option<String>,
    /// Another place of the files
    #[arg(short, long, value_name = "URL")]
    artifacts_url: Option<String>,
    /// Files are called by their digest, a dot and their name; --hash-prefix=false turns it off
    #[arg(short = 'p', long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    hash_prefix: Option<bool>,
}

impl RepositoryArgs {
    pub(in crate::cli) async fn run(self, mut context: Context) -> Result<(), Failure> {
        if let Command::Add(args) = self.command {
            return args.run(context).await;
        }
        context.interview.finish()?;
        let (profile, output) = (&mut context.profile, context.output);
        match self.command {
            Command::Add(_) => Ok(()),
            Command::Show(ShowArgs { name: Some(name) }) => show(profile, output, &name),
            Command::Show(ShowArgs { name: None }) => list(profile, output),
            Command::Set(NameArgs { name }) => {
                profile.repository(&name)?.check_root(&name)?;
                profile.set_current(Some(&name));
                profile.save()?;
                output.say(format_args!("Current repository changed to {name}"));
                output.result(&json!({ "current": name }));
                Ok(())
            }
            Command::Update(args) => args.run(profile, output).await,
            Command::Delete(NameArgs { name }) => {
                profile.remove(&name)?;
                profile.save()?;
                output.say(format_args!("Successfully deleted repository {name}"));
                output.result(&json!({ "deleted": name }));
                Ok(())
            }
        }
    }
}

impl AddArgs {
    async fn run(self, mut context: Context) -> Result<(), Failure> {
        let given = &self;
        let (name, root, metadata_url, artifact_base_url) =
            context.interview.hold(async |interview| given.ask(interview)).await?;
        context.interview.finish()?;
        let (profile, output) = (&mut context.profile, context.output);
        let is_known = profile.names()?.contains(&name);
        let repository = Repository {
            artifact_base_url,
            metadata_url,
            trusted_root: trusted_root(&root).await?,
            hash_prefix: self.hash_prefix.unwrap_or_default(),
            download_dir: None,
        };
        profile.put(&name, &repository)?;
        profile.save()?;
        match is_known {
            false => output.say(format_args!("Successfully added {name} repository to config")),
            true => {
                output.say(format_args!("Repository {name} already configured"));
                output.say(format_args!("Successfully updated repository {name}"));
            }
        }
        say_root(output, &repository);
        output.result(&json!({ (name): of(&repository) }));
        Ok(())
    }

    /// What no option says: name, root, where metadata and files are.
    fn ask(&self, interview: &mut Interview) -> Result<(String, String, String, String), Stop> {
        let mut ask = |given: &Option<String>, id, message, help, read: fn(&str) -> Result<String, String>| match given
        {
            Some(given) => read(given).map_err(|why| Failure::new(format_args!("{id}: {why}")).into()),
            None => interview.text(Text { id, message, help: Some(help), default: None }, read),
        };
        let name = ask(&self.name, "name", "What is the repository called here?", "such as prod", some)?;
        let root = ask(
            &self.root,
            "root",
            "Where is the root that you trust?",
            "a file, or an http(s) URL that you trust more than any other",
            some,
        )?;
        let metadata = ask(
            &self.metadata_url,
            "metadata_url",
            "Where is the metadata?",
            "such as https://tuf.example.com/metadata",
            address,
        )?;
        let files = ask(
            &self.artifacts_url,
            "artifacts_url",
            "Where are the files of the artifacts?",
            "such as https://files.example.com",
            address,
        )?;
        Ok((name, root, metadata, files))
    }
}

impl UpdateArgs {
    async fn run(self, profile: &mut Profile, output: Output) -> Result<(), Failure> {
        let is_url = |url: Option<String>| url.map(|url| address(&url).map_err(Failure::new)).transpose();
        let mut repository = match (profile.repository(&self.name), &self.root) {
            // A root that an earlier program wrote wrongly can be replaced.
            (Err(_), Some(_)) => self.without_root(profile)?,
            (repository, _) => repository?,
        };
        if let Some(root) = &self.root {
            repository.trusted_root = trusted_root(root).await?;
        }
        if let Some(url) = is_url(self.metadata_url)? {
            repository.metadata_url = url;
        }
        if let Some(url) = is_url(self.artifacts_url)? {
            repository.artifact_base_url = url;
        }
        repository.hash_prefix = self.hash_prefix.unwrap_or(repository.hash_prefix);
        profile.put(&self.name, &repository)?;
        profile.save()?;
        output.say(format_args!("Successfully updated repository {}", self.name));
        say_root(output, &repository);
        output.result(&json!({ (self.name): of(&repository) }));
        Ok(())
    }

    fn without_root(&self, profile: &Profile) -> Result<Repository, Failure> {
        let mut entry = profile.entry(&self.name)?.clone();
        entry.retain(|member, _| !member.eq_ignore_ascii_case("trusted_root"));
        entry.insert("trusted_root".to_owned(), "".into());
        Profile::read_repository(&entry).map_err(|why| Failure::new(format_args!("{}.{why}", self.name)))
    }
}

fn show(profile: &Profile, output: Output, name: &str) -> Result<(), Failure> {
    let entry = json!({ name: profile.entry(name)? });
    if profile.current()?.as_deref() == Some(name) {
        output.say("CURRENT REPOSITORY:");
    }
    output.say(format_args!("{entry:#}"));
    output.result(&entry);
    Ok(())
}

fn list(profile: &Profile, output: Output) -> Result<(), Failure> {
    let (names, current) = (profile.names()?, profile.current()?);
    if names.is_empty() && output == Output::Text {
        return Err(
            Failure::new("there are no configured repositories").remedy("add one with rstuf artifact repository add")
        );
    }
    for name in &names {
        let mark = if Some(name) == current.as_ref() { " (default)" } else { "" };
        output.say(format_args!("{name}{mark}"));
    }
    let entries: Map<String, Value> =
        names.iter().map(|name| Ok((name.clone(), json!(profile.entry(name)?)))).collect::<Result<_, Failure>>()?;
    output.result(&json!({ "current": current, "repositories": entries }));
    Ok(())
}

fn say_root(output: Output, repository: &Repository) {
    if let Ok(trusted) = Trusted::from_root(&repository.trusted_root) {
        output.say(format_args!("Its trusted root is version {}", trusted.root().version));
    }
}

/// What is told of a repository; its root is in the configuration file.
fn of(repository: &Repository) -> Value {
    let version = Trusted::from_root(&repository.trusted_root).ok().map(|trusted| trusted.root().version);
    json!({
        "artifact_base_url": repository.artifact_base_url,
        "metadata_url": repository.metadata_url,
        "trusted_root_version": version,
        "hash_prefix": repository.hash_prefix,
        "download_dir": repository.download_dir,
    })
}

async fn trusted_root(from: &str) -> Result<Vec<u8>, Failure> {
    client::read_root(from).await.map_err(|error| {
        Failure::new(harmless(&error))
            .remedy("give the root that the owners of the repository published, 1.root.json or a later one")
    })
}

fn some(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("must not be empty".to_owned()),
        text => Ok(text.to_owned()),
    }
}

fn address(text: &str) -> Result<String, String> {
    client::check_base(text.trim()).map(|()| text.trim().to_owned()).map_err(|error| error.to_string())
}
