//! Which paths are in more than one line, found in the end with bounded memory: a fingerprint of each settled line is appended to a file.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions, TryLockError},
    io::{self, BufReader, Read, Write},
    path::Path,
};

use super::line::{Entry, Place, fingerprint};

const RECORD_BYTES: u64 = 16;
/// So many records are looked at together; the file is read once for each such number.
const RECORDS_AT_ONCE: u64 = 4_000_000;
const MOST_EXAMPLES: usize = 10;

/// The fingerprints, and the lines that they are of.
#[derive(Debug)]
pub(super) struct Seen {
    file: File,
    records: u64,
}

/// Lines whose path another line has too.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Twice {
    /// Lines that a later one replaces.
    pub(super) replaced: u64,
    /// Some of them, each with the last one of its path.
    pub(super) examples: Vec<(Place, Place)>,
}

impl Seen {
    /// Goes on with the file at `path` after so many records, or begins a nameless one. `None` when records are missing.
    ///
    /// # Errors
    /// Those of the file system, and when another process has the file.
    pub(super) fn open(path: Option<&Path>, records: u64) -> io::Result<Option<Self>> {
        let file = match path {
            Some(path) => OpenOptions::new().read(true).append(true).create(true).open(path)?,
            None => tempfile::tempfile()?,
        };
        // It belongs to one process, however that ends; with it the journal does.
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another import uses it"),
            TryLockError::Error(error) => error,
        })?;
        if file.metadata()?.len() < records * RECORD_BYTES {
            return Ok(None);
        }
        file.set_len(records * RECORD_BYTES)?;
        Ok(Some(Self { file, records }))
    }

    /// Notes lines.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn note(&mut self, entries: &[(u64, Place)]) -> io::Result<()> {
        let record = |(fingerprint, place): &(u64, Place)| {
            let place = u64::from(place.file) << 48 | place.line;
            [fingerprint.to_le_bytes(), place.to_le_bytes()].concat()
        };
        self.file.write_all(&entries.iter().flat_map(record).collect::<Vec<_>>())?;
        self.records += entries.len() as u64;
        Ok(())
    }

    /// Finds what is there more than once.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn twice(&mut self) -> io::Result<Twice> {
        self.in_parts(self.records.div_ceil(RECORDS_AT_ONCE).max(1))
    }

    fn in_parts(&mut self, parts: u64) -> io::Result<Twice> {
        let mut twice = Twice::default();
        for part in 0..parts {
            let mut last: HashMap<u64, u64> = HashMap::new();
            let mut replaced = Vec::new();
            self.each(|fingerprint, place| {
                if fingerprint % parts == part
                    && let Some(before) = last.insert(fingerprint, place)
                {
                    twice.replaced += 1;
                    if twice.examples.len() + replaced.len() < MOST_EXAMPLES {
                        replaced.push((fingerprint, before));
                    }
                }
            })?;
            twice
                .examples
                .extend(replaced.iter().map(|(fingerprint, before)| (place(*before), place(last[fingerprint]))));
        }
        twice.examples.sort_unstable();
        Ok(twice)
    }

    fn each(&mut self, mut look: impl FnMut(u64, u64)) -> io::Result<()> {
        use std::io::Seek;
        self.file.rewind()?;
        let mut reader = BufReader::with_capacity(1 << 16, &self.file);
        let (mut fingerprint, mut place) = ([0; 8], [0; 8]);
        for _ in 0..self.records {
            reader.read_exact(&mut fingerprint)?;
            reader.read_exact(&mut place)?;
            look(u64::from_le_bytes(fingerprint), u64::from_le_bytes(place));
        }
        Ok(())
    }
}

/// What is noted of lines.
pub(super) fn marks(entries: &[Entry]) -> Vec<(u64, Place)> {
    entries.iter().map(|entry| (fingerprint(&entry.path), entry.place)).collect()
}

fn place(number: u64) -> Place {
    Place { file: (number >> 48) as u16, line: number & ((1 << 48) - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u64) -> Place {
        Place { file: 1, line }
    }

    #[test]
    fn the_last_line_of_a_path_counts() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("seen");
        let mut seen = Seen::open(Some(&path), 0).expect("open").expect("complete");
        seen.note(&[(5, at(1)), (6, at(2)), (5, at(3))]).expect("noted");
        seen.note(&[(9, at(4))]).expect("noted");
        drop(seen);
        let mut seen = Seen::open(Some(&path), 3).expect("open").expect("complete");
        seen.note(&[(7, at(4)), (5, at(5)), (7, at(6))]).expect("noted");
        assert!(Seen::open(Some(&path), 3).is_err(), "two have it at once");
        let expected = Twice { replaced: 3, examples: vec![(at(1), at(5)), (at(3), at(5)), (at(4), at(6))] };
        assert_eq!(seen.in_parts(1).expect("read"), expected);
        assert_eq!(seen.in_parts(3).expect("read"), expected);
        drop(seen);
        assert!(Seen::open(Some(&path), 7).expect("open").is_none());
    }
}
