//! What clients of a repository see, from look to look.
//!
//! Only `timestamp.json` is ever replaced. Whoever remembers each one that was there, and when it was first seen, can
//! find out later, from files that never change, what clients saw at any time: so a look costs one small read while
//! the service is measured, and the checking costs nothing until the measurement is over.

use std::{
    cell::RefCell,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use reqwest::StatusCode;

/// How long an answer of the repository may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const TIMESTAMP: &str = "timestamp.json";

/// Where the metadata is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a directory of this machine: a look costs some microseconds.
    Directory(PathBuf),
    /// Behind a web server.
    Url(String),
}

impl Place {
    /// An URL that begins with `http://` or `https://`, or a directory.
    pub fn parse(text: &str) -> Self {
        match text.starts_with("http://") || text.starts_with("https://") {
            true => Self::Url(text.trim_end_matches('/').to_owned()),
            false => Self::Directory(text.into()),
        }
    }

    /// Between two looks, so that they disturb nobody.
    pub fn pause(&self) -> Duration {
        match self {
            Self::Directory(_) => Duration::from_millis(1),
            Self::Url(_) => Duration::from_millis(5),
        }
    }

    /// Ready to read, within the runtime of the caller.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn open(&self) -> anyhow::Result<Reader> {
        Ok(match self {
            Self::Directory(directory) => Reader::Directory(directory.clone()),
            Self::Url(url) => {
                let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_LIMIT).build()?;
                Reader::Url(http, url.clone())
            }
        })
    }
}

/// Reads metadata.
#[derive(Debug)]
pub enum Reader {
    /// From a directory.
    Directory(PathBuf),
    /// Over HTTP, on connections that stay.
    Url(reqwest::Client, String),
}

impl Reader {
    /// Reads a file, `None` when there is none.
    ///
    /// # Errors
    /// When the repository can't be reached, or answers neither with the file nor that there is none.
    pub async fn read(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        match self {
            Self::Directory(directory) => from_directory(directory, name),
            Self::Url(http, url) => from_url(http, &format!("{url}/{name}")).await,
        }
    }

    /// Reads a file that must be there.
    ///
    /// # Errors
    /// As [`read`](Reader::read), and when there is none.
    pub async fn need(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        self.read(name).await?.with_context(|| format!("the repository has no {name}"))
    }
}

fn from_directory(directory: &Path, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let path = directory.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
    }
}

async fn from_url(http: &reqwest::Client, url: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let answer = http.get(url).send().await.with_context(|| format!("can't read {url}"))?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => return Ok(None),
        status => bail!("{url} answers {status}"),
    }
    let bytes = answer.bytes().await.with_context(|| format!("can't read {url}"))?;
    Ok(Some(bytes.to_vec()))
}

/// A timestamp that clients saw.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The file.
    pub timestamp: Vec<u8>,
    /// When the look ended that found it first.
    pub at: Instant,
}

/// Names a [`Seen`]: the first one is 0.
pub type StateIndex = usize;

/// Looks, and remembers.
#[derive(Debug)]
pub struct Watch {
    reader: Reader,
    seen: RefCell<Vec<Seen>>,
    /// When the last look began that succeeded. Locked while one is under way.
    last: tokio::sync::Mutex<Option<Instant>>,
}

impl Watch {
    /// A watch that has not seen anything yet.
    ///
    /// # Errors
    /// As [`Place::open`].
    pub fn new(place: &Place) -> anyhow::Result<Self> {
        Ok(Self { reader: place.open()?, seen: RefCell::default(), last: tokio::sync::Mutex::default() })
    }

    /// What a client sees that asks now: the result of a look that begins after this call. Those who wait at
    /// the same time share one. `None` when there is no repository.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub async fn look(&self) -> anyhow::Result<Option<StateIndex>> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if last.is_none_or(|begun| begun < asked) {
            let begun = Instant::now();
            if let Some(timestamp) = self.reader.read(TIMESTAMP).await? {
                self.note(timestamp);
            }
            *last = Some(begun);
        }
        Ok(self.newest())
    }

    fn note(&self, timestamp: Vec<u8>) {
        let mut seen = self.seen.borrow_mut();
        if seen.last().is_none_or(|last| last.timestamp != timestamp) {
            seen.push(Seen { timestamp, at: Instant::now() });
        }
    }

    /// What was seen last.
    pub fn newest(&self) -> Option<StateIndex> {
        self.seen.borrow().len().checked_sub(1)
    }

    /// Looks for ever, with this pause.
    pub async fn keep_looking(&self, pause: Duration) {
        let mut ticks = tokio::time::interval(pause);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // A repository that is away for a while is looked at again; whoever must know asks himself.
            let _ = self.look().await;
        }
    }

    /// All that was seen, in order.
    pub fn states(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_other_timestamp_is_a_state() {
        let home = tempfile::tempdir().expect("a directory");
        let watch = Watch::new(&Place::parse(&home.path().display().to_string())).expect("a watch");
        assert_eq!(watch.look().await.expect("a look"), None);
        for (text, state) in [("a", 0), ("a", 0), ("b", 1)] {
            std::fs::write(home.path().join(TIMESTAMP), text).expect("written");
            assert_eq!(watch.look().await.expect("a look"), Some(state));
        }
        let states = watch.states();
        assert_eq!(states.iter().map(|seen| seen.timestamp.as_slice()).collect::<Vec<_>>(), [b"a", b"b"]);
        assert!(states[0].at <= states[1].at);
    }

    #[test]
    fn urls_are_told_from_directories() {
        assert_eq!(Place::parse("http://h/metadata/"), Place::Url("http://h/metadata".into()));
        assert_eq!(Place::parse("srv/metadata"), Place::Directory("srv/metadata".into()));
    }
}
