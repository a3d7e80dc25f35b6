//! Brings hash bins, and later every delegated role that is online, to a new version.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use actix::prelude::*;
use jiff::Timestamp;
use thiserror::Error;
use tokio::task::{JoinError, spawn_blocking};

use super::{
    signer::{Sign, SignError, Signer, SigningKeys},
    supervisor::{Lifeline, Post, Unreachable},
};
use crate::{
    store::{StoreError, bucket::File, ledger::Ledger},
    tuf::{
        canonical::CanonicalError,
        change::{self, Change},
        delegation::Delegations,
        expiry,
        info::Info,
        limits::{self, Length},
        listing::Listing,
        name::{ArtifactPath, RoleName, Version},
        targets,
        verify::{self, VerifyError},
        wire::Unsigned,
    },
};

/// How long signing a batch of bins may take.
const SIGN_LIMIT: Duration = Duration::from_secs(120);

/// So many bytes are rendered sooner than another thread begins with them.
const SHORT: usize = 256 * 1024;
/// About how many bytes an artifact has.
const ARTIFACT_BYTES: usize = 256;

/// Roles to bring to a new version.
#[derive(Debug, Clone)]
pub struct Order {
    /// The roles with their new versions.
    pub roles: Vec<(RoleName, Version)>,
    /// The changes of some of them.
    pub changes: BTreeMap<RoleName, BTreeMap<ArtifactPath, Change>>,
    /// What some of them list as published. Of the others the ledger is asked.
    pub listed: BTreeMap<RoleName, Arc<Listing>>,
    /// From when on they are valid.
    pub now: Timestamp,
    /// For how many days.
    pub days: u32,
    /// Who delegates to them, and so checks them.
    pub delegations: Arc<Delegations>,
    /// The keys that sign them.
    pub keys: Arc<SigningKeys>,
}

impl Order {
    /// About how many bytes are to be rendered.
    fn bytes(&self, read: &[Vec<(ArtifactPath, Info)>]) -> usize {
        let artifacts = read.iter().map(Vec::len).chain(self.changes.values().map(BTreeMap::len)).sum::<usize>();
        self.listed.values().map(|listing| listing.bytes()).sum::<usize>() + artifacts * ARTIFACT_BYTES
    }

    /// What is to be signed of each role, and what it lists, where that can be kept as text. `read` is what the ledger has of those of which
    /// nothing is known.
    fn drafts(&self, read: Vec<Vec<(ArtifactPath, Info)>>) -> impl Iterator<Item = (Unsigned, Option<Arc<Listing>>)> {
        let expires = expiry::expires(self.now, self.days);
        let mut read = read.into_iter();
        self.roles.iter().map(move |(role, version)| {
            let changes = self.changes_of(role);
            let listing = self.listed.get(role).and_then(|old| old.changed(changes));
            let artifacts = match listing {
                Some(_) => Vec::new(),
                None => change::apply(read.next().unwrap_or_default(), changes),
            };
            match listing.or_else(|| Listing::of(&artifacts)) {
                Some(listing) => (listing.unsigned(*version, expires), Some(Arc::new(listing))),
                None => (targets::unsigned(*version, expires, &artifacts), None),
            }
        })
    }

    fn changes_of(&self, role: &RoleName) -> &BTreeMap<ArtifactPath, Change> {
        static NONE: BTreeMap<ArtifactPath, Change> = BTreeMap::new();
        self.changes.get(role).unwrap_or(&NONE)
    }
}

/// A role of an order, ready to be written.
#[derive(Debug, Clone)]
pub struct Updated {
    /// Its name.
    pub role: RoleName,
    /// Its version.
    pub version: Version,
    /// Its file, unless it was written already.
    pub file: Option<File>,
    /// What it lists, where that can be kept as text.
    pub listing: Option<Arc<Listing>>,
}

/// A file that is larger than some client reads.
#[derive(Debug, Error)]
#[error("{role} would have {bytes} bytes, more than {clients} will read; it needs more bins or fewer artifacts")]
pub struct TooLarge {
    /// The role.
    pub role: RoleName,
    /// Its size.
    pub bytes: usize,
    /// The clients that would refuse it.
    pub clients: String,
}

/// Why roles could not be brought to a new version.
#[derive(Debug, Error)]
pub enum UpdateError {
    /// The ledger could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A draft can't be signed.
    #[error(transparent)]
    Draft(#[from] CanonicalError),
    /// They could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A client would refuse a file.
    #[error("{0} would be refused by clients: {1}")]
    Refused(RoleName, VerifyError),
    /// A client would not read a file so large.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// An actor that is needed did not answer.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// A thread that was needed is gone.
    #[error("building broke off: {0}")]
    Thread(#[from] JoinError),
}

/// Reads what the roles of an order list, applies the changes, has the result signed by `sign`, and checks it as a client does.
///
/// # Errors
/// [`UpdateError`]; then nothing is returned, and nothing was written anywhere.
pub async fn update<S>(
    ledger: &dyn Ledger,
    sign: impl FnOnce(Vec<Unsigned>) -> S,
    order: Order,
) -> Result<Vec<Updated>, UpdateError>
where
    S: Future<Output = Result<Vec<Vec<u8>>, UpdateError>>,
{
    let is_unknown = |role: &&RoleName| !order.listed.get(*role).is_some_and(|old| old.takes(order.changes_of(role)));
    let unknown: Vec<_> = order.roles.iter().map(|(role, _)| role).filter(is_unknown).cloned().collect();
    let read = if unknown.is_empty() { Vec::new() } else { ledger.artifacts(unknown).await? };
    let is_short = order.bytes(&read) <= SHORT;
    let build = move || {
        let (drafts, listings): (Vec<_>, Vec<_>) = order.drafts(read).unzip();
        (order, drafts, listings)
    };
    // What takes less than the way to another thread and back is done here.
    let (order, drafts, listings) = if is_short { build() } else { spawn_blocking(build).await? };
    let files = sign(drafts).await?;
    spawn_blocking(move || {
        let built = order.roles.iter().zip(listings).zip(files);
        built
            .map(|(((role, version), listing), bytes)| {
                check(&order, role, *version, &bytes)?;
                let file = Some(File { name: role.file_name(*version), bytes });
                Ok(Updated { role: role.clone(), version: *version, file, listing })
            })
            .collect()
    })
    .await?
}

/// Refuses what some client would not read.
pub(super) fn within_limits(role: &RoleName, bytes: &[u8], length: Length) -> Result<(), TooLarge> {
    let clients = limits::too_large(role, bytes.len() as u64, length);
    if clients.is_empty() {
        return Ok(());
    }
    Err(TooLarge { role: role.clone(), bytes: bytes.len(), clients: clients.join(", ") })
}

fn check(order: &Order, role: &RoleName, version: Version, bytes: &[u8]) -> Result<(), UpdateError> {
    within_limits(role, bytes, Length::Unsigned)?;
    verify::check_delegated(&order.delegations, role, bytes, version, order.now)
        .map_err(|error| UpdateError::Refused(role.clone(), error))
}

/// Bring these roles to a new version.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Updated>, UpdateError>")]
pub struct Update(pub Order);

/// The bin updater. Restarting it loses nothing: what it was asked is asked again by the next round.
pub struct Bins {
    /// Where the published artifacts are.
    pub ledger: Arc<dyn Ledger>,
    /// Signs the bins.
    pub signer: Post<Signer>,
    /// Tells the supervisor when this is gone.
    pub lifeline: Lifeline,
}

impl Actor for Bins {
    type Context = Context<Self>;
}

impl Handler<Update> for Bins {
    type Result = ResponseFuture<Result<Vec<Updated>, UpdateError>>;

    fn handle(&mut self, Update(order): Update, _: &mut Self::Context) -> Self::Result {
        let (ledger, signer, keys) = (self.ledger.clone(), self.signer.clone(), order.keys.clone());
        Box::pin(async move {
            let sign = |drafts| async move { Ok(signer.ask(Sign { keys, drafts }, SIGN_LIMIT).await??) };
            update(ledger.as_ref(), sign, order).await
        })
    }
}
