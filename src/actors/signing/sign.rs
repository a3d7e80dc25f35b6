//! One more signature.

use jiff::Timestamp;

use super::{Decision, State, root, rules};
use crate::{
    store::ledger::charter::{Change, Charter, End},
    task::{Outcome, SignMetadata},
    tuf::{
        event::{Event, EventError, Missing, State as Stands},
        name::{KeyId, RoleName, Version},
        wire::Signature,
    },
};

const ACTION: &str = "sign_metadata";

/// Adds a signature to an event. The last one that is missing sends its document on its way.
pub(super) fn decide(state: &State, given: &SignMetadata, now: Timestamp) -> Decision {
    signed(state, given, now).unwrap_or_else(|error| Decision::refused(ACTION, error, now))
}

fn signed(state: &State, given: &SignMetadata, now: Timestamp) -> Result<Decision, String> {
    let charter = &state.chartered.charter;
    let Some((role, event)) = charter.event(&given.role) else {
        let on_its_way = charter.next_root.as_ref().filter(|_| given.role == "root");
        let why = on_its_way.map(|next| format!(": root v{} is fully signed and about to be published", next.version));
        return Err(format!("No signatures pending for {}{}", given.role, why.unwrap_or_default()));
    };
    let signature = &given.signature;
    if signature.bundle.is_some() {
        return Err(
            "Invalid signature: those of Sigstore, which have a bundle, can't be verified by this service; sign \
            with a key of the type ed25519, ecdsa or rsa"
                .to_owned(),
        );
    }
    check(state, role, event, now)?;
    let authorities = state.authorities(role, &event.document).map_err(|error| error.to_string())?;
    let signature = Signature::new(KeyId(signature.keyid.clone()), signature.sig.clone());
    let event = event.clone().sign(role, signature, &authorities).map_err(|error| match error {
        EventError::Signature { .. } => format!("Invalid signature: {error}"),
        error => error.to_string(),
    })?;
    match event.state {
        Stands::Collecting => {
            let missing = event.missing(&authorities).map_err(|error| error.to_string())?;
            Ok(in_part(charter, role, event, &missing, now))
        }
        Stands::Complete => complete(state, role, event, now),
    }
}

/// Makes sure that the document of an event can still be published, whatever became of the repository since it was opened.
fn check(state: &State, role: &RoleName, event: &Event, now: Timestamp) -> Result<(), String> {
    let Event { document, version, .. } = event;
    if *role == RoleName::root() {
        let trusted = state.repository.as_ref().map(|repository| repository.trusted_root());
        let trusted = trusted.transpose().map_err(|error| format!("the trusted root: {error}"))?;
        let next = trusted.map_or(Version::FIRST, |root| root.version.next());
        return rules::root(document, next, now).map(drop).map_err(|error| format!("root v{version}: {error}"));
    }
    let header = document.header().map_err(|error| error.to_string())?;
    match header.is_expired(now) {
        false => Ok(()),
        true => Err(format!("{role} v{version} expired at {}, clients would refuse it", header.expires)),
    }
}

fn in_part(charter: &Charter, role: &RoleName, event: Event, missing: &[Missing], now: Timestamp) -> Decision {
    let version = event.version;
    let outcome = match charter.founding {
        Some(_) => Outcome::signed_bootstrap_in_part(version, missing, now),
        None => Outcome::signed_in_part(role, version, missing, now),
    };
    let mut charter = charter.clone();
    charter.events.insert(role.clone(), event);
    Decision { outcome, end: End::Now, change: Change { charter: Some(charter), ..Change::default() } }
}

fn complete(state: &State, role: &RoleName, event: Event, now: Timestamp) -> Result<Decision, String> {
    let mut charter = state.chartered.charter.clone();
    if *role != RoleName::root() {
        charter.events.insert(role.clone(), event);
        let change = Change { charter: Some(charter), ..Change::default() };
        return Ok(Decision { outcome: Outcome::signed(role, now), end: End::Visible, change });
    }
    // With its last signature it is larger.
    check(state, role, &event, now)?;
    charter.events.remove(role);
    if let Some(founding) = charter.founding.take() {
        let mut new = founding.repository;
        new.settings.root_num_keys = u32::try_from(event.document.signatures.len()).unwrap_or(u32::MAX);
        new.root = event.document;
        let outcome = Outcome::signed_bootstrap(&new.notes, now);
        return Ok(Decision { outcome, end: End::Visible, change: Change::founds(charter, new) });
    }
    let repository = state.repository.as_ref().ok_or("there is no repository whose root could follow")?;
    let rotation = charter.rotation;
    let change = root::succeed(repository, charter, event.document, rotation).map_err(|error| error.to_string())?;
    Ok(Decision { outcome: Outcome::signed(role, now), end: End::Root(event.version), change })
}
