//! Which files a round writes, in which order and under which versions.

use std::collections::BTreeSet;

use super::name::{RoleName, Version};

/// The roles that must be published when `touched` ones change, in the order in which their files are written:
/// what is referred to comes before what refers to it (delegated roles, `targets`, `snapshot`, `timestamp`).
///
/// A change of a role changes all that list its version (TUF §7.3, §7.4): `snapshot` lists every targets role, `timestamp`
/// lists `snapshot`. `root` is never among them: people sign it.
pub fn cascade(touched: &BTreeSet<RoleName>) -> Vec<RoleName> {
    let (root, targets) = (RoleName::root(), RoleName::targets());
    let (snapshot, timestamp) = (RoleName::snapshot(), RoleName::timestamp());
    let top = [&root, &targets, &snapshot, &timestamp];
    let mut order: Vec<RoleName> = touched.iter().filter(|name| !top.contains(name)).cloned().collect();
    if touched.contains(&targets) {
        order.push(targets);
    }
    if !order.is_empty() || touched.contains(&snapshot) {
        order.push(snapshot);
    }
    if !order.is_empty() || touched.contains(&timestamp) {
        order.push(timestamp);
    }
    order
}

/// The next version of a role: one more than was ever given out, published or not, so that a number whose round died
/// is never used for another content.
pub fn next_version(given_out: Option<Version>) -> Version {
    given_out.map_or(Version::FIRST, Version::next)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> RoleName {
        RoleName::parse(text).expect("a name")
    }

    fn order(touched: &[&str]) -> Vec<String> {
        let touched = touched.iter().map(|text| name(text)).collect();
        cascade(&touched).into_iter().map(String::from).collect()
    }

    #[test]
    fn nothing_touched_writes_nothing() {
        assert!(order(&[]).is_empty());
        assert!(order(&["root"]).is_empty());
    }

    #[test]
    fn what_lists_a_changed_role_changes_with_it() {
        assert_eq!(order(&["timestamp"]), ["timestamp"]);
        assert_eq!(order(&["snapshot"]), ["snapshot", "timestamp"]);
        assert_eq!(order(&["targets"]), ["targets", "snapshot", "timestamp"]);
        assert_eq!(order(&["bins-1", "timestamp", "bins-0"]), ["bins-0", "bins-1", "snapshot", "timestamp"]);
    }

    proptest! {
        #[test]
        fn every_touched_role_is_written_once_before_all_that_lists_it(
            touched in prop::collection::btree_set("root|targets|snapshot|timestamp|[a-z]{1,3}", 0..12),
        ) {
            let touched: BTreeSet<_> = touched.iter().map(|text| name(text)).collect();
            let order = cascade(&touched);
            let written: BTreeSet<_> = order.iter().cloned().collect();
            prop_assert_eq!(written.len(), order.len());
            for role in touched.iter().filter(|role| role.as_str() != "root") {
                prop_assert!(written.contains(role));
            }
            let rank = |role: &RoleName| match role.as_str() { "targets" => 1, "snapshot" => 2, "timestamp" => 3, _ => 0 };
            prop_assert!(order.is_sorted_by_key(rank));
            prop_assert_eq!(order.last().map(RoleName::as_str), (!order.is_empty()).then_some("timestamp"));
        }

        #[test]
        fn versions_only_grow(rounds in 1..50u64) {
            let mut given_out = None;
            for expected in 1..=rounds {
                let version = next_version(given_out);
                prop_assert_eq!(version.get(), expected);
                given_out = Some(version);
            }
        }
    }
}
