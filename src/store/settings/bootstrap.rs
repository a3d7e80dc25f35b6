//! The two settings of a bootstrap that waits for a worker: its lock, and until when it may wait.
//!
//! API and worker agree through them who has a bootstrap, with swaps of single fields, and any of them may end between any two.

use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

use crate::task::TaskId;

/// The name of the setting that has the [`Deadline`].
pub const BOOTSTRAP_DEADLINE: &str = "BOOTSTRAP_DEADLINE";

/// Who has the lock, read from the setting [`BOOTSTRAP`](super::BOOTSTRAP). Transitions, each a swap of the setting:
///
/// | from | to | by | when |
/// |---|---|---|---|
/// | null | `pre-<id>` | API | it accepted the bootstrap; or a worker, to which one was delivered that lost it |
/// | `pre-<id>` | `signing-<id>` | worker | it recorded that the root waits for signatures |
/// | `pre-<id>`, `signing-<id>` | null | worker | it was refused, or stopped |
/// | `pre-<id>` | null | API | it was revoked |
///
/// `<id>` is written with all settings of the repository; so is `signing-<id>` again after everything was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Nobody: a bootstrap may be asked for.
    Nobody,
    /// `pre-<id>`: this task waits for a worker, or a worker is at it.
    Waiting(TaskId),
    /// `signing-<id>` or `<id>`: a worker did the bootstrap of this task.
    Taken(TaskId),
}

impl Holder {
    /// Reads the setting.
    pub fn read(lock: &Value) -> Self {
        let Some(text) = lock.as_str() else { return Self::Nobody };
        let (state, id) = text.split_once('-').map_or((None, text), |(state, id)| (Some(state), id));
        if id.is_empty() || id.contains('-') {
            return Self::Nobody;
        }
        match state {
            None => Self::Taken(TaskId::from_text(id)),
            Some("pre") => Self::Waiting(TaskId::from_text(id)),
            Some("signing") => Self::Taken(TaskId::from_text(id)),
            Some(_) => Self::Nobody,
        }
    }

    /// The task of which the first root waits for signatures, `None` when none does.
    pub fn founding(lock: &Value) -> Option<TaskId> {
        match (Self::read(lock), lock.as_str()?.strip_prefix("signing-")) {
            (Self::Taken(task), Some(_)) => Some(task),
            _ => None,
        }
    }

    /// The setting while the first root waits for signatures.
    pub fn founded_by(task: &TaskId) -> Value {
        format!("signing-{task}").into()
    }

    /// The setting while a task waits for a worker.
    pub fn waiting(task: &TaskId) -> Value {
        format!("pre-{task}").into()
    }
}

/// Until when a bootstrap may wait. Transitions, each a swap of the setting:
///
/// | from | to | by | when |
/// |---|---|---|---|
/// | none, or another's | waiting | API | it took the lock and is about to publish; or it saw a lock of which it knows nothing |
/// | waiting | claimed | worker | it was delivered: from here on it is not revoked |
/// | waiting | revoked | API | the time is over, or the queue did not take it |
/// | none, or another's | claimed | worker | it was delivered, and the lock waits for it |
/// | none, or another's | revoked | API | the queue did not take it |
/// | revoked | none | API | the task is told to be revoked, and then its lock is free |
/// | waiting, claimed | none | API | the lock has moved on |
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deadline {
    /// null: none is known. What can't be read is none too.
    None,
    /// `<id> <unix seconds>`: the task may wait until then.
    Waiting(TaskId, Timestamp),
    /// `claimed <id>`: a worker has it.
    Claimed(TaskId),
    /// `revoked <id>`: no worker may take it any more. Its lock is being released.
    Revoked(TaskId),
}

/// What an API has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Duty {
    /// Nothing.
    Rest,
    /// Nothing while it waits; unless the worker of another program ended it and left the lock.
    Await(TaskId),
    /// Give this task a deadline.
    Give(TaskId),
    /// Revoke this task.
    Revoke(TaskId),
    /// Tell that this task is revoked, and release its lock.
    Release(TaskId),
    /// Set the deadline to none: it is that of a bootstrap that came to its end.
    Clear,
}

/// What a worker has to do with a bootstrap that was delivered to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Go on: it has it already.
    Held,
    /// Swap the deadline to claimed, and go on if that was done.
    Swap,
    /// Nothing is known of it. If it is neither known to be revoked nor late, take the lock again.
    Retake,
    /// It was revoked, or another bootstrap came instead.
    Revoked,
}

impl Deadline {
    /// Reads the setting.
    pub fn read(deadline: &Value) -> Self {
        let mut words = deadline.as_str().unwrap_or_default().split(' ');
        let (Some(first), Some(second), None) = (words.next(), words.next(), words.next()) else { return Self::None };
        if first.is_empty() || second.is_empty() {
            return Self::None;
        }
        match first {
            "claimed" => Self::Claimed(TaskId::from_text(second)),
            "revoked" => Self::Revoked(TaskId::from_text(second)),
            id => match second.parse().map(Timestamp::from_second) {
                Ok(Ok(until)) => Self::Waiting(TaskId::from_text(id), until),
                _ => Self::None,
            },
        }
    }

    /// The setting.
    pub fn to_value(&self) -> Value {
        match self {
            Self::None => Value::Null,
            other => other.to_string().into(),
        }
    }

    /// What an API has to do. The deadline must have been read before the lock: the lock of a task is there before its
    /// deadline, and does not come back.
    pub fn duty(&self, lock: &Holder, now: Timestamp) -> Duty {
        match (self, lock) {
            (Self::Revoked(task), Holder::Taken(holder)) if task == holder => Duty::Clear,
            (Self::Revoked(task), _) => Duty::Release(task.clone()),
            (Self::Waiting(task, until), Holder::Waiting(holder)) if task == holder => match now > *until {
                true => Duty::Revoke(task.clone()),
                false => Duty::Await(task.clone()),
            },
            (Self::Claimed(task), Holder::Waiting(holder)) if task == holder => Duty::Rest,
            (_, Holder::Waiting(holder)) => Duty::Give(holder.clone()),
            (Self::None, _) => Duty::Rest,
            (Self::Waiting(..) | Self::Claimed(_), _) => Duty::Clear,
        }
    }

    /// What a worker has to do to which the bootstrap `task` was delivered.
    pub fn claim(&self, lock: &Holder, task: &TaskId) -> Claim {
        match (self, lock) {
            (_, Holder::Taken(holder)) if holder == task => Claim::Held,
            (Self::Claimed(claimed), _) if claimed == task => Claim::Held,
            (Self::Revoked(revoked), _) if revoked == task => Claim::Revoked,
            (_, Holder::Waiting(holder)) if holder == task => Claim::Swap,
            (_, Holder::Nobody) => Claim::Retake,
            (_, Holder::Waiting(_) | Holder::Taken(_)) => Claim::Revoked,
        }
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            // Rounded up: nobody waits shorter than was promised.
            Self::Waiting(task, until) => {
                let seconds = until.as_second() + i64::from(until.subsec_nanosecond() > 0);
                write!(f, "{task} {seconds}")
            }
            Self::Claimed(task) => write!(f, "claimed {task}"),
            Self::Revoked(task) => write!(f, "revoked {task}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(id: &str) -> TaskId {
        TaskId::from_text(id)
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn every_lock_is_read() {
        for (lock, holder) in [
            (json!("pre-a"), Holder::Waiting(task("a"))),
            (json!("signing-a"), Holder::Taken(task("a"))),
            (json!("a"), Holder::Taken(task("a"))),
        ] {
            assert_eq!(Holder::read(&lock), holder);
        }
        for free in [Value::Null, json!(""), json!("other-a"), json!("pre-"), json!("pre-a-b"), json!(5)] {
            assert_eq!(Holder::read(&free), Holder::Nobody, "{free}");
        }
        assert_eq!(Holder::read(&Holder::waiting(&task("a"))), Holder::Waiting(task("a")));
    }

    #[test]
    fn every_deadline_is_read_as_it_was_written() {
        for (deadline, text) in [
            (Deadline::None, Value::Null),
            (Deadline::Waiting(task("a"), second(60)), json!("a 60")),
            (Deadline::Claimed(task("a")), json!("claimed a")),
            (Deadline::Revoked(task("a")), json!("revoked a")),
        ] {
            assert_eq!(deadline.to_value(), text);
            assert_eq!(Deadline::read(&text), deadline);
        }
        for unreadable in ["", " ", "a", "a ", " 60", "a b", "a 60 b", "a 99999999999999999"] {
            assert_eq!(Deadline::read(&json!(unreadable)), Deadline::None, "{unreadable:?}");
        }
        let half = Timestamp::from_millisecond(59_001).expect("a time");
        assert_eq!(Deadline::Waiting(task("a"), half).to_value(), json!("a 60"));
    }

    fn locks() -> [Holder; 5] {
        let (waiting, taken) = (|id| Holder::Waiting(task(id)), |id| Holder::Taken(task(id)));
        [Holder::Nobody, waiting("a"), waiting("b"), taken("a"), taken("b")]
    }

    #[test]
    fn an_api_has_a_duty_in_every_state() {
        use Duty::{Await, Clear, Rest};
        let [give_a, give_b] = ["a", "b"].map(|id| Duty::Give(task(id)));
        let (revoke, release) = (Duty::Revoke(task("a")), Duty::Release(task("a")));
        let waiting = |until| Deadline::Waiting(task("a"), second(until));
        // In the order of the locks: free, pre-a, pre-b, a, b.
        let table = [
            (Deadline::None, [&Rest, &give_a, &give_b, &Rest, &Rest]),
            (waiting(10), [&Clear, &Await(task("a")), &give_b, &Clear, &Clear]),
            (waiting(9), [&Clear, &revoke, &give_b, &Clear, &Clear]),
            (Deadline::Claimed(task("a")), [&Clear, &Rest, &give_b, &Clear, &Clear]),
            (Deadline::Revoked(task("a")), [&release, &release, &release, &Clear, &release]),
        ];
        for (deadline, duties) in table {
            for (lock, duty) in locks().iter().zip(duties) {
                assert_eq!(deadline.duty(lock, second(10)), *duty, "{deadline:?} {lock:?}");
            }
        }
    }

    #[test]
    fn a_worker_knows_in_every_state_whether_a_bootstrap_is_its_own() {
        use Claim::{Held, Retake, Revoked, Swap};
        // In the order of the locks: free, pre-a, pre-b, a, b.
        let of_a = [
            (Deadline::None, [Retake, Swap, Revoked, Held, Revoked]),
            (Deadline::Waiting(task("a"), second(0)), [Retake, Swap, Revoked, Held, Revoked]),
            (Deadline::Waiting(task("b"), second(0)), [Retake, Swap, Revoked, Held, Revoked]),
            (Deadline::Claimed(task("a")), [Held, Held, Held, Held, Held]),
            (Deadline::Claimed(task("b")), [Retake, Swap, Revoked, Held, Revoked]),
            (Deadline::Revoked(task("a")), [Revoked, Revoked, Revoked, Held, Revoked]),
            (Deadline::Revoked(task("b")), [Retake, Swap, Revoked, Held, Revoked]),
        ];
        for (deadline, claims) in of_a {
            for (lock, claim) in locks().iter().zip(claims) {
                assert_eq!(deadline.claim(lock, &task("a")), claim, "{deadline:?} {lock:?}");
            }
        }
    }
}
