//! Not there yet.

use jiff::Timestamp;

use super::{Decision, State};
use crate::task::ForceOnline;

/// Refuses it.
pub(super) fn decide(_: &State, _: &ForceOnline, now: Timestamp) -> Decision {
    Decision::refused("force_online_metadata_update", "it is not there yet", now)
}
