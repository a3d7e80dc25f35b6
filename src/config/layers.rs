//! The layers that settings come from, laid over each other.

use std::collections::{BTreeMap, BTreeSet};

use config::{Config, ConfigError, Environment, File, FileFormat, Source, ValueKind};

use super::{
    Shown, Sources,
    names::{Known, PREFIX, Program, Standing, variable},
    secret,
};

/// A prefix of variables of the Python service.
const SECRETS_PREFIX: &str = "SECRETS_RSTUF_";
/// Variables of its containers that do not begin as ours.
const FOREIGN: [&str; 1] = ["DATA_DIR"];

/// The value of a setting, and where it came from. Not to be printed: it may be a secret.
pub(super) struct Given {
    pub(super) text: String,
    pub(super) origin: String,
}

/// What the layers have together.
#[derive(Default)]
pub(super) struct Layers {
    pub(super) given: BTreeMap<&'static str, Given>,
    pub(super) notes: Vec<String>,
    pub(super) faults: Vec<String>,
}

/// Lays all layers over each other and sorts out what is no setting of this program.
pub(super) fn layers(program: &'static Program, sources: Sources) -> Layers {
    let mut layers = Layers::default();
    let fleet = !program.meaningless.is_empty();
    for name in FOREIGN.into_iter().filter(|name| fleet && sources.variables.contains_key(*name)) {
        layers.notes.push(format!("{name} does nothing here and may be left out"));
    }
    let flags: BTreeSet<&str> = sources.flags.keys().copied().collect();
    let values = match values(sources) {
        Ok(values) => values,
        Err(fault) => {
            layers.faults.push(fault.to_string());
            return layers;
        }
    };
    let mut aliases = Vec::new();
    for (name, value) in values {
        let origin = match value.origin() {
            _ if flags.contains(name.as_str()) => "a flag",
            Some("the environment") | None => "environment",
            Some(file) => file,
        };
        let origin = origin.to_owned();
        match program.look_up(&name) {
            Known::Ours => {}
            Known::Nothing(why) => layers.notes.push(format!("{} does nothing here: {why}", variable(&name))),
            Known::Unknown(hint) => layers.faults.push(format!("{name} (or {}): {hint}", variable(&name))),
            Known::Setting => layers.take(program, &name, origin, value),
            Known::Alias(setting, standing) => aliases.push((setting, name, standing, origin, value)),
        }
    }
    for (setting, old, standing, origin, value) in aliases {
        let (old_variable, new_variable) = (variable(&old), variable(setting));
        if layers.given.contains_key(setting) {
            layers.notes.push(format!("{old_variable} does nothing: {new_variable} is given too"));
            continue;
        }
        if standing == Standing::Deprecated {
            layers.notes.push(format!("{old_variable} is deprecated: name it {new_variable}"));
        }
        layers.take(program, setting, format!("{origin}, as {old}"), value);
    }
    layers
}

impl Layers {
    fn take(&mut self, program: &'static Program, name: &str, mut origin: String, value: config::Value) {
        let Some(setting) = program.setting(name) else { return };
        if matches!(value.kind, ValueKind::Table(_) | ValueKind::Array(_) | ValueKind::Nil) {
            self.faults.push(format!("{name} (from {origin}): must be a text or a number, not a table or a list"));
            return;
        }
        let text = unquoted(&value.into_string().unwrap_or_default()).to_owned();
        let text = match setting.shown {
            Shown::Whole => text,
            Shown::WithoutCredentials | Shown::Never if secret::is_reference(&text) => {
                origin = format!("{origin}: {text}");
                match secret::read(text.as_ref()) {
                    Ok(secret) => secret,
                    Err(why) => {
                        self.faults.push(format!("{name} (from {origin}): the file of this secret {why}"));
                        // It was given, so that nobody is told that it is missing.
                        secret::UNREADABLE.to_owned()
                    }
                }
            }
            Shown::WithoutCredentials | Shown::Never => text,
        };
        self.given.insert(setting.name, Given { text, origin });
    }
}

/// Values of compose files often come with the quotes that were meant for a shell.
fn unquoted(text: &str) -> &str {
    let within = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    within('"').or_else(|| within('\'')).unwrap_or(text)
}

/// All values by their names, in small letters and without prefix.
fn values(sources: Sources) -> Result<BTreeMap<String, config::Value>, ConfigError> {
    let Sources { file, variables, flags } = sources;
    let variables = variables.into_iter().map(|(name, value)| match name.strip_prefix(SECRETS_PREFIX) {
        Some(rest) => (format!("{PREFIX}_{rest}"), value),
        None => (name, value),
    });
    let mut builder = Config::builder();
    if let Some(file) = &file {
        builder = builder.add_source(File::from(file.as_path()).format(FileFormat::Toml));
    }
    // A variable that is empty is one that somebody had no value for.
    let environment = Environment::with_prefix(PREFIX).ignore_empty(true);
    builder = builder.add_source(environment.source(Some(variables.collect())));
    for (name, value) in flags {
        builder = builder.set_override(name, value)?;
    }
    // Deserialised they would have lost where they came from.
    builder.build()?.collect().map(|values| values.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pair_of_quotes_is_taken_off() {
        for (text, bare) in
            [("\"a\"", "a"), ("'a'", "a"), ("a", "a"), ("\"a'", "\"a'"), ("\"", "\""), ("\"'a'\"", "'a'"), ("", "")]
        {
            assert_eq!(unquoted(text), bare, "{text}");
        }
    }
}
