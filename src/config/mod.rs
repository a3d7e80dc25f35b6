//! Every setting of every program with its meaning, and the layers that they come from: flags, then the environment, then a
//! file, then defaults.
//!
//! Each program has a table ([`Program`]). Reading ends in a [`Reading`], which has what was read, where each value came from, what
//! is worth saying, and all faults at once; no secret is in any text of it.

use std::{collections::BTreeMap, env, fmt, path::PathBuf};

use thiserror::Error;
use tracing_subscriber::EnvFilter;

use crate::telemetry::LogFormat;

pub mod api;
mod fleet;
mod layers;
mod names;
mod reader;
mod secret;
pub mod standalone;
pub mod worker;

pub use names::Program;

use reader::Reader;

/// A setting: its name in a file (and, in capitals after `RSTUF_`, in the environment), its default, and what it means.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The name.
    pub name: &'static str,
    /// The default, as it would be written.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// How it may be shown.
    pub shown: Shown,
}

/// How a setting may be shown, and whether its value may be a path to a file that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// As it is.
    Whole,
    /// Without user, password and query; may be a path below `/run/secrets`.
    WithoutCredentials,
    /// Never; may be a path below `/run/secrets`.
    Never,
}

const fn setting(name: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting { name, default, meaning, shown: Shown::Whole }
}

const fn address(name: &'static str, meaning: &'static str) -> Setting {
    Setting { name, default: "", meaning, shown: Shown::WithoutCredentials }
}

const fn secret(name: &'static str, meaning: &'static str) -> Setting {
    Setting { name, default: "", meaning, shown: Shown::Never }
}

/// What was wrong with a configuration: everything at once.
#[derive(Debug, Error)]
pub struct Faults(pub Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} fault(s):", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// A setting as it would be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Its name.
    pub name: &'static str,
    /// Its value, as far as it may be shown.
    pub value: String,
    /// Where it came from.
    pub origin: String,
}

/// What is logged, and how.
#[derive(Debug)]
pub struct Logs {
    /// What is logged.
    pub filter: EnvFilter,
    /// How it is logged.
    pub format: LogFormat,
}

/// All that was found in the layers of one program.
#[derive(Debug)]
pub struct Reading<T> {
    /// What the program would be started with; of use only without faults.
    options: Option<T>,
    /// What it would log.
    logs: Logs,
    /// Each setting of the program.
    pub used: Vec<Used>,
    /// What is worth saying once: names that mean nothing here, names that are old.
    pub notes: Vec<String>,
    /// Everything that is wrong.
    pub faults: Vec<String>,
}

/// A configuration that was checked.
#[derive(Debug)]
pub struct Checked<T> {
    /// What the program is started with.
    pub options: T,
    /// What is logged.
    pub logs: Logs,
    /// What is worth saying once.
    pub notes: Vec<String>,
}

impl<T> Reading<T> {
    /// The configuration, if nothing is wrong with it.
    ///
    /// # Errors
    /// [`Faults`] with everything that is wrong.
    pub fn checked(self) -> Result<Checked<T>, Faults> {
        let Self { options, logs, notes, faults, .. } = self;
        match options {
            Some(options) if faults.is_empty() => Ok(Checked { options, logs, notes }),
            _ => Err(Faults(faults)),
        }
    }
}

/// Where settings are looked for.
#[derive(Clone, Default)]
pub struct Sources {
    /// A file in TOML.
    pub file: Option<PathBuf>,
    /// The environment.
    pub variables: BTreeMap<String, String>,
    /// The flags that were given, by the names of their settings.
    pub flags: BTreeMap<&'static str, String>,
}

impl Sources {
    /// This file, these flags, and the environment of the process.
    pub fn new(file: Option<PathBuf>, flags: BTreeMap<&'static str, String>) -> Self {
        let variables =
            env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self { file, variables: variables.collect(), flags }
    }
}

/// Reads the settings of `program` with `read`.
fn read<T>(program: &'static Program, sources: Sources, read: impl FnOnce(&mut Reader) -> Option<T>) -> Reading<T> {
    let mut reader = Reader::new(program, layers::layers(program, sources));
    let options = read(&mut reader);
    let logs = Logs { filter: reader.log_filter(), format: reader.log_format() };
    let (used, notes, faults) = reader.finish();
    Reading { options, logs, used, notes, faults }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn sources(pairs: &[(&str, &str)]) -> Sources {
        let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Sources { variables, ..Sources::default() }
    }

    pub(super) fn file(text: &str) -> tempfile::NamedTempFile {
        use std::io::Write;
        let mut file = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    const PROGRAMS: [(&Program, &str); 3] = [
        (&standalone::PROGRAM, include_str!("../../config/standalone.toml")),
        (&api::PROGRAM, include_str!("../../config/api.toml")),
        (&worker::PROGRAM, include_str!("../../config/worker.toml")),
    ];

    #[test]
    fn the_sample_files_show_every_setting_with_its_default() {
        for (program, sample) in PROGRAMS {
            for Setting { name, default, meaning, .. } in program.settings {
                let quoted = format!("# {meaning}\n# {name} = \"{default}\"\n");
                let plain = format!("# {meaning}\n# {name} = {default}\n");
                assert!(sample.contains(&quoted) || sample.contains(&plain), "{}: {name} is missing", program.name);
            }
        }
    }

    #[test]
    fn the_readme_has_every_setting_with_its_default() {
        let readme = include_str!("../../README.md");
        for (program, _) in PROGRAMS {
            let table = readme.split_once(&format!("<!-- settings of {} -->", program.name)).expect("a table").1;
            let table = table.split_once("<!-- end -->").expect("its end").0;
            for Setting { name, default, meaning, .. } in program.settings {
                let default = if default.is_empty() { "empty" } else { default };
                let row = format!("| `{name}` | `{default}` | {meaning} |");
                assert!(table.contains(&row), "the table of {} lacks the row\n{row}", program.name);
            }
        }
    }
}
