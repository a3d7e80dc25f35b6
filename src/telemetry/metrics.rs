//! Figures of a process, for Prometheus. What each means stands in `docs/metrics.md`.
//!
//! One value is made where a program is wired, and given to all that count. There is no global registry, so that two in one process
//! never mix. Labels have few values, all known here or fixed by the program; nothing that a client sends becomes one.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
};

use thiserror::Error;

use self::families::{ByLabel, Families};
use super::settling::Settling;
use crate::clock::Clock;

mod families;

/// The kinds of tasks; what is not among them is counted as `other`.
const KINDS: [&str; 12] = [
    "bootstrap",
    "add_artifacts",
    "remove_artifacts",
    "publish_artifacts",
    "update_settings",
    "metadata_update",
    "sign_metadata",
    "delete_sign_metadata",
    "metadata_delegation",
    "publish_delegated_metadata",
    "force_online_metadata_update",
    "other",
];
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "other"];

const FRACTIONS: &[f64] =
    &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
const WAITS: &[f64] = &[0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];
const COUNTS: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6];

/// What the API did with a request for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is in the queue.
    Accepted,
    /// It is not, and whoever asked was told why.
    Refused,
}

impl Admission {
    const ALL: [&'static str; 2] = ["accepted", "refused"];

    fn label(self) -> &'static str {
        Self::ALL[self as usize]
    }
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// What it asked for was done.
    Success,
    /// It asked for what could not be done.
    Errored,
    /// It broke.
    Failure,
    /// It was withdrawn.
    Revoked,
}

impl End {
    const ALL: [&'static str; 4] = ["success", "errored", "failure", "revoked"];

    fn label(self) -> &'static str {
        Self::ALL[self as usize]
    }
}

/// A part of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Versions are given out.
    Plan,
    /// Roles are built, checked and signed; when they are many, most are written here too.
    BuildAndSign,
    /// The files that nothing refers to yet are written.
    Write,
    /// The round becomes the head.
    Commit,
    /// Clients see it.
    Point,
}

impl Phase {
    const ALL: [&'static str; 5] = ["plan", "build_and_sign", "write", "commit", "point"];

    fn label(self) -> &'static str {
        Self::ALL[self as usize]
    }
}

/// What came of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundResult {
    /// Clients see a new state.
    Published,
    /// There was nothing to do.
    Nothing,
    /// Another worker was at it.
    Elsewhere,
    /// A task was refused, because no client would read what it asked for.
    Refused,
    /// Another worker published first.
    Lost,
    /// Something failed; it is tried again.
    Failed,
    /// The process can't go on.
    Broken,
}

impl RoundResult {
    const ALL: [&'static str; 7] = ["published", "nothing", "elsewhere", "refused", "lost", "failed", "broken"];

    fn label(self) -> &'static str {
        Self::ALL[self as usize]
    }
}

/// The figures of one process. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Figures>);

/// Deliveries were there for so long, and none came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no delivery came to its end for {} s, though some are there", .0.as_secs())]
pub struct Stuck(pub Duration);

struct Figures {
    registry: Registry,
    settling: Settling,
    api_tasks: ByLabel<ByLabel<IntCounter>>,
    ended: ByLabel<ByLabel<IntCounter>>,
    visible: ByLabel<Histogram>,
    phases: ByLabel<Histogram>,
    rounds: ByLabel<IntCounter>,
    round_changes: Histogram,
    round_roles: Histogram,
    pending: IntGaugeVec,
    dropped: IntCounterVec,
    restarts: IntCounterVec,
    redelivered: IntCounter,
    retried: IntCounter,
    rejected: IntCounter,
    queue_jobs: Gauge,
    queue_reachable: IntGauge,
    settings_lost: IntCounter,
    signing_events: IntGauge,
    signatures_missing: IntGaugeVec,
    expires_in: GaugeVec,
    expiries: Mutex<BTreeMap<String, Timestamp>>,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(Clock::system().now())
    }
}

impl Metrics {
    /// The figures of a process that started at this time.
    pub fn new(started: Timestamp) -> Self {
        let families = Families::default();
        let by_kind = |family: &IntCounterVec, states: &[&'static str]| {
            ByLabel::of(&KINDS, |kind| ByLabel::of(states, |state| family.with_label_values(&[kind, state])))
        };
        let api_tasks = families.counters(
            "rstuf_api_tasks_total",
            "Tasks that were asked for, by kind and by whether they are in the queue.",
            &["kind", "state"],
        );
        let ended =
            families.counters("rstuf_tasks_ended_total", "Tasks that ended and were reported.", &["kind", "state"]);
        let visible = families.histograms(
            "rstuf_task_visible_seconds",
            "From the moment a task was accepted until clients see what it did.",
            &["kind"],
            WAITS,
        );
        let phases = families.histograms("rstuf_round_phase_seconds", "The parts of a round.", &["phase"], FRACTIONS);
        let rounds = families.counters("rstuf_rounds_total", "Rounds by what came of them.", &["result"]);
        let build = families.gauges("rstuf_build_info", "The version of the program; the value is 1.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        let start =
            families.gauge("rstuf_process_start_time_seconds", "When the process started, in seconds since 1970.");
        start.set(started.as_duration().as_secs_f64());
        Self(Arc::new(Figures {
            settling: Settling::default(),
            api_tasks: by_kind(&api_tasks, &Admission::ALL),
            ended: by_kind(&ended, &End::ALL),
            visible: ByLabel::of(&KINDS, |kind| visible.with_label_values(&[kind])),
            phases: ByLabel::of(&Phase::ALL, |phase| phases.with_label_values(&[phase])),
            rounds: ByLabel::of(&RoundResult::ALL, |result| rounds.with_label_values(&[result])),
            round_changes: families.histogram("rstuf_round_changes", "Changed paths of a published round.", COUNTS),
            round_roles: families.histogram("rstuf_round_roles", "Roles of a published round.", COUNTS),
            pending: families.int_gauges(
                "rstuf_actor_mailbox_messages",
                "Messages that wait for an answer of the actor, with those that it works on.",
                &["actor"],
            ),
            dropped: families.counters(
                "rstuf_actor_messages_dropped_total",
                "Messages without an answer that a full or restarting actor did not take.",
                &["actor"],
            ),
            restarts: families.counters(
                "rstuf_actor_restarts_total",
                "Actors that failed and were replaced.",
                &["actor"],
            ),
            redelivered: families
                .counter("rstuf_deliveries_redelivered_total", "Deliveries that had been handed out before."),
            retried: families
                .counter("rstuf_deliveries_retried_total", "Deliveries that were put back for another try."),
            rejected: families
                .counter("rstuf_deliveries_rejected_total", "Deliveries that were put aside as unusable."),
            queue_jobs: families.gauge("rstuf_queue_jobs", "Jobs in the queue that no worker has."),
            queue_reachable: families.int_gauge("rstuf_queue_reachable", "Whether the queue told its depth."),
            settings_lost: families
                .counter("rstuf_settings_lost_total", "How often the shared settings were found missing or wrong."),
            signing_events: families.int_gauge("rstuf_signing_events", "Roles that wait for signatures of people."),
            signatures_missing: families.int_gauges(
                "rstuf_signatures_missing",
                "Signatures that a role waits for at least.",
                &["role"],
            ),
            expires_in: families.gauges(
                "rstuf_role_expires_in_seconds",
                "Until clients refuse the published role; of all bins together the first.",
                &["role"],
            ),
            expiries: Mutex::default(),
            requests: families.counters(
                "rstuf_http_requests_total",
                "Requests by method, route and status.",
                &["method", "route", "status"],
            ),
            request_seconds: families.histograms(
                "rstuf_http_request_duration_seconds",
                "From the head of a request to the head of its answer.",
                &["method", "route"],
                FRACTIONS,
            ),
            registry: families.registry,
        }))
    }

    /// All figures in the text format 0.0.4.
    pub fn text(&self, now: Timestamp) -> String {
        let figures = &self.0;
        for (role, expires) in figures.expiries.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            figures.expires_in.with_label_values(&[role]).set(expires.duration_since(now).as_secs_f64());
        }
        // It only fails for families without samples, which are not gathered.
        TextEncoder::new().encode_to_string(&figures.registry.gather()).unwrap_or_default()
    }

    /// The API was asked for a task.
    pub fn task_asked(&self, kind: &str, admission: Admission) {
        self.0.api_tasks.get(kind).get(admission.label()).inc();
    }

    /// A task ended, and that was reported.
    pub fn task_ended(&self, kind: &str, end: End) {
        self.0.ended.get(kind).get(end.label()).inc();
    }

    /// Clients see what a task did, so long after it was accepted.
    pub fn task_visible(&self, kind: &str, after: Duration) {
        self.0.visible.get(kind).observe(after.as_secs_f64());
    }

    /// A part of a round ended.
    pub fn phase(&self, phase: Phase, took: Duration) {
        self.0.phases.get(phase.label()).observe(took.as_secs_f64());
    }

    /// A round ended.
    pub fn round(&self, result: RoundResult) {
        self.0.rounds.get(result.label()).inc();
    }

    /// So many paths and roles were published by a round.
    pub fn round_size(&self, changes: usize, roles: usize) {
        self.0.round_changes.observe(changes as f64);
        self.0.round_roles.observe(roles as f64);
    }

    /// The figures of an actor.
    pub fn actor(&self, name: &'static str) -> ActorMetrics {
        ActorMetrics {
            pending: self.0.pending.with_label_values(&[name]),
            dropped: self.0.dropped.with_label_values(&[name]),
            restarts: self.0.restarts.with_label_values(&[name]),
        }
    }

    /// So many deliveries were received.
    pub fn received(&self, deliveries: usize) {
        self.0.settling.received(deliveries, Instant::now());
    }

    /// So many deliveries came to their end, and so many were given back to be tried again.
    pub fn settled(&self, ended: usize, given_back: usize) {
        self.0.settling.settled(ended, given_back, Instant::now());
    }

    /// Whether what is received is settled.
    ///
    /// # Errors
    /// [`Stuck`] when deliveries have been there for two minutes and none came to its end.
    pub fn gets_on(&self) -> Result<(), Stuck> {
        self.0.settling.stuck(Instant::now()).map_or(Ok(()), |waited| Err(Stuck(waited)))
    }

    /// So many deliveries came that had been handed out before.
    pub fn redelivered(&self, deliveries: usize) {
        self.0.redelivered.inc_by(deliveries as u64);
    }

    /// So many deliveries are tried again later.
    pub fn retried(&self, deliveries: usize) {
        self.0.retried.inc_by(deliveries as u64);
    }

    /// So many deliveries were put aside.
    pub fn rejected(&self, deliveries: usize) {
        self.0.rejected.inc_by(deliveries as u64);
    }

    /// The queue told its depth.
    pub fn queue_depth(&self, jobs: u64) {
        self.0.queue_jobs.set(jobs as f64);
        self.0.queue_reachable.set(1);
    }

    /// The queue did not tell its depth; the last one stays.
    pub fn queue_unreachable(&self) {
        self.0.queue_reachable.set(0);
    }

    /// The shared settings were missing or wrong.
    pub fn settings_lost(&self) {
        self.0.settings_lost.inc();
    }

    /// When the published roles expire.
    pub fn expiries(&self, expiries: BTreeMap<String, Timestamp>) {
        let mut known = self.0.expiries.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in known.keys().filter(|role| !expiries.contains_key(*role)) {
            // It may never have been told.
            let _ = self.0.expires_in.remove_label_values(&[gone]);
        }
        *known = expiries;
    }

    /// How many signatures of people are missing, by the roles that wait for some.
    pub fn signatures_missing(&self, missing: &BTreeMap<String, u32>) {
        self.0.signing_events.set(i64::try_from(missing.len()).unwrap_or(i64::MAX));
        self.0.signatures_missing.reset();
        for (role, signatures) in missing {
            self.0.signatures_missing.with_label_values(&[role]).set((*signatures).into());
        }
    }

    /// A request was answered. `route` is a pattern of the program, never a path of a client.
    pub fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        let mut digits = [0; 3];
        let status = three_digits(status, &mut digits);
        self.0.requests.with_label_values(&[method, route, status]).inc();
        self.0.request_seconds.with_label_values(&[method, route]).observe(took.as_secs_f64());
    }
}

/// A status as text, without an allocation.
fn three_digits(status: u16, digits: &mut [u8; 3]) -> &str {
    for (digit, unit) in digits.iter_mut().zip([100, 10, 1]) {
        *digit = b'0' + u8::try_from(status / unit % 10).unwrap_or(0);
    }
    std::str::from_utf8(digits).unwrap_or("other")
}

/// The figures of one actor.
#[derive(Debug, Clone)]
pub struct ActorMetrics {
    pending: IntGauge,
    dropped: IntCounter,
    restarts: IntCounter,
}

impl ActorMetrics {
    /// A message is on its way to the actor until the result is dropped.
    pub fn pending(&self) -> Pending {
        self.pending.inc();
        Pending(self.pending.clone())
    }

    /// A message was dropped.
    pub fn dropped(&self) {
        self.dropped.inc();
    }

    /// The actor was replaced.
    pub fn restarted(&self) {
        self.restarts.inc();
    }
}

/// A message that waits for its answer.
#[derive(Debug)]
pub struct Pending(IntGauge);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().expect("a time")
    }

    #[track_caller]
    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }

    #[test]
    fn every_figure_is_told_before_anything_happened() {
        let text = Metrics::new(now()).text(now());
        has(&text, "rstuf_api_tasks_total{kind=\"add_artifacts\",state=\"refused\"} 0");
        has(&text, "rstuf_rounds_total{result=\"published\"} 0");
        has(&text, "rstuf_process_start_time_seconds 1767225600");
        has(&text, &format!("rstuf_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")));
        assert!(text.lines().all(|line| line.starts_with("rstuf_") || line.starts_with("# ")));
    }

    #[test]
    fn what_happens_is_counted() {
        let metrics = Metrics::new(now());
        metrics.task_asked("update_settings", Admission::Accepted);
        metrics.task_asked("of another program", Admission::Accepted);
        metrics.task_ended("bootstrap", End::Errored);
        metrics.task_visible("bootstrap", Duration::from_millis(30));
        metrics.phase(Phase::Commit, Duration::from_millis(3));
        metrics.round(RoundResult::Elsewhere);
        metrics.round_size(7, 3);
        metrics.request("GET", "/livez", 200, Duration::from_millis(1));
        metrics.request("BREW", "other", 405, Duration::from_millis(1));
        metrics.queue_depth(5);
        metrics.queue_unreachable();
        let text = metrics.text(now());
        has(&text, "rstuf_api_tasks_total{kind=\"update_settings\",state=\"accepted\"} 1");
        has(&text, "rstuf_api_tasks_total{kind=\"other\",state=\"accepted\"} 1");
        has(&text, "rstuf_tasks_ended_total{kind=\"bootstrap\",state=\"errored\"} 1");
        has(&text, "rstuf_task_visible_seconds_bucket{kind=\"bootstrap\",le=\"0.05\"} 1");
        has(&text, "rstuf_round_phase_seconds_count{phase=\"commit\"} 1");
        has(&text, "rstuf_rounds_total{result=\"elsewhere\"} 1");
        has(&text, "rstuf_round_changes_sum 7");
        has(&text, "rstuf_http_requests_total{method=\"GET\",route=\"/livez\",status=\"200\"} 1");
        has(&text, "rstuf_http_requests_total{method=\"other\",route=\"other\",status=\"405\"} 1");
        has(&text, "rstuf_queue_jobs 5");
        has(&text, "rstuf_queue_reachable 0");
    }

    #[test]
    fn what_expired_is_told_with_a_negative_number() {
        let metrics = Metrics::new(now());
        let later = now() + jiff::SignedDuration::from_secs(60);
        metrics.expiries([("bins".to_owned(), now()), ("root".to_owned(), later)].into());
        let text = metrics.text(later);
        has(&text, "rstuf_role_expires_in_seconds{role=\"bins\"} -60");
        has(&text, "rstuf_role_expires_in_seconds{role=\"root\"} 0");
        metrics.expiries([("root".to_owned(), later)].into());
        assert!(!metrics.text(later).contains("bins\"} -60"));
    }

    #[test]
    fn roles_that_wait_for_nobody_any_more_are_not_told() {
        let metrics = Metrics::new(now());
        metrics.signatures_missing(&[("root".to_owned(), 2), ("people".to_owned(), 1)].into());
        let text = metrics.text(now());
        has(&text, "rstuf_signing_events 2");
        has(&text, "rstuf_signatures_missing{role=\"root\"} 2");
        metrics.signatures_missing(&[("people".to_owned(), 1)].into());
        let text = metrics.text(now());
        has(&text, "rstuf_signing_events 1");
        assert!(!text.contains("rstuf_signatures_missing{role=\"root\"}"), "{text}");
    }

    #[test]
    fn a_message_is_pending_until_it_is_answered() {
        let metrics = Metrics::new(now());
        let actor = metrics.actor("intake");
        let pending = (actor.pending(), actor.pending());
        has(&metrics.text(now()), "rstuf_actor_mailbox_messages{actor=\"intake\"} 2");
        drop(pending);
        actor.restarted();
        let text = metrics.text(now());
        has(&text, "rstuf_actor_mailbox_messages{actor=\"intake\"} 0");
        has(&text, "rstuf_actor_restarts_total{actor=\"intake\"} 1");
    }
}
