//! Rounds on the embedded stores, with clients that look after every write.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Mutex,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    actors::{
        bins, drafting,
        drafting::Drafted,
        signer::{self, SigningKeys},
    },
    store::{
        bucket::directory::DirectoryBucket,
        keys::{KeyStore, generate},
        ledger::{
            NewRepository, Repository, RepositorySettings, Request, Visibility, Work,
            charter::{Announced, Decided, End, NextRoot, RootStage, Signing},
            sqlite::SqliteLedger,
        },
    },
    task::{Outcome, Progress, Rotation},
    tuf::{
        bins::{Bins, Layout},
        delegation::Delegations,
        event::Authority,
        info::Info,
        key::{ONLINE_KEY_URI, key_id},
        name::{ArtifactPath, KeyId},
        root::{RoleKeys, Root},
        sample::{Signer, path, role, sign, version},
        verify::Trusted,
        wire::RoleType,
    },
};

/// A key whose private half this service has.
struct Online {
    id: KeyId,
    key: Value,
}

impl Online {
    fn new(directory: &Path, name: &str) -> Self {
        let generated = generate::generate(generate::KeyKind::Ed25519).expect("a key");
        let file = format!("{name}.pem");
        std::fs::write(directory.join(&file), generated.private_pem()).expect("written");
        let mut key = generated.public.clone();
        key[ONLINE_KEY_URI] = json!(format!("fn:{file}"));
        Self { id: key_id(&key).expect("an id"), key }
    }
}

/// A bucket at which clients look after every write, as others would at that moment.
struct Watched {
    bucket: DirectoryBucket,
    /// The root that the first clients were given.
    first: Mutex<Option<Vec<u8>>>,
    /// The highest root that clients had before the last write: one that read it then reads the rest now.
    held: Mutex<u64>,
    /// Whether a client in the middle of a change of root may fail once.
    rotation: Mutex<Rotation>,
    looks: Mutex<u32>,
}

impl Watched {
    async fn look(&self) {
        let Some(first) = self.first.lock().expect("a lock").clone() else { return };
        if self.bucket.read("timestamp.json").await.expect("read").is_none() {
            return;
        }
        let held = *self.held.lock().expect("a lock");
        let mut trusted = Trusted::from_root(&first).expect("the first root");
        let mut number = 1;
        loop {
            if number == held && self.seamless() {
                refresh(&self.bucket, trusted.clone()).await.unwrap_or_else(|why| panic!("with root {held}: {why}"));
            }
            let name = format!("{}.root.json", number + 1);
            let Some(next) = self.bucket.read(&name).await.expect("read") else { break };
            trusted.update_root(&next).expect("the next root");
            number += 1;
        }
        if number == held || self.seamless() {
            refresh(&self.bucket, trusted).await.unwrap_or_else(|why| panic!("with root {number}: {why}"));
        }
        *self.held.lock().expect("a lock") = number;
        *self.looks.lock().expect("a lock") += 1;
    }

    fn seamless(&self) -> bool {
        *self.rotation.lock().expect("a lock") == Rotation::Seamless
    }
}

/// Reads all that a client can, with a root that it trusts.
async fn refresh(bucket: &DirectoryBucket, mut trusted: Trusted) -> Result<Trusted, String> {
    let now = now();
    let text = |error: VerifyError| error.to_string();
    let file = async |name: String| bucket.read(&name).await.expect("read").ok_or(format!("no {name}"));
    trusted.update_timestamp(&file("timestamp.json".into()).await?, now).map_err(text)?;
    let listed = trusted.timestamp().expect("a timestamp").snapshot.version;
    trusted.update_snapshot(&file(format!("{listed}.snapshot.json")).await?, now).map_err(text)?;
    let listed: Vec<_> = trusted.snapshot().expect("a snapshot").meta.clone().into_iter().collect();
    let of_targets = listed.iter().find(|(name, _)| name == "targets.json").expect("targets").1.version;
    trusted.update_targets(&file(format!("{of_targets}.targets.json")).await?, now).map_err(text)?;
    let delegations = trusted.targets(&RoleName::targets()).and_then(|targets| targets.delegations.clone());
    for (name, meta) in listed {
        let role = role(name.trim_end_matches(".json"));
        if delegations.as_ref().is_some_and(|delegations| delegations.role(&role).is_some()) {
            let bytes = file(role.file_name(meta.version)).await?;
            trusted.update_delegated(&role, &RoleName::targets(), &bytes, now).map_err(text)?;
        }
    }
    Ok(trusted)
}

#[async_trait]
impl Bucket for Watched {
    async fn create(&self, files: Vec<File>) -> Result<(), StoreError> {
        self.bucket.create(files).await?;
        self.look().await;
        Ok(())
    }

    async fn point(&self, seen: Option<Vec<u8>>, timestamp: Vec<u8>) -> Result<bool, StoreError> {
        let done = self.bucket.point(seen, timestamp).await?;
        self.look().await;
        Ok(done)
    }

    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.bucket.read(name).await
    }
}

struct OwnHands {
    keys: Arc<KeyStore>,
    ledger: Arc<dyn Ledger>,
}

#[async_trait]
impl Hands for OwnHands {
    async fn sign(&self, _: &RoleName, keys: Arc<SigningKeys>, draft: Unsigned) -> Result<Vec<u8>, UpdateError> {
        Ok(signer::sign(&self.keys, &keys, vec![draft]).await?.remove(0))
    }

    async fn update(&self, order: Order) -> Result<Vec<Updated>, UpdateError> {
        let keys = order.keys.clone();
        let sign = |drafts| async move { Ok(signer::sign(&self.keys, &keys, drafts).await?) };
        bins::update(self.ledger.as_ref(), sign, order).await
    }
}

/// A repository with its clients.
struct Site {
    parts: Parts,
    memory: Memory,
    bucket: Arc<Watched>,
    people: Vec<Signer>,
    online: Online,
    home: TempDir,
}

fn now() -> Timestamp {
    crate::tuf::sample::at(0)
}

/// What a root signs whose own keys are of `people`, two of them, and all else of `online`.
fn root(number: u64, people: &[Signer], online: &Online) -> Metadata {
    let keys: Vec<_> = people.iter().map(Signer::entry).chain([(online.id.clone(), online.key.clone())]).collect();
    let one = RoleKeys { keyids: vec![online.id.clone()], threshold: 1 };
    let own = RoleKeys { keyids: people.iter().map(Signer::id).collect(), threshold: 2 };
    let roles = [("root", own), ("timestamp", one.clone()), ("snapshot", one.clone()), ("targets", one)];
    let signed = Root::render(version(number), crate::tuf::sample::at(24 * 365), &keys, &roles);
    sign(signed, &[&people[0], &people[1]])
}

fn custom(name: &str, keyids: &[&KeyId], threshold: u32, paths: &[&str]) -> Value {
    json!({"name": name, "keyids": keyids, "threshold": threshold, "terminating": true, "paths": paths})
}

fn entry(signer: &Signer) -> (String, Value) {
    (signer.id().as_str().to_owned(), signer.key())
}

impl Site {
    /// With two bins, an online role of its own key, a role that two people sign, and one that a person and an online key sign.
    async fn new() -> Self {
        let home = TempDir::new().expect("a directory");
        let keys = home.path().join("keys");
        std::fs::create_dir(&keys).expect("a directory");
        let (online, own) = (Online::new(&keys, "online"), Online::new(&keys, "own"));
        let people: Vec<_> = (0..3).map(|_| Signer::new()).collect();
        let bins = Bins::new(2, Layout::PathHashPrefixes).expect("bins");
        let mut delegations = bins.delegations(&[(online.id.clone(), online.key.clone())], 1);
        for (id, key) in people.iter().map(entry).chain([(own.id.as_str().to_owned(), own.key.clone())]) {
            delegations["keys"][id] = key;
        }
        let (a, b) = (people[0].id(), people[1].id());
        let roles = [
            custom("own", &[&own.id], 1, &["own/*"]),
            custom("people", &[&a, &b], 2, &["people/*"]),
            custom("mixed", &[&a, &online.id], 2, &["mixed/*"]),
        ];
        let list = delegations["roles"].as_array_mut().expect("a list");
        for (i, role) in roles.into_iter().enumerate() {
            list.insert(i, role);
        }
        let days = ["root", "targets", "snapshot", "timestamp", "bins", "own", "people", "mixed"];
        let settings = RepositorySettings {
            expirations: days.map(|role| (role.to_owned(), 30)).into(),
            number_of_delegated_bins: Some(2),
            layout: Layout::PathHashPrefixes,
            root_num_keys: 2,
        };
        let top_level = [RoleName::targets(), RoleName::snapshot(), RoleName::timestamp()];
        let named = ["own", "people", "mixed"].map(role);
        let offline = |name: &RoleName| if name.as_str() == "own" { Signing::Online } else { Signing::Offline };
        let new = NewRepository {
            settings,
            delegations,
            notes: Vec::new(),
            root: root(1, &people, &online),
            roles: named.iter().cloned().chain(bins.names()).chain(top_level).collect(),
            custom: named.iter().map(|name| (name.clone(), offline(name))).collect(),
        };
        let metadata = home.path().join("metadata");
        let bucket = Arc::new(Watched {
            bucket: DirectoryBucket::open(metadata).expect("the bucket opens"),
            first: Mutex::new(Some(new.root.to_bytes())),
            held: Mutex::new(1),
            rotation: Mutex::default(),
            looks: Mutex::default(),
        });
        let ledger = Arc::new(SqliteLedger::open(&home.path().join("ledger.db")).expect("the ledger opens"));
        let parts = Parts {
            ledger: ledger.clone(),
            bucket: bucket.clone(),
            hands: Arc::new(OwnHands { keys: Arc::new(KeyStore::new(keys)), ledger }),
            clock: Clock::fixed(now()),
            batch: 1000,
            rotation_grace: Duration::from_secs(600),
            visible: Visible::default(),
            metrics: Metrics::default(),
        };
        let site = Self { parts, memory: Memory::default(), bucket, people, online, home };
        site.stage("create", Work::Create(Box::new(new))).await;
        site
    }

    async fn stage(&self, task: &str, work: Work) {
        let request = Request { task: TaskId::from_text(task), accepted_at: now(), work };
        self.parts.ledger.stage(vec![request], now()).await.expect("staged");
    }

    async fn add(&self, task: &str, of: &str, text: &str) {
        let placement = self.parts.ledger.charter().await.expect("read").placement;
        let info = Info::of(&json!({"length": 1, "hashes": {"sha256": "0a"}})).expect("information");
        let artifacts: Vec<(RoleName, ArtifactPath, Info)> = vec![(role(of), path(text), info)];
        self.stage(task, Work::Add { placement, artifacts, invalid: Vec::new(), visibility: Visibility::NextRound })
            .await;
    }

    /// Drafts and publishes until there is nothing to do.
    async fn settle(&mut self) -> Vec<Done> {
        let mut all = Vec::new();
        for _ in 0..20 {
            while !matches!(drafting::draft(&self.parts).await.expect("drafted"), Drafted::Nothing) {}
            match round(&self.parts, &mut self.memory).await.expect("a round") {
                Done::Nothing => return all,
                done => all.push(done),
            }
        }
        panic!("it never settles: {all:?}");
    }

    async fn change(&self, decide: impl Fn(&mut Change, &Repository)) {
        self.change_as(None, decide).await;
    }

    /// Why a task was refused.
    async fn refusal(&self, task: &str) -> String {
        let ended = self.parts.ledger.unreported(i64::MAX, 100).await.expect("read");
        let ended = ended.into_iter().find(|ended| ended.task.as_str() == task).expect("it has ended");
        let Progress::Finished(outcome) = ended.progress else { panic!("{ended:?}") };
        outcome.error.expect("a reason")
    }

    async fn change_as(&self, task: Option<(&str, End)>, decide: impl Fn(&mut Change, &Repository)) {
        let Chartered { revision, charter, .. } = self.parts.ledger.charter().await.expect("read");
        let repository = self.parts.ledger.repository().await.expect("read").expect("a repository");
        let mut change = Change { charter: Some(charter), ..Change::default() };
        decide(&mut change, &repository);
        let task = task.map(|(task, end)| Decided {
            task: TaskId::from_text(task),
            accepted_at: now(),
            outcome: Outcome::root_updated(now()),
            end,
        });
        let amendment = Amendment { base: revision, task, change };
        assert_eq!(self.parts.ledger.amend(amendment, now()).await.expect("amended"), Amended::Recorded);
    }

    /// `signer` signs the open event of `of`.
    async fn sign(&self, of: &str, signer: &Signer) {
        self.sign_as(None, of, signer).await;
    }

    async fn sign_as(&self, task: Option<(&str, End)>, of: &str, signer: &Signer) {
        let of = role(of);
        self.change_as(task, |change, repository| {
            let charter = change.charter.as_mut().expect("a charter");
            let event = charter.events.remove(&of).expect("an event");
            let authority = match &charter.roles[&of].announced {
                Some(Announced { role, keys }) => Authority::announced(role, keys).expect("an authority"),
                None => {
                    let delegations = Delegations::view(&repository.delegations).expect("delegations");
                    Authority::delegation(&delegations, &of).expect("delegated")
                }
            };
            let signature = signer.sign(&event.document);
            let event = event.sign(&of, signature, &[authority]).expect("it counts");
            charter.events.insert(of.clone(), event);
        })
        .await;
    }

    async fn listed(&self) -> BTreeMap<String, u64> {
        let published = self.parts.ledger.published().await.expect("read");
        published.into_iter().map(|(role, meta)| (role.to_string(), meta.version.get())).collect()
    }

    async fn events(&self) -> BTreeSet<String> {
        let charter = self.parts.ledger.charter().await.expect("read").charter;
        charter.events.keys().map(ToString::to_string).collect()
    }

    /// Announces a root with another online key, as `POST /metadata` does.
    async fn rotate(&self, number: u64, to: &Online, rotation: Rotation) {
        let root = root(number, &self.people, to);
        let stage = if rotation == Rotation::Seamless { RootStage::Announced } else { RootStage::Ready };
        *self.bucket.rotation.lock().expect("a lock") = rotation;
        self.change(|change, repository| {
            let charter = change.charter.as_mut().expect("a charter");
            charter.next_root = Some(NextRoot { root: root.clone(), version: version(number), rotation, stage });
            let old = Root::view(&Metadata::parse(&repository.root).expect("a root").signed).expect("a root");
            let old = old.online_key(RoleType::Timestamp).expect("a key").0.clone();
            let mut text = repository.delegations.to_string();
            text = text.replace(&format!("\"{old}\":"), "\"gone\":").replace(old.as_str(), to.id.as_str());
            let mut delegations: Value = serde_json::from_str(&text).expect("json");
            delegations["keys"].as_object_mut().expect("keys").shift_remove("gone");
            delegations["keys"][to.id.as_str()] = to.key.clone();
            change.delegations = Some(delegations);
            change.due = Due::All;
        })
        .await;
    }

    async fn signers(&self, of: &str) -> BTreeSet<String> {
        let version = self.listed().await[of];
        let name = if of == "timestamp" { "timestamp.json".to_owned() } else { format!("{version}.{of}.json") };
        let bytes = self.bucket.read(&name).await.expect("read").expect("published");
        let metadata = Metadata::parse(&bytes).expect("metadata");
        metadata.signatures.iter().map(|signature| signature.keyid.as_str().to_owned()).collect()
    }
}

#[actix::test]
async fn roles_of_all_kinds_are_signed_by_their_own_keys() {
    let mut site = Site::new().await;
    site.settle().await;
    let listed = site.listed().await;
    let names: Vec<_> = listed.keys().map(String::as_str).collect();
    assert_eq!(names, ["bins-0", "bins-1", "own", "snapshot", "targets", "timestamp"], "people have signed nothing");
    assert_eq!(site.events().await, ["mixed".to_owned(), "people".to_owned()].into());

    // A person signs the mixed role, and the online key has signed it already.
    let (a, b) = (&site.people[0], &site.people[1]);
    site.sign("mixed", a).await;
    site.sign("people", a).await;
    site.sign("people", b).await;
    site.settle().await;
    assert!(site.events().await.is_empty());
    let expected = |ids: [&str; 2]| ids.map(str::to_owned).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(site.signers("people").await, expected([site.people[0].id().as_str(), site.people[1].id().as_str()]));
    assert_eq!(site.signers("mixed").await, expected([site.people[0].id().as_str(), site.online.id.as_str()]));
    // After the first point, and after the files and the point of the round that has what people signed.
    assert_eq!(*site.bucket.looks.lock().expect("a lock"), 3);
}

#[actix::test]
async fn what_is_added_waits_for_people_and_signatures_survive() {
    let mut site = Site::new().await;
    site.settle().await;
    site.add("t1", "people", "people/a").await;
    site.add("t2", "own", "own/a").await;
    site.settle().await;
    site.sign("people", &site.people[0]).await;
    // The same again changes nothing.
    site.add("t3", "people", "people/a").await;
    site.settle().await;
    let waiting = drafting::waiting(site.parts.ledger.as_ref(), now()).await.expect("read");
    let waiting: BTreeMap<_, _> = waiting.into_iter().collect();
    assert_eq!(waiting.len(), 2, "{waiting:?}");
    let crate::task::Progress::Running { missing, .. } = &waiting[&TaskId::from_text("t3")] else { panic!("it waits") };
    assert_eq!((missing["people"][0].signatures, missing["people"][0].of.len()), (1, 1));

    site.sign("people", &site.people[1]).await;
    site.settle().await;
    let ended = site.parts.ledger.unreported(i64::MAX, 100).await.expect("read");
    let ended: BTreeSet<_> = ended.into_iter().map(|ended| ended.task.as_str().to_owned()).collect();
    assert!(["t1", "t2", "t3"].iter().all(|task| ended.contains(*task)), "{ended:?}");
    let artifacts = site.parts.ledger.artifacts(vec![role("people")]).await.expect("read");
    assert_eq!(artifacts[0].len(), 1);
}

#[actix::test]
async fn what_expired_before_its_round_is_dropped_and_drafted_anew() {
    let mut site = Site::new().await;
    site.settle().await;
    let before = site.parts.ledger.charter().await.expect("read").charter.events[&role("people")].version;
    site.sign("people", &site.people[0]).await;
    site.sign_as(Some(("signs", End::Visible)), "people", &site.people[1]).await;
    // Its time is over before a round comes, and that of the first of all timestamps too.
    site.change(|change, _| {
        let charter = change.charter.as_mut().expect("a charter");
        let event = charter.events.get_mut(&role("people")).expect("an event");
        event.document.signed["expires"] = json!("2020-01-01T00:00:00Z");
        event.document = sign(event.document.signed.clone(), &[&site.people[0], &site.people[1]]);
    })
    .await;
    site.add("t", "own", "own/a").await;
    let done = site.settle().await;
    let dropped = done.iter().filter(|done| matches!(done, Done::Dropped(of, _) if *of == role("people"))).count();
    assert_eq!(dropped, 1, "{done:?}");
    let refused = site.refusal("signs").await;
    assert!(refused.starts_with("people v") && refused.contains("clients would refuse it by now: "), "{refused}");
    assert!(done.iter().any(|done| matches!(done, Done::Published { .. })), "the rest is published: {done:?}");
    let event = site.parts.ledger.charter().await.expect("read").charter.events[&role("people")].clone();
    assert!(event.version > before);
    assert!(event.document.signatures.is_empty());
}

#[actix::test]
async fn a_draft_that_nobody_signed_in_time_is_dropped_and_made_anew() {
    let mut site = Site::new().await;
    site.settle().await;
    let ledger = site.parts.ledger.clone();
    let event = async || ledger.charter().await.expect("read").charter.events[&role("people")].clone();
    let drop_stale = async || {
        let chartered = ledger.charter().await.expect("read");
        drafting::drop_stale(ledger.as_ref(), chartered, site.parts.clock.now()).await.expect("looked")
    };
    site.sign("people", &site.people[0]).await;
    let first = event().await;
    // An eighth of thirty days is more than a day, which is enough to sign.
    site.parts.clock.advance(SignedDuration::from_hours(24 * 29 - 1));
    assert_eq!(drop_stale().await, []);
    site.parts.clock.advance(SignedDuration::from_hours(2));
    assert_eq!(drop_stale().await, [role("mixed"), role("people")]);
    assert_eq!(drop_stale().await, []);
    assert!(site.events().await.is_empty());
    while !matches!(drafting::draft(&site.parts).await.expect("drafted"), Drafted::Nothing) {}
    let second = event().await;
    assert!(second.version > first.version && second.document.signatures.is_empty());
    let [was, is] = [&first, &second].map(|event| event.document.header().expect("a header").expires);
    assert!(is > was);
}

#[actix::test]
async fn a_role_that_people_are_to_take_over_stays_valid() {
    let mut site = Site::new().await;
    site.settle().await;
    let own = role("own");
    let before = site.listed().await["own"];
    let person = entry(&site.people[0]);
    site.change(|change, _| {
        let charter = change.charter.as_mut().expect("a charter");
        let role_of_people = custom("own", &[&site.people[0].id()], 1, &["own/*"]);
        let announced = Announced { role: role_of_people, keys: [person.clone()].into_iter().collect() };
        let custom = charter.roles.get_mut(&own).expect("a role");
        (custom.signing, custom.announced) = (Signing::Offline, Some(announced));
        charter.kept.insert(own.clone(), Default::default());
        change.due = Due::Roles(vec![own.clone()]);
    })
    .await;
    site.settle().await;
    assert_eq!(site.listed().await["own"], before, "it is valid for long");
    // Nobody signs for a year.
    for _ in 0..36 {
        site.parts.clock.advance(SignedDuration::from_hours(24 * 10));
        let expires = site.parts.ledger.expiries().await.expect("read")["own"].expires;
        assert!(expires > site.parts.clock.now());
        site.settle().await;
    }
    assert!(site.listed().await["own"] > before);
    site.sign("own", &site.people[0]).await;
    site.settle().await;
    assert_eq!(site.signers("own").await, [site.people[0].id().as_str().to_owned()].into());
    assert!(site.parts.ledger.charter().await.expect("read").charter.kept.is_empty());
}

#[actix::test]
async fn a_root_that_clients_would_refuse_is_dropped() {
    let mut site = Site::new().await;
    site.settle().await;
    let wrong = root(3, &site.people, &site.online);
    site.change_as(Some(("updates", End::Root(version(3)))), |change, _| {
        let next = NextRoot {
            root: wrong.clone(),
            version: version(3),
            rotation: Rotation::Seamless,
            stage: RootStage::Ready,
        };
        change.charter.as_mut().expect("a charter").next_root = Some(next);
    })
    .await;
    let done = site.settle().await;
    let refused = site.refusal("updates").await;
    assert!(refused.starts_with("root v3 was withdrawn before clients saw it: "), "{refused}");
    assert!(matches!(&done[..], [Done::Dropped(of, _), ..] if *of == RoleName::root()), "{done:?}");
    assert_eq!(site.bucket.read("3.root.json").await.expect("read"), None);
}

#[actix::test]
async fn no_client_fails_while_online_keys_are_replaced() {
    let mut site = Site::new().await;
    site.settle().await;
    for number in 2..5 {
        let new = Online::new(&site.home.path().join("keys"), &format!("online-{number}"));
        site.rotate(number, &new, Rotation::Seamless).await;
        site.add(&format!("t{number}"), "bins-0", "any/a").await;
        site.settle().await;
        assert!(site.bucket.read(&format!("{number}.root.json")).await.expect("read").is_some());
        let both: BTreeSet<_> = [&site.online, &new].map(|key| key.id.as_str().to_owned()).into();
        assert!(site.signers("timestamp").await.is_superset(&both), "clients may hold the old root");
        assert_eq!(site.signers("bins-0").await, [new.id.as_str().to_owned()].into());
        site.online = new;
    }
    // When no client holds an old root any more, the old keys sign no more.
    site.parts.clock.advance(SignedDuration::from_secs(601));
    let done = site.settle().await;
    assert!(!done.is_empty());
    for of in ["targets", "snapshot", "timestamp"] {
        assert_eq!(site.signers(of).await, [site.online.id.as_str().to_owned()].into(), "{of}");
    }
}

#[actix::test]
async fn a_retired_key_that_is_gone_is_left_out() {
    let mut site = Site::new().await;
    site.settle().await;
    let new = Online::new(&site.home.path().join("keys"), "new");
    site.rotate(2, &new, Rotation::Seamless).await;
    site.settle().await;
    std::fs::remove_file(site.home.path().join("keys/online.pem")).expect("removed");
    *site.bucket.rotation.lock().expect("a lock") = Rotation::Immediate;
    // Another process, which has not loaded it.
    site.parts.hands = Arc::new(OwnHands {
        keys: Arc::new(KeyStore::new(site.home.path().join("keys"))),
        ledger: site.parts.ledger.clone(),
    });
    site.add("t", "bins-0", "any/a").await;
    site.settle().await;
    assert_eq!(site.signers("timestamp").await, [new.id.as_str().to_owned()].into());
}

#[actix::test]
async fn a_key_that_is_replaced_at_once_never_signs_again() {
    let mut site = Site::new().await;
    site.settle().await;
    let new = Online::new(&site.home.path().join("keys"), "new");
    site.rotate(2, &new, Rotation::Immediate).await;
    site.settle().await;
    for of in ["targets", "snapshot", "timestamp", "bins-0", "bins-1"] {
        assert_eq!(site.signers(of).await, [new.id.as_str().to_owned()].into(), "{of}");
    }
    assert_eq!(*site.bucket.held.lock().expect("a lock"), 2);
}

/// What the published file of a role lists.
async fn in_file(site: &Site, of: &str) -> BTreeSet<String> {
    let name = format!("{}.{of}.json", site.listed().await[of]);
    let bytes = site.bucket.read(&name).await.expect("read").expect("published");
    let metadata = Metadata::parse(&bytes).expect("metadata");
    metadata.signed["targets"].as_object().expect("targets").keys().cloned().collect()
}

#[actix::test]
async fn what_is_remembered_is_never_older_than_what_was_published() {
    let mut site = Site::new().await;
    site.settle().await;
    let mut other = Memory::default();
    // Each artifact comes into both bins; the publishers take turns of one, two and three rounds.
    for n in 0..12_usize {
        if n == 7 {
            // A decision in between: all is read anew.
            site.change(|change, _| change.due = Due::Roles(vec![role("bins-1")])).await;
        }
        for of in ["bins-0", "bins-1"] {
            site.add(&format!("{of}-{n}"), of, &format!("a{n:02}")).await;
        }
        let memory = if [1, 3, 4, 8, 9, 10].contains(&n) { &mut other } else { &mut site.memory };
        let done = round(&site.parts, memory).await.expect("a round");
        assert!(matches!(done, Done::Published { .. }), "{done:?}");
        let expected: BTreeSet<_> = (0..=n).map(|n| format!("a{n:02}")).collect();
        for of in ["bins-0", "bins-1"] {
            assert_eq!(in_file(&site, of).await, expected, "{of} after {n}");
        }
    }
}

#[actix::test]
async fn a_root_that_was_committed_is_shown_by_who_comes_next() {
    let mut site = Site::new().await;
    site.settle().await;
    let new = Online::new(&site.home.path().join("keys"), "new");
    site.rotate(2, &new, Rotation::Seamless).await;
    // The process ends between commit and point.
    loop {
        while !matches!(drafting::draft(&site.parts).await.expect("drafted"), Drafted::Nothing) {}
        let Planned::Round(plan) = site.parts.ledger.plan(now(), 1000).await.expect("planned") else {
            panic!("no plan")
        };
        let is_last = plan.root.is_some();
        let mut memory = Memory::default();
        let known = memory.take(site.parts.ledger.as_ref(), &plan).await.expect("known");
        let Draft { roles, targets, timestamp, files, .. } =
            Draft::build(&site.parts, &plan, known, now()).await.expect("built");
        site.bucket.create(files).await.expect("written");
        let publication =
            Publication { roles, targets, timestamp, root_grace_ends: now() + SignedDuration::from_secs(9) };
        site.parts.ledger.commit(&plan, publication, now()).await.expect("committed");
        if is_last {
            break;
        }
        finish(site.parts.ledger.as_ref(), site.bucket.as_ref()).await.expect("finished");
    }
    assert_eq!(site.bucket.read("2.root.json").await.expect("read"), None);
    for _ in 0..2 {
        finish(site.parts.ledger.as_ref(), site.bucket.as_ref()).await.expect("finished");
        assert!(site.bucket.read("2.root.json").await.expect("read").is_some());
    }
    site.add("t", "own", "own/a").await;
    site.settle().await;
    assert_eq!(*site.bucket.held.lock().expect("a lock"), 2);
}

#[test]
fn the_grace_of_a_root_ends_with_a_whole_second() {
    let now: Timestamp = "2026-01-02T03:04:05.678Z".parse().expect("a time");
    let ends = grace_ends(now, Duration::from_secs(3));
    assert_eq!(ends, "2026-01-02T03:04:09Z".parse().expect("a time"));
    assert_eq!(grace_ends(now, Duration::MAX), Timestamp::MAX);
}
