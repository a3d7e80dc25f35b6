//! Which signatures a document waits for, in words.

use std::fmt::Display;

use serde_json::Value;

use super::review::and;
use crate::{
    cli::failure::Failure,
    tuf::{
        event::{Authority, Event, Missing, State},
        wire::Metadata,
    },
};

/// What each of these authorities lacks of a document.
///
/// # Errors
/// When it can't be read or signed.
pub(super) fn of(document: &Metadata, authorities: &[Authority]) -> Result<Vec<Missing>, Failure> {
    let wrong = |error: &dyn Display| Failure::new(format_args!("the document is wrong: {error}"));
    let version = document.header().map_err(|error| wrong(&error))?.version;
    let event = Event { document: document.clone(), version, state: State::Collecting, through: 0 };
    event.missing(authorities).map_err(|error| wrong(&error))
}

/// What a task told of missing signatures; nothing when it told nothing.
pub(super) fn told(details: &Value) -> Vec<Missing> {
    serde_json::from_value(details["missing"].clone()).unwrap_or_default()
}

/// `root v1 needs 1 more signature, of Grace or Linus`: a sentence an authority.
pub(super) fn sentences(missing: &[Missing]) -> Vec<String> {
    missing.iter().map(sentence).collect()
}

fn sentence(Missing { authority, signatures, of }: &Missing) -> String {
    // A server wrote these.
    let clean = |name: &String| name.chars().filter(|c| !c.is_control()).collect::<String>();
    let (of, authority) = (of.iter().map(clean).collect::<Vec<_>>(), clean(authority));
    let names: Vec<_> = of.iter().map(String::as_str).collect();
    let signatures = *signatures as usize;
    let plural = if signatures == 1 { "signature" } else { "signatures" };
    let who = match names.as_slice() {
        all if all.len() == signatures => and(all),
        [] => "keys that nobody has".to_owned(),
        [first @ .., last] if signatures == 1 => format!("{} or {last}", first.join(", ")),
        several => format!("any {signatures} of {}", and(several)),
    };
    format!("{authority} needs {signatures} more {plural}, of {who}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_who_is_missing() {
        let sentence = |signatures, of: &[&str]| {
            let of = of.iter().map(|name| (*name).to_owned()).collect();
            super::sentence(&Missing { authority: "root v1".to_owned(), signatures, of })
        };
        assert_eq!(sentence(1, &["A\u{1b}da"]), "root v1 needs 1 more signature, of Ada");
        assert_eq!(sentence(1, &["Ada", "Grace", "Linus"]), "root v1 needs 1 more signature, of Ada, Grace or Linus");
        assert_eq!(
            sentence(2, &["Ada", "Grace", "Linus"]),
            "root v1 needs 2 more signatures, of any 2 of Ada, Grace and Linus"
        );
        assert_eq!(sentence(2, &["Ada", "Grace"]), "root v1 needs 2 more signatures, of Ada and Grace");
    }
}
