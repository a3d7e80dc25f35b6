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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        actors::signing::sample::{before, bins, delegations, online_key, root, state},
        store::ledger::{
            NewRepository, RepositorySettings,
            charter::{Announced, Charter, CustomRole, Founding},
        },
        task::TaskId,
        tuf::{
            bins::Layout,
            event::{Event, State as Stands},
            sample::{Signer, at, role, sign, version},
            wire::Metadata,
        },
    };

    fn event(state: Stands) -> Event {
        Event { document: Metadata::unsigned(json!({})), version: version(2), state, through: 0 }
    }

    fn stop(state: &State, role: &str) -> Decision {
        decide(state, &RoleOfEvent { role: role.to_owned() }, at(0))
    }

    fn with(events: Charter) -> State {
        let (a, online) = (Signer::new(), Signer::new());
        state(&sign(root(1, &[&a], 1, &online), &[&a]), bins(&online), events)
    }

    #[test]
    fn what_waits_for_signatures_is_given_up() {
        let events = [(RoleName::root(), event(Stands::Collecting)), (role("dev"), event(Stands::Collecting))];
        let state = with(Charter { events: events.into(), ..Charter::default() });
        let decision = stop(&state, "dev");
        assert_eq!(decision.outcome.message, "Deletion of dev metadata successful, signing process stopped");
        assert!(decision.outcome.status && decision.outcome.details.is_none());
        let left = decision.change.charter.expect("changed").events;
        assert_eq!(left.keys().collect::<Vec<_>>(), [&RoleName::root()]);
    }

    #[test]
    fn what_is_not_there_or_complete_is_not_stopped() {
        let events = [(role("dev"), event(Stands::Complete))].into();
        let state = with(Charter { events, ..Charter::default() });
        for (name, message, error) in [
            ("", "Deletion of metadata pending signatures failed", "No role provided for deletion."),
            ("root", "Deletion of root metadata failed.", "The root role is not in a signing process."),
            ("dev", "Deletion of dev metadata failed.", "dev is fully signed already and is about to be published"),
        ] {
            let Decision { outcome, end, change } = stop(&state, name);
            assert_eq!((outcome.message.as_str(), outcome.error.as_deref()), (message, Some(error)));
            assert!(!outcome.status && end == End::Now && change.charter.is_none());
        }
    }

    #[test]
    fn a_bootstrap_is_given_up_with_its_root() {
        let repository = NewRepository {
            settings: RepositorySettings {
                expirations: [].into(),
                number_of_delegated_bins: None,
                layout: Layout::default(),
                root_num_keys: 1,
            },
            delegations: json!({}),
            notes: Vec::new(),
            root: Metadata::unsigned(json!({})),
            roles: Vec::new(),
            custom: [].into(),
        };
        let state = before(Charter {
            founding: Some(Founding { task: TaskId::from_text("boot"), repository }),
            events: [(RoleName::root(), event(Stands::Collecting))].into(),
            ..Charter::default()
        });
        let decision = stop(&state, "root");
        assert_eq!(decision.outcome.message, "Deletion of root metadata successful, signing process stopped");
        assert_eq!(decision.outcome.details, Some(json!({"bootstrap": "Bootstrap process has been stopped"})));
        assert_eq!(decision.change.charter, Some(Charter::default()));
    }

    #[test]
    fn what_was_announced_is_given_up_too() {
        let (a, online) = (Signer::new(), Signer::new());
        let announced = Some(Announced { role: json!({}), keys: serde_json::Map::new() });
        let custom = CustomRole { signing: Signing::Offline, retired: false, announced };
        let charter = Charter {
            roles: [(role("dev"), custom.clone()), (role("new"), custom)].into(),
            events: ["dev", "new"].map(|name| (role(name), event(Stands::Collecting))).into(),
            ..Charter::default()
        };
        let delegated = delegations(&[("dev", 1)], &[online_key(&online)]);
        let state = state(&sign(root(1, &[&a], 1, &online), &[&a]), delegated, charter);
        let roles = |name| stop(&state, name).change.charter.expect("changed").roles;
        // It is signed as it is delegated now.
        assert_eq!(
            roles("dev")[&role("dev")],
            CustomRole { signing: Signing::Online, retired: false, announced: None }
        );
        // Nobody delegates to it, and its name was used.
        assert!(roles("new")[&role("new")].retired);
    }
}
