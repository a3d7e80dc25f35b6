//! The lines that a child process prints, read with a deadline.

use std::{
    io::{BufRead, BufReader, Read},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

/// The lines of a pipe. They are read as they come, so that the child never waits for a reader.
pub(crate) struct Lines(Receiver<String>);

/// Why there is no line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoLine {
    /// The child closed the pipe, most often because it ended.
    Closed,
    /// Nothing came in time.
    Late,
}

impl Lines {
    /// Starts to read.
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    // Nobody wants lines any more, but a full pipe would stop the child: read on.
                    continue;
                }
            }
        });
        Self(receiver)
    }

    /// The next line.
    pub(crate) fn next(&self, within: Duration) -> Result<String, NoLine> {
        self.0.recv_timeout(within).map_err(|error| match error {
            RecvTimeoutError::Disconnected => NoLine::Closed,
            RecvTimeoutError::Timeout => NoLine::Late,
        })
    }
}
