//! Hash bins: `targets` delegates every path to one of 2^n roles by the first bits of the SHA-256 of the path.

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use crate::tuf::{
    name::{ArtifactPath, KeyId, RoleName},
    root::render_keys,
};

/// How the bins are written into `targets`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One `succinct_roles` object (TAP 15): a few hundred bytes whatever the number of bins.
    #[default]
    Succinct,
    /// One delegation a bin with its `path_hash_prefixes`, for clients without TAP 15.
    PathHashPrefixes,
}

impl Layout {
    /// Whether this is what a bootstrap gets that says nothing of it.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What the names of all bins begin with.
pub const NAME_PREFIX: &str = "bins";

/// The fewest bins.
pub const MIN_BINS: u32 = 2;

/// The most bins.
pub const MAX_BINS: u32 = 16_384;

/// A number of bins that can't be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there are {MIN_BINS} to {MAX_BINS} bins, not {0}")]
pub struct BinsError(pub u32);

/// The bins of a repository: how many there are, what they are called, and which paths are in which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bins {
    bit_length: u32,
    layout: Layout,
}

impl Bins {
    /// As many bins as `count` says, rounded down to a power of two.
    ///
    /// # Errors
    /// [`BinsError`] for fewer than [`MIN_BINS`] or more than [`MAX_BINS`].
    pub fn new(count: u32, layout: Layout) -> Result<Self, BinsError> {
        if !(MIN_BINS..=MAX_BINS).contains(&count) {
            return Err(BinsError(count));
        }
        Ok(Self { bit_length: count.ilog2(), layout })
    }

    /// How many there are.
    pub fn count(self) -> u32 {
        1 << self.bit_length
    }

    /// How they are written into `targets`.
    pub fn layout(self) -> Layout {
        self.layout
    }

    /// The name of a bin: `bins-0`, or `bins-0f` where there are more than sixteen.
    ///
    /// An `index` of [`count`](Self::count) or more names no bin of this repository.
    pub fn name(self, index: u32) -> RoleName {
        RoleName::parse(&bin_name(NAME_PREFIX, self.bit_length, index)).expect("the prefix and hexadecimal digits")
    }

    /// The names of all bins, in order.
    pub fn names(self) -> impl Iterator<Item = RoleName> {
        (0..self.count()).map(move |index| self.name(index))
    }

    /// The bin of a path.
    pub fn index_of(self, path: &ArtifactPath) -> u32 {
        bin_index(path.as_str(), self.bit_length)
    }

    /// The name of the bin of a path.
    pub fn role_for(self, path: &ArtifactPath) -> RoleName {
        self.name(self.index_of(path))
    }

    /// The `delegations` of `targets`: every bin is signed by `threshold` of `keys`.
    ///
    /// With explicit delegations the bins are not terminating: no two have a path in common, so that it makes no
    /// difference to a search, and the repositories that clients are tested with have it so.
    pub fn delegations(self, keys: &[(KeyId, Value)], threshold: u32) -> Value {
        let keyids: Vec<_> = keys.iter().map(|(id, _)| id).collect();
        match self.layout {
            Layout::Succinct => json!({
                "keys": render_keys(keys),
                "succinct_roles": {
                    "bit_length": self.bit_length,
                    "keyids": keyids,
                    "name_prefix": NAME_PREFIX,
                    "threshold": threshold,
                },
            }),
            Layout::PathHashPrefixes => {
                let role = |index| {
                    json!({
                        "keyids": keyids,
                        "name": self.name(index),
                        "path_hash_prefixes": self.prefixes(index),
                        "terminating": false,
                        "threshold": threshold,
                    })
                };
                json!({"keys": render_keys(keys), "roles": (0..self.count()).map(role).collect::<Vec<_>>()})
            }
        }
    }

    /// The first hexadecimal digits that the hashes of the paths of a bin have: one, two, four or eight texts, since
    /// a digit is four bits and a bin need not end at a digit.
    fn prefixes(self, index: u32) -> Vec<String> {
        let digits = self.bit_length.div_ceil(4);
        let per_bin = 1 << (digits * 4 - self.bit_length);
        let width = digits as usize;
        (index * per_bin..(index + 1) * per_bin).map(|prefix| format!("{prefix:0width$x}")).collect()
    }
}

/// The bin of a path among 2^`bit_length`, 1 to 32: the first bits of the SHA-256 of the path (TAP 15).
pub(super) fn bin_index(path: &str, bit_length: u32) -> u32 {
    let hash = digest(&SHA256, path.as_bytes());
    let first = hash.as_ref().iter().take(4).fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
    first >> (32 - bit_length)
}

/// The name of a bin: prefix, hyphen, and as many hexadecimal digits as the last bin needs (TAP 15).
pub(super) fn bin_name(prefix: &str, bit_length: u32, index: u32) -> String {
    let width = bit_length.div_ceil(4) as usize;
    format!("{prefix}-{index:0width$x}")
}

/// Bytes that a bin adds to snapshot: its entry with a four-digit name and a version of one digit.
pub(super) const SNAPSHOT_BYTES_PER_BIN: u64 = 31;

/// Bytes that a bin adds to `targets` where it is delegated to one by one (measured: 3,015,227 for 16,384).
pub(super) const TARGETS_BYTES_PER_BIN: u64 = 184;

/// Bytes of an artifact in its bin: a path of some fifty characters, length, one SHA-256, no custom data.
pub(super) const BYTES_PER_ARTIFACT: u64 = 200;

/// How many bins suit a number of artifacts.
///
/// A client that wants one artifact downloads snapshot, which grows with the number of bins, and one bin, which shrinks
/// with it. With explicit delegations a new client downloads `targets` too, which also grows with it. The power
/// of two is taken that makes the sum least: about 2.5 × √artifacts bins in the succinct layout, and 1 × √artifacts else.
pub fn suggest(artifacts: u64, layout: Layout) -> u32 {
    let per_bin = match layout {
        Layout::Succinct => SNAPSHOT_BYTES_PER_BIN,
        Layout::PathHashPrefixes => SNAPSHOT_BYTES_PER_BIN + TARGETS_BYTES_PER_BIN,
    };
    let download = |bins: u64| per_bin * bins + BYTES_PER_ARTIFACT.saturating_mul(artifacts) / bins;
    let powers = MIN_BINS.ilog2()..=MAX_BINS.ilog2();
    powers.map(|bits| 1 << bits).min_by_key(|&bins| download(u64::from(bins))).unwrap_or(MIN_BINS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::{
        delegation::Delegations,
        sample::{Signer, path},
    };
    use proptest::prelude::*;

    fn bins(count: u32, layout: Layout) -> Bins {
        Bins::new(count, layout).expect("a number of bins")
    }

    fn first_and_last(count: u32) -> (String, String) {
        let names: Vec<_> = bins(count, Layout::Succinct).names().collect();
        (names[0].to_string(), names[names.len() - 1].to_string())
    }

    #[test]
    fn names_are_those_of_the_contract() {
        assert_eq!(first_and_last(2), ("bins-0".into(), "bins-1".into()));
        assert_eq!(first_and_last(16), ("bins-0".into(), "bins-f".into()));
        assert_eq!(first_and_last(32), ("bins-00".into(), "bins-1f".into()));
        assert_eq!(first_and_last(256), ("bins-00".into(), "bins-ff".into()));
        assert_eq!(first_and_last(16_384), ("bins-0000".into(), "bins-3fff".into()));
    }

    #[test]
    fn the_number_is_rounded_down_to_a_power_of_two() {
        for (asked, made) in [(2, 2), (3, 2), (255, 128), (256, 256), (16_383, 8_192), (16_384, 16_384)] {
            assert_eq!(bins(asked, Layout::Succinct).count(), made);
        }
        for refused in [0, 1, 16_385, u32::MAX] {
            assert_eq!(Bins::new(refused, Layout::Succinct), Err(BinsError(refused)));
        }
    }

    #[test]
    fn prefixes_cover_all_hashes_in_order() {
        for bits in 1..=14 {
            let bins = bins(1 << bits, Layout::PathHashPrefixes);
            let all: Vec<_> = (0..bins.count()).flat_map(|i| bins.prefixes(i)).collect();
            let width = all[0].len();
            let expected: Vec<_> = (0..1u32 << (4 * width)).map(|p| format!("{p:0width$x}")).collect();
            assert_eq!(all, expected, "{bits} bits");
        }
    }

    #[test]
    fn more_artifacts_want_more_bins() {
        let suggested = |n| (suggest(n, Layout::Succinct), suggest(n, Layout::PathHashPrefixes));
        assert_eq!(suggested(0), (2, 2));
        assert_eq!(suggested(1_000), (64, 32));
        assert_eq!(suggested(100_000), (1_024, 256));
        assert_eq!(suggested(1_000_000), (2_048, 1_024));
        assert_eq!(suggested(u64::MAX), (16_384, 16_384));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_path_is_in_exactly_one_bin_whatever_the_layout(bits in 1u32..=10, text in "[a-zü/]{0,6}x") {
            let path = path(&text.replace('/', "_/"));
            let key = Signer::new();
            let bins = bins(1 << bits, Layout::Succinct);
            let expected = bins.role_for(&path);
            prop_assert!(bins.names().filter(|name| *name == expected).count() == 1);
            for layout in [Layout::Succinct, Layout::PathHashPrefixes] {
                let value = Bins { layout, ..bins }.delegations(&[key.entry()], 1);
                let delegations = Delegations::view(&value).expect("delegations");
                let found = delegations.roles_for(&path);
                prop_assert_eq!(found.len(), 1);
                prop_assert_eq!(&found[0].role, &expected);
                prop_assert_eq!(&found[0].keys.keyids, &vec![key.id()]);
            }
        }
    }
}
