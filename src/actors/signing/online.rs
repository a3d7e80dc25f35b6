//! Publishes new versions of roles that are signed online, whether anything changed in them or not.

use std::collections::BTreeSet;

use jiff::Timestamp;
use thiserror::Error;

use super::{Decision, State};
use crate::{
    store::ledger::{
        Repository,
        charter::{Change, Charter, Due, End, Signing},
    },
    task::{ForceOnline, Outcome},
    tuf::{
        bins::{Bins, NAME_PREFIX},
        name::RoleName,
        root::Root,
        wire::{Metadata, MetadataError, RoleType},
    },
};

const ACTION: &str = "force_online_metadata_update";

#[derive(Debug, Error)]
enum Refusal {
    #[error("New metadata updates requre completed bootstrap")]
    NoRepository,
    #[error("Root is signed by people - use other endpoint to update")]
    Root,
    #[error("Targets is an offline role - use other endpoint to update")]
    Targets,
    #[error("{0} is signed by people, and can't be signed without them")]
    Offline(RoleName),
    #[error("Custom target delegation used and bins cannot be bumped")]
    NoBins,
    #[error("Hash bin delegation is used and only targets, snapshot, timestamp and bins roles can be bumped: not {0}")]
    OnlyBins(String),
    #[error("{0} is no role of this repository")]
    Unknown(String),
    #[error("the repository can't be read: {0}")]
    Repository(String),
}

impl From<MetadataError> for Refusal {
    fn from(error: MetadataError) -> Self {
        Refusal::Repository(error.to_string())
    }
}

/// Decides which roles are published anew. One that can't be refuses them all.
pub fn decide(state: &State, job: &ForceOnline, now: Timestamp) -> Decision {
    match attempt(state, job) {
        Ok((updated, due)) => Decision {
            outcome: Outcome::forced(&updated, now),
            end: End::Visible,
            change: Change { due, ..Change::default() },
        },
        Err(refusal) => Decision::refused(ACTION, refusal.to_string(), now),
    }
}

/// What the repository has to publish.
struct Roles<'a> {
    charter: &'a Charter,
    bins: Option<Bins>,
    targets: Signing,
}

fn attempt(state: &State, job: &ForceOnline) -> Result<(Vec<String>, Due), Refusal> {
    let repository = state.repository.as_ref().ok_or(Refusal::NoRepository)?;
    let roles = Roles {
        charter: &state.chartered.charter,
        bins: repository.settings.bins().map_err(|error| Refusal::Repository(error.to_string()))?,
        targets: signing_of_targets(repository)?,
    };
    if job.roles.is_empty() {
        return Ok((told(roles.all()), Due::All));
    }
    let mut touched = BTreeSet::new();
    for name in &job.roles {
        touched.insert(roles.checked(name)?);
    }
    let mut due: Vec<RoleName> = Vec::new();
    for name in &touched {
        match (name.as_str(), roles.bins) {
            (NAME_PREFIX, Some(bins)) => due.extend(bins.names()),
            _ => due.extend(RoleName::parse(name)),
        }
    }
    Ok((told(touched), Due::Roles(due)))
}

fn signing_of_targets(repository: &Repository) -> Result<Signing, MetadataError> {
    let root = Root::view(&Metadata::parse(&repository.root)?.signed)?;
    Ok(Signing::of(&root.keys, root.role(RoleType::Targets)))
}

impl Roles<'_> {
    fn checked(&self, name: &str) -> Result<String, Refusal> {
        let custom = || RoleName::parse(name).ok().and_then(|name| Some((self.charter.roles.get(&name)?, name)));
        match (name, self.bins) {
            ("root", _) => return Err(Refusal::Root),
            ("targets", _) if self.targets == Signing::Offline => return Err(Refusal::Targets),
            (NAME_PREFIX, None) => return Err(Refusal::NoBins),
            ("targets" | "snapshot" | "timestamp" | NAME_PREFIX, _) => {}
            _ => match custom().filter(|(role, _)| !role.retired) {
                Some((role, name)) if role.signing == Signing::Offline => return Err(Refusal::Offline(name)),
                Some(_) => {}
                None if self.bins.is_some() && self.charter.roles.is_empty() => {
                    return Err(Refusal::OnlyBins(name.to_owned()));
                }
                None => return Err(Refusal::Unknown(name.to_owned())),
            },
        }
        Ok(name.to_owned())
    }

    fn all(&self) -> BTreeSet<String> {
        let online = self.charter.roles.iter().filter(|(_, role)| !role.retired && role.signing == Signing::Online);
        let mut all: BTreeSet<String> = online.map(|(name, _)| name.to_string()).collect();
        all.extend(["snapshot", "timestamp"].map(str::to_owned));
        all.extend((self.targets == Signing::Online).then(|| "targets".to_owned()));
        all.extend(self.bins.map(|_| NAME_PREFIX.to_owned()));
        all
    }
}

/// All that is published with these, as it is told: snapshot and timestamp first.
fn told(touched: BTreeSet<String>) -> Vec<String> {
    let mut told: Vec<String> = Vec::with_capacity(touched.len() + 2);
    if touched.iter().any(|name| name != "timestamp") {
        told.push("snapshot".to_owned());
    }
    told.push("timestamp".to_owned());
    told.extend(touched.contains("targets").then(|| "targets".to_owned()));
    let others = touched.into_iter().filter(|name| !matches!(name.as_str(), "snapshot" | "timestamp" | "targets"));
    told.extend(others);
    told
}
