//! Whether a client saw what was reported: a TUF client goes through all states that were seen, after the measurement.
//!
//! Every timestamp and snapshot is verified in its turn, as a client does that refreshes from one to the next. A bin is
//! verified in those versions that a claim needs, each once; bins are independent of each other, so they are checked
//! by as many threads as there are processors.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use jiff::Timestamp;
use tokio::runtime::{Builder, Runtime};

use super::{
    artifacts::{Artifact, Kind},
    visible::{Place, Reader, Seen, StateIndex},
};
use crate::tuf::{
    delegation::Delegations,
    name::{RoleName, Version},
    targets::Targets,
    verify::{Trusted, verify_delegated},
};

/// Versions of one bin that are kept while it is checked.
const KEPT: usize = 8;
/// Faults that are told.
const TOLD: usize = 5;

/// What a request did to its artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// They are there.
    Added,
    /// They are gone.
    Removed,
}

/// That a state has the changes of a request.
#[derive(Debug, Clone)]
pub struct Claim {
    /// What the request did.
    pub change: Change,
    /// To which artifacts.
    pub artifacts: Vec<Artifact>,
    /// When it was sent.
    pub posted: Instant,
    /// What was seen last before that, `None` when nothing was.
    pub before: Option<StateIndex>,
    /// The state that has the changes, if the claim is true.
    pub told: StateIndex,
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All changes are in the state; the last of them was first seen so long after the request was sent.
    True(Duration),
    /// They are not. If they were seen later: so long after the request was sent.
    False(Option<Duration>),
    /// The files that would tell can't be had, or are refused.
    Unknown,
}

/// The result of a check.
#[derive(Debug, Default)]
pub struct Checked {
    /// A verdict for each claim.
    pub verdicts: Vec<Verdict>,
    /// Files that the client refused or could not get.
    pub refused: u64,
    /// The first of them, in words.
    pub faults: Vec<String>,
}

impl Checked {
    /// Nothing could be found out about so many claims.
    pub fn impossible(error: &anyhow::Error, claims: usize) -> Self {
        Self { verdicts: vec![Verdict::Unknown; claims], refused: 1, faults: vec![format!("{error:#}")] }
    }
}

/// Checks claims against the states that were seen. `root` is what the client trusts. Blocks.
///
/// # Errors
/// When the root or the first state can't be trusted: then nothing can be checked.
pub fn check(place: &Place, root: &[u8], states: &[Seen], claims: &[Claim], kind: &Kind) -> anyhow::Result<Checked> {
    let now = Timestamp::now();
    let faults = Faults::default();
    let history = History::read(place, root, states, now, &faults)?;
    let mut by_role: BTreeMap<RoleName, Vec<(usize, Artifact)>> = BTreeMap::new();
    for (index, claim) in claims.iter().enumerate() {
        for &artifact in &claim.artifacts {
            let delegated = history.delegations.roles_for(&kind.path(artifact)?).into_iter().next();
            let role = delegated.context("no role answers for the artifacts")?.role;
            by_role.entry(role).or_default().push((index, artifact));
        }
    }
    let verdicts = Mutex::new(claims.iter().map(|_| Verdict::True(Duration::ZERO)).collect::<Vec<_>>());
    let work = Mutex::new(by_role.into_iter());
    let (history, next) = (&history, &work);
    thread::scope(|scope| {
        let run = || -> anyhow::Result<()> {
            let mut files = Files { history, place: OpenPlace::new(place)?, kind, now, faults: &faults };
            loop {
                let Some((role, wanted)) = lock(next).next() else { return Ok(()) };
                for (index, verdict) in files.judge(&role, wanted, claims, states) {
                    let mut verdicts = lock(&verdicts);
                    verdicts[index] = both(verdicts[index], verdict);
                }
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().try_for_each(|thread| thread.join().expect("a check does not panic"))
    })?;
    let (refused, faults) = faults.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let verdicts = verdicts.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(Checked { verdicts, refused, faults })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The verdict on a claim of which two parts were judged.
fn both(one: Verdict, other: Verdict) -> Verdict {
    use Verdict::{False, True, Unknown};
    match (one, other) {
        (True(a), True(b)) => True(a.max(b)),
        (False(None), _) | (_, False(None)) => False(None),
        (False(Some(a)), False(Some(b)) | True(b)) | (True(a), False(Some(b))) => False(Some(a.max(b))),
        (False(late), Unknown) | (Unknown, False(late)) => False(late),
        (Unknown, _) | (_, Unknown) => Unknown,
    }
}

/// What the client refused.
#[derive(Default)]
struct Faults(Mutex<(u64, Vec<String>)>);

impl Faults {
    fn note(&self, error: &anyhow::Error) {
        let mut faults = lock(&self.0);
        faults.0 += 1;
        if faults.1.len() < TOLD {
            faults.1.push(format!("{error:#}"));
        }
    }
}

/// A place with a runtime of its own.
struct OpenPlace(Reader, Runtime);

impl OpenPlace {
    fn new(place: &Place) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let reader = runtime.block_on(async { place.open() })?;
        Ok(Self(reader, runtime))
    }

    fn read(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        self.1.block_on(self.0.read(name))
    }

    fn need(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        self.1.block_on(self.0.need(name))
    }
}

/// Which version of each role the states list.
struct History {
    /// By the name of the file without version; each version with the first state that lists it.
    listed: HashMap<String, Vec<(StateIndex, Version)>>,
    delegations: Delegations,
}

impl History {
    fn read(place: &Place, root: &[u8], states: &[Seen], now: Timestamp, faults: &Faults) -> anyhow::Result<Self> {
        let place = OpenPlace::new(place)?;
        let mut trusted = Trusted::from_root(root).context("the root can't be trusted")?;
        while let Some(next) = place.read(&RoleName::root().file_name(trusted.root().version.next()))? {
            trusted.update_root(&next)?;
        }
        let mut listed: HashMap<String, Vec<(StateIndex, Version)>> = HashMap::new();
        for (index, state) in states.iter().enumerate() {
            if let Err(error) = refresh(&mut trusted, &place, &state.timestamp, now) {
                faults.note(&error);
                continue;
            }
            for (name, file) in trusted.snapshot().into_iter().flat_map(|snapshot| &snapshot.meta) {
                match listed.get_mut(name) {
                    Some(versions) if versions.last().is_some_and(|last| last.1 == file.version) => {}
                    Some(versions) => versions.push((index, file.version)),
                    None => _ = listed.insert(name.clone(), vec![(index, file.version)]),
                }
            }
        }
        let targets = trusted.targets(&RoleName::targets());
        let delegations = targets.and_then(|targets| targets.delegations.clone());
        match delegations {
            Some(delegations) => Ok(Self { listed, delegations }),
            None => {
                let fault = lock(&faults.0).1.first().cloned();
                anyhow::bail!("no state was seen that can be trusted: {}", fault.as_deref().unwrap_or("there was none"))
            }
        }
    }

    /// The versions of a role that a state in this range lists first, and the one that was listed before them.
    fn versions(&self, role: &RoleName, after: Option<StateIndex>, until: StateIndex) -> Vec<(StateIndex, Version)> {
        let all = self.listed.get(&role.meta_name()).map_or(&[][..], Vec::as_slice);
        let end = all.partition_point(|(index, _)| *index <= until);
        let new = after.map_or(0, |after| all.partition_point(|(index, _)| *index <= after));
        all[new.saturating_sub(1).min(end)..end].to_vec()
    }
}

/// A client's way from a timestamp to `targets`.
fn refresh(trusted: &mut Trusted, place: &OpenPlace, timestamp: &[u8], now: Timestamp) -> anyhow::Result<()> {
    trusted.update_timestamp(timestamp, now)?;
    let version = trusted.timestamp().context("no timestamp")?.snapshot.version;
    if trusted.snapshot().is_none_or(|snapshot| snapshot.version != version) {
        trusted.update_snapshot(&place.need(&RoleName::snapshot().file_name(version))?, now)?;
    }
    let role = RoleName::targets();
    let version = trusted.snapshot().and_then(|snapshot| snapshot.get(&role)).context("no targets")?.version;
    if trusted.targets(&role).is_none_or(|targets| targets.version != version) {
        trusted.update_targets(&place.need(&role.file_name(version))?, now)?;
    }
    Ok(())
}

/// Reads and verifies bins.
struct Files<'a> {
    history: &'a History,
    place: OpenPlace,
    kind: &'a Kind,
    now: Timestamp,
    faults: &'a Faults,
}

impl Files<'_> {
    /// Judges what is claimed of the artifacts of a role.
    fn judge(
        &mut self,
        role: &RoleName,
        mut wanted: Vec<(usize, Artifact)>,
        claims: &[Claim],
        states: &[Seen],
    ) -> Vec<(usize, Verdict)> {
        wanted.sort_by_key(|(index, _)| claims[*index].told);
        let mut bin = Bin { files: self, role, versions: BTreeMap::new() };
        wanted.into_iter().map(|(index, artifact)| (index, bin.judge(&claims[index], artifact, states))).collect()
    }

    fn load(&self, role: &RoleName, version: Version) -> anyhow::Result<Targets> {
        let bytes = self.place.need(&role.file_name(version))?;
        Ok(verify_delegated(&self.history.delegations, role, &bytes, version, self.now)?)
    }
}

/// A bin in the versions that were needed last.
struct Bin<'a, 'b> {
    files: &'a Files<'b>,
    role: &'a RoleName,
    /// `None`: it could not be had.
    versions: BTreeMap<Version, Option<Targets>>,
}

impl Bin<'_, '_> {
    fn judge(&mut self, claim: &Claim, artifact: Artifact, states: &[Seen]) -> Verdict {
        let after = |index: StateIndex| states[index].at.saturating_duration_since(claim.posted);
        let until = self.files.history.versions(self.role, claim.before, claim.told);
        let Some(&(_, told)) = until.last() else { return Verdict::Unknown };
        match self.shows(told, claim.change, artifact) {
            None => Verdict::Unknown,
            Some(true) => {
                // The first is what was there before: it can't have the change. One that is alone needs no look.
                let first = match until.as_slice() {
                    [_, new @ ..] if new.len() > 1 => {
                        new.iter().find(|(_, version)| self.shows(*version, claim.change, artifact) == Some(true))
                    }
                    all => all.last(),
                };
                Verdict::True(first.map_or(Duration::ZERO, |(index, _)| after(*index)))
            }
            Some(false) => {
                let later = self.files.history.versions(self.role, Some(claim.told), states.len());
                let seen = later.iter().find(|(_, version)| self.shows(*version, claim.change, artifact) == Some(true));
                Verdict::False(seen.map(|(index, _)| after(*index)))
            }
        }
    }

    /// Whether a version of the bin has the change.
    fn shows(&mut self, version: Version, change: Change, artifact: Artifact) -> Option<bool> {
        if !self.versions.contains_key(&version) {
            let loaded = self.files.load(self.role, version).inspect_err(|error| self.files.faults.note(error)).ok();
            if self.versions.len() == KEPT {
                self.versions.pop_first();
            }
            self.versions.insert(version, loaded);
        }
        let targets = self.versions.get(&version)?.as_ref()?;
        let path = self.files.kind.path(artifact).ok()?;
        let listed = targets.get(&path);
        Some(match change {
            Change::Added => listed.is_some_and(|file| self.files.kind.describes(artifact, file)),
            Change::Removed => listed.is_none(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_good_as_the_worst_of_its_artifacts() {
        use Verdict::{False, True, Unknown};
        let [soon, late] = [1, 2].map(Duration::from_millis);
        for (one, other, together) in [
            (True(soon), True(late), True(late)),
            (True(late), False(Some(soon)), False(Some(late))),
            (False(Some(soon)), False(Some(late)), False(Some(late))),
            (True(soon), False(None), False(None)),
            (False(Some(soon)), False(None), False(None)),
            (True(soon), Unknown, Unknown),
            (False(Some(soon)), Unknown, False(Some(soon))),
            (False(None), Unknown, False(None)),
            (Unknown, Unknown, Unknown),
        ] {
            assert_eq!(both(one, other), together, "{one:?} and {other:?}");
            assert_eq!(both(other, one), together, "{other:?} and {one:?}");
        }
    }
}
