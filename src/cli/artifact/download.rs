//! `rstuf artifact download`: what a TUF client does.

use std::{
    env,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::{
    cli::{
        client::{self, ArtifactError, Client, Downloaded, How, HttpError, KeptError, Naming, Origin, Source},
        command::Context,
        failure::Failure,
        output::Output,
        profile::{Profile, Repository},
    },
    clock::Clock,
    tuf::{
        name::{ArtifactPath, RoleName},
        root::{RoleKeys, Root},
        targets::TargetFile,
        verify::VerifyError,
        wire::RoleType,
    },
};

/// Where artifacts are put when nobody says where.
const DIRECTORY: &str = "downloads";

/// How many digits of the digest of the metadata's address name the directory of what is trusted.
const STATE_DIGITS: usize = 8;

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rstuf artifact download dist/app-1.0.tar.gz -r 1.root.json \\
      -m https://tuf.example.com/metadata -a https://files.example.com
  rstuf artifact download dist/app-1.0.tar.gz          the current repository

What comes next: the verified file is in ./downloads, named dist%2Fapp-1.0.tar.gz. What is
trusted is kept, so that a later download notices when somebody offers an older state.
`rstuf artifact repository add` keeps the addresses and the root, to be given no more.")]
pub struct DownloadArgs {
    /// The artifacts: their whole paths in the repository
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// The root that is trusted, a file or an http(s) URL; without it the first one that is seen is trusted and kept
    #[arg(short, long, value_name = "FILE|URL")]
    root: Option<String>,
    /// Where the metadata is
    #[arg(short, long, value_name = "URL")]
    metadata_url: Option<String>,
    /// Where the files of the artifacts are
    #[arg(short, long, value_name = "URL")]
    artifacts_url: Option<String>,
    /// Files are called by their digest, a dot and their name; --hash-prefix=false says that they are not
    #[arg(short = 'p', long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    hash_prefix: Option<bool>,
    /// The directory that they are put into; ./downloads if not given
    #[arg(short = 'P', long, value_name = "DIR")]
    directory_prefix: Option<PathBuf>,
}

/// What is asked for, by options and configuration.
struct Wanted {
    metadata_url: String,
    source: Source,
    root: Option<Vec<u8>>,
    directory: PathBuf,
}

impl DownloadArgs {
    pub(in crate::cli) async fn run(self, context: Context) -> Result<(), Failure> {
        context.interview.finish()?;
        let output = context.output;
        let paths = self.names.iter().map(|name| path(name)).collect::<Result<Vec<_>, _>>()?;
        let wanted = self.wanted(&context.profile).await?;
        let state = state_directory(&wanted.metadata_url)?;
        let now = Clock::system().now();
        let opened = Client::open(&wanted.metadata_url, &state, wanted.root.as_deref()).await;
        let mut client = opened.map_err(|error| refusal(error, &state))?;
        for line in client.passed_over() {
            output.note(line);
        }
        client.refresh(now).await.map_err(|error| refusal(error, &state))?;
        let mut found = Vec::new();
        for path in &paths {
            found.push((path, client.find(path, now).await.map_err(|error| refusal(error, &state))?));
        }
        client.keep()?;
        say_what_is_trusted(output, &client, &state);
        let mut artifacts = Vec::new();
        let known = found.into_iter().map(|(path, info)| info.map(|info| (path, info)).ok_or_else(|| unknown(path)));
        for (path, (role, info)) in known.collect::<Result<Vec<_>, _>>()? {
            let bar = progress(path, &info);
            let fetched = client.fetch(&wanted.source, path, &info, &wanted.directory, |at| bar.set_position(at)).await;
            bar.finish_and_clear();
            let fetched = fetched.map_err(|error| broken(error, path))?;
            say_what_came(output, path, &fetched);
            artifacts.push(artifact(path, &role, &info, &fetched));
        }
        output.result(&json!({
            "metadata_dir": state,
            "trust": trust(client.origin()),
            "root": client.trusted().root().version,
            "artifacts": artifacts,
        }));
        Ok(())
    }

    /// Options come first. The current repository is asked for what they leave open, unless they are about another one.
    async fn wanted(self, profile: &Profile) -> Result<Wanted, Failure> {
        let current = self.current(profile)?;
        let of_current = |member: fn(&Repository) -> &String| current.as_ref().map(|current| member(current).clone());
        let missing = |what: &str, option: &str| {
            Failure::new(format_args!("no {what} URL is given")).remedy(format_args!(
                "give {option} URL, or keep a repository with rstuf artifact repository add and set"
            ))
        };
        let metadata_url = self.metadata_url.or_else(|| of_current(|current| &current.metadata_url));
        let base_url = self.artifacts_url.or_else(|| of_current(|current| &current.artifact_base_url));
        let hash_prefix = self.hash_prefix.or(current.as_ref().map(|current| current.hash_prefix));
        let root = match self.root {
            Some(root) => Some(client::read_root(&root).await.map_err(|error| Failure::new(harmless(&error)))?),
            None => current.as_ref().map(|current| current.trusted_root.clone()),
        };
        let directory = self.directory_prefix.or_else(|| current.and_then(|current| current.download_dir));
        Ok(Wanted {
            metadata_url: metadata_url.ok_or_else(|| missing("metadata", "--metadata-url"))?,
            source: Source {
                base_url: base_url.ok_or_else(|| missing("artifacts", "--artifacts-url"))?,
                naming: if hash_prefix == Some(true) { Naming::HashPrefix } else { Naming::Plain },
            },
            root,
            directory: directory.unwrap_or_else(|| DIRECTORY.into()),
        })
    }

    fn current(&self, profile: &Profile) -> Result<Option<Repository>, Failure> {
        let Some(name) = profile.current()? else { return Ok(None) };
        let suffices = self.metadata_url.is_some() && self.artifacts_url.is_some();
        match profile.repository(&name) {
            Ok(current) => {
                let is_other = self.metadata_url.as_ref().is_some_and(|url| *url != current.metadata_url);
                if suffices && is_other {
                    return Ok(None);
                }
                if self.root.is_none() {
                    current.check_root(&name)?;
                }
                Ok(Some(current))
            }
            Err(_) if suffices => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// Where what is trusted of a repository is kept, as the Python command line has it.
fn state_directory(metadata_url: &str) -> Result<PathBuf, Failure> {
    let data = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let data = data.or_else(|| Some(env::home_dir()?.join(".local/share")));
    let data = data.ok_or_else(|| Failure::new("there is no home directory").remedy("set HOME or XDG_DATA_HOME"))?;
    let digits = hex::encode(digest(&SHA256, metadata_url.as_bytes()));
    Ok(data.join("rstuf").join(&digits[..STATE_DIGITS]))
}

fn path(name: &str) -> Result<ArtifactPath, Failure> {
    ArtifactPath::parse(name).map_err(|error| {
        Failure::new(format_args!("{name:?} is the name of no artifact: {error}"))
            .remedy("give its path in the repository, such as dir/file.tar.gz")
    })
}

fn unknown(path: &ArtifactPath) -> Failure {
    Failure::new(format_args!("Artifact {path} not trusted by TUF repository"))
        .remedy("check the name: it is the whole path in the repository, such as dir/file.tar.gz")
}

fn progress(path: &ArtifactPath, info: &TargetFile) -> ProgressBar {
    // It is drawn on standard error, and only at a terminal.
    let bar = ProgressBar::new(info.length);
    let style = ProgressStyle::with_template("{wide_msg} {bytes}/{total_bytes} [{bar:20}] {bytes_per_sec} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar.set_message(path.as_str().escape_debug().to_string());
    bar
}

fn say_what_is_trusted(output: Output, client: &Client, state: &Path) {
    let state_shown = state.display();
    match client.origin() {
        Origin::FirstUse(root) => {
            output.say(format_args!("Trust-on-First-Use: Initialized new root in {state_shown}"));
            say_whose_root(output, root);
        }
        Origin::Given => output.say(format_args!("Initialized new root in {state_shown}")),
        Origin::Kept => {}
    }
    output.say(format_args!("Using trusted root in {state_shown}"));
}

fn say_whose_root(output: Output, root: &Root) {
    let RoleKeys { keyids, threshold } = root.role(RoleType::Root);
    output.say(format_args!(
        "From now on the root of {threshold} of these {} keys is trusted. Compare them with what its owners say:",
        keyids.len()
    ));
    for id in keyids {
        output.say(format_args!("  {}", id.as_str().escape_debug()));
    }
}

fn say_what_came(output: Output, path: &ArtifactPath, fetched: &Downloaded) {
    let file = fetched.file.display();
    match fetched.how {
        How::Fetched => output.say(format_args!("Artifact downloaded and available in {file}")),
        How::Present => output.say(format_args!("Artifact is available in {file}")),
    }
    output.say(format_args!("Successfully completed artifact download: {path}"));
}

fn artifact(path: &ArtifactPath, role: &RoleName, info: &TargetFile, fetched: &Downloaded) -> Value {
    json!({
        "name": path,
        "path": fetched.file,
        "downloaded": fetched.how == How::Fetched,
        "role": role,
        "length": info.length,
        "hashes": info.hashes,
        "custom": info.custom,
    })
}

fn trust(origin: &Origin) -> Value {
    match origin {
        Origin::FirstUse(root) => json!({"from": "first use", "keyids": root.role(RoleType::Root).keyids}),
        Origin::Given => json!({"from": "given root"}),
        Origin::Kept => json!({"from": "earlier runs"}),
    }
}

/// Why the repository is not trusted, and what to do then.
fn refusal(error: anyhow::Error, state: &Path) -> Failure {
    let state = state.display();
    let remedy = match error.downcast_ref() {
        Some(VerifyError::Expired { .. }) => {
            "its owners may have stopped to renew it, or somebody keeps newer files from you: ask them".to_owned()
        }
        Some(
            VerifyError::Rollback { .. }
            | VerifyError::ListedBack { .. }
            | VerifyError::Unlisting { .. }
            | VerifyError::Changed { .. },
        ) => format!("somebody may offer you an old state: ask the owners; what was seen before is in {state}"),
        Some(_) => "do not trust it: somebody may have changed it, or its owners made a mistake; ask them".to_owned(),
        None => match error.downcast_ref() {
            Some(KeptError::Damaged { .. }) => format!(
                "put it back from a backup; or remove {state} and download with --root FILE, a root from the owners"
            ),
            Some(KeptError::Conflict { .. }) => {
                format!("make sure whose root is right; if it is the one that you gave, remove {state} and try again")
            }
            None => match error.downcast_ref() {
                Some(HttpError::TooLong { .. } | HttpError::TooSlow { .. } | HttpError::Redirect { .. }) => {
                    "its server does what none should: ask the owners for another one".to_owned()
                }
                _ => "see that the metadata URL is right and its server is there".to_owned(),
            },
        },
    };
    Failure::new(harmless(&error)).remedy(remedy)
}

/// The text of an error. Some of it may be from a file that nobody signed: it is not to steer the terminal.
pub(super) fn harmless(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Most errors say what caused them themselves.
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn broken(error: anyhow::Error, path: &ArtifactPath) -> Failure {
    let remedy = match error.downcast_ref() {
        Some(ArtifactError::Content { .. }) => "nothing of it was kept: ask the owners, or try another source of files",
        Some(ArtifactError::Missing(_)) => "see that the artifacts URL is right, and whether it needs --hash-prefix",
        Some(ArtifactError::Broken { bytes: 1.., .. }) => "run it again, it goes on with what came",
        _ => "see that the artifacts URL is right and its server is there",
    };
    Failure::new(format_args!("can't download {path}: {}", harmless(&error))).remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_signed_does_not_steer_the_terminal() {
        let failure = refusal(anyhow::anyhow!("roles.\u{1b}[2J\n: wrong"), Path::new("/x"));
        assert_eq!(failure.cause, "roles.\u{fffd}[2J\u{fffd}: wrong");
    }

    #[test]
    fn what_is_trusted_is_where_the_python_command_line_has_it() {
        let directory = state_directory("http://localhost:8080/metadata").expect("a directory");
        assert!(directory.ends_with("rstuf/0368ec11"));
    }
}
