//! The fault: it happens once, at one of the durable writes, which all pass by here.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rstuf::store::StoreError;

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

/// Counts the writes, and fails one of them.
#[derive(Debug, Default)]
pub(super) struct Fuse(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    fault: Option<(usize, Fault)>,
    writes: Vec<String>,
    burnt: bool,
    ended: bool,
}

impl Fuse {
    pub(super) fn new(fault: Option<(usize, Fault)>) -> Self {
        Self(Mutex::new(State { fault, ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let fault = {
            let mut state = self.state();
            if state.ended {
                return Err(StoreError::unavailable("process", "it has ended"));
            }
            let number = state.writes.len();
            state.writes.push(name.to_owned());
            let fault = state.fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault);
            state.burnt |= fault.is_some();
            fault
        };
        let failure = StoreError::unavailable("fuse", format!("{name} failed"));
        match fault {
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
        }
    }
}
