//! The deliveries that a worker has from its broker and has not settled.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use crate::queue::{RECEIVED_BYTES, Tag};

/// A message of type `M`, and how often it was handed out before.
#[derive(Debug)]
pub(super) struct Held<M> {
    pub(super) message: M,
    pub(super) attempts: u32,
}

/// All that is here: what is ready, what waits for its time, and what is handed out.
#[derive(Debug)]
pub(super) struct Here<M> {
    last_tag: i64,
    ready: VecDeque<Held<M>>,
    delayed: Vec<(Instant, Held<M>)>,
    handed_out: HashMap<Tag, Held<M>>,
}

impl<M> Default for Here<M> {
    fn default() -> Self {
        Self { last_tag: 0, ready: VecDeque::new(), delayed: Vec::new(), handed_out: HashMap::new() }
    }
}

impl<M> Here<M> {
    /// Forgets everything; tags of before will find nothing.
    pub(super) fn clear(&mut self) {
        *self = Self { last_tag: self.last_tag, ..Self::default() };
    }

    pub(super) fn add(&mut self, message: M, attempts: u32) {
        self.ready.push_back(Held { message, attempts });
    }

    /// What may be handed out now, with a bound on its bytes: first what has waited.
    pub(super) fn take(&mut self, max: usize, bytes: impl Fn(&M) -> usize) -> Vec<Held<M>> {
        let now = Instant::now();
        let mut due: Vec<_> = self.delayed.extract_if(.., |(time, _)| *time <= now).collect();
        due.sort_by_key(|(time, _)| *time);
        for (_, held) in due.into_iter().rev() {
            self.ready.push_front(held);
        }
        let mut taken = Vec::new();
        let mut sum = 0;
        while taken.len() < max && sum < RECEIVED_BYTES {
            let Some(held) = self.ready.pop_front() else { break };
            sum += bytes(&held.message) as u64;
            taken.push(held);
        }
        taken
    }

    pub(super) fn hand_out(&mut self, held: Held<M>) -> Tag {
        self.last_tag += 1;
        let tag = Tag(self.last_tag);
        self.handed_out.insert(tag, held);
        tag
    }

    /// What was handed out under the tag and is not settled.
    pub(super) fn settle(&mut self, tag: Tag) -> Option<Held<M>> {
        self.handed_out.remove(&tag)
    }

    /// Has it handed out again after `wait`.
    pub(super) fn delay(&mut self, mut held: Held<M>, wait: Duration) {
        held.attempts = held.attempts.saturating_add(1);
        let now = Instant::now();
        self.delayed.push((now.checked_add(wait).unwrap_or(now), held));
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.delayed.iter().map(|(time, _)| *time).min()
    }

    pub(super) fn any_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = &M> {
        let delayed = self.delayed.iter().map(|(_, held)| held);
        self.ready.iter().chain(delayed).chain(self.handed_out.values()).map(|held| &held.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_out_is_settled_once_or_comes_again() {
        let mut here = Here::default();
        for message in [1, 2, 3] {
            here.add(message, 0);
        }
        let mut taken = here.take(2, |_| 1);
        assert_eq!(taken.iter().map(|held| held.message).collect::<Vec<_>>(), [1, 2]);
        let tag = here.hand_out(taken.remove(0));
        assert_eq!(here.messages().copied().collect::<Vec<_>>(), [3, 1]);
        let held = here.settle(tag).expect("handed out");
        assert!(here.settle(tag).is_none());
        here.delay(held, Duration::ZERO);
        here.delay(taken.remove(0), Duration::from_secs(3600));
        let again = here.take(5, |_| 1);
        assert_eq!(again.iter().map(|held| (held.message, held.attempts)).collect::<Vec<_>>(), [(1, 1), (3, 0)]);
        assert!(here.next_due().is_some() && !here.any_ready());
    }

    #[test]
    fn a_take_is_bounded_by_bytes_and_gives_at_least_one() {
        let mut here = Here::default();
        for message in 0..3 {
            here.add(message, 0);
        }
        assert_eq!(here.take(9, |_| usize::MAX >> 8).len(), 1);
        assert_eq!(here.take(9, |_| 0).len(), 2);
    }

    #[test]
    fn tags_of_before_find_nothing() {
        let mut here = Here::default();
        let before = here.hand_out(Held { message: 1, attempts: 0 });
        here.clear();
        let after = here.hand_out(Held { message: 2, attempts: 0 });
        assert_ne!(before, after);
        assert!(here.settle(before).is_none());
    }
}
