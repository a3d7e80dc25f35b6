//! Delegated roles as people ask for them: in a ceremony, and for a repository that is there.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    keys::{NamedKey, ask_person},
    numbers::{ask_days, ask_threshold},
};
use crate::{
    cli::interview::{Choice, Interview, List, Stop, Text},
    tuf::{
        delegation::proposal::{EXPIRE_POLICY, is_reserved},
        name::{ArtifactPath, RoleName},
    },
};

/// A delegated role that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct AskedRole {
    /// Its name.
    pub name: RoleName,
    /// For how many days its metadata is valid from each signature on.
    pub days: u32,
    /// The patterns of the paths that it answers for, at least one.
    pub paths: Vec<String>,
    /// Whether no role after it is asked for these paths.
    pub terminating: bool,
    /// Who signs it.
    pub signers: Signers,
}

/// Who signs a delegated role.
#[derive(Debug, Clone, PartialEq)]
pub enum Signers {
    /// The online key of the repository.
    Online,
    /// So many of these people.
    People {
        /// Their keys.
        keys: Vec<NamedKey>,
        /// How many must sign: 1 and up, no more than there are keys.
        threshold: u32,
    },
}

/// Asks for roles at `ID[n]`, at least one. Names that are `taken` are refused, upper and lower case being the same.
///
/// # Errors
/// [`Stop`].
pub async fn ask_roles(
    interview: &mut Interview,
    id: &str,
    taken: &BTreeSet<RoleName>,
) -> Result<Vec<AskedRole>, Stop> {
    let list = List { id, one: "delegated role", at_least: 1 };
    let name = |role: &AskedRole| role.name.to_string();
    let ask = async |interview: &mut Interview, id: String, there: &[AskedRole]| {
        let mut taken = taken.clone();
        taken.extend(there.iter().map(|role| role.name.clone()));
        let name = ask_name(interview, &format!("{id}.name"), taken)?;
        Box::pin(ask_terms(interview, &id, name, DEFAULT_DAYS)).await
    };
    interview.list(list, name, ask).await
}

const DEFAULT_DAYS: u32 = 1;
const DEFAULT_THRESHOLD: u32 = 2;

/// Asks for the name of a role.
///
/// # Errors
/// [`Stop`].
pub fn ask_name(interview: &mut Interview, id: &str, taken: BTreeSet<RoleName>) -> Result<RoleName, Stop> {
    let help = Some("1 to 128 of the characters a-z, A-Z, 0-9, - and _; for good, also after a deletion");
    let question = Text { id, message: "Name of the role:", help, default: None };
    interview.text(question, move |text| new_name(text, &taken))
}

fn new_name(text: &str, taken: &BTreeSet<RoleName>) -> Result<RoleName, String> {
    let name = RoleName::parse(text).map_err(|error| error.to_string())?;
    if is_reserved(text) {
        return Err("this name is reserved".to_owned());
    }
    match taken.iter().find(|there| there.as_str().eq_ignore_ascii_case(text)) {
        Some(there) => Err(format!("there is {there} already, upper and lower case being the same")),
        None => Ok(name),
    }
}

/// Asks for all but the name of a role: `ID.days`, `ID.paths`, `ID.terminating`, `ID.signed_by`, and of people `ID.threshold` and `ID.keys`.
///
/// # Errors
/// [`Stop`].
pub async fn ask_terms(
    interview: &mut Interview,
    id: &str,
    name: RoleName,
    default_days: u32,
) -> Result<AskedRole, Stop> {
    let days = ask_days(interview, &format!("{id}.days"), &format!("Days for which {name} is valid:"), default_days)?;
    let paths = Box::pin(ask_paths(interview, &format!("{id}.paths"), &name)).await?;
    let message = format!("Is {name} the last one to be asked for these paths?");
    let terminating = interview.confirm(&format!("{id}.terminating"), &message, true)?;
    let signers = Box::pin(ask_signers(interview, id, &name)).await?;
    Ok(AskedRole { name, days, paths, terminating, signers })
}

async fn ask_paths(interview: &mut Interview, id: &str, name: &RoleName) -> Result<Vec<String>, Stop> {
    let message = format!("Paths of {name}:");
    let ask = async |interview: &mut Interview, id: String, there: &[String]| {
        let there = there.to_vec();
        let help = Some("a pattern such as release/*.tar.gz; * and ? match anything but /");
        let question = Text { id: &id, message: &message, help, default: None };
        interview.text(question, move |text| pattern(text, &there))
    };
    interview.list(List { id, one: "path", at_least: 1 }, Clone::clone, ask).await
}

/// Checks a pattern; one that could not match the path of any artifact is refused.
pub(super) fn pattern(text: &str, there: &[String]) -> Result<String, String> {
    ArtifactPath::parse(text).map_err(|error| format!("no artifact can have it: {error}"))?;
    match there.iter().any(|other| other == text) {
        true => Err("it is there already".to_owned()),
        false => Ok(text.to_owned()),
    }
}

async fn ask_signers(interview: &mut Interview, id: &str, name: &RoleName) -> Result<Signers, Stop> {
    let online = "the repository, with its online key: changes are published at once";
    let people = "people: each change waits until they have signed it";
    let choices = vec![
        Choice { key: "online", label: online.to_owned(), value: false },
        Choice { key: "people", label: people.to_owned(), value: true },
    ];
    if !interview.choose(&format!("{id}.signed_by"), &format!("Who signs {name}?"), choices)? {
        return Ok(Signers::Online);
    }
    let message = format!("How many people must sign {name}?");
    let threshold = ask_threshold(interview, &format!("{id}.threshold"), &message, 1, DEFAULT_THRESHOLD)?;
    let list = List { id: &format!("{id}.keys"), one: "key", at_least: threshold as usize };
    let ask = async |interview: &mut Interview, id: String, there: &[NamedKey]| ask_person(interview, &id, there).await;
    let keys = interview.list(list, |key: &NamedKey| key.name.clone(), ask).await?;
    Ok(Signers::People { keys, threshold })
}

/// Roles as payloads have them: `{"keys": {…}, "roles": […]}`.
pub fn payload(roles: &[AskedRole]) -> Value {
    let mut keys = Map::new();
    for role in roles {
        if let Signers::People { keys: own, .. } = &role.signers {
            keys.extend(own.iter().map(|key| (key.id.to_string(), key.object.clone())));
        }
    }
    json!({"keys": keys, "roles": roles.iter().map(AskedRole::to_value).collect::<Vec<_>>()})
}

impl AskedRole {
    fn to_value(&self) -> Value {
        let (keyids, threshold) = match &self.signers {
            Signers::Online => (Vec::new(), 1),
            Signers::People { keys, threshold } => (keys.iter().map(|key| &key.id).collect(), *threshold),
        };
        json!({
            "name": self.name,
            "terminating": self.terminating,
            "keyids": keyids,
            "threshold": threshold,
            EXPIRE_POLICY: self.days,
            "paths": self.paths,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{interview::answers::Answers, output::Output},
        tuf::{
            delegation::proposal::{Known, Names, read},
            key::Key,
            sample::Signer,
        },
    };

    fn interview(answers: &str) -> Interview {
        Interview::answered(Answers::parse(answers).expect("yaml"), Output::Json)
    }

    async fn roles(answers: &str) -> Result<Vec<AskedRole>, String> {
        let mut interview = interview(answers);
        let asked = interview.hold(async |interview| ask_roles(interview, "roles", &BTreeSet::new()).await).await;
        asked.and_then(|roles| interview.finish().map(|()| roles)).map_err(|failure| failure.cause)
    }

    #[tokio::test]
    async fn what_is_left_open_gets_its_default() {
        let asked = roles("roles: [{name: release, paths: [release/*, 'v?']}]").await.expect("asked");
        assert_eq!(
            payload(&asked),
            json!({"keys": {}, "roles": [{"name": "release", "terminating": true, "keyids": [], "threshold": 1,
                "x-rstuf-expire-policy": 1, "paths": ["release/*", "v?"]}]})
        );
    }

    #[tokio::test]
    async fn the_repository_takes_what_was_asked() {
        let asked = roles("roles: [{name: a, days: 9, terminating: false, paths: ['*']}, {name: b, paths: [b/*]}]");
        let payload = payload(&asked.await.expect("asked"));
        let (id, online) = Signer::new().entry();
        let (online, none) = (Key::view(&online).expect("a key"), json!({}));
        let names = Names::Unused(BTreeSet::new());
        let known = Known { delegations: &none, online: Some((&id, &online)), bins: None, names };
        let read = read(&payload, &known).expect("read");
        let days: Vec<_> = read.into_iter().map(|role| role.expect("a role").days).collect();
        assert_eq!(days, [Some(9), Some(1)]);
    }

    #[tokio::test]
    async fn what_the_repository_would_refuse_is_refused_early() {
        for (name, paths, why) in [
            ("a b", "[x]", "answer roles[0].name: a role name has 1 to 128 of the characters a-z, A-Z, 0-9, - and _"),
            ("Targets", "[x]", "answer roles[0].name: this name is reserved"),
            ("bins-0f", "[x]", "answer roles[0].name: this name is reserved"),
            ("a", "[]", "answer roles[0].paths: must have at least 1 entries"),
            ("a", "[/x]", "answer roles[0].paths[0]: no artifact can have it: a path must not start with /"),
            ("a", "[x, x]", "answer roles[0].paths[1]: it is there already"),
        ] {
            let refused = roles(&format!("roles: [{{name: {name}, paths: {paths}}}]")).await.expect_err(name);
            assert_eq!(refused, why);
        }
        let twice = roles("roles: [{name: a, paths: [x]}, {name: A, paths: [x]}]").await.expect_err("twice");
        assert_eq!(twice, "answer roles[1].name: there is a already, upper and lower case being the same");
    }
}
