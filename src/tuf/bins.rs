//! Hash bins: `targets` delegates every path to one of 2^n roles by the first bits of the SHA-256 of the path.

use serde::{Deserialize, Serialize};

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
