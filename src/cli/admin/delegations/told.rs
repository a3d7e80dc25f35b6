//! What a change of delegations does, in words.

use serde_json::Value;

use crate::cli::{admin::shown::plain, failure::Failure, output::Output};

/// Tells what a server's dry run says.
///
/// # Errors
/// When nothing of it can be done.
pub(in crate::cli::admin) fn preview(output: Output, told: &Value) -> Result<(), Failure> {
    let list = |name: &str| told[name].as_array().map_or(&[][..], Vec::as_slice);
    if let Some(problem) = list("problems").first().and_then(Value::as_str) {
        return Err(Failure::new(format_args!("the server would refuse it: {}", plain(problem))));
    }
    if list("changes").is_empty()
        && let Some(failed) = list("failed").first()
    {
        return Err(Failure::new(format_args!("the server would refuse it: {}", failed_line(failed))));
    }
    output.say("What the server would do:");
    list("changes").iter().flat_map(change_lines).for_each(|line| output.say(line));
    list("failed").iter().for_each(|failed| output.say(format_args!("  ! not {}", failed_line(failed))));
    Ok(())
}

fn change_lines(change: &Value) -> Vec<String> {
    let role = plain(change["role"].as_str().unwrap_or_default());
    match change["change"].as_str() {
        Some("deleted") => vec![format!("  - {role} ends: {}", terms(&change["before"]))],
        Some("changed") => {
            vec![format!("  ~ {role}: {}", terms(change)), format!("      was {}", terms(&change["before"]))]
        }
        _ => vec![format!("  + {role}: {}", terms(change))],
    }
}

/// `a/*, b/*; signed by people, 2 of Ada, Grace; valid for 30 days`.
fn terms(role: &Value) -> String {
    let texts = |name: &str| {
        let items = role[name].as_array().into_iter().flatten();
        let text = |item: &Value| {
            let text = item.as_str().or(item["name"].as_str()).or(item["keyid"].as_str());
            plain(text.unwrap_or_default())
        };
        items.map(text).collect::<Vec<_>>().join(", ")
    };
    let by = plain(role["signed_by"].as_str().unwrap_or_default());
    let days = role["expiration"].as_u64().map(|days| format!("; valid for {days} days")).unwrap_or_default();
    let last = if role["terminating"] == true { "" } else { "; others are asked after it" };
    format!("{}; signed by {by}, {} of {}{days}{last}", texts("paths"), role["threshold"], texts("keys"))
}

fn failed_line(failed: &Value) -> String {
    let role = plain(failed["role"].as_str().unwrap_or_default());
    // Of a name that is taken the reason is a list.
    let reason = failed["reason"].as_str().or(failed["reason"][0].as_str()).unwrap_or("the server does not say why");
    format!("{role}: {}", plain(reason))
}

/// Tells what became of a change.
///
/// # Errors
/// When a role was refused.
pub(in crate::cli::admin) fn result(output: Output, result: &Value) -> Result<(), Failure> {
    let details = &result["details"];
    let names = |name: &str| {
        let names = details[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        names.map(plain).collect::<Vec<_>>()
    };
    let (done, waiting) = (names("delegated_roles"), names("pending_roles"));
    if !done.is_empty() {
        output.say(format_args!("Done: {}", done.join(", ")));
    }
    if !waiting.is_empty() {
        output.say(format_args!("Takes effect when people have signed it: {}", waiting.join(", ")));
        output.say("Who has to sign goes on with: rstuf admin metadata sign");
    }
    let failed = details["failed_roles"].as_array().map_or(&[][..], Vec::as_slice);
    match failed {
        [] => Ok(()),
        [only] => Err(Failure::new(format_args!("the server refused {}", failed_line(only)))),
        failed => {
            let lines: Vec<_> = failed.iter().map(failed_line).collect();
            Err(Failure::new(format_args!("the server refused {} roles: {}", lines.len(), lines.join("; "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_told_in_words() {
        let terms = json!({"paths": ["a/*"], "terminating": true, "keys": [{"keyid": "k", "name": "Ada"}, {"keyid": "l"}],
            "threshold": 2, "expiration": 30, "signed_by": "people"});
        let mut change = terms.clone();
        change["role"] = json!("r");
        change["change"] = json!("changed");
        change["before"] = terms;
        let lines = change_lines(&change);
        assert_eq!(lines[0], "  ~ r: a/*; signed by people, 2 of Ada, l; valid for 30 days");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn what_is_refused_is_a_failure() {
        let told = |details: Value| result(Output::Json, &json!({ "details": details }));
        assert!(told(json!({"delegated_roles": ["r"], "failed_roles": []})).is_ok());
        let failed = json!({"role": "r", "reason": ["role already exists or name used in the past"]});
        let refused = told(json!({"delegated_roles": {}, "failed_roles": [failed]})).expect_err("refused");
        assert_eq!(refused.cause, "the server refused r: role already exists or name used in the past");
        let problem = json!({"changes": [], "failed": [], "problems": ["no"]});
        assert_eq!(preview(Output::Json, &problem).expect_err("refused").cause, "the server would refuse it: no");
    }
}
