//! Not there yet.

use jiff::Timestamp;

use super::{Decision, State};
use crate::task::DelegatedMetadata;

/// Refuses it.
pub(super) fn decide(_: &State, _: &DelegatedMetadata, now: Timestamp) -> Decision {
    Decision::refused("publish_delegated_metadata", "it is not there yet", now)
}
