//! The names that a program knows, and what is said of those that it doesn't.

use super::{Setting, api, standalone, worker};

/// The prefix of environment variables.
pub(super) const PREFIX: &str = "RSTUF";
/// Variables that begin like settings and are none.
const NOT_SETTINGS: [&str; 1] = ["config"];
/// Variables of our own tests.
const OF_TESTS: &str = "test_";

/// A program and the settings that it has.
#[derive(Debug)]
pub struct Program {
    /// How it is called, after `rstufd`.
    pub name: &'static str,
    /// Its settings.
    pub settings: &'static [Setting],
    /// Other names of settings.
    pub(super) aliases: &'static [Alias],
    /// Names that containers of the Python service are given.
    pub(super) meaningless: &'static [Meaningless],
}

/// Another name of a setting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alias {
    pub(super) old: &'static str,
    pub(super) name: &'static str,
    pub(super) standing: Standing,
}

/// Whether a name may go on being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Good,
    Deprecated,
}

/// A name that is accepted and does nothing, and why it may be left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meaningless {
    pub(super) name: &'static str,
    pub(super) why: &'static str,
}

/// What a name is to a program.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// A setting.
    Setting,
    /// A setting under another name.
    Alias(&'static str, Standing),
    /// It does nothing here, for this reason.
    Nothing(String),
    /// Not to be looked at.
    Ours,
    /// It is a fault.
    Unknown(String),
}

impl Standing {
    pub(super) const fn of(old: &'static str, name: &'static str, standing: Standing) -> Alias {
        Alias { old, name, standing }
    }
}

impl Program {
    pub(super) fn setting(&self, name: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|setting| setting.name == name)
    }

    fn alias(&self, name: &str) -> Option<&'static Alias> {
        self.aliases.iter().find(|alias| alias.old == name)
    }

    /// What this program makes of a name.
    pub(super) fn look_up(&self, name: &str) -> Known {
        if NOT_SETTINGS.contains(&name) || name.starts_with(OF_TESTS) {
            return Known::Ours;
        }
        if self.setting(name).is_some() {
            return Known::Setting;
        }
        if let Some(alias) = self.alias(name) {
            return Known::Alias(alias.name, alias.standing);
        }
        if let Some(meaningless) = self.meaningless.iter().find(|meaningless| meaningless.name == name) {
            return Known::Nothing(meaningless.why.to_owned());
        }
        let fleet = [&api::PROGRAM, &worker::PROGRAM];
        // API and workers are often given one environment.
        if fleet.iter().any(|program| program.name == self.name)
            && let Some(other) =
                fleet.iter().find(|program| program.setting(name).is_some() || program.alias(name).is_some())
        {
            return Known::Nothing(format!("it is a setting of rstufd {} alone", other.name));
        }
        Known::Unknown(self.hint(name))
    }

    fn hint(&self, name: &str) -> String {
        let nearest =
            self.settings.iter().map(|setting| (strsim::damerau_levenshtein(name, setting.name), setting.name));
        if let Some((distance, nearest)) = nearest.min()
            && distance <= 2.max(name.len() / 4)
        {
            return format!("is no setting of rstufd {}; did you mean {nearest}?", self.name);
        }
        let others = [&standalone::PROGRAM, &api::PROGRAM, &worker::PROGRAM];
        let others: Vec<_> =
            others.iter().filter(|program| program.setting(name).is_some()).map(|program| program.name).collect();
        match others.is_empty() {
            true => format!("is no setting of rstufd {0}; see `rstufd {0} --help`", self.name),
            false => format!("is no setting of rstufd {}, but of rstufd {}", self.name, others.join(" and ")),
        }
    }
}

/// How a setting is written in the environment.
pub(super) fn variable(name: &str) -> String {
    format!("{PREFIX}_{}", name.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_the_program_makes_of_it() {
        let (api, worker) = (&api::PROGRAM, &worker::PROGRAM);
        assert_eq!(api.look_up("listen"), Known::Setting);
        assert_eq!(api.look_up("config"), Known::Ours);
        assert_eq!(worker.look_up("sql_server"), Known::Alias("db_server", Standing::Deprecated));
        assert!(matches!(api.look_up("sql_server"), Known::Nothing(why) if why.contains("worker alone")));
        assert!(matches!(worker.look_up("lock_timeout"), Known::Nothing(_)));
        assert!(matches!(worker.look_up("listen"), Known::Nothing(why) if why.contains("api alone")));
        assert!(matches!(worker.look_up("aws_storage_bucket"), Known::Nothing(_)));
        assert!(matches!(worker.look_up("data_dir"), Known::Nothing(_)));
    }

    #[test]
    fn who_mistypes_is_told_the_nearest_name() {
        let hint = |program: &Program, name: &str| match program.look_up(name) {
            Known::Unknown(hint) => hint,
            known => panic!("{name} is {known:?}"),
        };
        assert!(hint(&api::PROGRAM, "broker_servr").ends_with("did you mean broker_server?"));
        assert!(hint(&standalone::PROGRAM, "lisen").ends_with("did you mean listen?"));
        assert!(hint(&standalone::PROGRAM, "broker_server").ends_with("but of rstufd api and worker"));
        assert!(hint(&api::PROGRAM, "queue_jobs").ends_with("but of rstufd standalone"));
        assert!(hint(&api::PROGRAM, "xyz").ends_with("see `rstufd api --help`"));
    }
}
