//! Moving artifacts to where they are listed from now on, as values: shared by all backends.
//!
//! The move of a published artifact is two staged changes that no task asked for: the new role adds it, the old one
//! removes it. The old role removes it no earlier than the new one lists it; with a role that people sign that is when the version that they
//! signed is committed. Until then whatever becomes of the path where it is listed is staged for the new role too, by no task.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::charter::{Charter, Signing};
use crate::tuf::{
    name::{ArtifactPath, RoleName},
    placement::Placement,
};

/// Where artifacts belong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground<'a> {
    /// Where they are listed from now on.
    pub placement: &'a Placement,
    /// The charter from now on.
    pub charter: &'a Charter,
}

/// A staged change as it is recorded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// Its sequence.
    pub sequence: i64,
    /// Why it was staged.
    pub origin: Origin,
    /// The role that it changes.
    pub role: RoleName,
    /// The path.
    pub path: ArtifactPath,
}

/// Why a change was staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A task asked for it, or a move adds the artifact.
    Content,
    /// A move removes the artifact from the role that listed it before: no task, no target information.
    Leaving,
}

impl Origin {
    /// The origin of a row with this task, empty for none, and this target information.
    pub(super) fn of(task: &str, info: Option<&str>) -> Self {
        if task.is_empty() && info.is_none() { Self::Leaving } else { Self::Content }
    }
}

/// A published artifact.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listed {
    /// The role that lists it.
    pub role: RoleName,
    /// The path.
    pub path: ArtifactPath,
    /// Its target information.
    pub info: Value,
}

/// What a move changes, in the order in which it is to be done.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Moves {
    /// Staged changes that are of another role from now on. Each goes behind all that are staged, in this order: what
    /// an event of its new role has is told by its sequence.
    pub staged: Vec<(i64, RoleName)>,
    /// Staged changes that are dropped.
    pub obsolete: Vec<i64>,
    /// New staged changes of no task, behind those: the role adds the artifact.
    pub adds: Vec<Listed>,
    /// New staged changes of no task, behind those: the role removes the artifact.
    pub removals: Vec<(RoleName, ArtifactPath)>,
    /// Published artifacts that are dropped at once: nobody reads their role any more.
    pub forgotten: Vec<(RoleName, ArtifactPath)>,
    /// Roles that lost staged changes, each with the first of them: an open event that has it is not what is wanted any more.
    pub losers: BTreeMap<RoleName, i64>,
}

impl Ground<'_> {
    /// Where this path is listed, if that is not `role`.
    pub(super) fn elsewhere(&self, role: &RoleName, path: &ArtifactPath) -> Option<RoleName> {
        self.placement.role_for(path).filter(|place| place != role)
    }

    /// How a role is signed: whether its staged changes wait.
    pub(super) fn signing(&self, role: &RoleName) -> Signing {
        self.charter.roles.get(role).map_or(Signing::Online, |custom| custom.signing)
    }

    fn is_retired(&self, role: &RoleName) -> bool {
        self.charter.roles.get(role).is_some_and(|custom| custom.retired)
    }

    /// Moves what is staged and what is published. `rows` is all that is staged, in its order. `misplaced` are the published artifacts of
    /// which [`elsewhere`](Self::elsewhere) says another role; `there` says what that role lists of the same paths.
    pub(super) fn moves(
        &self,
        rows: &[Row],
        misplaced: Vec<Listed>,
        there: &BTreeMap<(RoleName, ArtifactPath), Value>,
    ) -> Moves {
        let mut moves = Moves::default();
        let (mut pending, mut leaving) = (BTreeSet::new(), BTreeSet::new());
        for row in rows {
            match (row.origin, self.placement.role_for(&row.path)) {
                (Origin::Leaving, Some(place)) if place == row.role => moves.obsolete.push(row.sequence),
                (Origin::Leaving, _) => {
                    leaving.insert((&row.role, &row.path));
                }
                (Origin::Content, place) => {
                    pending.insert(&row.path);
                    if let Some(place) = place.filter(|place| *place != row.role) {
                        moves.losers.entry(row.role.clone()).or_insert(row.sequence);
                        moves.staged.push((row.sequence, place));
                    }
                }
            }
        }
        for Listed { role, path, info } in misplaced {
            let Some(place) = self.elsewhere(&role, &path) else { continue };
            if leaving.contains(&(&role, &path)) {
                continue;
            }
            let there = there.get(&(place.clone(), path.clone()));
            let adds = !pending.contains(&path) && there != Some(&info);
            if self.is_retired(&role) {
                moves.forgotten.push((role, path.clone()));
            } else if self.signing(&place) == Signing::Online || there == Some(&info) {
                moves.removals.push((role, path.clone()));
            }
            if adds {
                moves.adds.push(Listed { role: place, path, info });
            }
        }
        moves
    }

    /// The roles that may still list a path of `role`, which a version that people have signed has now.
    pub(super) fn others(&self, role: &RoleName, path: &ArtifactPath) -> Vec<RoleName> {
        let custom = self.charter.roles.keys().cloned();
        custom.chain(self.placement.bin_for(path)).filter(|other| other != role).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        store::ledger::charter::CustomRole,
        tuf::{
            bins::{Bins, Layout},
            delegation::Delegations,
            sample::{path, role},
        },
    };

    fn placement(roles: &[(&str, &str)]) -> Placement {
        let role = |(name, pattern): &(&str, &str)| json!({ "name": name, "paths": [pattern], "keyids": ["k"], "threshold": 1, "terminating": true });
        let delegations = json!({ "keys": {}, "roles": roles.iter().map(role).collect::<Vec<_>>() });
        Placement::of(&Delegations::view(&delegations).expect("delegations"), None)
    }

    fn charter(roles: &[(&str, Signing, bool)]) -> Charter {
        let custom = |signing, retired| CustomRole { signing, retired, announced: None };
        let roles = roles.iter().map(|(name, signing, retired)| (role(name), custom(*signing, *retired)));
        Charter { roles: roles.collect(), ..Charter::default() }
    }

    fn row(sequence: i64, origin: Origin, name: &str, text: &str) -> Row {
        Row { sequence, origin, role: role(name), path: path(text) }
    }

    fn listed(name: &str, text: &str) -> Listed {
        Listed { role: role(name), path: path(text), info: json!({ "length": 1 }) }
    }

    #[test]
    fn a_published_artifact_is_added_before_it_is_removed() {
        let charter = charter(&[("a", Signing::Online, false), ("b", Signing::Online, false)]);
        let ground = Ground { placement: &placement(&[("b", "x/*")]), charter: &charter };
        let moves = ground.moves(&[], vec![listed("a", "x/1"), listed("a", "y/1")], &BTreeMap::new());
        assert_eq!(moves.adds, [listed("b", "x/1")]);
        assert_eq!(moves.removals, [(role("a"), path("x/1"))]);
        // It is there already.
        let there = [((role("b"), path("x/1")), json!({ "length": 1 }))].into();
        let moves = ground.moves(&[], vec![listed("a", "x/1")], &there);
        assert_eq!((moves.adds.len(), moves.removals.len()), (0, 1));
        // It leaves already.
        let moves = ground.moves(&[row(1, Origin::Leaving, "a", "x/1")], vec![listed("a", "x/1")], &there);
        assert_eq!(moves, Moves::default());
    }

    #[test]
    fn what_people_sign_is_removed_elsewhere_when_they_have() {
        let charter = charter(&[("a", Signing::Online, false), ("b", Signing::Offline, false)]);
        let ground = Ground { placement: &placement(&[("b", "*")]), charter: &charter };
        let moves = ground.moves(&[], vec![listed("a", "1")], &BTreeMap::new());
        assert_eq!((moves.adds, moves.removals), (vec![listed("b", "1")], vec![]));
        let moved = row(1, Origin::Content, "b", "1");
        let moves = ground.moves(&[moved], vec![listed("a", "1")], &BTreeMap::new());
        assert_eq!(moves, Moves::default());
        let there = [((role("b"), path("1")), json!({ "length": 1 }))].into();
        assert_eq!(ground.moves(&[], vec![listed("a", "1")], &there).removals, [(role("a"), path("1"))]);
        assert_eq!(ground.others(&role("b"), &path("1")), [role("a")]);
    }

    #[test]
    fn staged_changes_go_with_their_path() {
        let charter = charter(&[("a", Signing::Offline, false), ("b", Signing::Online, false)]);
        let ground = Ground { placement: &placement(&[("b", "x")]), charter: &charter };
        let rows = [
            row(1, Origin::Content, "a", "x"),
            row(2, Origin::Content, "a", "no place"),
            row(3, Origin::Content, "a", "x"),
            row(4, Origin::Content, "b", "x"),
            row(5, Origin::Leaving, "b", "x"),
        ];
        let moves = ground.moves(&rows, vec![listed("a", "x")], &BTreeMap::new());
        assert_eq!(moves.staged, [(1, role("b")), (3, role("b"))]);
        assert_eq!(moves.obsolete, [5]);
        assert_eq!(moves.losers, [(role("a"), 1)].into());
        // What is staged says what becomes of the path; the old role only loses it.
        assert_eq!((moves.adds, moves.removals), (vec![], vec![(role("a"), path("x"))]));
    }

    #[test]
    fn a_retired_role_loses_its_artifacts_at_once_and_keeps_what_has_no_place() {
        let charter = charter(&[("a", Signing::Offline, true), ("b", Signing::Online, false)]);
        let ground = Ground { placement: &placement(&[("b", "x")]), charter: &charter };
        let moves = ground.moves(&[], vec![listed("a", "x"), listed("a", "z")], &BTreeMap::new());
        assert_eq!((moves.adds, moves.forgotten), (vec![listed("b", "x")], vec![(role("a"), path("x"))]));
        assert!(moves.removals.is_empty());
    }

    #[test]
    fn bins_take_part() {
        let bins = Bins::new(2, Layout::PathHashPrefixes).expect("bins");
        let delegations = Delegations::view(&bins.delegations(&[], 1)).expect("delegations");
        let placement = Placement::of(&delegations, Some(bins));
        let charter = charter(&[("a", Signing::Online, false)]);
        let ground = Ground { placement: &placement, charter: &charter };
        assert_eq!(ground.others(&role("a"), &path("x")), [bins.role_for(&path("x"))]);
        assert_eq!(ground.signing(&bins.role_for(&path("x"))), Signing::Online);
    }
}
