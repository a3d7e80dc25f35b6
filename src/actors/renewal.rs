//! Makes sure that there is a round when roles are due and nothing else happens, and tells when they expire.
//!
//! Every plan takes all roles that are due, whoever caused it: `timestamp`, `snapshot`, `targets` and each bin, empty ones
//! too. So a look is a wake.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use jiff::Timestamp;

use super::{
    publisher::{Publisher, Wake},
    reporter::{Report, Reporter},
    supervisor::{Lifeline, Post},
};
use crate::{
    store::{StoreError, ledger::Ledger},
    telemetry::metrics::Metrics,
    tuf::{root::Root, wire::Metadata},
};

/// Between two looks at when roles expire.
const SAMPLE: Duration = Duration::from_secs(10);
/// Root is signed by people, seldom, and read with the whole repository.
const ROOT_SAMPLE: Duration = Duration::from_secs(300);

/// The renewal actor. Its tick also makes up for wakes and reports that were lost.
pub struct Renewal {
    /// Between two looks.
    pub interval: Duration,
    /// Knows when roles expire.
    pub ledger: Arc<dyn Ledger>,
    /// Where that is told.
    pub metrics: Metrics,
    /// Renews what is due.
    pub publisher: Post<Publisher>,
    /// Reports what was not reported.
    pub reporter: Post<Reporter>,
    /// Tells the supervisor when this is gone.
    pub lifeline: Lifeline,
}

impl Actor for Renewal {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(self.interval, |renewal, _| {
            renewal.publisher.tell(Wake);
            renewal.reporter.tell(Report);
        });
        let (ledger, metrics) = (self.ledger.clone(), self.metrics.clone());
        let sample = async move {
            let mut root = None;
            loop {
                if let Err(error) = sample(ledger.as_ref(), &metrics, &mut root).await {
                    tracing::debug!(%error, "it is not known when roles expire");
                }
                tokio::time::sleep(SAMPLE).await;
            }
        };
        context.spawn(sample.into_actor(self));
    }
}

/// Tells when the published roles expire; of root what was read a while ago.
async fn sample(
    ledger: &dyn Ledger,
    metrics: &Metrics,
    root: &mut Option<(Instant, Timestamp)>,
) -> Result<(), StoreError> {
    let mut expiries = ledger.expiries().await?;
    if root.as_ref().is_none_or(|(read, _)| read.elapsed() > ROOT_SAMPLE) && !expiries.is_empty() {
        *root = root_expiry(ledger).await?.map(|expires| (Instant::now(), expires));
    }
    if let Some((_, expires)) = root {
        expiries.insert("root".to_owned(), *expires);
    }
    metrics.expiries(expiries);
    Ok(())
}

async fn root_expiry(ledger: &dyn Ledger) -> Result<Option<Timestamp>, StoreError> {
    let Some(repository) = ledger.repository().await? else { return Ok(None) };
    let root = Metadata::parse(&repository.root).and_then(|metadata| Root::view(&metadata.signed));
    root.map(|root| Some(root.expires))
        .map_err(|error| StoreError::Broken(format!("the ledger holds a root that can't be read: {error}")))
}
