//! Replaces the online key of a repository, and beside it the floor: a program that signs and writes the same files, and is no service.
//!
//! The files are those that the bucket has more of afterwards, with as many signatures and bytes as they have there. The floor writes them in the order
//! that clients need: all that the first round published, its timestamp, then the root and its timestamp. It does so in both ways that
//! there are, each file by itself and many with one wait for the file system, and the quicker one is what the service is compared with.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde_json::json;
use tokio::task::spawn_blocking;

use super::{
    actors::Driver,
    floor::directory::Directory,
    machine::cpu_seconds,
    report::{Output, Report},
    times::Times,
};
use crate::{
    demo::ceremony,
    queue::Broker,
    store::bucket::{Bucket, File, directory::DirectoryBucket},
    task::{Job, MetadataUpdate, Progress, Rotation, TaskId},
    tuf::{name::Version, wire::Metadata},
};

const TIMESTAMP: &str = "timestamp.json";
/// Files that are signed and written together, and how many such lots at the same time: one is signed while others are written.
const CHUNK: usize = 128;
const CHUNKS_AT_ONCE: usize = 3;

/// How much is done, and where.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// A directory on the disk that is to be measured; what is written into it is removed at the end
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Hash bins of the repository
    #[arg(long, default_value_t = 16_384)]
    pub bins: u32,
    /// How often the key is replaced
    #[arg(long, value_name = "TIMES", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub rotations: u16,
    /// Drop the old key at once, in one round
    #[arg(long)]
    pub immediate: bool,
    /// How long a rotation may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub limit: u64,
    /// First store so many artifacts, of which nothing is measured
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub fill: u64,
    /// The report.
    #[command(flatten)]
    pub output: Output,
}

/// Measures it, publishes the report, and says whether all tasks ended well.
///
/// # Errors
/// When the worker can't be started or does not go on, and those of the disk.
pub async fn run(options: Options) -> anyhow::Result<bool> {
    fs::create_dir_all(&options.data_dir).with_context(|| format!("can't make {}", options.data_dir.display()))?;
    let home = tempfile::Builder::new().prefix("rstuf-rotation-").tempdir_in(&options.data_dir)?;
    let observer = options.output.observe()?;
    let mut driver = Driver::start(home.path(), options.bins, Duration::from_secs(options.limit)).await?;
    driver.fill(options.fill, options.output.watcher()).await?;

    let mut figures = Figures::new()?;
    let mut watcher = options.output.watcher();
    for number in 1..=options.rotations {
        let before = names(home.path())?;
        figures.rotate(&mut driver, home.path(), &options, number).await?;
        let written = Written::since(home.path(), &before)?;
        figures.floor(&written, &home.path().join(format!("floor-{number}"))).await?;
        watcher.tell(|| format!("the key was replaced {number} times"));
    }
    let usages = observer.finish();
    driver.worker.shut_down().await;

    let mut report = figures.report(&options)?;
    report.usages(usages);
    options.output.publish(&report)?;
    Ok(true)
}

/// What was measured.
struct Figures {
    service: Times,
    alone: Times,
    together: Times,
    service_cpu: f64,
    files: u64,
    bytes: u64,
    signatures: u64,
}

impl Figures {
    fn new() -> anyhow::Result<Self> {
        let (service, alone, together) = (Times::new()?, Times::new()?, Times::new()?);
        Ok(Self { service, alone, together, service_cpu: 0.0, files: 0, bytes: 0, signatures: 0 })
    }

    /// Sends the next root, and waits until it is told that clients see it.
    async fn rotate(&mut self, driver: &mut Driver, home: &Path, options: &Options, number: u16) -> anyhow::Result<()> {
        let online = ceremony::online_key(&home.join("keys"), &format!("online-{number}"))?;
        let root = driver.table.root(Version::new(u64::from(number) + 1)?, online, Timestamp::now())?;
        let rotation = if options.immediate { Rotation::Immediate } else { Rotation::Seamless };
        let metadata = [("root".to_owned(), root.to_value())].into_iter().collect();
        let task = TaskId::random();
        let (begin, cpu) = (Instant::now(), cpu_seconds("self"));
        driver.broker.publish(&task, &Job::MetadataUpdate(MetadataUpdate { metadata, rotation })).await?;
        loop {
            let told = driver.next_report().await?;
            match told.progress {
                _ if told.task != task => {}
                Progress::Running { .. } => {}
                Progress::Finished(outcome) if outcome.status => {
                    self.service.record(told.at - begin);
                    self.service_cpu += cpu_seconds("self").zip(cpu).map_or(0.0, |(end, begin)| end - begin);
                    return Ok(());
                }
                other => anyhow::bail!("the online key was not replaced: {other:?}"),
            }
        }
    }

    /// Does the same without the service, in both ways.
    async fn floor(&mut self, written: &Written, place: &Path) -> anyhow::Result<()> {
        self.files = written.len() as u64;
        self.bytes = written.all().map(|file| file.bytes.len() as u64).sum();
        self.signatures = written.all().map(|file| file.signatures as u64).sum();

        let directory = Directory::new(&place.join("alone"))?;
        let begin = Instant::now();
        for step in written.steps() {
            sign(&directory, step);
            let files: Vec<_> = step.iter().map(|file| (file.name.as_str(), file.bytes.as_slice())).collect();
            directory.write_signed(&files)?;
        }
        self.alone.record(begin.elapsed());

        let bucket = DirectoryBucket::open(place.join("together"))?;
        let directory = Arc::new(directory);
        let steps: Vec<Vec<_>> = written.steps().map(|step| step.chunks(CHUNK).map(<[_]>::to_vec).collect()).collect();
        let (mut pointer, begin) = (None, Instant::now());
        for chunks in steps {
            let one = chunks.first().and_then(|chunk| chunk.first()).filter(|file| file.name == TIMESTAMP).cloned();
            if let Some(timestamp) = one {
                directory.sign(&timestamp.message, timestamp.signatures);
                ensure!(bucket.point(pointer, timestamp.bytes.clone()).await?, "somebody else writes there");
                pointer = Some(timestamp.bytes);
                continue;
            }
            let (bucket, directory) = (&bucket, &directory);
            let write = |chunk: Vec<Signed>| async move {
                let directory = Arc::clone(directory);
                let signing = spawn_blocking(move || {
                    let sign = |file: Signed| {
                        directory.sign(&file.message, file.signatures);
                        File { name: file.name, bytes: file.bytes }
                    };
                    chunk.into_iter().map(sign).collect()
                });
                Ok::<_, anyhow::Error>(bucket.create(signing.await?).await?)
            };
            stream::iter(chunks).map(write).buffer_unordered(CHUNKS_AT_ONCE).try_collect::<()>().await?;
        }
        self.together.record(begin.elapsed());
        fs::remove_dir_all(place)?;
        Ok(())
    }

    fn report(self, options: &Options) -> anyhow::Result<Report> {
        let Options { bins, rotations, immediate, fill, .. } = options;
        let how = if *immediate { "at once" } else { "seamlessly" };
        let what = format!("rotation: the online key of {bins} bins, replaced {how} {rotations} times, SQLite");
        let settings = json!({ "bins": bins, "rotations": rotations, "immediate": immediate, "filled": fill, "database": "SQLite" });
        let mut report = Report::new(what, settings);
        let seconds = |times: &Times| times.median().as_secs_f64();
        let quickest = seconds(&self.alone).min(seconds(&self.together));
        ensure!(quickest > 0.0, "the floor took no time");
        report.count("files of a rotation", self.files);
        report.count("bytes of a rotation", self.bytes);
        report.count("signatures of a rotation", self.signatures);
        report.ratio("service to floor, of the medians", seconds(&self.service) / quickest);
        report.times("service: root sent to SUCCESS", self.service);
        report.times("floor: each file waited for", self.alone);
        report.times("floor: files waited for together", self.together);
        report.processor("the service, a rotation", self.service_cpu / f64::from(*rotations));
        Ok(report)
    }
}

/// The signatures of these files, on as many threads as there are cores.
fn sign(directory: &Directory, files: &[Signed]) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            directory.sign(&file.message, file.signatures);
        }
    };
    thread::scope(|scope| {
        let signers = thread::available_parallelism().map_or(1, usize::from).min(files.len());
        (0..signers).for_each(|_| drop(scope.spawn(work)));
    });
}

/// A file with what of it was signed, how often.
#[derive(Clone)]
struct Signed {
    name: String,
    bytes: Vec<u8>,
    message: Vec<u8>,
    signatures: usize,
}

impl Signed {
    fn read(bucket: &Path, name: &str) -> anyhow::Result<Self> {
        let bytes = fs::read(bucket.join(name)).with_context(|| name.to_owned())?;
        let metadata = Metadata::parse(&bytes)?;
        // People signed the root.
        let by_service = if name.ends_with(".root.json") { 0 } else { metadata.signatures.len() };
        Ok(Self { name: name.to_owned(), message: metadata.canonical()?, signatures: by_service, bytes })
    }
}

/// What a rotation wrote.
struct Written {
    versioned: Vec<Signed>,
    root: Vec<Signed>,
    /// Of the first round. That of the last one is as long.
    timestamp: Vec<Signed>,
    is_one_round: bool,
}

impl Written {
    fn since(home: &Path, before: &BTreeSet<String>) -> anyhow::Result<Self> {
        let bucket = home.join("metadata");
        let new: Vec<_> = names(home)?.into_iter().filter(|name| !before.contains(name)).collect();
        let read = |name: &String| Signed::read(&bucket, name);
        let (root, versioned): (Vec<_>, Vec<_>) = new.iter().partition(|name| name.ends_with(".root.json"));
        ensure!(root.len() == 1, "one root is published, not {}", root.len());
        let timestamp = Signed::read(&bucket, TIMESTAMP)?;
        let is_one_round = timestamp.signatures == 1;
        Ok(Self {
            versioned: versioned.into_iter().map(read).collect::<Result<_, _>>()?,
            root: root.into_iter().map(read).collect::<Result<_, _>>()?,
            timestamp: vec![timestamp],
            is_one_round,
        })
    }

    /// What is written one after the other.
    fn steps(&self) -> impl Iterator<Item = &[Signed]> {
        let Self { versioned, root, timestamp, is_one_round } = self;
        let steps: [&[Signed]; 4] = [versioned, if *is_one_round { &[] } else { timestamp }, root, timestamp];
        steps.into_iter().filter(|step| !step.is_empty())
    }

    fn all(&self) -> impl Iterator<Item = &Signed> {
        self.steps().flatten()
    }

    fn len(&self) -> usize {
        self.all().count()
    }
}

/// The versioned files in the bucket.
fn names(home: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(home.join("metadata"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".json") && name != TIMESTAMP {
            names.insert(name);
        }
    }
    Ok(names)
}
