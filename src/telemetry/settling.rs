//! Whether a worker gets on with what it receives: progress, not being alive.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// No delivery takes so long, not even one that waits for others: after it what is received is not settled any more.
const LIMIT: Duration = Duration::from_secs(120);

/// Deliveries that were received, and when the last one of them came to an end.
#[derive(Debug, Default)]
pub(super) struct Settling(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Received, and not given back in any way.
    open: usize,
    /// Since when on none came to its end, though some were there.
    since: Option<Instant>,
    last_received: Option<Instant>,
}

impl Settling {
    /// So many deliveries were received.
    pub(super) fn received(&self, deliveries: usize, now: Instant) {
        if deliveries > 0 {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.open += deliveries;
            state.since.get_or_insert(now);
            state.last_received = Some(now);
        }
    }

    /// So many came to their end, and so many were given back to be tried again, which is none.
    pub(super) fn settled(&self, ended: usize, given_back: usize, now: Instant) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.open = state.open.saturating_sub(ended + given_back);
        if ended > 0 {
            state.since = (state.open > 0).then_some(now);
        }
    }

    /// For how long deliveries have been there without an end of any, if that is too long. What was given back may be with another worker
    /// by now, so who receives nothing any more is not stuck with it.
    pub(super) fn stuck(&self, now: Instant) -> Option<Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: Instant| now.saturating_duration_since(at) < LIMIT;
        if state.open == 0 && !state.last_received.is_some_and(is_recent) {
            state.since = None;
        }
        let waited = now.saturating_duration_since(state.since?);
        (waited >= LIMIT).then_some(waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_ends_nothing_is_stuck() {
        let (settling, start) = (Settling::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(settling.stuck(at(1000)), None, "nothing is there");
        settling.received(2, at(1000));
        assert_eq!(settling.stuck(at(1119)), None);
        assert_eq!(settling.stuck(at(1120)), Some(LIMIT));
        // One of two: it goes on.
        settling.settled(1, 0, at(1120));
        assert_eq!(settling.stuck(at(1239)), None);
        assert_eq!(settling.stuck(at(1240)), Some(LIMIT));
        settling.settled(1, 0, at(1240));
        assert_eq!(settling.stuck(at(9000)), None);
    }

    #[test]
    fn who_only_gives_back_is_stuck_as_long_as_it_comes_again() {
        let (settling, start) = (Settling::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for round in 0..5 {
            settling.received(1, at(round * 30));
            settling.settled(0, 1, at(round * 30 + 29));
        }
        assert_eq!(settling.stuck(at(149)), Some(Duration::from_secs(149)));
        // Another worker has it.
        assert_eq!(settling.stuck(at(240)), None);
        settling.received(1, at(250));
        settling.settled(1, 0, at(251));
        assert_eq!(settling.stuck(at(500)), None);
    }
}
