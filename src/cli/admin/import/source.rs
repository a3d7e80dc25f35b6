//! The lines of the files, in batches. Of a file never more than a batch is in memory.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::{
    line::{self, Entry, Format, Place},
    refused::Refused,
};
use crate::{cli::failure::Failure, http::Limits};

/// A longer line is no artifact: path and `custom` have limits.
const MAX_LINE_BYTES: u64 = 256 * 1024;
/// A batch has not many more bytes than this, so that a server takes it.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// So much of a file tells it from others.
const HEAD_BYTES: u64 = 64 * 1024;
const READ_BYTES: usize = 256 * 1024;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A file that is named in the command.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) format: Format,
}

impl Input {
    pub(super) fn name(&self) -> String {
        match self.is_stdin() {
            true => "standard input".to_owned(),
            false => self.path.display().to_string(),
        }
    }

    fn is_stdin(&self) -> bool {
        self.path == Path::new("-")
    }

    fn failure(&self, error: &io::Error) -> Failure {
        Failure::new(format_args!("can't read {}: {error}", self.name()))
    }
}

/// By what a file is known again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    name: String,
    /// Of a regular file.
    bytes: Option<u64>,
    modified_ns: Option<u128>,
    head_sha256: String,
}

/// Where reading goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Position {
    /// The file by its place in the command.
    pub(super) file: u16,
    /// Bytes of it that were read.
    pub(super) offset: u64,
    /// Lines of it that were read.
    pub(super) line: u64,
}

/// Lines that are sent together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    /// Lines that are not worth sending.
    pub(super) refused: Vec<Refused>,
    /// All lines, but for empty ones.
    pub(super) lines: u64,
    /// What comes after it.
    pub(super) end: Position,
}

/// All files.
pub(super) struct Source {
    files: Vec<Opened>,
    position: Position,
    batch: usize,
    limits: Limits,
}

struct Opened {
    input: Input,
    identity: Identity,
    reader: Box<dyn BufRead + Send>,
}

impl Source {
    /// Opens all files.
    ///
    /// # Errors
    /// When one of them can't be read.
    pub(super) fn open(inputs: Vec<Input>, batch: usize) -> Result<Self, Failure> {
        let files = inputs.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { files, position: Position::default(), batch, limits: Limits::default() })
    }

    /// By what the files are known again.
    pub(super) fn identities(&self) -> Vec<Identity> {
        self.files.iter().map(|file| file.identity.clone()).collect()
    }

    /// The bytes of all files, `None` when that is not known.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.files.iter().map(|file| file.identity.bytes).sum()
    }

    /// How many bytes of all files come before a position.
    pub(super) fn bytes_before(&self, position: Position) -> u64 {
        let whole = self.files.iter().take(position.file.into()).filter_map(|file| file.identity.bytes);
        whole.sum::<u64>() + position.offset
    }

    /// Leaves out all that comes before `position`.
    ///
    /// # Errors
    /// When a file is too short.
    pub(super) fn skip_to(&mut self, position: Position) -> Result<(), Failure> {
        for (index, file) in self.files.iter_mut().enumerate().take(usize::from(position.file) + 1) {
            let is_last = index == usize::from(position.file);
            // What is not a file would block its writer if nobody read it.
            let skipped = match (is_last, file.identity.bytes) {
                (false, Some(_)) => continue,
                (false, None) => io::copy(&mut file.reader, &mut io::sink()).map(|_| position.offset),
                (true, Some(bytes)) => file.seek(position.offset).map(|()| bytes),
                (true, None) => io::copy(&mut (&mut file.reader).take(position.offset), &mut io::sink()),
            };
            if skipped.map_err(|error| file.input.failure(&error))? < position.offset {
                return Err(Failure::new(format_args!("{} has become shorter", file.input.name()))
                    .remedy("import it anew, without the journal"));
            }
        }
        self.position = position;
        Ok(())
    }

    /// The next lines, `None` at the end.
    ///
    /// # Errors
    /// When a file can't be read.
    pub(super) fn batch(&mut self) -> Result<Option<Batch>, Failure> {
        let mut batch = Batch { entries: Vec::new(), refused: Vec::new(), lines: 0, end: self.position };
        let mut bytes = 0;
        let mut text = Vec::new();
        while let Some(file) = self.files.get_mut(usize::from(self.position.file)) {
            if batch.lines as usize >= self.batch || bytes >= BATCH_BYTES {
                break;
            }
            text.clear();
            let read = next(&mut file.reader, &mut text).map_err(|error| file.input.failure(&error))?;
            let Some(read) = read else {
                self.position = Position { file: self.position.file + 1, offset: 0, line: 0 };
                continue;
            };
            let is_first = self.position.offset == 0;
            self.position.offset += read.bytes;
            self.position.line += 1;
            let place = Place { file: self.position.file, line: self.position.line };
            let line = if is_first { text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text) } else { &text };
            let line = line.trim_ascii_end();
            if line.is_empty() && !read.is_cut {
                continue;
            }
            batch.lines += 1;
            let entry = match read.is_cut {
                true => Err(format!("it has more than {MAX_LINE_BYTES} bytes")),
                false => line::read(file.input.format, line, place, &self.limits),
            };
            match entry {
                Ok(entry) => {
                    bytes += entry.json.len() + 1;
                    batch.entries.push(entry);
                }
                Err(why) => batch.refused.push(Refused { place, why }),
            }
        }
        batch.end = self.position;
        Ok((batch.lines > 0).then_some(batch))
    }

    /// The names of the files.
    pub(super) fn names(&self) -> Vec<String> {
        self.files.iter().map(|file| file.input.name()).collect()
    }
}

impl Opened {
    fn seek(&mut self, offset: u64) -> io::Result<()> {
        let mut file = File::open(&self.input.path)?;
        file.seek(SeekFrom::Start(offset))?;
        self.reader = Box::new(BufReader::with_capacity(READ_BYTES, file));
        Ok(())
    }
}

fn open(input: Input) -> Result<Opened, Failure> {
    let failure = |error: io::Error| input.failure(&error);
    let name = input.name();
    if input.is_stdin() {
        let mut stdin = BufReader::new(io::stdin());
        let head = head(&mut stdin).map_err(failure)?;
        let identity = Identity { name, bytes: None, modified_ns: None, head_sha256: sha256(&head) };
        return Ok(Opened { input, identity, reader: Box::new(Cursor::new(head).chain(stdin)) });
    }
    let mut file = File::open(&input.path).map_err(failure)?;
    let metadata = file.metadata().map_err(failure)?;
    let head = head(&mut file).map_err(failure)?;
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let mut identity = Identity { name, bytes: None, modified_ns: None, head_sha256: sha256(&head) };
    if !metadata.is_file() {
        let reader = Box::new(BufReader::new(Cursor::new(head).chain(file)));
        return Ok(Opened { input, identity, reader });
    }
    identity.bytes = Some(metadata.len());
    identity.modified_ns = modified.map(|time| time.as_nanos());
    file.seek(SeekFrom::Start(0)).map_err(failure)?;
    Ok(Opened { input, identity, reader: Box::new(BufReader::with_capacity(READ_BYTES, file)) })
}

fn head(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    from.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(head)
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

struct Line {
    bytes: u64,
    is_cut: bool,
}

/// Reads a line into `text`, of a very long one only the beginning.
fn next(reader: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<Option<Line>> {
    let mut bytes = (&mut *reader).take(MAX_LINE_BYTES).read_until(b'\n', text)? as u64;
    if bytes == 0 {
        return Ok(None);
    }
    let is_cut = bytes == MAX_LINE_BYTES && !text.ends_with(b"\n");
    if is_cut {
        bytes += reader.skip_until(b'\n')? as u64;
    }
    Ok(Some(Line { bytes, is_cut }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(lines: &[&str]) -> (tempfile::TempDir, Vec<Input>) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.csv");
        std::fs::write(&path, lines.concat()).expect("a file");
        (directory, vec![Input { path, format: Format::Csv }])
    }

    fn good(path: &str) -> String {
        format!("{path};1;sha256;{}\n", "ab".repeat(32))
    }

    #[test]
    fn lines_come_in_batches_and_from_any_position_again() {
        let long = "x".repeat(MAX_LINE_BYTES as usize * 2) + "\n";
        let (_directory, inputs) =
            csv(&["\u{feff}", &good("a"), "\r\n", &long, &good("b"), "wrong\n", good("c").trim_end()]);
        let mut source = Source::open(inputs.clone(), 2).expect("open");
        let mut ends = vec![Position::default()];
        let mut seen = Vec::new();
        while let Some(batch) = source.batch().expect("read") {
            seen.extend(batch.entries.iter().map(|entry| (entry.place.line, entry.path.to_string())));
            seen.extend(batch.refused.iter().map(|refused| (refused.place.line, refused.why.clone())));
            ends.push(batch.end);
        }
        let told = seen.iter().map(|(line, what)| format!("{line} {what}")).collect::<Vec<_>>();
        assert_eq!(told[0], "1 a");
        assert_eq!(told[1], format!("3 it has more than {MAX_LINE_BYTES} bytes"));
        assert_eq!(told[2], "4 b");
        assert!(told[3].starts_with("5 it must have four columns"));
        assert_eq!(told[4], "6 c");
        for (skipped, end) in ends.iter().enumerate() {
            let mut source = Source::open(inputs.clone(), 100).expect("open");
            source.skip_to(*end).expect("long enough");
            let rest = source.batch().expect("read").map_or(0, |batch| batch.lines);
            assert_eq!(rest, (5_u64).saturating_sub(2 * skipped as u64), "{end:?}");
        }
    }

    #[test]
    fn a_file_that_was_changed_is_another_one() {
        let (directory, inputs) = csv(&[&good("a")]);
        let identity = || Source::open(inputs.clone(), 1).expect("open").identities();
        let first = identity();
        assert_eq!(identity(), first);
        std::fs::write(directory.path().join("a.csv"), good("b")).expect("a file");
        assert_ne!(identity(), first);
    }
}
