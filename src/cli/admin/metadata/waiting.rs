//! Which of the roles that wait is meant.

use serde_json::Value;

use crate::cli::{
    admin::{
        pending::{Pending, Waiting},
        shown::plain,
    },
    failure::Failure,
    interview::{Interview, Text},
    output::Output,
};

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// What waits.
    pub(super) pending: &'a Pending,
    /// The role that was named already.
    pub(super) role: Option<&'a str>,
    /// The question.
    pub(super) message: &'a str,
}

/// Lists what waits, and asks for one of it: `role`.
///
/// # Errors
/// When nothing waits, or not what was named; when it can't be known who signs it.
pub(super) async fn choose(interview: &mut Interview, output: Output, asked: Asked<'_>) -> Result<Waiting, Failure> {
    let Asked { pending, role, message } = asked;
    tell(pending, output)?;
    let roles = pending.roles();
    let names: Vec<_> = roles.iter().map(|(name, _)| (*name).to_owned()).collect();
    let chosen = match (role, names.as_slice()) {
        (Some(role), _) => role.to_owned(),
        (None, [only]) => {
            let only = only.clone();
            let question = |interview: &mut Interview| {
                let (default, text) = (only.clone(), Text { id: "role", message, help: None, default: Some(&only) });
                interview.text(text, move |given| match given == default {
                    true => Ok(given.to_owned()),
                    false => Err(format!("only {default} waits")),
                })
            };
            interview.hold(async |interview: &mut Interview| question(interview)).await?
        }
        (None, names) => {
            let at = interview.hold(async |interview: &mut Interview| interview.pick("role", message, names)).await?;
            names[at].clone()
        }
    };
    let is_meant = |(name, waiting): &(&str, Result<Waiting, Failure>)| {
        *name == chosen || waiting.as_ref().is_ok_and(|waiting| waiting.role.as_str() == chosen)
    };
    match roles.into_iter().find(is_meant) {
        Some((_, waiting)) => waiting,
        None => Err(Failure::new(format_args!("{} does not wait for signatures", plain(&chosen)))
            .remedy(format_args!("these do: {}", names.join(", ")))),
    }
}

/// Lists what waits, for people and as a value.
///
/// # Errors
/// When nothing waits.
pub(super) fn tell(pending: &Pending, output: Output) -> Result<Vec<Value>, Failure> {
    if pending.is_empty() {
        return Err(Failure::new("No metadata available for signing").remedy("nobody has to sign anything now"));
    }
    let mut told = Vec::new();
    for (name, waiting) in pending.roles() {
        match waiting {
            Ok(waiting) => {
                waiting.lines()?.iter().for_each(|line| output.say(line));
                told.push(waiting.to_value()?);
            }
            Err(failure) => output.say(format_args!("{}: {}", plain(name), failure.cause)),
        }
    }
    Ok(told)
}
