//! Reads settings one by one and collects what is wrong.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

use super::{
    Shown, Used,
    layers::{Given, Layers},
    names::{Program, variable},
    secret,
};
use crate::telemetry::LogFormat;

/// The settings of one program.
pub(super) struct Reader {
    program: &'static Program,
    given: BTreeMap<&'static str, Given>,
    notes: Vec<String>,
    faults: Vec<String>,
}

impl Reader {
    pub(super) fn new(program: &'static Program, layers: Layers) -> Self {
        let Layers { given, notes, faults } = layers;
        Self { program, given, notes, faults }
    }

    /// What was used, what is worth saying, and what is wrong.
    pub(super) fn finish(self) -> (Vec<Used>, Vec<String>, Vec<String>) {
        let used = self.program.settings.iter().map(|setting| {
            let (text, origin) = match self.given.get(setting.name) {
                Some(given) => (given.text.as_str(), given.origin.clone()),
                None => (setting.default, "default".to_owned()),
            };
            let value = match setting.shown {
                _ if text.is_empty() => "not set".to_owned(),
                Shown::Whole => text.to_owned(),
                Shown::WithoutCredentials => secret::without_credentials(text),
                Shown::Never => "set".to_owned(),
            };
            Used { name: setting.name, value, origin }
        });
        (used.collect(), self.notes, self.faults)
    }

    /// Whether somebody gave a value.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The value, or else the default.
    pub(super) fn text(&self, name: &str) -> String {
        let default = self.program.setting(name).map_or("", |setting| setting.default);
        self.given.get(name).map_or(default, |given| given.text.as_str()).to_owned()
    }

    /// The value of a secret, `None` when there is none.
    pub(super) fn secret(&self, name: &str) -> Option<SecretString> {
        let text = self.text(name);
        (!text.is_empty()).then(|| SecretString::from(text))
    }

    /// Something is wrong with a setting.
    pub(super) fn fault(&mut self, name: &str, rule: &str) {
        let shown = self.program.setting(name).map_or(Shown::Never, |setting| setting.shown);
        let value = match shown {
            Shown::Whole => format!(" = {:?}", self.text(name)),
            Shown::WithoutCredentials | Shown::Never => String::new(),
        };
        let origin = self.given.get(name).map(|given| format!(" (from {})", given.origin)).unwrap_or_default();
        self.faults.push(format!("{name}{value}{origin}: {rule}"));
    }

    /// The value of a setting that must be given.
    pub(super) fn required(&mut self, name: &str, example: &str) -> String {
        let text = self.text(name);
        if text.is_empty() {
            self.faults.push(format!("{name} (or {}): must be given, as {example}", variable(name)));
        }
        text
    }

    /// A path; empty is none.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        let text = self.text(name);
        (!text.is_empty()).then(|| text.into())
    }

    pub(super) fn value_or<T: FromStr>(&mut self, name: &str, form: &str, otherwise: T) -> T {
        self.text(name).parse().unwrap_or_else(|_| {
            self.fault(name, &format!("must be {form}"));
            otherwise
        })
    }

    pub(super) fn number<T: FromStr + Copy + PartialOrd + fmt::Display>(&mut self, name: &str, least: T, most: T) -> T {
        match self.text(name).parse() {
            Ok(number) if (least..=most).contains(&number) => number,
            _ => {
                self.fault(name, &format!("must be a whole number from {least} to {most}"));
                least
            }
        }
    }

    /// One of these words.
    pub(super) fn one_of<T: Copy>(&mut self, name: &str, words: &[(&str, T)], otherwise: T) -> T {
        let text = self.text(name);
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return *meaning;
        }
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        self.fault(name, &format!("must be {}", words.join(" or ")));
        otherwise
    }

    pub(super) fn log_filter(&mut self) -> EnvFilter {
        let text = self.text("log_level");
        // The names that Python has for levels.
        let level = match text.to_ascii_lowercase().as_str() {
            "warning" => "warn",
            "critical" | "fatal" => "error",
            "notset" => "trace",
            _ => text.as_str(),
        };
        EnvFilter::try_new(level).unwrap_or_else(|error| {
            self.fault("log_level", &format!("must be a level as info, or levels by module ({error})"));
            EnvFilter::default()
        })
    }

    pub(super) fn log_format(&mut self) -> LogFormat {
        self.one_of("log_format", &[("text", LogFormat::Text), ("json", LogFormat::Json)], LogFormat::Text)
    }
}
