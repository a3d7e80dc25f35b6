//! People sign a document, one after the other.

use std::collections::BTreeMap;

use crate::{
    cli::{
        admin::keys::{NamedKey, short},
        failure::Failure,
        interview::{Interview, Stop, Text},
        output::Output,
        person::{PLACES, Place, opening::Opening},
    },
    store::keys::private::Scheme,
    tuf::{
        key::Key,
        name::KeyId,
        root::RoleKeys,
        verify::tally,
        wire::{Metadata, Signature},
    },
};

const LEAVE: &str = "nobody else: leave the rest to others";

/// Who has to sign: a document is signed when every one of these is met. The next root needs the keys of the root before it too (TUF §5.3.4).
#[derive(Debug, Clone)]
pub struct Needed {
    /// What people read: `the new root`, `the root before it`, the name of a role.
    pub by: String,
    /// Its keys by their ids.
    pub keys: BTreeMap<KeyId, Key>,
    /// Which of them sign, and how many have to.
    pub role: RoleKeys,
}

/// How far one of those who have to sign has come.
struct Standing<'a> {
    by: &'a str,
    signed: usize,
    threshold: u32,
    /// Those who have not signed.
    missing: Vec<Person<'a>>,
}

/// Somebody who may sign.
#[derive(Clone)]
struct Person<'a> {
    named: NamedKey,
    key: &'a Key,
}

/// Asks people to sign what `metadata` signs: who, and where the private half is (`ID[n].key`, `ID[n].private`, `ID[n].password`).
/// Ends when all that is needed is there, or when whoever answers leaves the rest to others; at least one signature is given. The answer has the new signatures alone.
///
/// # Errors
/// [`Failure`].
pub async fn collect(
    interview: &mut Interview,
    output: Output,
    id: &str,
    metadata: &Metadata,
    needed: &[Needed],
) -> Result<Vec<Signature>, Failure> {
    let message = metadata.canonical().map_err(Failure::new)?;
    let written = interview.count(id);
    let mut document = metadata.clone();
    let mut new: Vec<Signature> = Vec::new();
    loop {
        let standings = standings(&document, needed)?;
        standings.iter().for_each(|standing| output.say(standing));
        let is_done = match written {
            Some(count) => new.len() == count,
            None => standings.iter().all(Standing::is_met),
        };
        if is_done && (written.is_none() || !new.is_empty()) {
            return Ok(new);
        }
        // A file may have more sign than is needed.
        let asked = standings.iter().filter(|standing| written.is_some() || !standing.is_met());
        let people = together(asked, &new);
        if people.is_empty() && !new.is_empty() && written.is_none() {
            return Ok(new);
        }
        let question =
            Question { id: format!("{id}[{}]", new.len()), people, leave: !new.is_empty() && written.is_none() };
        match interview.hold(async |interview: &mut Interview| question.ask(interview, &message, needed).await).await? {
            Some(signature) => {
                document.signatures.retain(|other| other.keyid != signature.keyid);
                document.signatures.push(signature.clone());
                new.push(signature);
            }
            None => return Ok(new),
        }
    }
}

/// What is asked for one signature.
struct Question<'a> {
    id: String,
    people: Vec<Person<'a>>,
    /// Whether it may be the end.
    leave: bool,
}

impl Question<'_> {
    async fn ask(
        &self,
        interview: &mut Interview,
        message: &[u8],
        needed: &[Needed],
    ) -> Result<Option<Signature>, Stop> {
        if self.people.is_empty() {
            let failure = Failure::new("nobody is left who can sign this with this program");
            return Err(failure.remedy("see who has signed, and which kinds of keys the others have").into());
        }
        let (key_id, place_id, password_id) =
            (format!("{}.key", self.id), format!("{}.private", self.id), format!("{}.password", self.id));
        let mut names = unique_names(&self.people);
        names.extend(self.leave.then(|| LEAVE.to_owned()));
        let chosen = interview.pick(&key_id, "Who signs?", &names)?;
        let Some(Person { named, key }) = self.people.get(chosen) else { return Ok(None) };
        let question = Text {
            id: &place_id,
            message: &format!("Where is the private key of {}?", names[chosen]),
            help: Some(PLACES),
            default: None,
        };
        let place = interview.text(question, Place::find)?;
        let opening = Opening { place: Some(&place_id), password: &password_id, given: None };
        let signer = opening.private(&place, interview).await?;
        if !named.is_same(&signer.public) {
            return Err(interview.refuse(&place_id, wrong_key(&place, &signer.public, &names[chosen], needed)));
        }
        let signed = match Scheme::parse(&key.scheme) {
            Ok(scheme) => signer.sign(scheme, message).await,
            Err(error) => Err(Failure::new(error)),
        };
        let signature = hex::encode(signed.map_err(|failure| interview.refuse(&place_id, failure))?);
        if let Err(error) = key.verify(message, &signature) {
            return Err(interview.refuse(&place_id, Failure::new(format_args!("{place} signs wrongly: {error}"))));
        }
        Ok(Some(Signature::new(named.id.clone(), signature)))
    }
}

impl Standing<'_> {
    fn is_met(&self) -> bool {
        self.signed >= self.threshold as usize
    }
}

impl std::fmt::Display for Standing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { by, signed, threshold, missing } = self;
        write!(f, "Signatures of {by}: {signed} of {threshold}")?;
        match self.is_met() {
            true => write!(f, ", enough"),
            false => write!(f, "; not yet signed: {}", unique_names(missing).join(", ")),
        }
    }
}

fn standings<'a>(document: &Metadata, needed: &'a [Needed]) -> Result<Vec<Standing<'a>>, Failure> {
    let standing = |needed: &'a Needed| {
        let valid = tally(&needed.keys, &needed.role, document).map_err(Failure::new)?.valid;
        let missing = needed.role.keyids.iter().filter(|&id| !valid.contains(id));
        let person = |id: &KeyId| {
            let key = needed.keys.get(id)?;
            Some(Person { named: NamedKey::of(id, key), key })
        };
        Ok(Standing {
            by: &needed.by,
            signed: valid.len(),
            threshold: needed.role.threshold,
            missing: missing.filter_map(person).collect(),
        })
    };
    needed.iter().map(standing).collect()
}

/// All who may still sign and can do so here, each once.
fn together<'a, 'b: 'a>(standings: impl Iterator<Item = &'a Standing<'b>>, new: &[Signature]) -> Vec<Person<'b>> {
    let mut people: Vec<Person<'b>> = Vec::new();
    for person in standings.flat_map(|standing| &standing.missing) {
        let id = &person.named.id;
        let is_there = people.iter().any(|other| other.named.id == *id) || new.iter().any(|other| other.keyid == *id);
        if !is_there && person.key.usable().is_ok() {
            people.push(person.clone());
        }
    }
    people
}

/// What people are called, with the beginning of the key id where two are called alike.
fn unique_names(people: &[Person<'_>]) -> Vec<String> {
    let is_shared = |name: &str| people.iter().filter(|other| other.named.name == name).count() > 1;
    let name = |Person { named, .. }: &Person<'_>| match is_shared(&named.name) {
        true => format!("{} ({})", named.name, short(&named.id)),
        false => named.name.clone(),
    };
    people.iter().map(name).collect()
}

/// Says whose key it is instead.
fn wrong_key(place: &Place, public: &serde_json::Value, wanted: &str, needed: &[Needed]) -> Failure {
    let mut all = needed.iter().flat_map(|needed| &needed.keys).map(|(id, key)| NamedKey::of(id, key));
    match all.find(|named| named.is_same(public)) {
        Some(other) => Failure::new(format_args!("{place} is the key of {}, not of {wanted}", other.name))
            .remedy(format_args!("give the private key of {wanted}, or let {} sign", other.name)),
        None => {
            Failure::new(format_args!("{place} is not the key of {wanted}, nor any other that this document knows"))
                .remedy(format_args!("give the private key of {wanted}"))
        }
    }
}
