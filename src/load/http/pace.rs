//! When to ask how a task goes: often enough to be exact, and seldom enough not to be the load.

use std::{cell::Cell, time::Duration};

/// The shortest pause: that of the timer.
const SHORTEST: Duration = Duration::from_millis(1);
/// The longest pause after the first question.
const LONGEST: Duration = Duration::from_millis(250);
/// How much the last task counts for what is usual.
const WEIGHT: f64 = 0.1;

/// The pauses between two questions.
#[derive(Debug)]
pub(super) enum Pace {
    /// Always the same.
    Fixed(Duration),
    /// The first question comes after three quarters of what is usual, the others when an eighth more has passed: two or three a task,
    /// whatever a task takes, and what is measured is at most an eighth too long.
    Adaptive(Cell<f64>),
}

impl Pace {
    pub(super) fn adaptive() -> Self {
        Self::Adaptive(Cell::new(0.0))
    }

    /// The pause before the next question about a task that was sent so long ago.
    pub(super) fn pause(&self, since: Duration) -> Duration {
        match self {
            Self::Fixed(pause) => *pause,
            Self::Adaptive(usual) => {
                let first = Duration::from_secs_f64(usual.get() * 0.75);
                (since / 8).clamp(SHORTEST, LONGEST).max(first.saturating_sub(since))
            }
        }
    }

    /// Learns how long a task took.
    pub(super) fn learn(&self, took: Duration) {
        if let Self::Adaptive(usual) = self {
            let weight = if usual.get() == 0.0 { 1.0 } else { WEIGHT };
            usual.set(usual.get() * (1.0 - weight) + took.as_secs_f64() * weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The questions that are asked of tasks that take `took`, and when the end is seen, once the pace is learnt.
    fn learnt(took: Duration) -> (u32, Duration) {
        let pace = Pace::adaptive();
        let mut last = (0, Duration::ZERO);
        for _ in 0..200 {
            let (mut since, mut questions) = (Duration::ZERO, 0);
            while since < took {
                since += pace.pause(since);
                questions += 1;
            }
            pace.learn(since);
            last = (questions, since);
        }
        last
    }

    #[test]
    fn a_few_questions_find_the_end_whatever_a_task_takes() {
        for ms in [8, 15, 40, 150, 900] {
            let took = Duration::from_millis(ms);
            let (questions, seen) = learnt(took);
            assert!(questions <= 8, "{questions} questions for {ms} ms");
            assert!(seen <= took * 9 / 8 + SHORTEST, "{seen:?} instead of {ms} ms");
        }
    }
}
