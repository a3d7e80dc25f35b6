//! One connection that many share, made when it is first needed and made anew when it was lost.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Mutex, time::sleep};

use crate::queue::QueueError;

/// The wait after the first failure to connect; it is doubled after each further one.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait between two attempts to connect.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A connection of type `C`, if there is one.
#[derive(Debug)]
pub(super) struct Link<C> {
    state: Mutex<State<C>>,
}

#[derive(Debug)]
struct State<C> {
    connection: Option<Arc<C>>,
    failures: u32,
    not_before: Option<Instant>,
}

impl<C> Default for Link<C> {
    fn default() -> Self {
        Self { state: Mutex::new(State { connection: None, failures: 0, not_before: None }) }
    }
}

impl<C> Link<C> {
    /// The connection, if `is_alive` likes it, or else a new one, not sooner than the back-off allows. Whoever comes while one
    /// is made waits for it.
    pub(super) async fn connection<F: Future<Output = Result<C, QueueError>>>(
        &self,
        is_alive: impl Fn(&C) -> bool,
        connect: impl FnOnce() -> F,
    ) -> Result<Arc<C>, QueueError> {
        let mut state = self.state.lock().await;
        if let Some(connection) = state.connection.as_ref().filter(|connection| is_alive(connection)) {
            return Ok(Arc::clone(connection));
        }
        state.connection = None;
        if let Some(wait) = state.not_before.and_then(|time| time.checked_duration_since(Instant::now())) {
            sleep(wait).await;
        }
        // A caller that runs out of patience in the middle of it has failed, too.
        let wait = back_off(state.failures);
        state.failures = state.failures.saturating_add(1);
        state.not_before = Some(Instant::now() + wait);
        let connected = connect().await;
        if let Ok(connection) = connected {
            let connection = Arc::new(connection);
            *state = State { connection: Some(Arc::clone(&connection)), failures: 0, not_before: None };
            return Ok(connection);
        }
        state.not_before = Some(Instant::now() + wait);
        connected.map(Arc::new)
    }

    /// Forgets `lost`, unless there is another connection by now.
    pub(super) async fn forget(&self, lost: &Arc<C>) {
        let mut state = self.state.lock().await;
        if state.connection.as_ref().is_some_and(|connection| Arc::ptr_eq(connection, lost)) {
            state.connection = None;
        }
    }
}

/// The wait after so many failures: half of it is chance, so that a fleet does not come back in step.
pub(super) fn back_off(failures: u32) -> Duration {
    let wait = (SHORTEST_WAIT * 2u32.saturating_pow(failures.min(16))).min(LONGEST_WAIT);
    wait / 2 + wait.mul_f64(fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn one_connection_is_made_for_all_and_made_anew_when_it_is_lost() {
        let link = Link::default();
        let made = AtomicUsize::new(0);
        let get = || link.connection(|_| true, async || Ok(made.fetch_add(1, Ordering::Relaxed)));
        let got = join_all((0..10).map(|_| get())).await;
        assert!(got.iter().all(|n| n.as_ref().is_ok_and(|n| **n == 0)));
        let first = get().await.expect("connected");
        link.forget(&first).await;
        assert_eq!(*get().await.expect("connected"), 1);
        link.forget(&first).await;
        assert_eq!(*get().await.expect("connected"), 1, "only what was lost is forgotten");
    }

    #[tokio::test]
    async fn who_fails_waits_longer_each_time() {
        let link = Link::<()>::default();
        for _ in 0..3 {
            let got = link.connection(|_| true, async || Err(QueueError("no".into()))).await;
            assert!(got.is_err());
        }
        assert!(link.state.lock().await.failures == 3);
        assert!((0..40).map(back_off).all(|wait| wait >= SHORTEST_WAIT / 2 && wait <= LONGEST_WAIT));
    }
}
