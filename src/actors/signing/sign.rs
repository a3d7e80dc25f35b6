//! One more signature.

use jiff::Timestamp;

use super::{Decision, State, root};
use crate::{
    store::ledger::charter::{Change, Charter, End},
    task::{Outcome, SignMetadata},
    tuf::{
        event::{Event, EventError, Missing, State as Stands},
        name::{KeyId, RoleName, Version},
        rules,
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        actors::signing::sample::{after, before, bins, delegations, details, refusal, root, state},
        store::ledger::{
            NewRepository, RepositorySettings,
            charter::{Announced, CustomRole, Founding, RootStage, Signing},
        },
        task::{GivenSignature, Rotation, TaskId},
        tuf::{
            bins::Layout,
            event::Authority,
            root::Root,
            sample::{Signer, at, role, sign, version},
            targets,
            wire::Metadata,
        },
    };

    fn given(role: &str, signature: &Signature) -> SignMetadata {
        let signature = GivenSignature { keyid: signature.keyid.0.clone(), sig: signature.sig.clone(), bundle: None };
        SignMetadata { role: role.to_owned(), signature }
    }

    fn event(document: Metadata, authorities: &[Authority]) -> Event {
        Event::open(document, authorities, 0).expect("open")
    }

    fn own(root: &Value) -> Authority {
        Authority::root(&Root::view(root).expect("a root"))
    }

    /// A bootstrap whose root needs two signatures, and has that of `a`.
    fn founding(a: &Signer, b: &Signer) -> State {
        let signed = root(1, &[a, b], 2, &Signer::new());
        let document = sign(signed.clone(), &[a]);
        let repository = NewRepository {
            settings: RepositorySettings {
                expirations: [].into(),
                number_of_delegated_bins: None,
                layout: Layout::default(),
                root_num_keys: 1,
            },
            delegations: json!({}),
            notes: vec!["a note".into()],
            root: document.clone(),
            roles: vec![role("dev")],
            custom: [(role("dev"), Signing::Offline)].into(),
        };
        before(Charter {
            founding: Some(Founding { task: TaskId::from_text("boot"), repository }),
            events: [(RoleName::root(), event(document, &[own(&signed)]))].into(),
            ..Charter::default()
        })
    }

    /// Version 2 of a root waits for signatures of `a` and `b`, whom both versions want.
    fn rotation(a: &Signer, b: &Signer, online: &Signer) -> (State, Metadata) {
        let trusted = sign(root(1, &[a, b], 2, online), &[a, b]);
        let next = Metadata::unsigned(root(2, &[a, b], 2, online));
        let charter = Charter {
            rotation: Rotation::Immediate,
            events: [(RoleName::root(), event(next.clone(), &[own(&trusted.signed), own(&next.signed)]))].into(),
            ..Charter::default()
        };
        (state(&trusted, bins(online), charter), next)
    }

    #[test]
    fn the_last_signature_founds_the_repository() {
        let (a, b) = (Signer::new(), Signer::new());
        let state = founding(&a, &b);
        let document = state.chartered.charter.events[&RoleName::root()].document.clone();
        let again = decide(&state, &given("root", &a.sign(&document)), at(0));
        assert_eq!(details(&again)["bootstrap"], "Root v1 is pending signatures");
        let missing = json!([{"authority": "root v1", "signatures": 1, "of": [b.id()]}]);
        assert_eq!((&details(&again)["missing"], again.end), (&missing, End::Now));

        let last = decide(&after(&state, &again), &given("root", &b.sign(&document)), at(0));
        assert_eq!(details(&last), json!({"bootstrap": "Bootstrap Finished", "notes": ["a note"]}));
        let charter = last.change.charter.expect("changed");
        assert_eq!((last.end, &charter.founding, charter.events.len()), (End::Visible, &None, 0));
        assert_eq!(charter.roles[&role("dev")].signing, Signing::Offline);
        let new = last.change.create.expect("created");
        assert_eq!((new.root.signatures.len(), new.settings.root_num_keys), (2, 2));
        assert_eq!(new.root.signed, document.signed);
    }

    #[test]
    fn the_last_signature_of_both_roots_sends_the_next_one_on_its_way() {
        let (a, b, online) = (Signer::new(), Signer::new(), Signer::new());
        let (state, next) = rotation(&a, &b, &online);
        let first = decide(&state, &given("ROOT", &a.sign(&next)), at(0));
        assert_eq!(details(&first)["update"], "Root v2 is pending signatures");
        assert_eq!(details(&first)["missing"].as_array().map(Vec::len), Some(2));
        let last = decide(&after(&state, &first), &given("root", &b.sign(&next)), at(0));
        assert_eq!(details(&last), json!({"update": "Metadata update finished"}));
        let charter = last.change.charter.expect("changed");
        let on_its_way = charter.next_root.expect("a root");
        assert_eq!(
            (last.end, on_its_way.version, on_its_way.stage),
            (End::Root(version(2)), version(2), RootStage::Ready)
        );
        assert_eq!((on_its_way.rotation, on_its_way.root.signatures.len()), (Rotation::Immediate, 2));
        assert!(charter.events.is_empty() && charter.rotation.is_default());
    }

    /// B12: what is published while an event waits is seen when it is signed.
    #[test]
    fn b12_a_root_that_follows_no_more_is_not_signed() {
        let (a, b, online) = (Signer::new(), Signer::new(), Signer::new());
        let (mut state, next) = rotation(&a, &b, &online);
        let other = sign(root(2, &[&a], 1, &online), &[&a, &b]);
        state.repository.as_mut().expect("there").root = other.to_bytes();
        let refused = refusal(&decide(&state, &given("root", &a.sign(&next)), at(0)));
        assert_eq!(refused, "root v2: Expected root version 3 instead got version 2");
    }

    #[test]
    fn what_does_not_count_is_refused_with_its_reason() {
        let (a, b, online) = (Signer::new(), Signer::new(), Signer::new());
        let (state, next) = rotation(&a, &b, &online);
        let decide = |given: &SignMetadata, now| refusal(&decide(&state, given, now));
        let invalid = |id: &KeyId, why: &str| format!("Invalid signature: key {id}: {why}");
        assert_eq!(decide(&given("dev", &a.sign(&next)), at(0)), "No signatures pending for dev");
        let of_another = b.sign_as(a.id(), &next);
        let wrong = invalid(&a.id(), "the signature is not by this key over this content");
        assert_eq!(decide(&given("root", &of_another), at(0)), wrong);
        let of_nobody = online.sign(&next);
        assert_eq!(decide(&given("root", &of_nobody), at(0)), invalid(&online.id(), "the key is none of this role"));
        assert!(decide(&given("root", &a.sign(&next)), at(2000)).starts_with("root v2: it expired at "));
        let mut sigstore = given("root", &a.sign(&next));
        sigstore.signature.bundle = Some(json!({}));
        assert!(decide(&sigstore, at(0)).starts_with("Invalid signature: those of Sigstore"));
    }

    /// `dev`, which `targets` delegates to `a` and `b`, waits for both.
    fn delegated(a: &Signer, b: &Signer, announced: Option<Announced>) -> (State, Metadata) {
        let online = Signer::new();
        let trusted = sign(root(1, &[a], 1, &online), &[a]);
        let delegations = delegations(&[("dev", 2)], &[a.entry(), b.entry()]);
        let document = Metadata::unsigned(targets::render(version(4), at(100), &[], None));
        let custom = CustomRole { signing: Signing::Offline, retired: false, announced };
        let mut state = state(&trusted, delegations, Charter::default());
        let charter = &mut state.chartered.charter;
        charter.roles.insert(role("dev"), custom);
        let authorities = state.authorities(&role("dev"), &document).expect("authorities");
        let waits = event(document.clone(), &authorities);
        state.chartered.charter.events.insert(role("dev"), waits);
        (state, document)
    }

    #[test]
    fn a_delegated_role_is_complete_when_enough_have_signed() {
        let (a, b) = (Signer::new(), Signer::new());
        let (state, document) = delegated(&a, &b, None);
        let first = decide(&state, &given("dev", &a.sign(&document)), at(0));
        assert_eq!(details(&first)["update"], "dev v4 is pending signatures");
        // Two at once, on two workers: the second one is decided on what the first one left.
        let last = decide(&after(&state, &first), &given("dev", &b.sign(&document)), at(0));
        assert_eq!((details(&last), last.end), (json!({"update": "Role dev signing complete"}), End::Visible));
        let done = after(&after(&state, &first), &last);
        let event = &done.chartered.charter.events[&role("dev")];
        assert_eq!((event.state, event.document.signatures.len()), (Stands::Complete, 2));
        let late = refusal(&decide(&done, &given("dev", &b.sign(&document)), at(0)));
        assert_eq!(late, "dev is fully signed already and is about to be published");
        let expired = refusal(&decide(&state, &given("dev", &a.sign(&document)), at(100)));
        assert!(expired.starts_with("dev v4 expired at "), "{expired}");
    }

    #[test]
    fn what_is_announced_says_who_signs() {
        let (a, b, c) = (Signer::new(), Signer::new(), Signer::new());
        let of_c = delegations(&[("dev", 1)], &[c.entry()]);
        let keys = of_c["keys"].as_object().expect("keys").clone();
        let (state, document) = delegated(&a, &b, Some(Announced { role: of_c["roles"][0].clone(), keys }));
        assert!(refusal(&decide(&state, &given("dev", &a.sign(&document)), at(0))).ends_with("none of this role"));
        let last = decide(&state, &given("dev", &c.sign(&document)), at(0));
        assert_eq!(details(&last)["update"], "Role dev signing complete");
    }
}
