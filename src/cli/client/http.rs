//! Reads files over HTTP from servers that may do anything: every read has a limit of bytes and of time.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use anyhow::Context;
use reqwest::{
    Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_RANGE, LOCATION, RANGE},
    redirect::{Attempt, Policy},
};
use thiserror::Error;
use url::Url;

const MAX_REDIRECTS: usize = 5;

/// How long a server may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Until it is connected.
    pub(super) connect: Duration,
    /// Until the next piece comes.
    pub(super) idle: Duration,
    /// For a whole file of metadata.
    pub(super) file: Duration,
    /// For the next [`pace_bytes`](Self::pace_bytes) of an artifact.
    pub(super) pace: Duration,
    /// What has to come meanwhile.
    pub(super) pace_bytes: u64,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(20), idle: seconds(30), file: seconds(300), pace: seconds(60), pace_bytes: 6_000 }
    }
}

/// Why a file could not be read.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The address is none of a web server.
    #[error("{0} is no http or https url")]
    Url(String),
    /// No answer, or it broke off.
    #[error("can't read {url}: {why}")]
    Broken {
        /// The file.
        url: String,
        /// What the connection says.
        why: String,
    },
    /// The server has an answer, but not the file.
    #[error("{url} answers {status}")]
    Status {
        /// The file.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// The server says that the file is where no web server is.
    #[error("{url} leads to {to}, which is not followed")]
    Redirect {
        /// The file.
        url: String,
        /// Where it is said to be.
        to: String,
    },
    /// More bytes than there may be.
    #[error("{url} has more than the {limit} bytes that may be read")]
    TooLong {
        /// The file.
        url: String,
        /// Bytes.
        limit: u64,
    },
    /// Bytes come too slowly.
    #[error("{url} comes too slowly: {bytes} bytes in {seconds} s")]
    TooSlow {
        /// The file.
        url: String,
        /// Bytes.
        bytes: u64,
        /// Seconds.
        seconds: u64,
    },
}

impl HttpError {
    fn broken(url: &Url, error: &reqwest::Error) -> Self {
        // The innermost cause is the one that says something.
        let mut cause: &dyn Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Self::Broken { url: shown(url), why: cause.to_string() }
    }
}

/// An HTTP client.
#[derive(Debug, Clone)]
pub(super) struct Http {
    client: reqwest::Client,
    patience: Patience,
}

impl Http {
    pub(super) fn new(patience: Patience) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .connect_timeout(patience.connect)
            .read_timeout(patience.idle)
            .redirect(Policy::custom(follow))
            .build()
            .context("no http client can be made")?;
        Ok(Self { client, patience })
    }

    /// Reads at most `limit` bytes, `None` when there is no such file.
    pub(super) async fn read(&self, url: &str, limit: u64) -> Result<Option<Vec<u8>>, HttpError> {
        let begin = Instant::now();
        let mut bytes = Vec::new();
        let read = async {
            let Some(mut body) = self.open(url, 0).await? else { return Ok(false) };
            while let Some(chunk) = body.chunk().await? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() as u64 > limit {
                    return Err(HttpError::TooLong { url: body.shown(), limit });
                }
            }
            Ok(true)
        };
        let found = match tokio::time::timeout(self.patience.file, read).await {
            Ok(found) => found?,
            Err(_) => {
                let (bytes, seconds) = (bytes.len() as u64, begin.elapsed().as_secs());
                return Err(HttpError::TooSlow { url: shown(&parse(url)?), bytes, seconds });
            }
        };
        Ok(found.then_some(bytes))
    }

    /// Begins to read a file, from a byte on if the server can do that; `None` when there is no such file.
    pub(super) async fn open(&self, url: &str, from: u64) -> Result<Option<Body>, HttpError> {
        let url = parse(url)?;
        let mut request = self.client.get(url.clone()).header(ACCEPT_ENCODING, "identity");
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let response = request.send().await.map_err(|error| HttpError::broken(&url, &error))?;
        let start = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if from > 0 && begins_at(&response) == Some(from) => from,
            // It has no such part, or gave another: all of it, then.
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => {
                return Box::pin(self.open(url.as_str(), 0)).await;
            }
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => return Ok(None),
            status if status.is_redirection() => {
                return Err(HttpError::Redirect { url: shown(&url), to: leads_to(&response) });
            }
            status => return Err(HttpError::Status { url: shown(&url), status }),
        };
        let pace = Pace { begin: Instant::now(), bytes: 0 };
        Ok(Some(Body { response, url, start, patience: self.patience, pace }))
    }
}

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Body {
    response: Response,
    url: Url,
    /// The byte that it begins with.
    pub(super) start: u64,
    patience: Patience,
    pace: Pace,
}

#[derive(Debug)]
struct Pace {
    begin: Instant,
    bytes: u64,
}

impl Body {
    /// The next piece, `None` after the last one.
    pub(super) async fn chunk(&mut self) -> Result<Option<impl std::ops::Deref<Target = [u8]> + use<>>, HttpError> {
        let chunk = self.response.chunk().await.map_err(|error| HttpError::broken(&self.url, &error))?;
        self.pace.bytes += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        let elapsed = self.pace.begin.elapsed();
        if chunk.is_some() && elapsed >= self.patience.pace {
            let (bytes, seconds) = (self.pace.bytes, elapsed.as_secs());
            if bytes < self.patience.pace_bytes {
                return Err(HttpError::TooSlow { url: self.shown(), bytes, seconds });
            }
            self.pace = Pace { begin: Instant::now(), bytes: 0 };
        }
        Ok(chunk)
    }

    /// Its address as it may be printed.
    pub(super) fn shown(&self) -> String {
        shown(&self.url)
    }
}

fn begins_at(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn leads_to(response: &Response) -> String {
    let location = response.headers().get(LOCATION).map(|location| String::from_utf8_lossy(location.as_bytes()));
    location.map_or_else(|| "nowhere".to_owned(), |location| location.escape_debug().to_string())
}

fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if !matches!(attempt.url().scheme(), "http" | "https") {
        let scheme = attempt.url().scheme().to_owned();
        return attempt.error(format!("it leads to a {scheme} url, which is not followed"));
    }
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error(format!("it leads on after {MAX_REDIRECTS} redirects"));
    }
    attempt.follow()
}

fn parse(text: &str) -> Result<Url, HttpError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| HttpError::Url(text.to_owned()))
}

/// Makes sure that files can be read below this address.
///
/// # Errors
/// [`HttpError::Url`] when it is none of a web server.
pub fn check_base(text: &str) -> Result<(), HttpError> {
    parse(text).map(drop)
}

/// An address without its password.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // It fails for addresses that can have none.
    let _ = url.set_password(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
    };

    use super::*;

    /// A server that gives one answer to everybody, piece by piece.
    fn server(head: String, pieces: impl Fn() -> Box<dyn Iterator<Item = Vec<u8>>> + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/file", listener.local_addr().expect("an address"));
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.read(&mut [0; 4096]);
                let written = stream.write_all(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes());
                let _ = written.and_then(|()| pieces().try_for_each(|piece| stream.write_all(&piece)));
            }
        });
        url
    }

    fn http() -> Http {
        crate::cli::install_tls();
        let short = Duration::from_millis(300);
        let patience = Patience { file: short, pace: short, pace_bytes: 1_000, ..Patience::default() };
        Http::new(patience).expect("a client")
    }

    fn slowly() -> Box<dyn Iterator<Item = Vec<u8>>> {
        Box::new(std::iter::repeat_with(|| {
            thread::sleep(Duration::from_millis(20));
            b"x".to_vec()
        }))
    }

    #[actix::test]
    async fn endless_data_ends_at_the_limit() {
        let url = server("200 OK".into(), || Box::new(std::iter::repeat(vec![0; 1000])));
        let error = http().read(&url, 10_000).await.expect_err("refused");
        assert!(error.to_string().ends_with("has more than the 10000 bytes that may be read"), "{error}");
    }

    #[actix::test]
    async fn a_trickle_is_given_up() {
        let url = server("200 OK".into(), slowly);
        let error = http().read(&url, 10_000).await.expect_err("refused");
        assert!(matches!(error, HttpError::TooSlow { .. }), "{error}");
        let mut body = http().open(&url, 0).await.expect("an answer").expect("a file");
        let error = loop {
            match body.chunk().await {
                Ok(chunk) => assert!(chunk.is_some()),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, HttpError::TooSlow { .. }), "{error}");
    }

    #[actix::test]
    async fn redirects_lead_to_web_servers_alone_and_end() {
        let to_file = server("302 Found\r\nlocation: file:///etc/passwd".into(), || Box::new(std::iter::empty()));
        let error = http().read(&to_file, 10).await.expect_err("refused").to_string();
        assert!(error.ends_with("leads to file:///etc/passwd, which is not followed"), "{error}");
        let to_ftp = server("302 Found\r\nlocation: ftp://a/b".into(), || Box::new(std::iter::empty()));
        let error = http().read(&to_ftp, 10).await.expect_err("refused").to_string();
        assert!(error.contains("ftp"), "{error}");
        let loops = server("302 Found\r\nlocation: /file\r\nconnection: close".into(), || Box::new(std::iter::empty()));
        let error = http().read(&loops, 10).await.expect_err("refused").to_string();
        assert!(error.contains("it leads on after 5 redirects"), "{error}");
    }

    #[actix::test]
    async fn addresses_are_shown_without_passwords() {
        let error = http().read("http://a:secret@127.0.0.1:9/x", 10).await.expect_err("nobody is there").to_string();
        assert!(error.starts_with("can't read http://a@127.0.0.1:9/x: "), "{error}");
        let error = http().read("file:///etc/passwd", 10).await.expect_err("refused").to_string();
        assert_eq!(error, "file:///etc/passwd is no http or https url");
    }

    #[actix::test]
    async fn a_file_that_breaks_off_is_no_file() {
        let url = server("200 OK\r\ncontent-length: 10".into(), || Box::new([b"abc".to_vec()].into_iter()));
        let error = http().read(&url, 10).await.expect_err("refused");
        assert!(matches!(error, HttpError::Broken { .. }), "{error}");
    }
}
