//! The actors of a worker.
//!
//! ```text
//!                       Begin   ┌───────────┐  Wake
//!             ┌────────────────►│ bootstrap ├──────┐
//!             │        Decide   ├───────────┤      │        ┌──────┐ Sign  ┌────────────┐
//!             ├────────────────►│ clerk     ├──────┤  ┌────►│ bins ├──────►│ signer     │ of bins
//!             │                 └───────────┘      │  │     └──────┘       └────────────┘
//!  queue  ┌───┴────┐   Stage    ┌───────────┐      ▼  │
//!  ──────►│ bridge ├───────────►│ intake    ├──►┌─────┴─────┐       Sign   ┌────────────┐ of targets,
//!         └────────┘            └─────┬─────┘   │ publisher ├─────────────►│ signers    │ snapshot,
//!                               ┌─────┴─────┐   └───┬──┬────┘              └────────────┘ timestamp
//!            publisher ◄────────┤ renewal   │       │  │ Project  ┌──────────┐
//!                        Wake   └───────────┘       │  └─────────►│ settings ├──► settings
//!                               ┌───────────┐ Report│             └────┬─────┘
//!                  results ◄────┤ reporter  │◄──────┘                  │
//!                               └───────────┘◄──────────────────────────┘ Again
//! ```
//!
//! Every mailbox holds 16 messages. `Wake`, `Report` and `Project` say only "look": where a mailbox is full they are
//! dropped, because a look is already waiting there, and the tick of the renewal looks again. `Waiting`, which intake, bootstrap
//! and clerk tell the reporter, is dropped there too: the end of a task is told anyway. All other messages are asked
//! with a limit of time, by an actor that has one such question open at a time (the publisher and the bridge three).
//!
//! The settings actor looks every two seconds whether the settings are still there. When they are not, it has the reporter tell
//! the results `Again`, and then projects the settings.
//!
//! What a restart means: nothing is lost by any of them, since the queue or the ledger holds what they work on. All but
//! the publisher and the bridge are replaced by a fresh one. When the publisher fails the process ends with a code, so that it
//! starts again from what is stored; the bridge too, because only a new process is given its deliveries again.
//!
//! An actor is a shell around a plain function, which has the name of its file or of its work: `round`, `bins::update`, `signer::sign`,
//! `reporter::report`, `settings::project`, `bootstrap::prepare`, `signing::decide`, `intake::work`.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use actix::Actor;
use jiff::SignedDuration;

use crate::{
    clock::Clock,
    queue::Broker,
    store::{bucket::Bucket, keys::KeyStore, ledger::Ledger, results::Results, settings as settings_store},
    telemetry::metrics::Metrics,
};

pub mod bins;
pub mod bootstrap;
pub mod bridge;
pub mod drafting;
pub mod intake;
pub mod publisher;
pub mod renewal;
pub mod reporter;
pub mod round;
pub mod settings;
pub mod signer;
pub mod signing;
pub mod supervisor;

use self::{
    bins::Bins,
    bootstrap::Coordinator,
    bridge::{Bridge, Close, Ways},
    intake::Intake,
    publisher::{Crew, Finish, Publisher},
    renewal::Renewal,
    reporter::{Flush, Reporter, Sources},
    round::{Parts, Visible},
    settings::Settings,
    signer::Signer,
    signing::Clerk,
    supervisor::{OnFailure, Post, StandDown, Supervisor},
};

/// How long a shutdown waits until what was received is recorded, for the round that is under way, and for its report.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
const FINISH_LIMIT: Duration = Duration::from_secs(20);
const REPORT_LIMIT: Duration = Duration::from_secs(3);

/// The stores and settings of a worker.
#[derive(Clone)]
pub struct Resources {
    /// The queue.
    pub broker: Arc<dyn Broker>,
    /// The truth.
    pub ledger: Arc<dyn Ledger>,
    /// The published files.
    pub bucket: Arc<dyn Bucket>,
    /// The settings that the API reads.
    pub settings: Arc<dyn settings_store::Settings>,
    /// The progress of tasks.
    pub results: Arc<dyn Results>,
    /// The online keys.
    pub keys: Arc<KeyStore>,
    /// The time.
    pub clock: Clock,
    /// About how many staged changes one round takes.
    pub batch: usize,
    /// For how long the online keys of a root that was replaced go on to sign.
    pub rotation_grace: Duration,
    /// Between two looks for roles that are due.
    pub renewal_interval: Duration,
    /// For how long the end of a task can be read.
    pub result_expiry: Duration,
    /// Where it is counted.
    pub metrics: Metrics,
}

/// A worker that runs.
pub struct Worker {
    supervisor: actix::Addr<Supervisor>,
    bridge: Post<Bridge>,
    intake: Post<Intake>,
    publisher: Post<Publisher>,
    reporter: Post<Reporter>,
}

impl Worker {
    /// Starts all actors on the current arbiter.
    pub fn start(resources: Resources) -> Self {
        use OnFailure::{EndProcess, Restart};
        let Resources { broker, ledger, bucket, settings, results, keys, clock, batch, .. } = resources;
        let Resources { renewal_interval, rotation_grace, result_expiry, metrics, .. } = resources;
        let mut supervisor = Supervisor::new(metrics.clone());
        let mut signer = |name: &'static str| {
            let store = keys.clone();
            supervisor.child(name, Restart, move |lifeline| Signer { store: store.clone(), lifeline })
        };
        let (targets, snapshot, timestamp, bins) =
            (signer("targets-signer"), signer("snapshot-signer"), signer("timestamp-signer"), signer("bins-signer"));
        let bins = {
            let ledger = ledger.clone();
            supervisor.child("bins", Restart, move |lifeline| Bins {
                ledger: ledger.clone(),
                signer: bins.clone(),
                lifeline,
            })
        };
        let visible = Visible::default();
        let reporter = {
            let sources = Sources {
                ledger: ledger.clone(),
                results: results.clone(),
                visible: visible.clone(),
                clock: clock.clone(),
                metrics: metrics.clone(),
                expiry: result_expiry,
            };
            // What ended earlier was counted by an earlier process. A ledger knows times in microseconds.
            let fresh = clock.now() - SignedDuration::from_micros(1);
            supervisor.child("reporter", Restart, move |lifeline| Reporter::new(sources.clone(), fresh, lifeline))
        };
        let projection = {
            let (ledger, settings, created_by) = (ledger.clone(), settings.clone(), Arc::new(OnceLock::new()));
            let (reporter, metrics) = (reporter.clone(), metrics.clone());
            supervisor.child("settings", Restart, move |lifeline| Settings {
                ledger: ledger.clone(),
                settings: settings.clone(),
                reporter: reporter.clone(),
                metrics: metrics.clone(),
                created_by: created_by.clone(),
                lifeline,
            })
        };
        let hands = Arc::new(Crew { targets, snapshot, timestamp, bins });
        let parts = {
            let (ledger, clock, metrics) = (ledger.clone(), clock.clone(), metrics.clone());
            Parts { ledger, bucket, hands, clock, batch, rotation_grace, visible, metrics }
        };
        let publisher = {
            let (projection, reporter) = (projection.clone(), reporter.clone());
            supervisor.child("publisher", EndProcess, move |lifeline| {
                Publisher::new(parts.clone(), projection.clone(), reporter.clone(), lifeline)
            })
        };
        let intake = {
            let (ledger, clock, settings) = (ledger.clone(), clock.clone(), projection.clone());
            let (publisher, reporter) = (publisher.clone(), reporter.clone());
            supervisor.child("intake", Restart, move |lifeline| Intake {
                ledger: ledger.clone(),
                clock: clock.clone(),
                publisher: publisher.clone(),
                reporter: reporter.clone(),
                settings: settings.clone(),
                places: Arc::default(),
                lifeline,
            })
        };
        let coordinator = {
            let (ledger, shared, results) = (ledger.clone(), settings, results.clone());
            let (keys, clock, settings) = (keys.clone(), clock.clone(), projection.clone());
            let (publisher, reporter) = (publisher.clone(), reporter.clone());
            supervisor.child("bootstrap", Restart, move |lifeline| Coordinator {
                ledger: ledger.clone(),
                shared: shared.clone(),
                results: results.clone(),
                keys: keys.clone(),
                clock: clock.clone(),
                settings: settings.clone(),
                publisher: publisher.clone(),
                reporter: reporter.clone(),
                lifeline,
            })
        };
        let clerk = {
            let (ledger, results, clock) = (ledger.clone(), results.clone(), clock.clone());
            let (publisher, reporter) = (publisher.clone(), reporter.clone());
            supervisor.child("clerk", Restart, move |lifeline| Clerk {
                ledger: ledger.clone(),
                results: results.clone(),
                keys: keys.clone(),
                clock: clock.clone(),
                settings: projection.clone(),
                publisher: publisher.clone(),
                reporter: reporter.clone(),
                lifeline,
            })
        };
        {
            let (publisher, reporter, metrics) = (publisher.clone(), reporter.clone(), metrics.clone());
            let clock = clock.clone();
            supervisor.child("renewal", Restart, move |lifeline| Renewal {
                interval: renewal_interval,
                ledger: ledger.clone(),
                clock: clock.clone(),
                metrics: metrics.clone(),
                publisher: publisher.clone(),
                reporter: reporter.clone(),
                lifeline,
            });
        }
        let ways = Ways { broker, results, intake: intake.clone(), coordinator, clerk, metrics };
        let bridge = supervisor.child("bridge", EndProcess, move |lifeline| Bridge::new(ways.clone(), lifeline));
        Self { supervisor: supervisor.start(), bridge, intake, publisher, reporter }
    }

    /// Where tasks are recorded, for who has them from elsewhere than the queue.
    pub fn intake(&self) -> Post<Intake> {
        self.intake.clone()
    }

    /// Where rounds are asked for.
    pub fn publisher(&self) -> Post<Publisher> {
        self.publisher.clone()
    }

    /// Takes no more deliveries, lets the round that is under way end, reports, and returns. At most about half a minute.
    pub async fn shut_down(self) {
        // Everything that does not come to its end here is taken up by the next process.
        let _ = self.supervisor.send(StandDown).await;
        let _ = self.bridge.ask(Close, CLOSE_LIMIT).await;
        if let Err(error) = self.publisher.ask(Finish, FINISH_LIMIT).await {
            tracing::warn!(%error, "the last round did not end in time");
        }
        let _ = self.reporter.ask(Flush, REPORT_LIMIT).await;
    }
}
