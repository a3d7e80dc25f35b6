//! How large a file may be for the TUF clients that people use.
//!
//! A client stops a download at a limit of its own, unless the length of the file is signed: then it takes that. We
//! sign the length of snapshot and of `targets`, so what is left are root, timestamp and the delegated roles.

use crate::tuf::{
    bins::{BYTES_PER_ARTIFACT, Bins, Layout, NAME_PREFIX, SNAPSHOT_BYTES_PER_BIN, TARGETS_BYTES_PER_BIN},
    name::RoleName,
};

/// The default limits of a client, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Its name.
    pub name: &'static str,
    /// Of root.
    pub root: u64,
    /// Of timestamp.
    pub timestamp: u64,
    /// Of snapshot, when timestamp does not sign its length.
    pub snapshot: u64,
    /// Of `targets` and delegated roles, each, when snapshot does not sign its length.
    pub targets: u64,
    /// Whether it knows `succinct_roles` (TAP 15).
    pub succinct: Tap15,
}

/// Whether a client can read `succinct_roles`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tap15 {
    /// It can.
    Known,
    /// It can't: such a repository is unreadable for it.
    Unknown,
}

/// The clients whose limits are looked after. The first three have them in their `config`, tough in its `Limits`.
pub const CLIENTS: [Client; 4] = [
    python_like("python-tuf"),
    python_like("tuf-js"),
    python_like("go-tuf"),
    Client {
        name: "tough",
        root: 1_048_576,
        timestamp: 1_048_576,
        snapshot: 1_048_576,
        targets: 10_485_760,
        succinct: Tap15::Unknown,
    },
];

const fn python_like(name: &'static str) -> Client {
    Client { name, root: 512_000, timestamp: 16_384, snapshot: 2_000_000, targets: 5_000_000, succinct: Tap15::Known }
}

/// Whether the length of a file is signed by the role that lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// It is: every client takes the file whatever its length.
    Signed,
    /// It isn't: every client has its own limit.
    Unsigned,
}

impl Client {
    /// The limit for a role whose length is not signed.
    pub fn limit(&self, role: &RoleName) -> u64 {
        match role.as_str() {
            "root" => self.root,
            "timestamp" => self.timestamp,
            "snapshot" => self.snapshot,
            _ => self.targets,
        }
    }
}

/// The limit that every client keeps to, for a role whose length is not signed.
pub fn strictest(role: &RoleName) -> u64 {
    CLIENTS.iter().map(|client| client.limit(role)).min().unwrap_or(u64::MAX)
}

/// The names of the clients for which a file is too large. Nobody signs the length of root and timestamp.
pub fn too_large(role: &RoleName, bytes: u64, length: Length) -> Vec<&'static str> {
    let bounded = length == Length::Unsigned || matches!(role.as_str(), "root" | "timestamp");
    let refuses = |client: &&Client| bounded && bytes > client.limit(role);
    CLIENTS.iter().filter(refuses).map(|client| client.name).collect()
}

/// The names of the clients that can't read a layout at all.
pub fn unreadable(layout: Layout) -> Vec<&'static str> {
    let refuses = |client: &&Client| layout == Layout::Succinct && client.succinct == Tap15::Unknown;
    CLIENTS.iter().filter(refuses).map(|client| client.name).collect()
}

/// About how large the files of a repository will be, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// `targets`: all delegations.
    pub targets: u64,
    /// Snapshot: an entry a bin.
    pub snapshot: u64,
    /// Each bin.
    pub bin: u64,
}

/// Bytes of a file besides what grows: header, a key, signatures; rather too much.
const FRAME_BYTES: u64 = 2_048;

/// Bytes that the version of a bin takes after years of publishing, besides its first digit.
const GROWN_VERSION_BYTES: u64 = 5;

impl Estimate {
    /// The sizes with so many artifacts in these bins.
    pub fn of(bins: Bins, artifacts: u64) -> Self {
        let count = u64::from(bins.count());
        let delegations = match bins.layout() {
            Layout::Succinct => 0,
            Layout::PathHashPrefixes => TARGETS_BYTES_PER_BIN * count,
        };
        Self {
            targets: FRAME_BYTES + delegations,
            snapshot: FRAME_BYTES + (SNAPSHOT_BYTES_PER_BIN + GROWN_VERSION_BYTES) * count,
            bin: FRAME_BYTES.saturating_add(artifacts.div_ceil(count).saturating_mul(BYTES_PER_ARTIFACT)),
        }
    }

    /// What would be too large, for which clients, as this program signs lengths: role, bytes, names of clients.
    pub fn too_large(&self) -> Vec<(RoleName, u64, Vec<&'static str>)> {
        let bin = RoleName::parse(NAME_PREFIX).expect("letters");
        let files = [
            (RoleName::targets(), self.targets, Length::Signed),
            (RoleName::snapshot(), self.snapshot, Length::Signed),
            (bin, self.bin, Length::Unsigned),
        ];
        let judged = files.map(|(role, bytes, length)| {
            let clients = too_large(&role, bytes, length);
            (role, bytes, clients)
        });
        judged.into_iter().filter(|(_, _, clients)| !clients.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::{
        name::Version,
        sample::{Signer, at, sign, version},
        snapshot::{self, MetaFile},
        targets,
    };
    use serde_json::json;

    #[test]
    fn a_signed_length_lifts_the_limits_of_all_but_root_and_timestamp() {
        let snapshot = RoleName::snapshot();
        assert_eq!(too_large(&snapshot, 1_500_000, Length::Unsigned), ["tough"]);
        assert_eq!(too_large(&snapshot, 2_000_001, Length::Unsigned), ["python-tuf", "tuf-js", "go-tuf", "tough"]);
        assert!(too_large(&snapshot, u64::MAX, Length::Signed).is_empty());
        assert_eq!(too_large(&RoleName::root(), 512_001, Length::Signed), ["python-tuf", "tuf-js", "go-tuf"]);
        assert_eq!(strictest(&RoleName::timestamp()), 16_384);
        assert_eq!(strictest(&RoleName::targets()), 5_000_000);
    }

    #[test]
    fn only_succinct_is_unreadable_for_some() {
        assert_eq!(unreadable(Layout::Succinct), ["tough"]);
        assert!(unreadable(Layout::PathHashPrefixes).is_empty());
    }

    #[test]
    fn estimates_are_near_the_real_sizes_and_not_below() {
        let key = Signer::new();
        for layout in [Layout::Succinct, Layout::PathHashPrefixes] {
            let bins = Bins::new(4096, layout).expect("bins");
            let estimate = Estimate::of(bins, 0);
            let names: Vec<_> = bins.names().collect();
            let file = MetaFile::version_only(version(123_456));
            let snapshot = snapshot::render(Version::FIRST, at(0), names.iter().map(|name| (name, &file)));
            let snapshot = sign(json!(snapshot), &[&key]).to_bytes().len() as u64;
            let delegations = bins.delegations(&[key.entry()], 1);
            let targets = targets::render(Version::FIRST, at(0), &[], Some(&delegations));
            let targets = sign(targets, &[&key]).to_bytes().len() as u64;
            for (real, estimated) in [(snapshot, estimate.snapshot), (targets, estimate.targets)] {
                assert!((real..real * 6 / 5 + FRAME_BYTES).contains(&estimated), "{real} bytes, {estimated} estimated");
            }
        }
    }

    #[test]
    fn too_many_artifacts_for_their_bins_are_told() {
        let bins = Bins::new(16, Layout::Succinct).expect("bins");
        assert!(Estimate::of(bins, 100_000).too_large().is_empty());
        let (role, _, clients) = Estimate::of(bins, 500_000).too_large().swap_remove(0);
        assert_eq!((role.as_str(), clients), ("bins", vec!["python-tuf", "tuf-js", "go-tuf"]));
    }
}
