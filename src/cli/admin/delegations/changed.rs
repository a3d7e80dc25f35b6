//! What is asked of a role that changes: all that is asked of a new one, with what it is now as the answer of who says nothing.

use crate::{
    cli::{
        admin::{
            keys::{NamedKey, ask_person},
            numbers::{ask_days, ask_threshold, days},
            roles::{AskedRole, Signers, pattern},
        },
        interview::{Choice, Interview, List, Stop, Text},
    },
    tuf::name::RoleName,
};

/// How many have to sign a role that was signed online before.
const DEFAULT_THRESHOLD: u32 = 2;

/// Asks for all but the name of a role: `ID.days`, `ID.paths`, `ID.terminating`, `ID.signed_by`, and of people `ID.threshold` and `ID.keys`.
///
/// # Errors
/// [`Stop`].
pub(super) async fn ask_changes(
    interview: &mut Interview,
    id: &str,
    before: &AskedRole,
    days_before: Option<u32>,
) -> Result<AskedRole, Stop> {
    let name = &before.name;
    let message = format!("Days for which {name} is valid:");
    let days_id = format!("{id}.days");
    let days = match days_before {
        Some(before) => ask_days(interview, &days_id, &message, before)?,
        // Published metadata does not tell.
        None => interview.text(Text { id: &days_id, message: &message, help: None, default: None }, days)?,
    };
    let paths = ask_paths(interview, &format!("{id}.paths"), before).await?;
    let message = format!("Is {name} the last one to be asked for these paths?");
    let terminating = interview.confirm(&format!("{id}.terminating"), &message, before.terminating)?;
    let signers = ask_signers(interview, id, before).await?;
    Ok(AskedRole { name: name.clone(), days, paths, terminating, signers })
}

async fn ask_paths(interview: &mut Interview, id: &str, before: &AskedRole) -> Result<Vec<String>, Stop> {
    let message = format!("Another path of {}:", before.name);
    let ask = async |interview: &mut Interview, id: String, there: &[String]| {
        let there = there.to_vec();
        let help = Some("a pattern such as release/*.tar.gz; * and ? match anything but /");
        let question = Text { id: &id, message: &message, help, default: None };
        interview.text(question, move |text| pattern(text, &there))
    };
    let list = List { id, one: "path", at_least: 1 };
    interview.list_from(list, before.paths.clone(), Clone::clone, ask).await
}

async fn ask_signers(interview: &mut Interview, id: &str, before: &AskedRole) -> Result<Signers, Stop> {
    let name = &before.name;
    let (threshold, keys) = match &before.signers {
        Signers::Online => (DEFAULT_THRESHOLD, Vec::new()),
        Signers::People { keys, threshold } => (*threshold, keys.clone()),
    };
    match ask_kind(interview, &format!("{id}.signed_by"), name, &before.signers)? {
        Kind::Online => Ok(Signers::Online),
        Kind::People => {
            let message = format!("How many people must sign {name}?");
            let threshold = ask_threshold(interview, &format!("{id}.threshold"), &message, 1, threshold)?;
            let list = List { id: &format!("{id}.keys"), one: "key", at_least: threshold as usize };
            let ask = async |interview: &mut Interview, id: String, there: &[NamedKey]| {
                ask_person(interview, &id, there).await
            };
            let keys = interview.list_from(list, keys, |key: &NamedKey| key.name.clone(), ask).await?;
            Ok(Signers::People { keys, threshold })
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Online,
    People,
}

fn ask_kind(interview: &mut Interview, id: &str, name: &RoleName, before: &Signers) -> Result<Kind, Stop> {
    let online = "the repository, with its online key: changes are published at once";
    let people = "people: each change waits until they have signed it";
    let mut choices = vec![
        Choice { key: "online", label: online.to_owned(), value: Kind::Online },
        Choice { key: "people", label: people.to_owned(), value: Kind::People },
    ];
    if matches!(before, Signers::People { .. }) {
        choices.reverse();
    }
    interview.choose(id, &format!("Who signs {name}?"), choices)
}
