//! Changes in words, as whoever signs reads them.

use jiff::Timestamp;
use serde_json::Value;

use super::{Change, KeyTold, Step};
use crate::{
    cli::admin::{
        review::grouped,
        shown::{count, plain},
    },
    tuf::{
        event::name_of,
        name::KeyId,
        root::{RoleKeys, Root},
        wire::{RoleType, format_expires, parse_expires},
    },
};

/// How many of a long list are shown, unless all are wanted.
const SHOWN: usize = 20;
/// The longest value that is shown whole, in bytes.
const LONGEST_VALUE: usize = 200;

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Of each list its beginning.
    Bounded,
    /// Everything.
    Full,
}

/// The changes in lines, those that matter most first.
pub fn lines(changes: &[Change], now: Timestamp, length: Length) -> Vec<String> {
    let mut lines = keys(changes);
    for change in changes {
        match change {
            Change::Threshold { role, from, to } => lines.push(threshold(role, *from, *to)),
            Change::Member { name, from, to } => lines.push(member(name, [from, to], now, length)),
            Change::Delegation { role, from, to } => lines.extend(delegation(role, [from, to], length)),
            Change::Described { key, from, to } => {
                let other = [from, to].map(|key| Some(key.clone()));
                lines.push(member(&format!("key {}", plain(&key.name)), [&other[0], &other[1]], now, length));
            }
            Change::Key { .. } | Change::Artifact { .. } => {}
        }
    }
    lines.extend(artifacts(changes, length));
    lines
}

/// Keys that come and go, each once with all of its roles.
fn keys(changes: &[Change]) -> Vec<String> {
    let mut told: Vec<(&KeyTold, Step, Vec<&str>)> = Vec::new();
    for change in changes {
        let Change::Key { role, key, step } = change else { continue };
        match told.iter_mut().find(|(other, other_step, _)| *other == key && other_step == step) {
            Some((_, _, roles)) => roles.push(role),
            None => told.push((key, *step, vec![role])),
        }
    }
    let line = |(key, step, roles): (&KeyTold, Step, Vec<&str>)| {
        let (sign, verb) = match (step == Step::Added, roles.len()) {
            (true, 1) => ('+', "gets"),
            (true, _) => ('+', "get"),
            (false, 1) => ('-', "loses"),
            (false, _) => ('-', "lose"),
        };
        let uri = key.uri.as_ref().map(|uri| format!(", an online key: {}", plain(uri))).unwrap_or_default();
        let roles = plain(&roles.join(", "));
        [
            format!("  {sign} {roles} {verb} the key of {}{uri}", plain(&key.name)),
            format!("      {}", plain(key.keyid.as_str())),
        ]
    };
    told.into_iter().flat_map(line).collect()
}

fn threshold(role: &str, from: Option<u64>, to: Option<u64>) -> String {
    let role = plain(role);
    match (from, to) {
        (Some(from), Some(to)) => format!("  ~ {role}: {to} must sign (was {from})"),
        (None, Some(to)) => format!("  + {role}: {to} must sign"),
        (_, None) => format!("  - {role}: nobody signs it any more"),
    }
}

fn member(name: &str, values: [&Option<Value>; 2], now: Timestamp, length: Length) -> String {
    let [from, to] = values.map(|value| value.as_ref().map(|value| short(value, length)));
    let expires = values[1].as_ref().filter(|_| name == "expires").and_then(Value::as_str);
    let left = expires.and_then(|text| parse_expires(text).ok()).map(|expires| format!(", {}", left(expires, now)));
    let (name, left) = (plain(name), left.unwrap_or_default());
    match (from, to) {
        (Some(from), Some(to)) => format!("  ~ {name}: {to}{left} (was {from})"),
        (None, Some(to)) => format!("  + {name}: {to}{left}"),
        (Some(from), None) => format!("  - {name}, which was {from}"),
        (None, None) => format!("  ~ {name}"),
    }
}

/// `in 365 days`.
pub(in crate::cli::admin) fn left(expires: Timestamp, now: Timestamp) -> String {
    let hours = expires.duration_since(now).as_hours();
    match hours {
        ..0 => "in the past".to_owned(),
        0..48 => format!("in {hours} hours"),
        _ => format!("in {} days", grouped(hours.unsigned_abs() / 24)),
    }
}

fn short(value: &Value, length: Length) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if length == Length::Full || text.len() <= LONGEST_VALUE {
        return plain(&text);
    }
    let begin: String = text.chars().take(LONGEST_VALUE).collect();
    format!("{}… ({} bytes, --full shows all)", plain(&begin), grouped(text.len() as u64))
}

fn delegation(role: &str, [from, to]: [&Option<Value>; 2], length: Length) -> Vec<String> {
    let role = plain(role);
    let mut lines = match (from, to) {
        (Some(_), None) => return vec![format!("  - delegates to {role} no more")],
        (None, _) => vec![format!("  + delegates to {role}")],
        (Some(_), Some(_)) => vec![format!("  ~ delegates to {role} otherwise")],
    };
    let Some(to) = to else { return lines };
    for name in super::names(from.as_ref().unwrap_or(&Value::Null), to) {
        let [old, new] = [from.as_ref().unwrap_or(&Value::Null), to].map(|terms| terms.get(name));
        if old != new {
            let [old, new] = [old, new].map(|value| value.map_or("nothing".to_owned(), |value| short(value, length)));
            let was = if from.is_some() { format!(" (was {old})") } else { String::new() };
            lines.push(format!("      {}: {new}{was}", plain(name)));
        }
    }
    lines
}

fn artifacts(changes: &[Change], length: Length) -> Vec<String> {
    let mut lines = Vec::new();
    // Whether it was there, and whether it is there now.
    let groups = [("added", '+', (false, true)), ("changed", '~', (true, true)), ("removed", '-', (true, false))];
    for (verb, sign, presence) in groups {
        let of_group = changes.iter().filter_map(|change| match change {
            Change::Artifact { path, from, to } if (from.is_some(), to.is_some()) == presence => Some((path, from, to)),
            _ => None,
        });
        let group: Vec<_> = of_group.collect();
        if group.is_empty() {
            continue;
        }
        lines.push(format!("  {sign} {} {verb}:", count(group.len() as u64, "artifact")));
        let shown = if length == Length::Full { group.len() } else { SHOWN.min(group.len()) };
        for (path, from, to) in &group[..shown] {
            lines.extend(artifact(path, from.as_ref(), to.as_ref(), length));
        }
        if shown < group.len() {
            lines.push(more(group.len() - shown));
        }
    }
    lines
}

/// The beginning of a list, a line each.
pub fn bounded(list: &[String], length: Length) -> Vec<String> {
    let shown = if length == Length::Full { list.len() } else { SHOWN.min(list.len()) };
    let mut lines: Vec<_> = list[..shown].iter().map(|item| format!("      {}", plain(item))).collect();
    if shown < list.len() {
        lines.push(more(list.len() - shown));
    }
    lines
}

fn more(number: usize) -> String {
    format!("      and {} more (--full shows all)", grouped(number as u64))
}

fn artifact(path: &str, from: Option<&Value>, to: Option<&Value>, length: Length) -> Vec<String> {
    let path = plain(path);
    let Some(to) = to else { return vec![format!("      {path}")] };
    let bytes = |info: &Value| info["length"].as_u64().map_or("?".to_owned(), grouped);
    let was = from.map(bytes).filter(|was| *was != bytes(to)).map(|was| format!(" (was {was})")).unwrap_or_default();
    let mut lines = vec![format!("      {path}, {} bytes{was}", bytes(to))];
    for (algorithm, digest) in to["hashes"].as_object().into_iter().flatten() {
        lines.push(format!("    {} {}", plain(algorithm), short(digest, Length::Full)));
        if let Some(was) = from.map(|from| &from["hashes"][algorithm]).filter(|was| *was != digest) {
            lines.push(format!("    was    {}", short(was, Length::Full)));
        }
    }
    for (name, value) in to.as_object().into_iter().flatten() {
        let is_new = from.is_none_or(|from| from.get(name) != Some(value));
        if is_new && name != "length" && name != "hashes" {
            lines.push(format!("        {}: {}", plain(name), short(value, length)));
        }
    }
    lines
}

/// Who signs what, in lines.
pub fn root_lines(root: &Root) -> Vec<String> {
    let order = [RoleType::Root, RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp];
    let line = |role: RoleType| {
        let RoleKeys { keyids, threshold } = root.role(role);
        let name = |id: &KeyId| root.keys.get(id).map_or_else(|| plain(id.as_str()), |key| plain(&name_of(id, key)));
        let names: Vec<_> = keyids.iter().map(name).collect();
        format!("  {:10} {threshold} of {}", role.as_str(), names.join(", "))
    };
    let mut lines: Vec<_> = order.into_iter().map(line).collect();
    lines.push(format!("  all until  {}", format_expires(root.expires)));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        cli::admin::diff::between,
        tuf::sample::{Signer, at, path, root, version},
        tuf::targets,
    };

    fn named(mut root: Value, signer: &Signer, name: &str) -> Value {
        root["keys"][signer.id().as_str()]["x-rstuf-key-name"] = json!(name);
        root
    }

    #[test]
    fn a_key_is_told_once_with_its_roles() {
        let (a, b, old, new) = (Signer::new(), Signer::new(), Signer::new(), Signer::new());
        let before = named(root(1, &[&a, &b], 2, &old), &old, "first");
        let after = named(root(2, &[&a, &b], 1, &new), &new, "sec\u{1b}ond");
        let lines = lines(&between(Some(&before), &after), at(0), Length::Bounded);
        let expected = [
            "  + snapshot, targets, timestamp get the key of sec\\u{1b}ond".to_owned(),
            format!("      {}", new.id()),
            "  - snapshot, targets, timestamp lose the key of first".to_owned(),
            format!("      {}", old.id()),
            "  ~ root: 1 must sign (was 2)".to_owned(),
        ];
        assert!(expected.iter().all(|line| lines.contains(line)), "{lines:#?}");
        assert_eq!(lines.len(), expected.len());
    }

    #[test]
    fn long_lists_have_an_end() {
        let info = json!({"length": 1500, "hashes": {"sha256": "00ff"}});
        let many: Vec<_> = (0..1254).map(|n| (path(&format!("a/{n:04}")), info.clone())).collect();
        let after = targets::render(version(1), at(48), &many, None);
        let before = targets::render(version(1), at(24), &[], None);
        let changes = between(Some(&before), &after);
        let bounded = lines(&changes, at(0), Length::Bounded);
        let begin = [
            "  ~ expires: 2026-11-24T00:00:00Z, in 2 days (was 2026-11-23T00:00:00Z)",
            "  + 1,254 artifacts added:",
            "      a/0000, 1,500 bytes",
            "    sha256 00ff",
        ];
        assert_eq!(bounded[..4], begin);
        assert_eq!(bounded[2 + 2 * SHOWN..], ["      and 1,234 more (--full shows all)"]);
        assert_eq!(lines(&changes, at(0), Length::Full).len(), 2 + 2 * 1254);
    }

    #[test]
    fn what_changed_of_an_artifact_is_told() {
        let info = |length: u64, digest: &str| json!({"length": length, "hashes": {"sha256": digest}});
        let of = |info: Value| targets::render(version(1), at(48), &[(path("a"), info)], None);
        let changes = between(Some(&of(info(1, "00"))), &of(info(2, "ff")));
        let expected = ["  ~ 1 artifact changed:", "      a, 2 bytes (was 1)", "    sha256 ff", "    was    00"];
        assert_eq!(lines(&changes, at(0), Length::Bounded), expected);
        let changes = between(Some(&of(info(1, "00"))), &targets::render(version(2), at(48), &[], None));
        assert_eq!(lines(&changes, at(0), Length::Bounded), ["  - 1 artifact removed:", "      a"]);
    }
}
