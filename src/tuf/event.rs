//! Signing events: metadata that waits until enough people have signed it (TUF §6.1).
//!
//! An event is a state machine. What is legal:
//!
//! ```text
//!   open ──► Collecting ──sign──► Collecting | Complete      a signature that counts; enough of them
//!            Collecting ──stop──► ∅                          people give it up
//!            Collecting ──replace──► Collecting | Complete   its content is not what is wanted any more
//!            Complete ──publish──► ∅                         its round is committed
//! ```
//!
//! All else is refused: what is complete takes no more signatures, is not stopped and is not replaced; its round is about to publish it.
//! An event that is replaced ends, and another one is opened.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::tuf::{
    canonical::CanonicalError,
    delegation::Delegations,
    key::Key,
    name::{KeyId, RoleName, Version},
    root::{RoleKeys, Root},
    verify::{SignatureFault, Tally, tally},
    wire::{Metadata, MetadataError, RoleType, Signature},
};

/// Metadata that waits for signatures, or for its round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What is signed, with the signatures that were given so far.
    pub document: Metadata,
    /// Its version.
    pub version: Version,
    /// Where it stands.
    pub state: State,
    /// The last staged change that the document has, 0 for none.
    #[serde(default)]
    pub through: i64,
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Signatures are missing.
    Collecting,
    /// Enough have signed; the next round publishes it.
    Complete,
}

/// Keys of which so many must sign. A root has two of these: the trusted root and itself (TUF §5.3.4).
#[derive(Debug, Clone, PartialEq)]
pub struct Authority {
    /// Who wants it: `root v1`, or the role that delegates.
    pub name: String,
    /// All keys that it knows.
    pub keys: BTreeMap<KeyId, Key>,
    /// Those that may sign, and how many must.
    pub role: RoleKeys,
}

/// What an authority lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The authority.
    pub authority: String,
    /// So many more signatures.
    pub signatures: u32,
    /// Of any of these keys: the name that people gave each, or else its id.
    pub of: Vec<String>,
}

/// Why an event did not move.
#[derive(Debug, Error)]
pub enum EventError {
    /// The event is complete.
    #[error("{0} is fully signed already and is about to be published")]
    Complete(RoleName),
    /// The signature counts for nobody.
    #[error("key {keyid}: {fault}")]
    Signature {
        /// Its key.
        keyid: KeyId,
        /// Why.
        fault: SignatureFault,
    },
    /// The document can't be read.
    #[error(transparent)]
    Unreadable(#[from] MetadataError),
    /// The document can't be signed.
    #[error(transparent)]
    Unsignable(#[from] CanonicalError),
}

impl Authority {
    /// What a root wants of a root: the trusted one of the next, and the next of itself.
    pub fn root(root: &Root) -> Self {
        let role = root.role(RoleType::Root).clone();
        Self { name: format!("root v{}", root.version), keys: root.keys.clone(), role }
    }

    /// What `targets` wants of a delegated role, `None` when it does not delegate to it.
    pub fn delegation(delegations: &Delegations, role: &RoleName) -> Option<Self> {
        let of_role = delegations.role(role)?.clone();
        Some(Self { name: "targets".to_owned(), keys: delegations.keys.clone(), role: of_role })
    }

    /// The same for a role object and keys that are not part of any delegations yet.
    ///
    /// # Errors
    /// [`MetadataError::Field`] for the first member that is missing or wrong.
    pub fn announced(role: &Value, keys: &Map<String, Value>) -> Result<Self, MetadataError> {
        let delegations = Delegations::view(&json!({ "keys": keys, "roles": [role] }))?;
        let name = RoleName::parse(role["name"].as_str().unwrap_or_default());
        let authority = name.ok().and_then(|name| Self::delegation(&delegations, &name));
        authority.ok_or_else(|| MetadataError::field("name", "must be that of a role"))
    }

    fn tally(&self, document: &Metadata) -> Result<Tally, CanonicalError> {
        tally(&self.keys, &self.role, document)
    }

    /// What it lacks of a document, `None` when it lacks nothing. Only keys that can make good for it are named: none that never
    /// verifies, and none that has signed under another id.
    fn lacks(&self, document: &Metadata) -> Result<Option<Missing>, CanonicalError> {
        let valid = self.tally(document)?.valid;
        let signatures = self.role.threshold.saturating_sub(u32::try_from(valid.len()).unwrap_or(u32::MAX));
        if signatures == 0 {
            return Ok(None);
        }
        let mut used: BTreeSet<_> = valid.iter().filter_map(|id| self.keys.get(id)?.identity()).collect();
        let mut of = Vec::new();
        for (id, key) in self.role.keyids.iter().filter_map(|id| self.keys.get_key_value(id)) {
            if key.identity().is_some_and(|identity| used.insert(identity)) {
                of.push(name_of(id, key));
            }
        }
        Ok(Some(Missing { authority: self.name.clone(), signatures, of }))
    }
}

impl Event {
    /// Opens an event for a document, which may have signatures already. Those that count for nobody are not taken.
    ///
    /// # Errors
    /// [`EventError::Unreadable`] or [`EventError::Unsignable`].
    pub fn open(document: Metadata, authorities: &[Authority], through: i64) -> Result<Self, EventError> {
        let version = document.header()?.version;
        let mut event = Self { document, version, state: State::Collecting, through };
        event.settle(authorities)?;
        Ok(event)
    }

    /// Takes a signature. One of the same key id that is there is replaced, and those that count no more are dropped.
    ///
    /// # Errors
    /// [`EventError::Signature`] when it counts for none of the authorities, [`EventError::Complete`] when no more are taken.
    pub fn sign(
        mut self,
        role: &RoleName,
        signature: Signature,
        authorities: &[Authority],
    ) -> Result<Self, EventError> {
        if self.state == State::Complete {
            return Err(EventError::Complete(role.clone()));
        }
        let keyid = signature.keyid.clone();
        self.document.signatures.retain(|there| there.keyid != keyid);
        self.document.signatures.push(signature);
        if let Some((keyid, fault)) = faults(&self.document, authorities)?.into_iter().find(|(id, _)| *id == keyid) {
            return Err(EventError::Signature { keyid, fault });
        }
        self.settle(authorities)?;
        Ok(self)
    }

    /// Makes sure that people may give it up, or that another document may take its place.
    ///
    /// # Errors
    /// [`EventError::Complete`].
    pub fn end(self, role: &RoleName) -> Result<(), EventError> {
        match self.state {
            State::Collecting => Ok(()),
            State::Complete => Err(EventError::Complete(role.clone())),
        }
    }

    /// What each authority lacks, those that lack something.
    ///
    /// # Errors
    /// [`EventError::Unsignable`].
    pub fn missing(&self, authorities: &[Authority]) -> Result<Vec<Missing>, EventError> {
        let missing =
            authorities.iter().map(|authority| authority.lacks(&self.document)).collect::<Result<Vec<_>, _>>();
        Ok(missing?.into_iter().flatten().collect())
    }

    /// Keeps the signatures that count, and sees whether they suffice.
    fn settle(&mut self, authorities: &[Authority]) -> Result<(), EventError> {
        let mut counts = BTreeSet::new();
        for authority in authorities {
            counts.extend(authority.tally(&self.document)?.valid);
        }
        self.document.signatures.retain(|signature| counts.contains(&signature.keyid));
        self.state = if self.missing(authorities)?.is_empty() { State::Complete } else { State::Collecting };
        Ok(())
    }
}

/// The signatures of a document that count for none of these authorities, and why. Of several reasons it is the one of an authority
/// that knows the key.
///
/// # Errors
/// [`CanonicalError`] when the document can't be signed.
pub fn faults(document: &Metadata, authorities: &[Authority]) -> Result<Vec<(KeyId, SignatureFault)>, CanonicalError> {
    let (mut counts, mut why) = (BTreeSet::new(), BTreeMap::new());
    for authority in authorities {
        let Tally { valid, faults } = authority.tally(document)?;
        counts.extend(valid);
        for (id, fault) in faults {
            let known = why.entry(id).or_insert(SignatureFault::NotOfRole);
            if *known == SignatureFault::NotOfRole {
                *known = fault;
            }
        }
    }
    let ids = document.signatures.iter().map(|signature| &signature.keyid).filter(|id| !counts.contains(*id));
    Ok(ids.map(|id| (id.clone(), why.remove(id).unwrap_or(SignatureFault::NotOfRole))).collect())
}

/// The name that people gave a key, or else its id.
pub fn name_of(id: &KeyId, key: &Key) -> String {
    let names = ["x-rstuf-key-name", "name"];
    let named = names.iter().find_map(|name| key.raw[*name].as_str()).filter(|name| !name.is_empty());
    named.unwrap_or(id.as_str()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::{
        key::KeyError,
        sample::{Signer, at, role, root, sign, version},
        targets,
    };

    fn view(root: &Value) -> Root {
        Root::view(root).expect("a root")
    }

    /// The authorities of the role `a` that wants `threshold` of these keys.
    fn delegated(keys: &[(KeyId, Value)], threshold: u32) -> Vec<Authority> {
        let keyids: Vec<_> = keys.iter().map(|(id, _)| id).collect();
        let object = json!({
            "name": "a", "keyids": keyids, "threshold": threshold, "terminating": false, "paths": ["a/*"],
        });
        let keys = keys.iter().map(|(id, key)| (id.0.clone(), key.clone())).collect();
        vec![Authority::announced(&object, &keys).expect("an authority")]
    }

    fn document() -> Metadata {
        Metadata::unsigned(targets::render(version(3), at(100), &[], None))
    }

    fn ids(event: &Event) -> Vec<KeyId> {
        event.document.signatures.iter().map(|signature| signature.keyid.clone()).collect()
    }

    fn give(event: &Event, signature: Signature, authorities: &[Authority]) -> Result<Event, String> {
        event.clone().sign(&role("a"), signature, authorities).map_err(|error| error.to_string())
    }

    /// The two states, of which the first lacks one signature of `b`.
    fn states(a: &Signer, b: &Signer) -> ([Event; 2], Vec<Authority>) {
        let authorities = delegated(&[a.entry(), b.entry()], 2);
        let open = Event::open(sign(document().signed, &[a]), &authorities, 7).expect("open");
        let complete = Event::open(sign(document().signed, &[a, b]), &authorities, 7).expect("open");
        assert_eq!((open.state, complete.state), (State::Collecting, State::Complete));
        ([open, complete], authorities)
    }

    #[test]
    fn every_step_of_every_state() {
        let (a, b, stranger) = (Signer::new(), Signer::new(), Signer::new());
        let ([open, complete], authorities) = states(&a, &b);
        let document = document();
        let other = Metadata::unsigned(targets::render(version(4), at(100), &[], None));
        let wrong = "the signature is not by this key over this content";
        let signatures = [
            ("of a key that is missing", b.sign(&document), Ok(State::Complete)),
            ("of a key that has signed", a.sign(&document), Ok(State::Collecting)),
            ("of another version", b.sign(&other), Err(format!("key {}: {wrong}", b.id()))),
            ("of another key", stranger.sign_as(b.id(), &document), Err(format!("key {}: {wrong}", b.id()))),
            (
                "of a bad form",
                Signature::new(b.id(), "zz"),
                Err(format!("key {}: the signature is not hexadecimal", b.id())),
            ),
            ("empty", Signature::new(b.id(), ""), Err(format!("key {}: {wrong}", b.id()))),
            (
                "of no allowed key",
                stranger.sign(&document),
                Err(format!("key {}: the key is none of this role", stranger.id())),
            ),
            (
                "without a key",
                stranger.sign_as(KeyId(String::new()), &document),
                Err("key : the key is none of this role".into()),
            ),
        ];
        for (name, signature, end) in signatures {
            let signed = give(&open, signature.clone(), &authorities);
            assert_eq!(signed.as_ref().map(|event| event.state).map_err(Clone::clone), end, "{name}");
            if let Ok(signed) = signed {
                assert_eq!(
                    (signed.version, signed.through, &signed.document.signed),
                    (version(3), 7, &document.signed)
                );
            }
            let refused = give(&complete, signature, &authorities).expect_err(name);
            assert_eq!(refused, "a is fully signed already and is about to be published", "{name}");
        }
        assert!(open.end(&role("a")).is_ok());
        assert!(matches!(complete.end(&role("a")), Err(EventError::Complete(_))));
    }

    #[test]
    fn an_event_opens_in_the_state_that_its_signatures_make() {
        let (a, b, stranger) = (Signer::new(), Signer::new(), Signer::new());
        let authorities = delegated(&[a.entry(), b.entry()], 2);
        let open = |signers: &[&Signer]| Event::open(sign(document().signed, signers), &authorities, 0).expect("open");
        assert_eq!((open(&[]).state, ids(&open(&[]))), (State::Collecting, vec![]));
        assert_eq!(ids(&open(&[&stranger, &b])), [b.id()]);
        // What counts keeps its place.
        let complete = open(&[&b, &stranger, &a]);
        assert_eq!((complete.state, ids(&complete)), (State::Complete, vec![b.id(), a.id()]));
        let mut wrong = sign(document().signed, &[&a]);
        wrong.signatures[0].sig = b.sign(&wrong).sig;
        assert_eq!(ids(&Event::open(wrong, &authorities, 0).expect("open")), []);
    }

    #[test]
    fn what_can_not_be_read_or_signed_is_no_event() {
        let a = Signer::new();
        let authorities = delegated(&[a.entry()], 1);
        let open = |signed| Event::open(Metadata::unsigned(signed), &authorities, 0);
        assert!(matches!(open(json!({"_type": "targets"})), Err(EventError::Unreadable(_))));
        let mut fraction = document().signed;
        fraction["x-more"] = json!(1.5);
        assert!(matches!(open(fraction), Err(EventError::Unsignable(_))));
    }

    #[test]
    fn a_key_counts_once_whatever_its_ids_are() {
        let (a, b) = (Signer::new(), Signer::new());
        let alias = KeyId("alias".into());
        let keys = [a.entry(), (alias.clone(), a.key()), b.entry()];
        let authorities = delegated(&keys, 2);
        let event = Event::open(sign(document().signed, &[&a]), &authorities, 0).expect("open");
        let refused = give(&event, a.sign_as(alias, &document()), &authorities).expect_err("refused");
        assert_eq!(refused, format!("key alias: the key is the same as that of {}", a.id()));
        // Nor is it asked for.
        let missing = event.missing(&authorities).expect("signable");
        assert_eq!(missing, [Missing { authority: "targets".into(), signatures: 1, of: vec![b.id().0] }]);
    }

    #[test]
    fn a_key_that_is_missing_or_never_verifies_does_not_count_and_is_not_asked_for() {
        let (a, b) = (Signer::new(), Signer::new());
        let mut odd = b.key();
        odd["scheme"] = json!("x");
        let mut authorities = delegated(&[a.entry(), (b.id(), odd)], 2);
        authorities[0].role.keyids.push(KeyId("nowhere".into()));
        let event = Event::open(document(), &authorities, 0).expect("open");
        let refused = give(&event, Signature::new(KeyId("nowhere".into()), "00"), &authorities).expect_err("refused");
        assert_eq!(refused, "key nowhere: the key is missing");
        let refused = event.clone().sign(&role("a"), b.sign(&document()), &authorities).expect_err("refused");
        assert!(matches!(
            refused,
            EventError::Signature { fault: SignatureFault::Key(KeyError::Unsupported { .. }), .. }
        ));
        assert_eq!(event.missing(&authorities).expect("signable")[0].of, [a.id().0]);
    }

    #[test]
    fn missing_keys_have_the_names_that_people_gave_them() {
        let (a, b, c) = (Signer::new(), Signer::new(), Signer::new());
        let named = |signer: &Signer, member: &str, name: &str| {
            let mut key = signer.key();
            key[member] = json!(name);
            (signer.id(), key)
        };
        let keys = [named(&a, "x-rstuf-key-name", "ann"), named(&b, "name", "bob"), named(&c, "name", "")];
        let authorities = delegated(&keys, 2);
        let event = Event::open(document(), &authorities, 0).expect("open");
        let of = vec!["ann".to_owned(), "bob".to_owned(), c.id().0];
        assert_eq!(
            event.missing(&authorities).expect("signable"),
            [Missing { authority: "targets".into(), signatures: 2, of }]
        );
    }

    #[test]
    fn a_root_needs_the_trusted_one_and_itself() {
        let (a, b, c, online) = (Signer::new(), Signer::new(), Signer::new(), Signer::new());
        let trusted = root(1, &[&a, &b], 2, &online);
        let next = root(2, &[&b, &c], 2, &online);
        let authorities = [Authority::root(&view(&trusted)), Authority::root(&view(&next))];
        let lacks = |event: &Event| -> Vec<_> {
            let missing = event.missing(&authorities).expect("signable");
            missing.into_iter().map(|missing| (missing.authority, missing.signatures, missing.of)).collect()
        };
        let document = Metadata::unsigned(next);
        let event = Event::open(document.clone(), &authorities, 0).expect("open");
        let ids = |signers: &[&Signer]| signers.iter().map(|signer| signer.id().0).collect::<Vec<_>>();
        assert_eq!(lacks(&event), [("root v1".into(), 2, ids(&[&a, &b])), ("root v2".into(), 2, ids(&[&b, &c]))]);
        // A key that one of the two allows counts for that one.
        let event = give(&event, a.sign(&document), &authorities).expect("signed");
        assert_eq!(lacks(&event), [("root v1".into(), 1, ids(&[&b])), ("root v2".into(), 2, ids(&[&b, &c]))]);
        let event = give(&event, b.sign(&document), &authorities).expect("signed");
        assert_eq!((event.state, lacks(&event)), (State::Collecting, vec![("root v2".into(), 1, ids(&[&c]))]));
        let event = give(&event, c.sign(&document), &authorities).expect("signed");
        assert_eq!((event.state, lacks(&event)), (State::Complete, vec![]));
        // An online key that neither has for its root says so.
        let event = Event::open(document.clone(), &authorities, 0).expect("open");
        assert!(
            give(&event, online.sign(&document), &authorities).expect_err("refused").ends_with("none of this role")
        );
    }

    #[test]
    fn the_same_key_counts_for_two_roots_that_name_it_differently() {
        let (a, online) = (Signer::new(), Signer::new());
        let trusted = root(1, &[&a], 1, &online);
        let mut next = root(2, &[&a], 1, &online);
        next["keys"]["alias"] = a.key();
        next["roles"]["root"]["keyids"] = json!(["alias"]);
        let authorities = [Authority::root(&view(&trusted)), Authority::root(&view(&next))];
        let document = Metadata::unsigned(next);
        let event = Event::open(document.clone(), &authorities, 0).expect("open");
        let event = give(&event, a.sign(&document), &authorities).expect("signed");
        assert_eq!(event.state, State::Collecting);
        let event = give(&event, a.sign_as(KeyId("alias".into()), &document), &authorities).expect("signed");
        assert_eq!((event.state, event.document.signatures.len()), (State::Complete, 2));
    }

    #[test]
    fn signatures_that_count_no_more_are_dropped() {
        let (a, b, c) = (Signer::new(), Signer::new(), Signer::new());
        let event = Event::open(sign(document().signed, &[&a]), &delegated(&[a.entry(), b.entry()], 2), 0);
        let changed = delegated(&[b.entry(), c.entry()], 2);
        let event = give(&event.expect("open"), b.sign(&document()), &changed).expect("signed");
        assert_eq!((event.state, ids(&event)), (State::Collecting, vec![b.id()]));
    }

    #[test]
    fn an_event_is_stored_as_it_is() {
        let (a, b) = (Signer::new(), Signer::new());
        for event in states(&a, &b).0 {
            let text = serde_json::to_string(&event).expect("a text");
            assert_eq!(serde_json::from_str::<Event>(&text).expect("read"), event);
        }
    }
}
