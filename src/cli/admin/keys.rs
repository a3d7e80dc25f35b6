//! Public keys as people give them in a ceremony: where one is, and what it is called.

use std::path::Path;

use serde_json::Value;

use crate::{
    cli::{
        failure::Failure,
        interview::{Interview, Stop, Text},
        person::{PLACES, Place, Public},
    },
    store::keys::{files::FileSource, private::Scheme},
    tuf::{
        key::{Key, ONLINE_KEY_URI, key_id},
        name::KeyId,
    },
};

/// The member of a key object that says what people call the key.
pub const KEY_NAME: &str = "x-rstuf-key-name";

const MAX_NAME_CHARS: usize = 64;

/// A key that a document is to name.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedKey {
    /// Its id, over the whole object.
    pub id: KeyId,
    /// The key object, with `x-rstuf-key-name` and, for an online key, `x-rstuf-online-key-uri`.
    pub object: Value,
    /// What people call it.
    pub name: String,
}

impl NamedKey {
    /// A key object by this name; an online key with the place where the workers find its private half.
    ///
    /// # Errors
    /// When no id can be computed of it.
    pub fn new(mut object: Value, name: String, online_uri: Option<String>) -> Result<Self, Failure> {
        object[KEY_NAME] = name.clone().into();
        if let Some(uri) = online_uri {
            object[ONLINE_KEY_URI] = uri.into();
        }
        let id = key_id(&object).map_err(Failure::new)?;
        Ok(Self { id, object, name })
    }

    /// A key as a document has it.
    pub fn of(id: &KeyId, key: &Key) -> Self {
        Self { id: id.clone(), object: key.raw.clone(), name: name_of(id, key) }
    }

    /// Whether it is the same key as another, whatever it is called there.
    pub fn is_same(&self, object: &Value) -> bool {
        let identity = |object| Key::view(object).ok().and_then(|key| key.identity());
        identity(&self.object).is_some_and(|own| identity(object) == Some(own))
    }
}

/// What people call a key of a document: its name, or the beginning of its id. Fit for a terminal, whoever wrote the document.
pub fn name_of(id: &KeyId, key: &Key) -> String {
    let named = [KEY_NAME, "name"].iter().find_map(|&member| key.raw.get(member)?.as_str());
    let name: String = named.unwrap_or_default().chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
    if name.trim().is_empty() { short(id) } else { name }
}

/// The beginning of an id, enough to tell keys apart.
pub fn short(id: &KeyId) -> String {
    id.as_str().chars().filter(|c| !c.is_control()).take(8).collect()
}

/// Asks for the public key of a person: `ID.public` (a place of [`crate::cli::person::Place`]) and `ID.name`. Keys and names that are `taken` are refused.
///
/// # Errors
/// [`Stop`].
pub async fn ask_person(interview: &mut Interview, id: &str, taken: &[NamedKey]) -> Result<NamedKey, Stop> {
    let (place, public) = ask_public(interview, id, "Where is the public key?", taken).await?;
    let name = ask_name(interview, id, &place, &public, taken)?;
    Ok(NamedKey::new(public.object, name, None)?)
}

/// Asks for an online key: `ID.public`, `ID.name` and `ID.uri`, where the workers find its private half (`fn:FILE`).
///
/// # Errors
/// [`Stop`].
pub async fn ask_online(interview: &mut Interview, id: &str, taken: &[NamedKey]) -> Result<NamedKey, Stop> {
    let (place, public) = ask_public(interview, id, "Where is the public half of the online key?", taken).await?;
    let name = ask_name(interview, id, &place, &public, taken)?;
    let likely = worker_uri(&place);
    let question = Text {
        id: &format!("{id}.uri"),
        message: "Where do the workers find its private half?",
        help: Some("fn:FILE, a file in their key directory"),
        default: likely.as_deref(),
    };
    let uri = interview.text(question, check_uri)?;
    Ok(NamedKey::new(public.object, name, Some(uri))?)
}

async fn ask_public(
    interview: &mut Interview,
    id: &str,
    message: &str,
    taken: &[NamedKey],
) -> Result<(Place, Public), Stop> {
    let id = format!("{id}.public");
    let place = interview.text(Text { id: &id, message, help: Some(PLACES), default: None }, Place::find)?;
    let public = place.public().await.map_err(|failure| interview.refuse(&id, failure))?;
    match taken.iter().find(|other| other.is_same(&public.object)) {
        Some(other) => {
            let failure = Failure::new(format_args!("{place} is the key of {} already", other.name));
            Err(interview.refuse(&id, failure.remedy("give another key: each has its own")))
        }
        None => Ok((place, public)),
    }
}

fn ask_name(
    interview: &mut Interview,
    id: &str,
    place: &Place,
    public: &Public,
    taken: &[NamedKey],
) -> Result<String, Stop> {
    let taken: Vec<_> = taken.iter().map(|other| other.name.clone()).collect();
    let check = move |text: &str| check_name(text, &taken);
    let suggestion = place.suggestion(public).filter(|name| check(name).is_ok());
    let question = Text {
        id: &format!("{id}.name"),
        message: "What is it called?",
        help: Some("everybody who looks at the repository sees this name"),
        default: suggestion.as_deref(),
    };
    interview.text(question, check)
}

fn check_name(text: &str, taken: &[String]) -> Result<String, String> {
    let name = text.trim();
    match () {
        () if name.is_empty() => Err("must be a name".to_owned()),
        () if name.chars().any(char::is_control) => Err("must not have control characters".to_owned()),
        () if name.chars().count() > MAX_NAME_CHARS => Err(format!("must have at most {MAX_NAME_CHARS} characters")),
        () if taken.iter().any(|other| other == name) => Err(format!("another key is called {name} already")),
        () => Ok(name.to_owned()),
    }
}

/// Where the workers most likely have the private half of a key.
fn worker_uri(place: &Place) -> Option<String> {
    let uri = match place {
        Place::File(path) => {
            let name = path.file_name()?.to_str()?;
            format!("fn:{}", name.strip_suffix(".pub").unwrap_or(name))
        }
        // Workers have their keys in files.
        Place::Token(_) | Place::Kms(_) => return None,
    };
    check_uri(&uri).ok()
}

fn check_uri(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        // The scheme is of no matter for the name of the file.
        Some(("fn", name)) => FileSource::new(Path::new(""), name, Scheme::Ed25519)
            .map(|_| text.to_owned())
            .map_err(|error| error.to_string()),
        _ => Err("must be fn:FILE, a file in the key directory of the workers".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::keys::generate::{KeyKind, generate};

    #[test]
    fn a_key_is_the_same_whatever_it_is_called() {
        let (made, other) = (generate(KeyKind::EcdsaP256).expect("made"), generate(KeyKind::EcdsaP256).expect("made"));
        let named = NamedKey::new(made.public.clone(), "Ada".to_owned(), None).expect("named");
        let online = NamedKey::new(made.public, "a".to_owned(), Some("fn:a".to_owned())).expect("named");
        assert!(named.is_same(&online.object) && named.id != online.id);
        assert!(!named.is_same(&other.public));
        assert!(!named.is_same(&json!({})));
    }

    #[test]
    fn a_name_from_a_document_is_fit_for_a_terminal() {
        let id = KeyId("0123456789abcdef".to_owned());
        let name = |members: Value| {
            let mut object = json!({"keytype": "x", "scheme": "x", "keyval": {}});
            object.as_object_mut().expect("an object").extend(members.as_object().cloned().unwrap_or_default());
            name_of(&id, &Key::view(&object).expect("a key"))
        };
        assert_eq!(name(json!({KEY_NAME: "Ada", "name": "other"})), "Ada");
        assert_eq!(name(json!({"name": "\u{1b}[2JAda"})), "[2JAda");
        for nameless in [json!({}), json!({KEY_NAME: ""}), json!({KEY_NAME: "\n"}), json!({KEY_NAME: 1})] {
            assert_eq!(name(nameless), "01234567");
        }
    }

    #[test]
    fn names_and_places_are_checked() {
        let taken = ["Ada".to_owned()];
        assert_eq!(check_name(" Grace ", &taken), Ok("Grace".to_owned()));
        for wrong in ["", "  ", "Ada", "a\tb", &"a".repeat(65)] {
            assert!(check_name(wrong, &taken).is_err(), "{wrong:?}");
        }
        assert_eq!(check_uri("fn:online.pem"), Ok("fn:online.pem".to_owned()));
        for wrong in ["", "online.pem", "fn:", "fn:../a", "fn:a/b", "awskms:alias/online", "hv:a"] {
            assert!(check_uri(wrong).is_err(), "{wrong}");
        }
        let file = |path: &str| worker_uri(&Place::File(path.into()));
        assert_eq!(file("keys/online.pem.pub").as_deref(), Some("fn:online.pem"));
        assert_eq!(file(".pub"), None);
        assert_eq!(worker_uri(&Place::Token("pkcs11:token=a".to_owned())), None);
    }
}
