//! How much one request may ask for.

use serde::{Deserialize, Serialize};

/// What a request may cost, checked before it does. Each is told with 413, 422 or 503 and never cut silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a body; more is refused with 413 before it is read.
    pub body_bytes: usize,
    /// Artifacts that one request may add or remove.
    pub artifacts_per_request: usize,
    /// Bytes of the path of an artifact that is added; above 4,096 it has no effect.
    pub path_bytes: usize,
    /// Bytes of an artifact's `custom`, as compact JSON.
    pub custom_bytes: usize,
    /// Requests with a body that may be worked on at once. A body counts as one for each MiB that it has begun; who
    /// finds no place is told to come back with 503.
    pub requests_in_flight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 32 * 1024 * 1024,
            artifacts_per_request: 100_000,
            path_bytes: 1024,
            custom_bytes: 16 * 1024,
            requests_in_flight: 256,
        }
    }
}

/// The longest an expiration can be set, in days: a century.
pub(super) const MAX_EXPIRATION_DAYS: i64 = 36_500;

/// The longest length of an artifact, in bytes: up to here every JSON implementation has exact integers.
pub(super) const MAX_ARTIFACT_BYTES: i64 = 1 << 53;

/// The most digests of one artifact.
pub(super) const MAX_HASHES: usize = 16;

/// The longest bootstrap may wait for a worker, in seconds: a year.
pub(super) const MAX_TIMEOUT_SECONDS: i64 = 31_536_000;

/// The longest identifier of a task that is looked up, in bytes.
pub(super) const MAX_TASK_ID_BYTES: usize = 255;

/// The most roles that one request may name.
pub(super) const MAX_ROLES: usize = 1_000;

/// The most keys of delegations, of one role or of a root.
pub(super) const MAX_KEYS: usize = 1_000;

/// The most path patterns of one role.
pub(super) const MAX_PATTERNS: usize = 1_000;

/// The most signatures of one metadata document.
pub(super) const MAX_SIGNATURES: usize = 1_000;

/// The longest identifier of a key, in bytes. What TUF calls one has 64.
pub(super) const MAX_KEYID_BYTES: usize = 255;

/// The longest signature, in hexadecimal digits: four times what the longest RSA key makes.
pub(super) const MAX_SIGNATURE_DIGITS: usize = 16_384;

/// The longest bundle of a signature, in bytes as compact JSON.
pub(super) const MAX_BUNDLE_BYTES: usize = 64 * 1024;
