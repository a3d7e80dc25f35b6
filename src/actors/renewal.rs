//! Makes sure that there is a round when roles are due and nothing else happens, and tells when they expire and who has to sign.
//!
//! Every plan takes all roles that are due, whoever caused it: `timestamp`, `snapshot`, `targets` and each bin, empty ones
//! too. So a look is a wake.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use jiff::{SignedDuration, Timestamp};

use super::{
    drafting,
    publisher::{Publisher, Wake},
    reporter::{Refresh, Report, Reporter},
    supervisor::{Lifeline, Post},
};
use crate::{
    clock::Clock,
    store::{
        StoreError,
        ledger::{
            Ledger, RepositorySettings,
            charter::{Charter, Signing},
        },
    },
    telemetry::metrics::Metrics,
    tuf::{event::Missing, name::RoleName, root::Root, wire::Metadata},
};

/// Between two looks at when roles expire.
const SAMPLE: Duration = Duration::from_secs(10);
/// Root is signed by people, seldom, and read with the whole repository.
const ROOT_SAMPLE: Duration = Duration::from_secs(300);
/// Between two warnings of the same.
const WARN: Duration = Duration::from_secs(60 * 60);
/// What people sign is warned about when less than this part of its life is left; online roles are renewed before.
const QUARTER: i32 = 4;

/// The renewal actor. Its tick also makes up for wakes and reports that were lost.
pub struct Renewal {
    /// Between two looks.
    pub interval: Duration,
    /// Knows when roles expire, and what waits for signatures.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Clock,
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
            renewal.reporter.tell(Refresh);
        });
        let mut sampler = Sampler {
            ledger: self.ledger.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            publisher: self.publisher.clone(),
            root: None,
            revision: None,
            warned: None,
        };
        let sample = async move {
            loop {
                if let Err(error) = sampler.sample().await {
                    tracing::debug!(%error, "it is not known when roles expire");
                }
                tokio::time::sleep(SAMPLE).await;
            }
        };
        context.spawn(sample.into_actor(self));
    }
}

/// Tells when roles expire, and whose signatures are missing.
struct Sampler {
    ledger: Arc<dyn Ledger>,
    clock: Clock,
    metrics: Metrics,
    publisher: Post<Publisher>,
    /// When root expires, and when that was read.
    root: Option<(Instant, Timestamp)>,
    /// The charter of which it was told who is missing.
    revision: Option<i64>,
    warned: Option<Instant>,
}

impl Sampler {
    async fn sample(&mut self) -> Result<(), StoreError> {
        let (ledger, now) = (self.ledger.as_ref(), self.clock.now());
        let told = ledger.expiries().await?;
        let mut expiries: BTreeMap<_, _> = told.into_iter().map(|(role, expiry)| (role, expiry.expires)).collect();
        if self.root.as_ref().is_none_or(|(read, _)| read.elapsed() > ROOT_SAMPLE) && !expiries.is_empty() {
            self.root = root_expiry(ledger).await?.map(|expires| (Instant::now(), expires));
        }
        if let Some((_, expires)) = self.root {
            expiries.insert("root".to_owned(), expires);
        }
        let chartered = ledger.charter().await?;
        if self.warned.is_none_or(|warned| warned.elapsed() > WARN)
            && let Some(settings) = ledger.settings().await?
        {
            let soon = expiring(&chartered.charter, &settings, &expiries, now);
            for (role, expires) in &soon {
                tracing::warn!(%role, %expires, "a role that people sign expires soon");
                self.warned = Some(Instant::now());
            }
        }
        self.metrics.expiries(expiries);
        if self.revision != Some(chartered.revision) {
            let is_idle = chartered.charter.events.is_empty();
            let repository = if is_idle { None } else { ledger.repository().await? };
            self.metrics.signatures_missing(&counted(&drafting::missing(&chartered.charter, repository.as_ref())?));
            self.revision = Some(chartered.revision);
        }
        for role in drafting::drop_stale(ledger, chartered, now).await? {
            tracing::warn!(%role, "a draft expires before people have signed it; they are asked to sign another one");
            self.publisher.tell(Wake);
        }
        Ok(())
    }
}

/// How many signatures each role waits for at least: one signature may count for several that want some.
fn counted(missing: &BTreeMap<RoleName, Vec<Missing>>) -> BTreeMap<String, u32> {
    let most = |missing: &[Missing]| missing.iter().map(|missing| missing.signatures).max().unwrap_or(0);
    missing.iter().map(|(role, missing)| (role.to_string(), most(missing))).collect()
}

/// Those roles that people sign of whose life less than a quarter is left.
fn expiring(
    charter: &Charter,
    settings: &RepositorySettings,
    expiries: &BTreeMap<String, Timestamp>,
    now: Timestamp,
) -> Vec<(RoleName, Timestamp)> {
    let by_people = |role: &RoleName| match charter.roles.get(role) {
        Some(custom) => custom.signing == Signing::Offline && !custom.retired && !charter.kept.contains_key(role),
        None => *role == RoleName::root(),
    };
    let roles = expiries.iter().filter_map(|(name, expires)| Some((RoleName::parse(name).ok()?, *expires)));
    let soon = |(role, expires): &(RoleName, Timestamp)| {
        let life = SignedDuration::from_hours(24) * i32::try_from(settings.days(role)).unwrap_or(i32::MAX);
        by_people(role) && expires.duration_since(now) < life / QUARTER
    };
    roles.filter(soon).collect()
}

async fn root_expiry(ledger: &dyn Ledger) -> Result<Option<Timestamp>, StoreError> {
    let Some(repository) = ledger.repository().await? else { return Ok(None) };
    let root = Metadata::parse(&repository.root).and_then(|metadata| Root::view(&metadata.signed));
    root.map(|root| Some(root.expires))
        .map_err(|error| StoreError::Broken(format!("the ledger holds a root that can't be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::ledger::charter::{CustomRole, Kept},
        tuf::sample::{at, role},
    };

    fn charter() -> Charter {
        let custom = |signing, retired| CustomRole { signing, retired, announced: None };
        let roles = [
            ("docs", custom(Signing::Offline, false)),
            ("gone", custom(Signing::Offline, true)),
            ("kept", custom(Signing::Offline, false)),
            ("tools", custom(Signing::Online, false)),
        ];
        let roles = roles.map(|(name, custom)| (role(name), custom)).into();
        Charter { roles, kept: [(role("kept"), Kept::default())].into(), ..Charter::default() }
    }

    #[test]
    fn what_people_sign_is_warned_about_in_its_last_quarter() {
        let names = ["bins", "docs", "gone", "kept", "root", "targets", "tools"];
        let settings = RepositorySettings {
            expirations: names.map(|name| (name.to_owned(), 4)).into(),
            number_of_delegated_bins: None,
            layout: Default::default(),
            root_num_keys: 1,
        };
        let expiries = names.map(|name| (name.to_owned(), at(96))).into();
        let soon = |hours| {
            let soon = expiring(&charter(), &settings, &expiries, at(hours));
            soon.into_iter().map(|(role, _)| role.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(soon(72), [""; 0]);
        // The others are renewed before, or nobody reads them.
        assert_eq!(soon(73), ["docs", "root"]);
        assert_eq!(soon(1000), ["docs", "root"], "what has expired is told all the more");
    }

    #[test]
    fn one_signature_may_count_for_both_roots() {
        let missing = |signatures| Missing { authority: String::new(), signatures, of: Vec::new() };
        let all = [(role("root"), vec![missing(1), missing(2)]), (role("docs"), Vec::new())].into();
        assert_eq!(counted(&all), [("docs".to_owned(), 0), ("root".to_owned(), 2)].into());
    }
}
