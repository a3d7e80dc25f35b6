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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        actors::signing::delegating::Scene,
        tuf::{
            bins::Layout,
            sample::{at, role},
        },
    };

    fn run(scene: &Scene, roles: &[&str]) -> Decision {
        let roles = roles.iter().map(|&name| name.to_owned()).collect();
        decide(&scene.state, &ForceOnline { roles }, at(0))
    }

    fn updated(scene: &Scene, roles: &[&str]) -> serde_json::Value {
        let decision = run(scene, roles);
        assert_eq!((decision.outcome.status, decision.end), (true, End::Visible), "{:?}", decision.outcome);
        assert_eq!(decision.outcome.message, "Force new online metadata update succeeded");
        decision.outcome.details.expect("details")["updated_roles"].clone()
    }

    fn error(scene: &Scene, roles: &[&str]) -> String {
        let refused = run(scene, roles);
        assert_eq!((refused.outcome.status, &refused.change.due), (false, &Due::None));
        assert_eq!(refused.outcome.message, "Force new online metadata update failed");
        refused.outcome.error.expect("an error")
    }

    #[test]
    fn what_lists_a_role_is_published_with_it() {
        let scene = Scene::new(Some(Layout::Succinct));
        assert_eq!(updated(&scene, &["timestamp"]), json!(["timestamp"]));
        assert_eq!(updated(&scene, &["snapshot"]), json!(["snapshot", "timestamp"]));
        assert_eq!(updated(&scene, &["targets"]), json!(["snapshot", "timestamp", "targets"]));
        assert_eq!(updated(&scene, &["bins", "timestamp"]), json!(["snapshot", "timestamp", "bins"]));
        assert_eq!(updated(&scene, &[]), json!(["snapshot", "timestamp", "targets", "bins"]));
        assert_eq!(run(&scene, &[]).change.due, Due::All);
        let bins = (0..4).map(|bin| role(&format!("bins-{bin}"))).collect();
        assert_eq!(run(&scene, &["bins"]).change.due, Due::Roles(bins));
    }

    #[test]
    fn custom_roles_are_published_by_name() {
        let scene = Scene::new(None).with("a", Signing::Online, 1, &["a"]).with("b", Signing::Offline, 2, &["b"]);
        assert_eq!(updated(&scene, &["a"]), json!(["snapshot", "timestamp", "a"]));
        assert_eq!(updated(&scene, &[]), json!(["snapshot", "timestamp", "targets", "a"]));
        assert!(error(&scene, &["a", "b"]).starts_with("b is signed by people"));
        assert_eq!(error(&scene, &["bins"]), "Custom target delegation used and bins cannot be bumped");
        assert_eq!(error(&scene, &["x"]), "x is no role of this repository");
    }

    #[test]
    fn what_can_not_be_published_refuses_all() {
        let mut scene = Scene::new(Some(Layout::Succinct));
        assert!(error(&scene, &["timestamp", "root"]).starts_with("Root is signed by people"));
        assert!(error(&scene, &["bins-0"]).ends_with("roles can be bumped: not bins-0"));
        let root = crate::tuf::sample::root(1, &[&scene.ann], 1, &scene.online);
        let root = crate::tuf::sample::sign(root, &[&scene.ann]).to_bytes();
        scene.state.repository.as_mut().expect("a repository").root = root;
        assert_eq!(error(&scene, &["targets"]), "Targets is an offline role - use other endpoint to update");
        assert_eq!(updated(&scene, &[]), json!(["snapshot", "timestamp", "bins"]));
        scene.state.repository = None;
        assert_eq!(error(&scene, &[]), "New metadata updates requre completed bootstrap");
    }
}
