//! Drives a server of the REST API, and holds it to what it says.

use std::{
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use serde_json::json;

use self::{
    api::{Answer, Api, State},
    clients::{Amount, Clients, Plan, Tally},
    pace::Pace,
};
use super::{
    artifacts::{Digest, Kind},
    check::{Checked, Verdict, check},
    machine::cpu_seconds,
    report::{Output, Report},
    times::Times,
    visible::{Place, Watch},
};
use crate::{clock::Clock, demo::ceremony, tuf::bins::Layout};

mod api;
mod clients;
mod pace;

/// Artifacts of a request that fills the repository.
const FILL: usize = 10_000;
const FILL_CLIENTS: usize = 2;
const BOOTSTRAP_LIMIT: Duration = Duration::from_secs(600);
const BOOTSTRAP_PAUSE: Duration = Duration::from_millis(20);
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// What to do to which server.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The server; may be repeated, then they are asked in turns
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub api: Vec<String>,
    /// Where clients find the metadata: an URL or a directory
    #[arg(long, value_name = "URL_OR_DIR", required_unless_present = "metadata_dir")]
    pub metadata: Option<String>,
    /// The same as a directory: to look there costs the server nothing
    #[arg(long, value_name = "DIR")]
    pub metadata_dir: Option<PathBuf>,
    /// Requests that are under way at the same time, each of a client that waits for its task
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub clients: u16,
    /// Artifacts of each request
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub artifacts_per_request: u32,
    /// End after so many requests
    #[arg(long, value_name = "M", conflicts_with = "duration")]
    pub requests: Option<u64>,
    /// Begin requests for so many seconds [default: 10, unless --requests is given]
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<u64>,
    /// Ask how a task goes every so many milliseconds [default: by what is usual]
    #[arg(long, value_name = "MS")]
    pub poll: Option<u64>,
    /// What the paths begin with
    #[arg(long, default_value = "load")]
    pub prefix: String,
    /// The digest of the artifacts
    #[arg(long, value_enum, default_value = "sha256")]
    pub hash: Digest,
    /// The share of the requests that remove again what a request before it has added, 0 to 0.5
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub delete_share: f64,
    /// How long a task may take before it counts as lost, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub limit: u64,
    /// Check what share of the requests with a client, afterwards, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    pub check_share: f64,
    /// The root that the client trusts [default: the first one that the repository has]
    #[arg(long, value_name = "FILE")]
    pub root: Option<PathBuf>,
    /// First make a repository with so many bins, with throw-away keys
    #[arg(long, value_name = "BINS", requires = "key_dir")]
    pub bootstrap: Option<u32>,
    /// Where the worker reads its online keys: the one of --bootstrap is put there
    #[arg(long, value_name = "DIR")]
    pub key_dir: Option<PathBuf>,
    /// How --bootstrap writes the bins
    #[arg(long, value_enum, default_value = "succinct")]
    pub layout: BinLayout,
    /// Then add so many artifacts in large requests, before anything is measured
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub fill: u64,
    /// The report.
    #[command(flatten)]
    pub output: Output,
}

/// How bins are written into `targets`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BinLayout {
    /// One object for all (TAP 15).
    Succinct,
    /// One delegation each.
    #[value(name = "path_hash_prefixes")]
    PathHashPrefixes,
}

/// Runs it, publishes the report, and says whether all that the server said was true and good.
///
/// # Errors
/// When it can't be measured: no server, no repository, options that can't be.
pub async fn run(options: Options) -> anyhow::Result<bool> {
    ensure!((0.0..=0.5).contains(&options.delete_share), "--delete-share is from 0 to 0.5");
    ensure!((0.0..=1.0).contains(&options.check_share), "--check-share is from 0 to 1");
    let place = match (&options.metadata_dir, &options.metadata) {
        (Some(directory), _) => Place::Directory(directory.clone()),
        (None, Some(text)) => Place::parse(text),
        (None, None) => bail!("--metadata or --metadata-dir is needed"),
    };
    let limit = Duration::from_secs(options.limit);
    let api = Rc::new(Api::new(&options.api, limit)?);
    let kind = Rc::new(Kind::new(&options.prefix, options.hash).context("--prefix")?);
    let observer = options.output.observe()?;
    if let Some(bins) = options.bootstrap {
        bootstrap(&api, bins, &options).await?;
    }
    let root = match &options.root {
        Some(file) => std::fs::read(file).with_context(|| format!("can't read {}", file.display()))?,
        None => place.open()?.need("1.root.json").await?,
    };
    if options.fill > 0 {
        fill(&api, &kind, &place, &options).await?;
    }

    let plan = Plan {
        clients: usize::from(options.clients),
        artifacts: options.artifacts_per_request as usize,
        amount: match (options.requests, options.duration) {
            (Some(requests), _) => Amount::Requests(requests),
            (None, seconds) => Amount::Time(Duration::from_secs(seconds.unwrap_or(10))),
        },
        delete_share: options.delete_share,
        check_share: options.check_share,
        limit,
    };
    let pace = options.poll.map_or_else(Pace::adaptive, |ms| Pace::Fixed(Duration::from_millis(ms)));
    let watch = Rc::new(Watch::new(&place)?);
    let clients = Clients::new(api, kind.clone(), watch.clone(), pace, plan)?;
    let cpu = cpu_seconds("self");
    let tally = measure(clients, &place, &options.output).await?;
    let cpu = cpu_seconds("self").zip(cpu).map_or(0.0, |(end, begin)| end - begin);
    let usages = observer.finish();

    let mut report = Report::new(title(&options), settings(&options));
    report.usages(usages);
    report.processor("rstuf-load while it measured", cpu);
    let before = cpu_seconds("self");
    let states = watch.states();
    let claims = [&tally.claims[..], &tally.lost_claims].concat();
    let checked = match claims.is_empty() {
        true => Checked::default(),
        false => {
            let (states, kind) = (states.clone(), Kind::clone(&kind));
            let checked = tokio::task::spawn_blocking(move || check(&place, &root, &states, &claims, &kind)).await?;
            // What was measured is told even so.
            checked.unwrap_or_else(|error| Checked::impossible(&error, tally.claims.len()))
        }
    };
    let checking = cpu_seconds("self").zip(before).map_or(0.0, |(end, begin)| end - begin);
    report.processor("the checking afterwards", checking);
    let good = tell(&mut report, tally, checked, states.len())?;
    options.output.publish(&report)?;
    Ok(good)
}

fn title(options: &Options) -> String {
    let Options { clients, artifacts_per_request, api, .. } = options;
    format!("http: {clients} clients, {artifacts_per_request} artifacts a request, to {}", api.join(" and "))
}

fn settings(options: &Options) -> serde_json::Value {
    json!({
        "api": options.api, "clients": options.clients, "artifacts_per_request": options.artifacts_per_request,
        "requests": options.requests, "duration_seconds": options.duration, "poll_ms": options.poll,
        "delete_share": options.delete_share, "check_share": options.check_share, "filled": options.fill,
        "bootstrapped_bins": options.bootstrap, "limit_seconds": options.limit,
    })
}

/// Makes a repository with throw-away keys.
async fn bootstrap(api: &Api, bins: u32, options: &Options) -> anyhow::Result<()> {
    let key_dir = options.key_dir.as_deref().context("--key-dir is needed")?;
    std::fs::create_dir_all(key_dir).with_context(|| format!("can't make {}", key_dir.display()))?;
    let layout = match options.layout {
        BinLayout::Succinct => Layout::Succinct,
        BinLayout::PathHashPrefixes => Layout::PathHashPrefixes,
    };
    let body = ceremony::hold(key_dir, bins, layout, Clock::system().now())?;
    let task = match api.post("/bootstrap/", body.to_string()).await {
        Answer::Accepted(task) => task,
        Answer::Refused(status, text) => bail!("the bootstrap is answered with {status}: {text}"),
        Answer::Unreachable(error) => bail!("the server can't be reached: {error}"),
    };
    tokio::time::timeout(BOOTSTRAP_LIMIT, async {
        loop {
            match api.state(&task).await? {
                State::Success => return Ok(()),
                State::Failed(text) => bail!("the bootstrap failed: {text}"),
                State::Waiting => tokio::time::sleep(BOOTSTRAP_PAUSE).await,
            }
        }
    })
    .await
    .context("the bootstrap does not end")?
}

/// Adds artifacts of which nothing is measured.
async fn fill(api: &Rc<Api>, kind: &Rc<Kind>, place: &Place, options: &Options) -> anyhow::Result<()> {
    let artifacts = FILL.min(usize::try_from(options.fill).unwrap_or(FILL));
    let requests = options.fill.div_ceil(artifacts as u64);
    let amount = Amount::Requests(requests);
    let limit = Duration::from_secs(options.limit).max(Duration::from_secs(600));
    let plan = Plan { clients: FILL_CLIENTS, artifacts, amount, delete_share: 0.0, check_share: 0.0, limit };
    let watch = Rc::new(Watch::new(place)?);
    let clients = Clients::new(api.clone(), kind.clone(), watch, Pace::adaptive(), plan)?;
    let tally = measure(clients, place, &options.output).await?;
    ensure!(tally.success == requests, "the repository can't be filled: {:?}", tally.complaints);
    Ok(())
}

/// Lets the clients work while the repository is looked at.
async fn measure(clients: Clients, place: &Place, output: &Output) -> anyhow::Result<Tally> {
    let (clients, pause) = (Rc::new(clients), place.pause());
    let watch = clients.watch();
    watch.look().await.context("the repository can't be looked at")?;
    let looking = actix::spawn(async move { watch.keep_looking(pause).await });
    let (watched, mut watcher) = (clients.clone(), output.watcher());
    let telling = actix::spawn(async move {
        loop {
            tokio::time::sleep(PROGRESS_INTERVAL).await;
            watcher.tell(|| watched.progress());
        }
    });
    clients.work().await;
    telling.abort();
    looking.abort();
    Ok(clients.tally())
}

/// Puts all figures into the report, and says whether all is well.
fn tell(report: &mut Report, mut tally: Tally, checked: Checked, states: usize) -> anyhow::Result<bool> {
    let mut visible = Times::new()?;
    let (mut last_visible, mut wrong, mut unknown) = (None, 0, 0);
    let (told, lost) = checked.verdicts.split_at(tally.claims.len().min(checked.verdicts.len()));
    for (claim, verdict) in tally.claims.iter().zip(told) {
        match verdict {
            Verdict::True(after) => {
                visible.record(*after);
                last_visible = last_visible.max(Some(claim.posted + *after));
            }
            Verdict::False(_) => wrong += 1,
            Verdict::Unknown => unknown += 1,
        }
    }
    let lost_visible = lost.iter().filter(|verdict| matches!(verdict, Verdict::True(_))).count();
    let false_answers = tally.false_answers();
    report.count("accepted", tally.accepted);
    report.count("false answers", false_answers);
    for (status, number) in &tally.refused {
        report.count(format!("  of these {status}"), *number);
    }
    report.count("  of these none in time", tally.unreachable);
    report.count("SUCCESS", tally.success);
    report.count("ended otherwise", tally.failed);
    report.count("lost", tally.lost);
    report.count("  of these visible", lost_visible as u64);
    report.count("SUCCESS that a client has checked", visible.count() + wrong);
    report.count("false SUCCESS", wrong);
    report.count("SUCCESS not checked", tally.unseen + unknown);
    report.count("states seen", states as u64);
    report.count("files refused by the client", checked.refused);
    report.count("questions about tasks", tally.polls);
    report.count("  of these without answer", tally.failed_polls);
    if let Some(begin) = tally.first_post {
        let until = |end: Option<Instant>| end.map_or(0.0, |end| (end - begin).as_secs_f64());
        report.rate("requests to SUCCESS", tally.success, until(tally.last_success));
        report.rate("artifacts to SUCCESS", tally.artifacts, until(tally.last_success));
        let seen = told.iter().zip(&tally.claims).filter(|(verdict, _)| matches!(verdict, Verdict::True(_)));
        let seen: usize = seen.map(|(_, claim)| claim.artifacts.len()).sum();
        report.rate("artifacts checked, to visible", seen as u64, until(last_visible));
    }
    for (name, times) in [("POST to 202", tally.to_answer.take()), ("POST to SUCCESS", tally.to_success.take())] {
        times.into_iter().for_each(|times| report.times(name, times));
    }
    report.times("POST to visible", visible);
    report.faults(tally.complaints);
    report.faults(checked.faults);
    Ok(false_answers + wrong + tally.failed + tally.lost + checked.refused == 0)
}
