//! A web server that can do what none should: it has no end, breaks off, redirects, or has another repository from now on.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use percent_encoding::percent_decode_str;
use serde::Deserialize;

/// What it does in place of serving a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Behaviour {
    /// Sends bytes without end.
    Endless,
    /// Answers with this status.
    Status(u16),
    /// Leads elsewhere.
    Redirect(String),
    /// Sends so many bytes, and ends the connection in the middle of the file.
    BreakAfter(usize),
    /// Sends the file in pieces of 10,000 bytes, this many milliseconds apart.
    Slow(u64),
    /// Sends the whole file whatever part is asked for.
    Whole,
}

#[derive(Default)]
struct State {
    directory: PathBuf,
    behaviour: BTreeMap<String, Behaviour>,
    requests: Vec<Request>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) path: String,
    /// The first byte that was wanted.
    pub(super) from: u64,
}

/// The server. It goes on until the tests end.
pub(super) struct Mirror {
    url: String,
    state: Arc<Mutex<State>>,
}

impl Mirror {
    /// A server that has nothing yet.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = shared.clone();
                // A client that goes away in the middle is no fault.
                thread::spawn(move || answer(stream, &shared).unwrap_or_default());
            }
        });
        Self { url, state }
    }

    /// From now on it has this directory, and does what the file `behaviour.json` in it says.
    pub(super) fn serve(&self, directory: &Path) {
        let behaviour = fs::read(directory.join("behaviour.json"));
        let behaviour = behaviour.map(|bytes| serde_json::from_slice(&bytes).expect("known behaviour"));
        let mut state = self.state.lock().expect("no panic");
        *state = State { directory: directory.to_owned(), behaviour: behaviour.unwrap_or_default(), requests: vec![] };
    }

    /// From now on it does this in place of serving a file, or serves it again.
    pub(super) fn set(&self, path: &str, behaviour: Option<Behaviour>) {
        let mut state = self.state.lock().expect("no panic");
        match behaviour {
            Some(behaviour) => drop(state.behaviour.insert(path.to_owned(), behaviour)),
            None => drop(state.behaviour.remove(path)),
        }
    }

    /// What was asked for, since it has this directory.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.state.lock().expect("no panic").requests.clone()
    }

    /// Where metadata is.
    pub(super) fn metadata(&self) -> String {
        format!("{}/metadata", self.url)
    }

    /// Where artifacts are.
    pub(super) fn files(&self) -> String {
        format!("{}/files", self.url)
    }
}

/// Answers one request and closes the connection.
fn answer(mut stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut from = 0;
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        let range = line.to_ascii_lowercase();
        let first = range.strip_prefix("range: bytes=").and_then(|range| range.strip_suffix('-')).map(str::parse);
        from = first.and_then(Result::ok).unwrap_or(from);
    }
    let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let path = percent_decode_str(path).decode_utf8_lossy().into_owned();
    let (file, behaviour) = {
        let mut state = state.lock().expect("no panic");
        state.requests.push(Request { path: path.clone(), from });
        (state.directory.join(&path), state.behaviour.get(&path).cloned())
    };
    let is_inside = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
    let mut head = |status: &str, more: &str| write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\n{more}\r\n");
    match &behaviour {
        Some(Behaviour::Endless) => {
            head("200 OK", "")?;
            loop {
                stream.write_all(&[b'x'; 10_000])?;
            }
        }
        Some(Behaviour::Status(status)) => return head(&format!("{status} Status"), "content-length: 0\r\n"),
        Some(Behaviour::Redirect(to)) => {
            return head("302 Found", &format!("location: {to}\r\ncontent-length: 0\r\n"));
        }
        _ => {}
    }
    let Some(bytes) = fs::read(file).ok().filter(|_| is_inside) else {
        return head("404 Not Found", "content-length: 0\r\n");
    };
    let total = bytes.len();
    let start = match behaviour {
        Some(Behaviour::Whole) => 0,
        _ => usize::try_from(from).unwrap_or(total),
    };
    if start > 0 && start >= total {
        return head("416 Range Not Satisfiable", "content-length: 0\r\n");
    }
    let length = total - start;
    match start {
        0 => head("200 OK", &format!("content-length: {length}\r\n"))?,
        _ => head(
            "206 Partial Content",
            &format!("content-length: {length}\r\ncontent-range: bytes {start}-{}/{total}\r\n", total - 1),
        )?,
    }
    match behaviour {
        Some(Behaviour::BreakAfter(count)) => stream.write_all(&bytes[start..][..count.min(length)]),
        Some(Behaviour::Slow(pause_ms)) => bytes[start..].chunks(10_000).try_for_each(|piece| {
            thread::sleep(Duration::from_millis(pause_ms));
            stream.write_all(piece)
        }),
        _ => stream.write_all(&bytes[start..]),
    }
}
