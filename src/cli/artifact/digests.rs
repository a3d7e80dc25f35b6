//! Lengths and digests of files, computed on all processors while they are read.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::PathBuf,
    thread::available_parallelism,
};

use aws_lc_rs::digest::{Context, SHA256, SHA512};
use blake2::{Blake2b, Digest as _, digest::consts::U32};
use clap::ValueEnum;
use futures_util::{StreamExt, stream};
use tokio::task::spawn_blocking;

const PIECE_BYTES: usize = 256 * 1024;

/// How a file is digested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Algorithm {
    /// BLAKE2b with 256 bits, as the Python command line
    #[value(name = "blake2b-256")]
    Blake2b256,
    /// SHA-256, which every TUF client knows
    Sha256,
    /// SHA-512
    Sha512,
}

impl Algorithm {
    /// As metadata names it.
    fn name(self) -> &'static str {
        match self {
            Self::Blake2b256 => "blake2b-256",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn begin(self) -> Running {
        match self {
            Self::Blake2b256 => Running::Blake(Box::default()),
            Self::Sha256 => Running::Sha(Context::new(&SHA256)),
            Self::Sha512 => Running::Sha(Context::new(&SHA512)),
        }
    }
}

enum Running {
    Blake(Box<Blake2b<U32>>),
    Sha(Context),
}

impl Running {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Blake(digest) => digest.update(bytes),
            Self::Sha(digest) => digest.update(bytes),
        }
    }

    fn end(self) -> String {
        match self {
            Self::Blake(digest) => hex::encode(digest.finalize()),
            Self::Sha(digest) => hex::encode(digest.finish()),
        }
    }
}

/// What is said of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digested {
    pub(super) length: u64,
    pub(super) hashes: BTreeMap<&'static str, String>,
}

/// Reads `files`, several at once. The results have their order. `read` is told how many bytes were read, from any thread.
pub(super) async fn all(
    files: Vec<PathBuf>,
    algorithms: &[Algorithm],
    read: impl Fn(u64) + Clone + Send + 'static,
) -> Vec<io::Result<Digested>> {
    let processors = available_parallelism().map_or(1, usize::from);
    let one = |file: PathBuf| {
        let (algorithms, read) = (algorithms.to_owned(), read.clone());
        let digested = spawn_blocking(move || digest(File::open(file)?, &algorithms, read));
        async { digested.await.unwrap_or_else(|error| Err(io::Error::other(error))) }
    };
    stream::iter(files).map(one).buffered(processors).collect().await
}

fn digest(mut from: impl Read, algorithms: &[Algorithm], read: impl Fn(u64)) -> io::Result<Digested> {
    let mut running: Vec<_> = algorithms.iter().map(|algorithm| algorithm.begin()).collect();
    let mut piece = vec![0; PIECE_BYTES];
    let mut length = 0;
    loop {
        let count = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        running.iter_mut().for_each(|digest| digest.update(&piece[..count]));
        length += count as u64;
        read(count as u64);
    }
    let hashes = algorithms.iter().zip(running).map(|(algorithm, digest)| (algorithm.name(), digest.end()));
    Ok(Digested { length, hashes: hashes.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_their_algorithms() {
        let all = [Algorithm::Blake2b256, Algorithm::Sha256, Algorithm::Sha512];
        let digested = digest(&b"abc"[..], &all, |_| {}).expect("digests");
        assert_eq!(digested.length, 3);
        let hashes: Vec<_> = digested.hashes.iter().map(|(name, digits)| (*name, &digits[..16])).collect();
        let known =
            [("blake2b-256", "bddd813c63423972"), ("sha256", "ba7816bf8f01cfea"), ("sha512", "ddaf35a193617aba")];
        assert_eq!(hashes, known);
    }

    #[tokio::test]
    async fn results_have_the_order_of_the_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let files: Vec<_> = (0..20).map(|number| directory.path().join(number.to_string())).collect();
        for (number, file) in files.iter().enumerate().skip(1) {
            std::fs::write(file, vec![0; number * 1000]).expect("a file");
        }
        let digested = all(files, &[Algorithm::Sha256], |_| {}).await;
        assert!(digested[0].is_err());
        for (number, digested) in digested.iter().enumerate().skip(1) {
            assert_eq!(digested.as_ref().expect("read").length, number as u64 * 1000);
        }
    }
}
