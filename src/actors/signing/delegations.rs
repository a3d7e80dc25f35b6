//! Not there yet.

use jiff::Timestamp;

use super::{Decision, State};
use crate::task::MetadataDelegation;

/// Refuses it.
pub(super) fn decide(_: &State, _: &MetadataDelegation, now: Timestamp) -> Decision {
    Decision::refused("metadata_delegation", "it is not there yet", now)
}
