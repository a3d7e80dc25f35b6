//! The tasks that this worker recorded and of whose end it does not know.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use crate::task::{Progress, TaskId};

/// More than so many that were shown are not remembered: to show them again is a courtesy.
const MOST_SHOWN: usize = 50_000;
/// Another worker may have reported the end; after so long that is likely.
const LONGEST_SHOWN: Duration = Duration::from_secs(60 * 60);

/// Unfinished tasks, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    tasks: HashMap<TaskId, (Instant, Progress)>,
    /// Not shown as running yet; with those that ended meanwhile.
    hidden: VecDeque<(Instant, TaskId)>,
    /// Shown as running; with those that ended meanwhile.
    shown: VecDeque<(Instant, TaskId)>,
}

impl Unfinished {
    pub(super) fn add(&mut self, tasks: Vec<(TaskId, Progress)>) {
        let now = Instant::now();
        for (task, progress) in tasks {
            if self.tasks.insert(task.clone(), (now, progress)).is_none() {
                self.hidden.push_back((now, task));
            }
        }
    }

    /// Adds tasks that are shown already, or says more of those that are known.
    pub(super) fn show(&mut self, tasks: Vec<(TaskId, Progress)>) {
        let now = Instant::now();
        for (task, progress) in tasks {
            if self.tasks.insert(task.clone(), (now, progress)).is_none() {
                self.shown.push_back((now, task));
            }
        }
    }

    pub(super) fn remove(&mut self, tasks: &[TaskId]) {
        for task in tasks {
            self.tasks.remove(task);
        }
    }

    /// Those that have waited for `patience` and were not shown; they are, from now on.
    pub(super) fn due(&mut self, patience: Duration) -> Vec<(TaskId, Progress)> {
        let mut due = Vec::new();
        while self.hidden.front().is_some_and(|(since, _)| since.elapsed() >= patience) {
            let Some((since, task)) = self.hidden.pop_front() else { break };
            if let Some((_, progress)) = self.tasks.get(&task) {
                due.push((task.clone(), progress.clone()));
                self.shown.push_back((since, task));
            }
        }
        while let Some((since, task)) = self.shown.front() {
            let is_over = since.elapsed() > LONGEST_SHOWN || !self.tasks.contains_key(task);
            if self.shown.len() <= MOST_SHOWN && !is_over {
                break;
            }
            if let Some((_, task)) = self.shown.pop_front() {
                self.tasks.remove(&task);
            }
        }
        due
    }

    /// After which time there may be some that are due, `None` when none is hidden.
    pub(super) fn next(&self, patience: Duration) -> Option<Duration> {
        // A little later, so that what came at about the same time is shown together.
        let (since, _) = self.hidden.front()?;
        Some(patience.saturating_sub(since.elapsed()).max(patience / 10))
    }

    /// Those that were shown in the last `limit`.
    pub(super) fn shown(&self, limit: Duration) -> Vec<(TaskId, Progress)> {
        let recent = self.shown.iter().filter(|(since, _)| since.elapsed() < limit);
        recent.filter_map(|(_, task)| Some((task.clone(), self.tasks.get(task)?.1.clone()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(name: &str) -> (TaskId, Progress) {
        let progress = Progress::Running {
            roles_to_publish: Vec::new(),
            missing: [].into(),
            last_update: jiff::Timestamp::UNIX_EPOCH,
        };
        (TaskId::from_text(name), progress)
    }

    #[test]
    fn what_ended_in_time_is_never_shown() {
        let mut unfinished = Unfinished::default();
        unfinished.add(vec![running("a"), running("b")]);
        assert_eq!(unfinished.due(Duration::from_secs(60)), []);
        assert!(unfinished.next(Duration::from_secs(60)).is_some());
        unfinished.remove(&[TaskId::from_text("a")]);
        assert_eq!(unfinished.due(Duration::ZERO), [running("b")]);
        assert_eq!(unfinished.due(Duration::ZERO), []);
        assert_eq!(unfinished.next(Duration::ZERO), None);
    }

    #[test]
    fn what_is_known_of_a_hidden_task_is_what_is_shown() {
        let mut unfinished = Unfinished::default();
        unfinished.add(vec![running("a")]);
        let (id, mut progress) = running("a");
        if let Progress::Running { roles_to_publish, .. } = &mut progress {
            roles_to_publish.push("people".to_owned());
        }
        unfinished.show(vec![(id.clone(), progress.clone()), running("b")]);
        assert_eq!(unfinished.due(Duration::ZERO), [(id.clone(), progress.clone())]);
        assert_eq!(unfinished.shown(Duration::from_secs(60)), [running("b"), (id, progress)]);
    }

    #[test]
    fn what_was_shown_is_known_until_it_ends() {
        let mut unfinished = Unfinished::default();
        unfinished.add(vec![running("a"), running("b")]);
        unfinished.due(Duration::ZERO);
        unfinished.remove(&[TaskId::from_text("a")]);
        assert_eq!(unfinished.shown(Duration::from_secs(60)), [running("b")]);
        assert_eq!(unfinished.shown(Duration::ZERO), []);
    }
}
