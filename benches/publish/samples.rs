//! What is measured while the service runs.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;
use rstuf::{
    load::times::Times,
    tuf::bins::{Bins, Layout},
};

use crate::{
    artifacts,
    client::Client,
    floor::Floor,
    published::{Published, Versions},
    report::{Aim, Report},
    repository,
    service::Service,
};

/// Between two looks at the directory.
const PAUSE: Duration = Duration::from_micros(200);

/// A repository that is filled step by step, and its floor.
pub(crate) struct Bench {
    bins: Bins,
    service: Service,
    client: Client,
    published: Published,
    versions: Versions,
    floor: Floor,
    stored: usize,
}

impl Bench {
    /// Measures bootstraps, each of a service of its own, and goes on with the last one.
    pub(crate) fn bootstrap(home: &Path, bins: u32, repeats: usize, report: &mut Report) -> anyhow::Result<Self> {
        let (mut times, mut floors) = (Times::new()?, Times::new()?);
        let mut last: Option<Self> = None;
        for repeat in 0..repeats.max(1) {
            if let Some(earlier) = last.take() {
                earlier.end()?;
            }
            let data_dir = home.join(format!("service-{repeat}"));
            let body = repository::bootstrap(&data_dir.join("keys"), bins)?;
            let service = Service::start(&data_dir)?;
            let client = Client::new(service.address)?;
            let begin = Instant::now();
            client.wait(&client.post("/api/v1/bootstrap/", body)?)?;
            times.record(begin.elapsed());

            let published = Published { directory: data_dir.join("metadata") };
            let (publication, versions) = published.since(&Versions::new())?;
            let mut floor = Floor::new(&home.join(format!("floor-{repeat}")))?;
            floors.record(floor.publish(&publication, &[])?);
            let bins = Bins::new(bins, Layout::Succinct)?;
            last = Some(Self { bins, service, client, published, versions, floor, stored: 0 });
        }
        let what = format!("bootstrap with {bins} bins, from POST to SUCCESS");
        report.times(what, &times, Some(&floors), Some(Aim::Ratio(2.0)));
        Ok(last.expect("at least one repeat"))
    }

    /// Adds artifacts one after the other. Returns the median time from POST to visible.
    pub(crate) fn one_by_one(&mut self, samples: usize, report: &mut Report) -> anyhow::Result<Duration> {
        let stored = self.stored;
        let [visible, success, floor] = self.series(1, samples)?;
        let what = |end| format!("one artifact, {stored} stored, from POST to {end}");
        report.times(what("visible"), &visible, Some(&floor), Some(Aim::Median(Duration::from_millis(30))));
        report.times(what("SUCCESS"), &success, Some(&floor), None);
        Ok(visible.median())
    }

    /// Adds artifacts in one request.
    pub(crate) fn together(&mut self, count: usize, repeats: usize, report: &mut Report) -> anyhow::Result<()> {
        let stored = self.stored;
        let [visible, _, floor] = self.series(count, repeats)?;
        let what = format!("{count} artifacts in one request, {stored} stored, from POST to visible");
        report.times(what, &visible, Some(&floor), None);
        Ok(())
    }

    /// Adds artifacts until `stored` more are there.
    pub(crate) fn fill(&mut self, stored: usize, at_once: usize, report: &mut Report) -> anyhow::Result<()> {
        let (mut times, mut floors) = (Times::new()?, Times::new()?);
        let mut left = stored;
        while left > 0 {
            let count = left.min(at_once);
            let [_, success, floor] = self.series(count, 1)?;
            times.add(&success);
            floors.add(&floor);
            left -= count;
        }
        let what = format!("{stored} artifacts in requests of {at_once}, each from POST to SUCCESS");
        report.times(what, &times, Some(&floors), None);
        Ok(())
    }

    /// Ends the service in order.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        self.service.stop()
    }

    /// To visible, to SUCCESS, and the floor, of so many requests with `count` artifacts each.
    fn series(&mut self, count: usize, repeats: usize) -> anyhow::Result<[Times; 3]> {
        let [mut visible, mut success, mut floor] = [Times::new()?, Times::new()?, Times::new()?];
        for _ in 0..repeats.max(1) {
            let artifacts = artifacts::fresh(self.bins, count)?;
            let body = artifacts::body(&artifacts)?;
            let before = self.published.timestamp()?;
            let begin = Instant::now();
            let task = self.client.post("/api/v1/artifacts/", body)?;
            while self.published.timestamp()? == before {
                std::thread::sleep(PAUSE);
            }
            visible.record(begin.elapsed());
            self.client.wait(&task)?;
            success.record(begin.elapsed());
            self.stored += count;

            let (publication, versions) = self.published.since(&self.versions)?;
            self.versions = versions;
            // Each bin of a new artifact, and snapshot.
            let mut bins: Vec<_> = artifacts.iter().map(|artifact| &artifact.role).collect();
            bins.sort();
            bins.dedup();
            ensure!(
                publication.files.len() == bins.len() + 1,
                "other roles than those of the artifacts were published"
            );
            floor.record(self.floor.publish(&publication, &artifacts)?);
        }
        Ok([visible, success, floor])
    }
}
