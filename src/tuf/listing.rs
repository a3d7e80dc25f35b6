//! What a role lists, kept as the text that is signed: from one version to the next most of it stays as it is.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    change::Change,
    info::Info,
    name::{ArtifactPath, Version},
    targets,
    wire::Unsigned,
};

/// The artifacts of a role, in the order of their paths. Only of those whose canonical form is their JSON: nearly all are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The entries, each as `"path":information,`.
    text: String,
    /// Where each of them begins.
    starts: Vec<u32>,
}

impl Listing {
    /// The listing of these artifacts, which are in the order of their paths; `None` when it can't be kept so.
    pub fn of(artifacts: &[(ArtifactPath, Info)]) -> Option<Self> {
        let bytes: usize = artifacts.iter().map(|(path, info)| entry_bytes(path, info)).sum();
        let is_plain = artifacts.iter().all(|(path, info)| is_plain(path, info));
        if !is_plain || u32::try_from(bytes).is_err() {
            return None;
        }
        let mut listing = Self { text: String::with_capacity(bytes), starts: Vec::with_capacity(artifacts.len()) };
        artifacts.iter().for_each(|(path, info)| listing.push(path, info));
        Some(listing)
    }

    /// Whether it can be kept so after `changes`.
    pub fn takes(&self, changes: &BTreeMap<ArtifactPath, Change>) -> bool {
        let takes = |(path, change): (&ArtifactPath, &Change)| match change {
            Change::Add(info) => is_plain(path, info),
            Change::Remove => true,
        };
        changes.iter().all(takes) && u32::try_from(self.bytes_after(changes)).is_ok()
    }

    /// The listing after `changes`, if it [takes](Self::takes) them.
    pub fn changed(&self, changes: &BTreeMap<ArtifactPath, Change>) -> Option<Self> {
        if !self.takes(changes) {
            return None;
        }
        let bytes = self.bytes_after(changes);
        let starts = Vec::with_capacity(self.starts.len() + changes.len());
        let mut new = Self { text: String::with_capacity(bytes), starts };
        let mut next = 0;
        for (path, change) in changes {
            let place = next + self.starts[next..].partition_point(|start| self.path(*start) < path.as_str());
            new.copy(self, next, place);
            if let Change::Add(info) = change {
                new.push(path, info);
            }
            let is_there = self.starts.get(place).is_some_and(|start| self.path(*start) == path.as_str());
            next = place + usize::from(is_there);
        }
        new.copy(self, next, self.starts.len());
        Some(new)
    }

    /// What is signed of it.
    pub fn unsigned(&self, version: Version, expires: Timestamp) -> Unsigned {
        targets::of_entries(version, expires, self.text.strip_suffix(',').unwrap_or_default())
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        self.text.capacity() + self.starts.capacity() * size_of::<u32>()
    }

    /// As many bytes as its text has at most after `changes`.
    fn bytes_after(&self, changes: &BTreeMap<ArtifactPath, Change>) -> usize {
        let added = changes.iter().map(|(path, change)| match change {
            Change::Add(info) => entry_bytes(path, info),
            Change::Remove => 0,
        });
        self.text.len() + added.sum::<usize>()
    }

    fn push(&mut self, path: &ArtifactPath, info: &Info) {
        self.begin(self.text.len());
        self.text.push('"');
        self.text.push_str(path.as_str());
        self.text.push_str("\":");
        self.text.push_str(info.json());
        self.text.push(',');
    }

    /// Appends the entries of `other` from one index to another.
    fn copy(&mut self, other: &Self, from: usize, to: usize) {
        let begin = |index: usize| other.starts.get(index).map_or(other.text.len(), |start| *start as usize);
        let (first, end, moved_to) = (begin(from), begin(to), self.text.len());
        self.text.push_str(&other.text[first..end]);
        other.starts[from..to].iter().for_each(|start| self.begin(*start as usize - first + moved_to));
    }

    fn begin(&mut self, start: usize) {
        self.starts.push(u32::try_from(start).expect("the whole text was measured before"));
    }

    /// The path of the entry that begins here. No quotation mark is in it.
    fn path(&self, start: u32) -> &str {
        let path = &self.text[start as usize + 1..];
        &path[..path.find('"').unwrap_or(path.len())]
    }
}

/// Quotation marks, colon and comma.
const AROUND: usize = 4;

fn entry_bytes(path: &ArtifactPath, info: &Info) -> usize {
    path.as_str().len() + info.json().len() + AROUND
}

/// Whether this artifact is written alike in canonical form and in JSON, and its path is as it is read.
fn is_plain(path: &ArtifactPath, info: &Info) -> bool {
    info.is_canonical() && !path.as_str().contains(['"', '\\'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::tuf::{
        change,
        sample::{at, path, version},
    };

    fn info(value: &Value) -> Info {
        Info::of(value).expect("information")
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![(0..9u8).prop_map(|n| Change::Add(info(&json!({ "length": n })))), Just(Change::Remove)]
    }

    fn artifact() -> impl Strategy<Value = ArtifactPath> {
        "[a-cü]{1,2}(/[a ]b)?".prop_map(|text| path(&text))
    }

    proptest! {
        #[test]
        fn it_is_written_as_the_artifacts_are(
            start in prop::collection::btree_map(artifact(), (0..9u8).prop_map(|n| info(&json!({ "length": n }))), 0..8),
            rounds in prop::collection::vec(prop::collection::btree_map(artifact(), change(), 0..5), 0..4),
        ) {
            let mut artifacts: Vec<_> = start.into_iter().collect();
            let mut listing = Listing::of(&artifacts).expect("plain");
            for changes in rounds {
                artifacts = change::apply(artifacts, &changes);
                listing = listing.changed(&changes).expect("plain");
                prop_assert_eq!(&listing, &Listing::of(&artifacts).expect("plain"));
                let expected = targets::unsigned(version(3), at(0), &artifacts);
                let written = listing.unsigned(version(3), at(0));
                prop_assert_eq!(written.canonical(), expected.canonical());
                prop_assert_eq!(written.file(&[]), expected.file(&[]));
            }
        }
    }

    #[test]
    fn what_is_written_in_two_ways_is_not_kept() {
        let plain = info(&json!({ "length": 1 }));
        let turned = info(&json!({ "length": 1, "hashes": {} }));
        let cases = [("a\"b", &plain), ("a\\b", &plain), ("a", &turned)];
        for (text, info) in cases {
            assert_eq!(Listing::of(&[(path(text), info.clone())]), None, "{text}");
            let add = BTreeMap::from([(path(text), Change::Add(info.clone()))]);
            assert_eq!(Listing::default().changed(&add), None, "{text}");
        }
        // What was never listed can always go.
        let gone = BTreeMap::from([(path("a\"b"), Change::Remove)]);
        assert_eq!(Listing::default().changed(&gone), Some(Listing::default()));
    }
}
