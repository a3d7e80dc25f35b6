//! Tasks that wait until clients see what people have signed, as values: which those are, and what is told when it is withdrawn. Shared
//! by all backends.

use std::collections::BTreeMap;

use super::charter::{Charter, Decided, End};
use crate::{
    task::TaskId,
    tuf::{
        event::State,
        name::{RoleName, Version},
    },
};

/// What is fully signed and was not published yet, with its version.
fn on_its_way(charter: &Charter) -> BTreeMap<&RoleName, Version> {
    let complete = charter.events.iter().filter(|(_, event)| event.state == State::Complete);
    complete.map(|(role, event)| (role, event.version)).collect()
}

/// Notes in `after` who waits for what is on its way: those who waited before, and the task that `asked` for what is new.
pub(super) fn note(before: &Charter, after: &mut Charter, asked: Option<&Decided>) {
    let (was, is) = (on_its_way(before), on_its_way(after));
    let root = RoleName::root();
    let of_root = |charter: &Charter| charter.next_root.as_ref().map(|next| next.version);
    let stays = |role: &RoleName| match *role == root {
        true => of_root(before) == of_root(after) && of_root(after).is_some(),
        false => is.get(role).is_some_and(|version| was.get(role) == Some(version)),
    };
    let mut awaited: BTreeMap<RoleName, TaskId> = before.awaited.clone();
    awaited.retain(|role, _| stays(role));
    if let Some(Decided { task, end: End::Visible | End::Root(_), .. }) = asked {
        let next = after.next_root.as_ref().map(|_| &root);
        let new = is.keys().copied().chain(next).filter(|role| !stays(role));
        awaited.extend(new.map(|role| (role.clone(), task.clone())));
    }
    after.awaited = awaited;
}

/// The tasks that wait in vain after an amendment, each with the sentence that says why. `asked` is the task of the amendment, `cause` what the service
/// itself found out.
pub(super) fn in_vain(
    before: &Charter,
    after: &Charter,
    asked: Option<&TaskId>,
    cause: Option<&str>,
) -> Vec<(TaskId, String)> {
    let gone = before.awaited.iter().filter(|(role, task)| after.awaited.get(*role) != Some(*task));
    let told = |(role, task): (&RoleName, &TaskId)| {
        let why = if after.roles.get(role).is_some_and(|custom| custom.retired) {
            deleted(role, asked)
        } else {
            let next = before.next_root.as_ref().filter(|_| *role == RoleName::root());
            let version = next.map(|next| next.version).or_else(|| before.events.get(role).map(|event| event.version));
            let what = version.map_or_else(|| role.to_string(), |version| format!("{role} v{version}"));
            let who = asked.map(|task| format!(" by the task {task}")).unwrap_or_default();
            let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("{what} was withdrawn{who} before clients saw it{cause}")
        };
        (task.clone(), why)
    };
    gone.map(told).collect()
}

/// Why artifacts that wait for `role` are not published.
pub(super) fn deleted(role: &RoleName, asked: Option<&TaskId>) -> String {
    let who = asked.map(|task| format!(" by the task {task}")).unwrap_or_default();
    format!("{role} was deleted{who} before clients saw it")
}

/// The same for artifacts of it that no other role lists.
pub(super) fn without_place(role: &RoleName, asked: Option<&TaskId>) -> String {
    format!("{}, and no other role lists what was asked of it", deleted(role, asked))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::{
        store::ledger::charter::{CustomRole, NextRoot, RootStage, Signing},
        task::{Outcome, Rotation},
        tuf::{
            event::Event,
            sample::{role, version},
            wire::Metadata,
        },
    };

    fn asks(id: &str, end: End) -> Decided {
        let outcome = Outcome::refused("sign_metadata", "", Timestamp::UNIX_EPOCH);
        Decided { task: TaskId::from_text(id), accepted_at: Timestamp::UNIX_EPOCH, outcome, end }
    }

    fn event(number: u64, state: State) -> Event {
        Event { document: Metadata::unsigned(json!({})), version: version(number), state, through: 0 }
    }

    fn next(number: u64) -> NextRoot {
        let root = Metadata::unsigned(json!({}));
        NextRoot { root, version: version(number), rotation: Rotation::Seamless, stage: RootStage::Ready }
    }

    /// `docs` and a root are on their way, each awaited by a task.
    fn awaited() -> Charter {
        let mut first = Charter::default();
        first.events.insert(role("docs"), event(3, State::Complete));
        note(&Charter::default(), &mut first, Some(&asks("sign", End::Visible)));
        let mut second = Charter { next_root: Some(next(2)), ..first.clone() };
        note(&first, &mut second, Some(&asks("update", End::Root(version(2)))));
        let names: Vec<_> = second.awaited.iter().map(|(role, task)| (role.as_str(), task.as_str())).collect();
        assert_eq!(names, [("docs", "sign"), ("root", "update")]);
        assert_eq!(in_vain(&first, &second, None, None), []);
        second
    }

    fn told(before: &Charter, mut after: Charter, asked: Option<&str>, cause: Option<&str>) -> Vec<(String, String)> {
        let asked = asked.map(TaskId::from_text);
        note(before, &mut after, None);
        let all = in_vain(before, &after, asked.as_ref(), cause);
        all.into_iter().map(|(task, why)| (task.to_string(), why)).collect()
    }

    #[test]
    fn what_only_collects_nobody_waits_for() {
        let mut charter = Charter::default();
        charter.events.insert(role("docs"), event(3, State::Collecting));
        note(&Charter::default(), &mut charter, Some(&asks("draft", End::Visible)));
        assert!(charter.awaited.is_empty());
        charter.events.insert(role("docs"), event(3, State::Complete));
        note(&Charter::default(), &mut charter, Some(&asks("over", End::Now)));
        assert!(charter.awaited.is_empty());
    }

    #[test]
    fn who_waited_for_what_is_withdrawn_is_told_by_whom() {
        let before = awaited();
        let without_root = Charter { next_root: None, ..before.clone() };
        let cause = Some("its time is over");
        let expected = "root v2 was withdrawn before clients saw it: its time is over";
        assert_eq!(told(&before, without_root, None, cause), [("update".to_owned(), expected.to_owned())]);
        let mut replaced = before.clone();
        replaced.events.insert(role("docs"), event(4, State::Collecting));
        let expected = "docs v3 was withdrawn by the task other before clients saw it";
        assert_eq!(told(&before, replaced, Some("other"), None), [("sign".to_owned(), expected.to_owned())]);
        let mut deleted = before.clone();
        deleted.events.clear();
        deleted.roles.insert(role("docs"), CustomRole { signing: Signing::Offline, retired: true, announced: None });
        let expected = "docs was deleted by the task other before clients saw it";
        assert_eq!(told(&before, deleted, Some("other"), None), [("sign".to_owned(), expected.to_owned())]);
        assert_eq!(told(&before, before.clone(), Some("other"), None), []);
    }
}
