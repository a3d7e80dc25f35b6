//! People give up what they were asked to sign.

use jiff::Timestamp;

use super::{Decision, State};
use crate::{
    store::ledger::charter::{Change, End, Signing},
    task::{Outcome, RoleOfEvent},
    tuf::{delegation::Delegations, name::RoleName},
};

const ACTION: &str = "delete_sign_metadata";

/// Ends an event. What is delegated now stays; what was announced of the role is given up with its event. A role whose artifacts wait
/// for signatures is drafted anew.
pub(super) fn decide(state: &State, stopped: &RoleOfEvent, now: Timestamp) -> Decision {
    if stopped.role.is_empty() {
        return Decision::refused(ACTION, "No role provided for deletion.", now);
    }
    let mut charter = state.chartered.charter.clone();
    let Some((role, event)) = charter.event(&stopped.role).map(|(role, event)| (role.clone(), event.clone())) else {
        let error = format!("The {} role is not in a signing process.", stopped.role);
        return Decision::unchanged(Outcome::not_stopped(&stopped.role, error, now));
    };
    if let Err(error) = event.end(&role) {
        return Decision::unchanged(Outcome::not_stopped(&stopped.role, error.to_string(), now));
    }
    charter.events.remove(&role);
    let outcome = match charter.founding.take_if(|_| role == RoleName::root()) {
        Some(_) => Outcome::stopped_bootstrap(now),
        None => Outcome::stopped(&stopped.role, now),
    };
    let delegated = state.repository.as_ref().and_then(|repository| Delegations::view(&repository.delegations).ok());
    if let Some(custom) = charter.roles.get_mut(&role)
        && custom.announced.take().is_some()
    {
        match delegated.as_ref().and_then(|delegations| Some((delegations, delegations.role(&role)?))) {
            Some((delegations, keys)) => custom.signing = Signing::of(&delegations.keys, keys),
            None => custom.retired = true,
        }
    }
    Decision { outcome, end: End::Now, change: Change { charter: Some(charter), ..Change::default() } }
}
