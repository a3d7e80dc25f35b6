//! A web server for the files of a directory, as it stands beside a fleet.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Component, Path, PathBuf},
    thread,
};

/// A web server. It goes on until the tests end.
pub(crate) struct Web {
    url: String,
}

impl Web {
    /// Serves what is in `directory`.
    pub(crate) fn serve(directory: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let directory = directory.clone();
                // A client that goes away in the middle is no fault.
                thread::spawn(move || answer(&stream, &directory).unwrap_or_default());
            }
        });
        Self { url }
    }

    /// `http://` and the address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// Answers the requests of one connection.
fn answer(stream: &TcpStream, directory: &Path) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(request) = lines.next() {
        let request = request?;
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        let path =
            request.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().trim_matches('/');
        let path = Path::new(path);
        let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        let file = if is_inside { fs::read(directory.join(path)).ok() } else { None };
        let (status, body) = file.map_or(("404 Not Found", Vec::new()), |bytes| ("200 OK", bytes));
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
        let mut stream = stream;
        stream.write_all(&[head.as_bytes(), &body].concat())?;
    }
    Ok(())
}
