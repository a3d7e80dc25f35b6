//! A directory where files are signed and made durable, and nothing is asked about them.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use aws_lc_rs::signature::Ed25519KeyPair;
use rustix::fs::syncfs;

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

    /// Signs versioned files and writes them, as many at the same time as there are processors, and then makes all durable at once. Nothing
    /// refers to them before that, so they have their names from the beginning.
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
                self.write(&self.path.join(name.as_ref()), bytes.as_ref())?;
            }
            Ok(())
        };
        let processors = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let others: Vec<_> = (1..processors.min(files.len())).map(|_| scope.spawn(write)).collect();
            write()?;
            others.into_iter().try_for_each(|writer| writer.join().expect("a writer does not panic"))
        })?;
        Ok(syncfs(File::open(&self.path)?)?)
    }

    /// Makes so many signatures and throws them away: what stands in their place in the file is as long.
    pub(in crate::load) fn sign(&self, message: &[u8], signatures: usize) {
        for _ in 0..signatures {
            std::hint::black_box(self.key.sign(message));
        }
    }

    /// Signs the file that clients look at first, and replaces it durably.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn point(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.sign(bytes, 1);
        let unfinished = self.path.join(".tmp").join(name);
        self.write(&unfinished, bytes)?.sync_all()?;
        fs::rename(&unfinished, self.path.join(name))?;
        Ok(File::open(&self.path)?.sync_all()?)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> anyhow::Result<File> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        Ok(file)
    }
}
