//! Staged changes: what was asked for and is not published yet.

use std::collections::BTreeMap;

use super::{
    info::Info,
    name::{ArtifactPath, RoleName},
};

/// What becomes of a path.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It has this target information from now on, whatever it had before.
    Add(Info),
    /// It is no longer there. Of a path that was not there this changes nothing.
    Remove,
}

/// A change of one path, in the place where a client looks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Staged {
    /// The role that lists the path.
    pub role: RoleName,
    /// The path.
    pub path: ArtifactPath,
    /// What becomes of it.
    pub change: Change,
}

/// The changes of each role by path, after merging.
pub type Changes = BTreeMap<RoleName, BTreeMap<ArtifactPath, Change>>;

/// Merges changes, which come in the order in which they were accepted: of several for a path the last one counts.
pub fn merge(staged: impl IntoIterator<Item = Staged>) -> Changes {
    let mut changes = Changes::new();
    for Staged { role, path, change } in staged {
        changes.entry(role).or_default().insert(path, change);
    }
    changes
}

/// Applies the changes of a role to what it lists now; both are, and the result is, in the order of the paths.
pub fn apply(listed: Vec<(ArtifactPath, Info)>, changes: &BTreeMap<ArtifactPath, Change>) -> Vec<(ArtifactPath, Info)> {
    let mut result = Vec::with_capacity(listed.len() + changes.len());
    let mut changes = changes.iter().peekable();
    for (path, info) in listed {
        while let Some((new, change)) = changes.next_if(|(new, _)| **new < path) {
            push(&mut result, new, change);
        }
        match changes.next_if(|(new, _)| **new == path) {
            Some((_, change)) => push(&mut result, &path, change),
            None => result.push((path, info)),
        }
    }
    for (new, change) in changes {
        push(&mut result, new, change);
    }
    result
}

fn push(result: &mut Vec<(ArtifactPath, Info)>, path: &ArtifactPath, change: &Change) {
    if let Change::Add(info) = change {
        result.push((path.clone(), info.clone()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn info(n: u8) -> Info {
        Info::of(&json!({ "length": n })).expect("information")
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![(0..9u8).prop_map(|n| Change::Add(info(n))), Just(Change::Remove)]
    }

    fn path() -> impl Strategy<Value = ArtifactPath> {
        "[a-e]{1,2}".prop_map(|text| ArtifactPath::parse(&text).expect("a path"))
    }

    fn role() -> RoleName {
        RoleName::parse("bins-0").expect("a name")
    }

    proptest! {
        /// The model is a map to which the changes are applied one after the other.
        #[test]
        fn merging_and_applying_is_the_same_as_one_change_after_the_other(
            start in prop::collection::btree_map(path(), (0..9u8).prop_map(info), 0..8),
            staged in prop::collection::vec((path(), change()), 0..20),
            cut in 0..20usize,
        ) {
            let mut model = start.clone();
            for (path, change) in &staged {
                match change {
                    Change::Add(info) => model.insert(path.clone(), info.clone()),
                    Change::Remove => model.remove(path),
                };
            }
            let step = |listed, part: &[(ArtifactPath, Change)]| {
                let merged = merge(part.iter().map(|(path, change)| Staged {
                    role: role(), path: path.clone(), change: change.clone(),
                }));
                apply(listed, merged.get(&role()).unwrap_or(&BTreeMap::new()))
            };
            let listed: Vec<_> = start.into_iter().collect();
            let expected: Vec<_> = model.into_iter().collect();
            // In one round, and cut at any place into two.
            prop_assert_eq!(&step(listed.clone(), &staged), &expected);
            let cut = cut.min(staged.len());
            prop_assert_eq!(&step(step(listed, &staged[..cut]), &staged[cut..]), &expected);
        }
    }
}
