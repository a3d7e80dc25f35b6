//! What the next root changes, in plain words.

use super::change::{ONLINE, names_of};
use crate::{
    cli::admin::{
        keys::{name_of, short},
        review::{any_of, root_power, table},
    },
    task::Rotation,
    tuf::{root::Root, wire::format_expires},
};

/// All that changes, and what it means. Nothing is signed yet.
pub(super) fn lines(trusted: &Root, next: &Root, rotation: Rotation, warnings: &[String]) -> Vec<String> {
    let mut lines = vec![String::new(), "What will be signed. Until now nothing is.".to_owned(), String::new()];
    lines.extend(table(&["", "Now", "Next"], rows(trusted, next)));
    lines.push(String::new());
    let people = names_of(next, "root");
    let people: Vec<_> = people.iter().map(String::as_str).collect();
    lines.extend(root_power(&people, next.roles["root"].threshold));
    lines.push(format!(
        "To be trusted by clients it needs signatures of {}, and of {}.",
        signers(trusted),
        signers(next)
    ));
    if ONLINE.iter().any(|role| trusted.roles[*role] != next.roles[*role]) {
        lines.push(match rotation {
            Rotation::Seamless => {
                "The old online key has to stay where it is until the new root is published, and for a while after \
                 it: both sign meanwhile, so that no client notices."
                    .to_owned()
            }
            Rotation::Immediate => {
                "The old online key never signs again. A client that reads while it changes may have to try once more."
                    .to_owned()
            }
        });
    }
    lines.extend(warnings.iter().cloned());
    lines.push(String::new());
    lines
}

/// Each line of a root, before and after; what stays the same is told once.
fn rows(trusted: &Root, next: &Root) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |what: &str, from: String, to: String| {
        let to = if from == to { "the same".to_owned() } else { to };
        rows.push(vec![what.to_owned(), from, to]);
    };
    row("version", trusted.version.to_string(), next.version.to_string());
    row("expires", format_expires(trusted.expires), format_expires(next.expires));
    row("root", signers(trusted), signers(next));
    for role in ONLINE {
        row(role, names_of(trusted, role).join(", "), names_of(next, role).join(", "));
    }
    for (change, from, to) in [("keys gone", trusted, next), ("keys new", next, trusted)] {
        let only: Vec<_> = from.keys.iter().filter(|(id, _)| !to.keys.contains_key(*id)).collect();
        let named = only.iter().map(|(id, key)| format!("{} {}", name_of(id, key), short(id)));
        let named: Vec<_> = named.collect();
        if !named.is_empty() {
            match change {
                "keys gone" => row(change, named.join("\n"), String::new()),
                _ => row(change, String::new(), named.join("\n")),
            }
        }
    }
    rows
}

fn signers(root: &Root) -> String {
    let names = names_of(root, "root");
    any_of(root.roles["root"].threshold, &names.iter().map(String::as_str).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::{super::change::Change, *};
    use crate::cli::admin::ceremony::plan_tests::{first_root, named};

    #[test]
    fn old_and_new_stand_side_by_side() {
        let first = first_root();
        let root = Root::view(&first.signed).expect("a root");
        let change = Change {
            removed: vec![root.roles["root"].keyids[0].clone()],
            added: vec![named("Joan"), named("Mary")],
            threshold: Some(3),
            online: vec![("timestamp", named("fresh"))],
            ..Change::default()
        };
        let next = Root::view(&change.apply(&first, &root).signed).expect("a root");
        let told = lines(&root, &next, Rotation::Seamless, &["Warning: x".to_owned()]).join("\n");
        for words in [
            "any 2 of Ada, Grace and Linus",
            "any 3 of Grace, Linus, Joan and Mary",
            "the same",
            "keys gone",
            "If 2 of these keys are lost",
            "needs signatures of any 2 of Ada, Grace and Linus, and of any 3 of Grace, Linus, Joan and Mary",
            "no client notices",
            "Warning: x",
        ] {
            assert!(told.contains(words), "{words:?} is not in\n{told}");
        }
    }
}
