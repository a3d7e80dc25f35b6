//! Takes metadata of a delegated role that its owner has signed as a whole, and publishes it as it came.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Decision, State};
use crate::{
    actors::intake,
    store::ledger::{
        Repository,
        charter::{Change, CustomRole, End, Signing},
    },
    task::{DelegatedMetadata, Outcome},
    tuf::{
        delegation::{Delegations, change},
        event::{self, Authority, Event},
        limits,
        name::{ArtifactPath, RoleName, Version},
        placement::Placement,
        verify::tally,
        wire::{Header, Metadata, RoleType},
    },
};

const ACTION: &str = "publish_delegated_metadata";

/// The least time that is left until it expires.
const LEAST_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// Up to here every JSON implementation has exact integers.
const MAX_VERSION: u64 = (1 << 53) - 1;

/// So many reasons are told of one kind at most: a document may have a hundred thousand wrong paths.
const MANY: usize = 10;

/// Decides whether the metadata is published.
pub fn decide(state: &State, job: &DelegatedMetadata, now: Timestamp) -> Decision {
    match attempt(state, job, now) {
        Ok((role, event)) => {
            let listed = event.document.signed["targets"].as_object().map_or(0, serde_json::Map::len);
            let outcome = Outcome::uploaded(&role, event.version, listed, now);
            let mut charter = state.chartered.charter.clone();
            charter.events.insert(role, event);
            let change = Change { charter: Some(charter), ..Change::default() };
            Decision { outcome, end: End::Visible, change }
        }
        Err(reasons) => Decision::refused(ACTION, reasons.join("; "), now),
    }
}

fn attempt(state: &State, job: &DelegatedMetadata, now: Timestamp) -> Result<(RoleName, Event), Vec<String>> {
    let one = |reason: String| vec![reason];
    let Some(repository) = &state.repository else { return Err(one("it requires a completed bootstrap".to_owned())) };
    let (name, role) = known(state, &job.role).map_err(one)?;
    let document = Metadata::from_value(job.metadata.clone()).map_err(|error| one(error.to_string()))?;
    let header = document.header().map_err(|error| one(error.to_string()))?;
    if header.type_ != RoleType::Targets {
        return Err(one(format!("it is metadata of the type {}, not targets", header.type_.as_str())));
    }
    let delegations = effective(repository, role).map_err(one)?;

    let mut reasons = signatures(&delegations, &name, &document);
    reasons.extend(version(state, &name, header.version));
    reasons.extend(life(&header, now));
    reasons.extend(delegates(&document.signed));
    reasons.extend(size(&name, &document));
    match repository.settings.bins() {
        Ok(bins) => reasons.extend(paths(&name, &delegations, &Placement::of(&delegations, bins), &document.signed)),
        Err(error) => reasons.push(error.to_string()),
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let event = Event { version: header.version, document, state: event::State::Complete, through: 0 };
    Ok((name, event))
}

/// A role that takes such metadata.
fn known<'a>(state: &'a State, text: &str) -> Result<(RoleName, &'a CustomRole), String> {
    let charter = &state.chartered.charter;
    let there = RoleName::parse(text).ok().and_then(|name| Some((charter.roles.get(&name)?, name)));
    let Some((role, name)) = there.filter(|(role, _)| !role.retired) else {
        return Err(format!("Role '{text}' does not exist"));
    };
    if role.signing == Signing::Online {
        return Err(format!("{name} is signed by this service: add artifacts instead"));
    }
    if let Some(event) = charter.events.get(&name).cloned() {
        event.end(&name).map_err(|error| format!("{error}: try again in a moment"))?;
    }
    Ok((name, role))
}

/// The delegations that are effective as soon as the metadata is published.
fn effective(repository: &Repository, role: &CustomRole) -> Result<Delegations, String> {
    let now = &repository.delegations;
    let read = match &role.announced {
        Some(announced) => {
            change::with_role(now, &announced.role, &announced.keys).and_then(|new| Delegations::view(&new))
        }
        None => Delegations::view(now),
    };
    read.map_err(|error| format!("the repository can't be read: {error}"))
}

fn signatures(delegations: &Delegations, name: &RoleName, document: &Metadata) -> Vec<String> {
    let Some(authority) = Authority::delegation(delegations, name) else {
        return vec![format!("targets does not delegate to {name}")];
    };
    let tally = match tally(&authority.keys, &authority.role, document) {
        Ok(tally) => tally,
        Err(error) => return vec![format!("it can't be signed: {error}")],
    };
    let faults = tally.faults.iter().take(MANY).map(|(id, fault)| format!("the signature of key {id}: {fault}"));
    let mut reasons: Vec<_> = faults.collect();
    let (valid, threshold) = (tally.valid.len(), authority.role.threshold);
    if valid < threshold as usize {
        reasons.push(format!("it has valid signatures of {valid} keys and needs {threshold}"));
    }
    reasons
}

fn version(state: &State, name: &RoleName, version: Version) -> Option<String> {
    let published = state.published.get(name).copied();
    let open = state.chartered.charter.events.get(name).map(|event| event.version);
    match published.max(open) {
        Some(last) if version <= last => {
            let next = last.next();
            Some(format!("version: {last} was given out already, it must be {next} or more"))
        }
        _ if version.get() > MAX_VERSION => Some(format!("version: it must be at most {MAX_VERSION}")),
        _ => None,
    }
}

fn life(header: &Header, now: Timestamp) -> Option<String> {
    let ends_soon = header.expires.duration_since(now) < LEAST_LIFE;
    ends_soon.then(|| format!("expires: at {}, it must be valid for an hour at least", header.expires))
}

fn delegates(signed: &Value) -> Option<String> {
    let delegations = signed.get("delegations").filter(|delegations| !delegations.is_null())?;
    let none =
        delegations["roles"].as_array().is_some_and(Vec::is_empty) && delegations.get("succinct_roles").is_none();
    (!none).then(|| "delegations: a delegated role can't delegate further here, since this service could not publish those roles".to_owned())
}

fn size(name: &RoleName, document: &Metadata) -> Option<String> {
    let (bytes, limit) = (document.to_bytes().len() as u64, limits::strictest(name));
    (bytes > limit).then(|| format!("it has {bytes} bytes, clients accept {limit}"))
}

/// What is wrong with the artifacts: each has to be one that a client finds here.
fn paths(name: &RoleName, delegations: &Delegations, placement: &Placement, signed: &Value) -> Vec<String> {
    let Some(targets) = signed.get("targets").and_then(Value::as_object) else {
        return vec!["targets: must be an object".to_owned()];
    };
    let wrong = |(text, info): (&String, &Value)| {
        let path = match ArtifactPath::parse(text) {
            Ok(path) => path,
            Err(error) => return Some(error.to_string()),
        };
        match placement.role_for(&path) {
            _ if !delegations.covers(name, &path) => return Some(format!("{name} is not delegated this path")),
            Some(first) if first != *name => return Some(format!("clients ask {first} for it first")),
            _ => {}
        }
        match serde_json::from_value(json!({"path": path, "info": info})) {
            Ok(artifact) => intake::check(&artifact).err().map(str::to_owned),
            Err(error) => Some(error.to_string()),
        }
    };
    let mut wrong = targets.iter().filter_map(|entry| Some(format!("targets.{}: {}", entry.0, wrong(entry)?)));
    let mut reasons: Vec<_> = wrong.by_ref().take(MANY).collect();
    let more = wrong.count();
    reasons.extend((more > 0).then(|| format!("{more} more of its paths can't be there")));
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        actors::signing::delegating::{Scene, object},
        store::ledger::charter::Announced,
        tuf::{
            bins::Layout,
            sample::{Signer, at, path, role, sign, version},
            targets,
        },
    };

    fn scene() -> Scene {
        let scene = Scene::new(Some(Layout::PathHashPrefixes)).with("first", Signing::Online, 1, &["x/y"]);
        let mut scene = scene.with("own", Signing::Offline, 2, &["x/*"]);
        scene.state.published.insert(role("own"), version(3));
        scene
    }

    fn signed(number: u64, paths: &[&str]) -> Value {
        let info = json!({"length": 3, "hashes": {"sha256": "aa".repeat(32)}});
        let artifacts: Vec<_> = paths.iter().map(|text| (path(text), info.clone())).collect();
        targets::render(version(number), at(48), &artifacts, None)
    }

    fn upload(scene: &Scene, name: &str, metadata: Value) -> Result<Decision, String> {
        let decision = decide(&scene.state, &DelegatedMetadata { role: name.to_owned(), metadata }, at(0));
        match &decision.outcome.error {
            Some(error) => Err(error.clone()),
            None => Ok(decision),
        }
    }

    fn by(scene: &Scene, signed: Value) -> Value {
        sign(signed, &[&scene.bob, &scene.ann]).to_value()
    }

    #[test]
    fn what_the_owners_signed_is_published_as_it_came() {
        let mut scene = scene();
        let mut document = by(&scene, signed(4, &["x/z"]));
        document["more"] = json!(1);
        let open = Event {
            document: sign(signed(2, &[]), &[]),
            version: version(2),
            state: event::State::Collecting,
            through: 7,
        };
        scene.state.chartered.charter.events.insert(role("own"), open);
        let done = upload(&scene, "own", document.clone()).expect("accepted");
        let event = &done.change.charter.as_ref().expect("a charter").events[&role("own")];
        assert_eq!((event.state, event.version, event.through), (event::State::Complete, version(4), 0));
        assert_eq!(event.document.to_value(), document);
        assert_eq!(done.end, End::Visible);
        assert_eq!(done.outcome.details, Some(json!({"role": "own", "version": 4, "artifacts": 1})));
        scene.state.chartered.charter = done.change.charter.expect("a charter");
        let again = upload(&scene, "own", by(&scene, signed(5, &[]))).expect_err("complete");
        assert!(again.contains("about to be published"), "{again}");
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let scene = scene();
        let mut wrong = signed(3, &["x/y", "b", "x/z"]);
        wrong["expires"] = json!("2026-11-22T00:30:00Z");
        wrong["targets"]["x/z"] = json!({"length": 1, "hashes": {"sha256": "z"}});
        wrong["targets"]["../x"] = json!({});
        wrong["delegations"] = json!({"keys": {}, "roles": [{}]});
        let stranger = Signer::new();
        let error = upload(&scene, "own", sign(wrong, &[&scene.ann, &stranger]).to_value()).expect_err("refused");
        let parts = [
            format!("the signature of key {}: the key is none of this role", stranger.id()),
            "it has valid signatures of 1 keys and needs 2".to_owned(),
            "version: 3 was given out already, it must be 4 or more".to_owned(),
            "it must be valid for an hour at least".to_owned(),
            "delegations: a delegated role can't delegate further".to_owned(),
            "targets.x/y: clients ask first for it first".to_owned(),
            "targets.b: own is not delegated this path".to_owned(),
            "targets.x/z: a digest is the name of an algorithm".to_owned(),
            "targets.../x: a path must not".to_owned(),
        ];
        for part in parts {
            assert!(error.contains(&part), "{part}: {error}");
        }
    }

    #[test]
    fn forgeries_and_other_types_are_refused() {
        let scene = scene();
        let mut forged = by(&scene, signed(4, &[]));
        forged["signed"]["version"] = json!(5);
        assert!(upload(&scene, "own", forged).expect_err("forged").contains("needs 2"));
        let root = crate::tuf::sample::root(4, &[&scene.ann], 1, &scene.online);
        let error = upload(&scene, "own", by(&scene, root)).expect_err("a root");
        assert_eq!(error, "it is metadata of the type root, not targets");
        let mut float = signed(4, &["x/z"]);
        float["targets"]["x/z"]["custom"] = json!({"a": 1.5});
        let unsigned = json!({"signatures": [], "signed": float});
        assert!(upload(&scene, "own", unsigned).expect_err("a float").contains("it can't be signed"));
        assert!(upload(&scene, "own", json!([])).is_err());
    }

    #[test]
    fn only_roles_of_people_take_metadata() {
        let mut scene = scene();
        let document = by(&scene, signed(4, &[]));
        let online = upload(&scene, "first", document.clone()).expect_err("online");
        assert_eq!(online, "first is signed by this service: add artifacts instead");
        for name in ["x", "root", "bins-0", "../own"] {
            let error = upload(&scene, name, document.clone()).expect_err(name);
            assert_eq!(error, format!("Role '{name}' does not exist"));
        }
        scene.state.chartered.charter.roles.get_mut(&role("own")).expect("there").retired = true;
        assert!(upload(&scene, "own", document).is_err());
    }

    #[test]
    fn an_announced_delegation_is_the_one_that_counts() {
        let mut scene = scene();
        let carl = Signer::new();
        let announced = Announced {
            role: object("own", &[&carl], 1, &["c/*"]),
            keys: [(carl.id().to_string(), carl.key())].into_iter().collect(),
        };
        scene.state.chartered.charter.roles.get_mut(&role("own")).expect("there").announced = Some(announced);
        assert!(upload(&scene, "own", sign(signed(4, &["c/a"]), &[&carl]).to_value()).is_ok());
        assert!(upload(&scene, "own", sign(signed(4, &["x/a"]), &[&carl]).to_value()).is_err());
        assert!(upload(&scene, "own", by(&scene, signed(4, &["x/a"]))).is_err());
    }

    #[test]
    fn many_wrong_paths_are_told_in_short() {
        let scene = scene();
        let paths: Vec<_> = (0..30).map(|i| format!("z{i}")).collect();
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        let error = upload(&scene, "own", by(&scene, signed(4, &paths))).expect_err("refused");
        assert!(error.ends_with("20 more of its paths can't be there"), "{error}");
    }
}
