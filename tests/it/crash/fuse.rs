//! The fault, or the pause: it happens once, at one of the durable writes, which all pass by here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rstuf::store::StoreError;
use tokio::sync::Notify;

/// How a write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not applied, and says so.
    NotApplied,
    /// It is applied, and says that it is not.
    AppliedButFailed,
    /// The process ends just before it.
    EndedBefore,
    /// The process ends just after it.
    EndedAfter,
}

/// On which side of a write a process is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

/// Where a process is paused until it may go on.
#[derive(Debug, Default)]
pub(super) struct Gate {
    reached: Notify,
    open: Notify,
}

impl Gate {
    /// Waits until the process stands here.
    pub(super) async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Lets it go on.
    pub(super) fn open(&self) {
        self.open.notify_one();
    }

    async fn pass(&self) {
        self.reached.notify_one();
        self.open.notified().await;
    }
}

/// Counts the writes, and fails one of them or pauses at it.
#[derive(Debug, Default)]
pub(super) struct Fuse {
    state: Mutex<State>,
    pause: Option<(usize, Side, Arc<Gate>)>,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<(usize, Fault)>,
    writes: Vec<String>,
    burnt: bool,
    ended: bool,
}

impl Fuse {
    pub(super) fn new(fault: Option<(usize, Fault)>) -> Self {
        Self { state: Mutex::new(State { fault, ..State::default() }), pause: None }
    }

    /// Pauses at one write, and fails none.
    pub(super) fn pausing(at: usize, side: Side, gate: Arc<Gate>) -> Self {
        Self { state: Mutex::default(), pause: Some((at, side, gate)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writes that passed, by what they were.
    pub(super) fn writes(&self) -> Vec<String> {
        self.state().writes.clone()
    }

    /// Whether the fault has happened.
    pub(super) fn is_burnt(&self) -> bool {
        self.state().burnt
    }

    /// Whether the process has ended, and starts it again.
    pub(super) fn restart(&self) -> bool {
        std::mem::take(&mut self.state().ended)
    }

    /// Does the durable write `apply`, or fails it.
    pub(super) async fn write<T>(
        &self,
        name: &str,
        apply: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let (number, fault) = {
            let mut state = self.state();
            if state.ended {
                return Err(StoreError::unavailable("process", "it has ended"));
            }
            let number = state.writes.len();
            state.writes.push(name.to_owned());
            let fault = state.fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault);
            state.burnt |= fault.is_some();
            (number, fault)
        };
        self.pause(number, Side::Before).await;
        let failure = StoreError::unavailable("fuse", format!("{name} failed"));
        let written = match fault {
            None => apply.await,
            Some(Fault::NotApplied) => Err(failure),
            Some(Fault::AppliedButFailed) => apply.await.and(Err(failure)),
            Some(Fault::EndedBefore) => {
                self.state().ended = true;
                Err(failure)
            }
            Some(Fault::EndedAfter) => {
                let applied = apply.await;
                self.state().ended = true;
                applied.and(Err(failure))
            }
        };
        self.pause(number, Side::After).await;
        written
    }

    async fn pause(&self, number: usize, side: Side) {
        if let Some((at, on, gate)) = &self.pause
            && (*at, *on) == (number, side)
        {
            gate.pass().await;
        }
    }
}
