//! A directory where files are signed and made durable, and nothing is asked about them.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::signature::Ed25519KeyPair;

/// Waiting for the disk overlaps.
const WRITERS: usize = 8;

/// A directory where signed files are made durable.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    key: Ed25519KeyPair,
}

impl Directory {
    /// The directory `path`, which is made if it is missing, and a new key.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn new(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path.join(".tmp"))?;
        Ok(Self { path: path.to_owned(), key: Ed25519KeyPair::generate()? })
    }

    /// Signs files and makes them durable, some at the same time, and then their names.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write_all<N: AsRef<str> + Sync, B: AsRef<[u8]> + Sync>(&self, files: &[(N, B)]) -> anyhow::Result<()> {
        self.write_each(files, |bytes| self.sign(bytes, 1))
    }

    /// The same of files that are signed already.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write_signed<N: AsRef<str> + Sync, B: AsRef<[u8]> + Sync>(&self, files: &[(N, B)]) -> anyhow::Result<()> {
        self.write_each(files, |_| ())
    }

    fn write_each<N: AsRef<str> + Sync, B: AsRef<[u8]> + Sync>(
        &self,
        files: &[(N, B)],
        sign: impl Fn(&[u8]) + Sync,
    ) -> anyhow::Result<()> {
        let next = AtomicUsize::new(0);
        let write = || -> anyhow::Result<()> {
            while let Some((name, bytes)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                sign(bytes.as_ref());
                self.write(name.as_ref(), bytes.as_ref())?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS.min(files.len())).map(|_| scope.spawn(write)).collect();
            writers.into_iter().try_for_each(|writer| writer.join().expect("a writer does not panic"))
        })?;
        self.sync()
    }

    /// Makes so many signatures and throws them away: what stands in their place in the file is as long.
    pub(in crate::load) fn sign(&self, message: &[u8], signatures: usize) {
        for _ in 0..signatures {
            std::hint::black_box(self.key.sign(message));
        }
    }

    /// Makes one file durable, under its name after the next sync of the directory.
    fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let unfinished = self.path.join(".tmp").join(name);
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(fs::rename(&unfinished, self.path.join(name))?)
    }

    fn sync(&self) -> anyhow::Result<()> {
        Ok(File::open(&self.path)?.sync_all()?)
    }
}
