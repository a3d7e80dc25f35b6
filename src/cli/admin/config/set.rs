//! `rstuf admin config set`.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::{PATH, Settings};
use crate::cli::{
    admin::{
        numbers::{ask_days, days},
        preview::preview,
        review::table,
    },
    command::Context,
    failure::Failure,
    interview::{Interview, Stop},
    server::ServerArgs,
};

/// The options.
#[derive(Debug, Args)]
#[command(
    long_about = "\
Change for how many days roles are valid.

Roles are named with their days; without any, each role is asked for. What is published already keeps its expiry: the new one counts from the next \
signature on, at once with `rstuf admin metadata bump`. The expiry of root is part of root: rstuf admin metadata update.",
    after_help = "\
Examples:
  rstuf admin --api-server http://127.0.0.1:8080 config set timestamp=2 bins=7
  rstuf admin --api-server http://127.0.0.1:8080 config set timestamp=2 --yes     without a question
  rstuf admin --api-server http://127.0.0.1:8080 config set --dry-run targets=30  only tell what would change

Next: rstuf admin config show"
)]
pub(super) struct SetArgs {
    /// A role and its days, such as timestamp=2; bins stands for all hash bins
    #[arg(value_name = "ROLE=DAYS", value_parser = expiration)]
    expirations: Vec<(String, u32)>,
    /// Change it without asking
    #[arg(short, long)]
    yes: bool,
    /// Change nothing
    #[arg(long)]
    dry_run: bool,
    /// How long to wait for the server, in seconds
    #[arg(short, long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

fn expiration(text: &str) -> Result<(String, u32), String> {
    let (role, number) = text.split_once('=').ok_or("must be ROLE=DAYS, such as timestamp=2")?;
    Ok((role.to_owned(), days(number)?))
}

impl SetArgs {
    pub(super) async fn run(self, server: ServerArgs, context: Context) -> Result<(), Failure> {
        let Context { profile, output, mut interview } = context;
        let api = server.connect(&profile)?;
        let now = Settings::of(&api.get(PATH).await?).expirations();
        let asked = match self.expirations.is_empty() {
            true => interview.hold(async |interview| ask(interview, &now)).await?,
            false => self.expirations.iter().cloned().collect(),
        };
        let changes = changes(&now, asked)?;
        if changes.is_empty() {
            interview.finish()?;
            output.say("Nothing changes.");
            output.result(&json!({"state": "unchanged", "changes": []}));
            return Ok(());
        }
        let body = json!({"settings": {"expiration":
            changes.iter().map(|(role, (_, to))| (role.clone(), json!(to))).collect::<serde_json::Map<_, _>>()}});
        if let Some(told) = preview(&api, Method::PUT, PATH, &body).await? {
            told.possible()?;
        }
        let told: Vec<_> =
            changes.iter().map(|(role, (from, to))| json!({"role": role, "from": from, "to": to})).collect();
        for line in table(&["Role", "Days now", "Days next"], rows(&changes)) {
            output.say(line);
        }
        if self.dry_run {
            interview.finish()?;
            output.say("Dry run: nothing was changed.");
            output.result(&json!({"state": "not sent", "changes": told, "payload": body}));
            return Ok(());
        }
        if !self.yes && !interview.hold(async |interview| interview.confirm("confirm", "Change it?", true)).await? {
            return Err(Failure::new("not confirmed, nothing was changed"));
        }
        interview.finish()?;
        let task_id = api.put(PATH, &body).await?;
        let limit = Duration::from_secs(self.timeout);
        let result = api.finish(&task_id, limit, |_| {}).await?;
        let invalid = names(&result["details"]["invalid_roles"]);
        if !invalid.is_empty() {
            return Err(Failure::new(format_args!("these roles have no expiration to change: {}", invalid.join(", "))));
        }
        output.say("Changed. It counts from the next signatures on; at once with `rstuf admin metadata bump`.");
        output.result(&json!({"state": "changed", "task_id": task_id, "changes": told}));
        Ok(())
    }
}

/// Asks for the days of each role but root.
fn ask(interview: &mut Interview, now: &BTreeMap<String, u32>) -> Result<BTreeMap<String, u32>, Stop> {
    let mut asked = BTreeMap::new();
    for (role, days) in now.iter().filter(|(role, _)| *role != "root") {
        let message = format!("Days for which {role} is valid:");
        asked.insert(role.clone(), ask_days(interview, &format!("expiration.{role}"), &message, *days)?);
    }
    Ok(asked)
}

/// What changes, from and to. Roles that can't be changed are refused.
fn changes(now: &BTreeMap<String, u32>, asked: BTreeMap<String, u32>) -> Result<BTreeMap<String, (u32, u32)>, Failure> {
    let mut changes = BTreeMap::new();
    for (role, to) in asked {
        if role == "root" {
            return Err(Failure::new("the expiry of root is signed by people")
                .remedy("make the next root: rstuf admin metadata update"));
        }
        let Some(from) = now.get(&role).copied() else {
            let known: Vec<_> = now.keys().filter(|known| *known != "root").map(String::as_str).collect();
            return Err(Failure::new(format_args!("this repository has no role {role}"))
                .remedy(format_args!("its roles are {}", known.join(", "))));
        };
        if from != to {
            changes.insert(role, (from, to));
        }
    }
    Ok(changes)
}

fn rows(changes: &BTreeMap<String, (u32, u32)>) -> Vec<Vec<String>> {
    changes.iter().map(|(role, (from, to))| vec![role.clone(), from.to_string(), to.to_string()]).collect()
}

fn names(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_changed() {
        let now: BTreeMap<_, _> = [("root", 365), ("timestamp", 1), ("bins", 1)].map(|(r, d)| (r.to_owned(), d)).into();
        let asked = |asked: &[(&str, u32)]| changes(&now, asked.iter().map(|(r, d)| ((*r).to_owned(), *d)).collect());
        assert_eq!(
            asked(&[("timestamp", 2), ("bins", 1)]).expect("possible"),
            [("timestamp".to_owned(), (1, 2))].into()
        );
        assert_eq!(asked(&[("root", 1)]).expect_err("refused").cause, "the expiry of root is signed by people");
        let unknown = asked(&[("bin", 1)]).expect_err("refused");
        assert_eq!(unknown.remedy.as_deref(), Some("its roles are bins, timestamp"));
    }

    #[test]
    fn an_expiration_is_a_role_and_its_days() {
        assert_eq!(expiration("timestamp=2"), Ok(("timestamp".to_owned(), 2)));
        assert!(expiration("timestamp").is_err() && expiration("timestamp=0").is_err());
    }
}
