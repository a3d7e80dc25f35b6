//! Which jobs of the queue are ready, handed out, or wait for another try. Pure: time comes in.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use crate::queue::Tag;

/// The unsettled jobs of a queue, by their tags; each with the bytes of its body.
///
/// A job is in one of three states: *ready* `take`→ *handed out* `remove`→ gone, or *handed out* `delay`→ *delayed*,
/// which becomes ready when its time has come. `give_back` undoes a `take`.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    ready: BTreeMap<Tag, u64>,
    handed_out: HashMap<Tag, u64>,
    delayed: BTreeMap<(Timestamp, Tag), u64>,
    bytes: u64,
}

impl Waiting {
    /// How many jobs are unsettled.
    pub(super) fn jobs(&self) -> usize {
        self.ready.len() + self.handed_out.len() + self.delayed.len()
    }

    /// How many jobs nobody has.
    pub(super) fn not_handed_out(&self) -> usize {
        self.ready.len() + self.delayed.len()
    }

    /// The bytes of all unsettled jobs.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A new job is ready.
    pub(super) fn add(&mut self, tag: Tag, bytes: u64) {
        self.ready.insert(tag, bytes);
        self.bytes += bytes;
    }

    /// Hands out the oldest ready jobs, at most `max` of them and about `max_bytes`, but one at least if there is one.
    pub(super) fn take(&mut self, now: Timestamp, max: usize, max_bytes: u64) -> Vec<Tag> {
        while let Some(first) = self.delayed.first_entry().filter(|first| first.key().0 <= now) {
            let ((_, tag), bytes) = first.remove_entry();
            self.ready.insert(tag, bytes);
        }
        let mut taken = Vec::new();
        let mut taken_bytes = 0;
        while taken.len() < max && taken_bytes < max_bytes {
            let Some((tag, bytes)) = self.ready.pop_first() else { break };
            self.handed_out.insert(tag, bytes);
            taken.push(tag);
            taken_bytes += bytes;
        }
        taken
    }

    /// These were not handed out after all.
    pub(super) fn give_back(&mut self, tags: &[Tag]) {
        for tag in tags {
            if let Some(bytes) = self.handed_out.remove(tag) {
                self.ready.insert(*tag, bytes);
            }
        }
    }

    /// Whether somebody has this job and has not settled it.
    pub(super) fn is_handed_out(&self, tag: Tag) -> bool {
        self.handed_out.contains_key(&tag)
    }

    /// A job that was handed out is settled for good.
    pub(super) fn remove(&mut self, tag: Tag) {
        if let Some(bytes) = self.handed_out.remove(&tag) {
            self.bytes -= bytes;
        }
    }

    /// A job that was handed out is to be ready again at `due`.
    pub(super) fn delay(&mut self, tag: Tag, due: Timestamp) {
        if let Some(bytes) = self.handed_out.remove(&tag) {
            self.delayed.insert((due, tag), bytes);
        }
    }

    /// When the next delayed job becomes ready.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.delayed.first_key_value().map(|((due, _), _)| *due)
    }
}

impl FromIterator<(Tag, u64)> for Waiting {
    fn from_iter<I: IntoIterator<Item = (Tag, u64)>>(jobs: I) -> Self {
        let mut waiting = Self::default();
        for (tag, bytes) in jobs {
            waiting.add(tag, bytes);
        }
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn three() -> Waiting {
        [(Tag(1), 10), (Tag(2), 20), (Tag(3), 30)].into_iter().collect()
    }

    #[test]
    fn the_oldest_are_handed_out_first_and_once() {
        let mut waiting = three();
        assert_eq!(waiting.take(NOW, 2, 1000), [Tag(1), Tag(2)]);
        assert_eq!(waiting.take(NOW, 2, 1000), [Tag(3)]);
        assert_eq!(waiting.take(NOW, 2, 1000), []);
        assert_eq!((waiting.jobs(), waiting.bytes()), (3, 60), "until they are settled");
        waiting.remove(Tag(1));
        waiting.remove(Tag(1));
        assert_eq!((waiting.jobs(), waiting.bytes()), (2, 50));
    }

    #[test]
    fn one_that_is_too_large_is_handed_out_alone() {
        let mut waiting = three();
        assert_eq!(waiting.take(NOW, 3, 1), [Tag(1)]);
        assert_eq!(waiting.take(NOW, 3, 21), [Tag(2), Tag(3)]);
    }

    #[test]
    fn what_is_given_back_keeps_its_place() {
        let mut waiting = three();
        let taken = waiting.take(NOW, 2, 1000);
        waiting.give_back(&taken);
        assert_eq!(waiting.take(NOW, 3, 1000), [Tag(1), Tag(2), Tag(3)]);
    }

    #[test]
    fn a_delayed_one_is_ready_when_its_time_has_come() {
        let mut waiting = three();
        waiting.take(NOW, 3, 1000);
        let due = NOW + SignedDuration::from_secs(10);
        waiting.delay(Tag(2), due);
        waiting.delay(Tag(1), due + SignedDuration::from_secs(1));
        assert!(!waiting.is_handed_out(Tag(2)));
        assert_eq!(waiting.next_due(), Some(due));
        assert_eq!(waiting.take(due - SignedDuration::from_nanos(1), 3, 1000), []);
        assert_eq!(waiting.take(due, 3, 1000), [Tag(2)]);
        assert_eq!((waiting.jobs(), waiting.bytes()), (3, 60));
    }
}
