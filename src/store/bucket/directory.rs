//! The bucket as a directory, for one process that also serves it, or for a web server beside it.
//!
//! A file is written in `.tmp` inside the directory, made durable there, and renamed: so it appears under its name only
//! whole. What a killed process left in `.tmp` is removed when the directory is opened; another process that is writing
//! into the same directory then finds its unfinished file gone, reports that it could not write, and tries again.
//!
//! Many files are written without a name, made durable with one wait for the whole file system, and then linked, where the
//! file system is known to keep what that needs: on ext4 it takes a third of the processor time and of the waiting. What
//! others are writing to the same disk is waited for, too: files are many when rounds follow each other, and then little of
//! that has come together since the last one.
//!
//! Workers that share the directory replace the pointer one after the other: each holds the kernel's lock of a file while
//! it compares and renames. The lock ends with its process; while a process that has it is paused the others wait.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
    vec,
};

use async_trait::async_trait;
use futures_util::future::join_all;
use rustix::{
    fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with},
    io::Errno,
};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use self::nameless::Nameless;
use crate::store::{
    StoreError,
    bucket::{Bucket, File},
};

mod nameless;

/// So many files of one call are many.
const MANY: usize = 8;
/// Files that are open at the same time, when there are many.
const OPEN: usize = 128;
/// Files that are written at the same time, when each is waited for. Waiting for the disk overlaps: on ext4 eight need a third of the time of
/// one, and more gain nothing.
const WRITERS: usize = 8;
/// The only file that is ever replaced.
const POINTER: &str = "timestamp.json";
const UNFINISHED: &str = ".tmp";
/// Never removed: who holds the lock of a file that is gone holds nothing.
const POINTER_LOCK: &str = ".pointer.lock";
/// How long another process may take to replace the pointer before this one gives up for now.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(2);
/// Readers may be web servers that run as somebody else.
const FILE_MODE: u32 = 0o644;

/// A [`Bucket`] in a directory.
#[derive(Debug, Clone)]
pub struct DirectoryBucket(Arc<Place>);

#[derive(Debug)]
struct Place {
    directory: PathBuf,
    unfinished: PathBuf,
    /// Tells the unfinished files of this process from those of others.
    instance: Uuid,
    next_file: AtomicU64,
    /// Files without a name were tried and can't be had here.
    only_renames: AtomicBool,
}

impl DirectoryBucket {
    /// Opens `directory`, which is made if it is missing, and clears what a killed process left. Blocks; for start-up.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it can't be made, read or written.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let directory = directory.into();
        let unfinished = directory.join(UNFINISHED);
        prepare(&directory, &unfinished)
            .map_err(|e| StoreError::unavailable("bucket", format!("{}: {e}", directory.display())))?;
        Ok(Self(Arc::new(Place {
            directory,
            unfinished,
            instance: Uuid::new_v4(),
            next_file: AtomicU64::new(0),
            only_renames: AtomicBool::new(false),
        })))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Place) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = Arc::clone(&self.0);
        spawn_blocking(move || work(&place)).await.map_err(|e| StoreError::unavailable("bucket", e))?
    }
}

#[async_trait]
impl Bucket for DirectoryBucket {
    async fn create(&self, files: Vec<File>) -> Result<(), StoreError> {
        if files.is_empty() {
            return Ok(());
        }
        if let Some(file) = files.iter().find(|f| f.name == POINTER || !is_file_name(&f.name)) {
            return Err(StoreError::Broken(format!("{:?} is not the name of a versioned file", file.name)));
        }
        let files =
            if files.len() < MANY { files } else { self.blocking(move |place| place.create_together(files)).await? };
        if files.is_empty() {
            return Ok(());
        }
        let writers = WRITERS.min(files.len());
        let queue = Arc::new(Queue { files: Mutex::new(files.into_iter()), stopped: AtomicBool::new(false) });
        let outcomes = join_all((0..writers).map(|_| {
            let queue = Arc::clone(&queue);
            self.blocking(move |place| queue.drain(place))
        }));
        if let Some(error) = outcomes.await.into_iter().filter_map(Result::err).max_by_key(severity) {
            return Err(error);
        }
        self.blocking(Place::sync_names).await
    }

    async fn point(&self, seen: Option<Vec<u8>>, timestamp: Vec<u8>) -> Result<bool, StoreError> {
        self.blocking(move |place| place.point(seen.as_deref(), &timestamp)).await
    }

    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if !is_file_name(name) {
            return Ok(None);
        }
        let name = name.to_owned();
        self.blocking(move |place| place.read(&name)).await
    }
}

/// The files of one call, which its writers share.
struct Queue {
    files: Mutex<vec::IntoIter<File>>,
    stopped: AtomicBool,
}

impl Queue {
    fn drain(&self, place: &Place) -> Result<(), StoreError> {
        while !self.stopped.load(Ordering::Relaxed) {
            let next = self.files.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(file) = next else { break };
            if let Err(error) = place.create(&file) {
                self.stopped.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Place {
    /// Makes all files durable together, or returns those for which that is not possible here.
    fn create_together(&self, files: Vec<File>) -> Result<Vec<File>, StoreError> {
        let failed = |error| unavailable(&self.directory, &error);
        let directory = fs::File::open(&self.directory).map_err(failed)?;
        if self.only_renames.load(Ordering::Relaxed) || !nameless::syncs_all(&directory).map_err(failed)? {
            return Ok(files);
        }
        for part in files.chunks(OPEN) {
            if !self.create_part(&directory, part)? {
                self.only_renames.store(true, Ordering::Relaxed);
                return Ok(files);
            }
        }
        // Without a journal the directory alone would not do: a file with a name is written as one without until its own
        // record follows.
        nameless::sync_all(&directory).map_err(failed)?;
        Ok(Vec::new())
    }

    /// Puts files into the directory, their content durable and their names not; says whether that is possible here.
    fn create_part(&self, directory: &fs::File, files: &[File]) -> Result<bool, StoreError> {
        let mut written = Vec::with_capacity(files.len());
        for file in files {
            match Nameless::write(&self.directory, &file.bytes) {
                Ok(nameless) => written.push((file, nameless)),
                Err(error) if nameless::is_unsupported(&error) => return Ok(false),
                Err(error) => return Err(unavailable(&self.directory, &error)),
            }
        }
        nameless::sync_all(directory).map_err(|e| unavailable(&self.directory, &e))?;
        for (file, nameless) in written {
            let target = self.directory.join(&file.name);
            match nameless.link(&target) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.holds(&target, file)? => {}
                Err(error) if nameless::is_unsupported(&error) => return Ok(false),
                Err(error) => return Err(unavailable(&target, &error)),
            }
        }
        Ok(true)
    }

    /// Makes one file durable under its name. That the name itself is durable is up to [`sync_names`](Self::sync_names).
    fn create(&self, file: &File) -> Result<(), StoreError> {
        let target = self.directory.join(&file.name);
        if self.holds(&target, file)? {
            return Ok(());
        }
        let unfinished = self.write(&file.bytes)?;
        match rename_new(&unfinished, &target) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.discard(&unfinished);
                if error.kind() == io::ErrorKind::AlreadyExists && self.holds(&target, file)? {
                    return Ok(());
                }
                Err(unavailable(&target, &error))
            }
        }
    }

    /// Whether the file is there with these bytes already, and durable.
    fn holds(&self, target: &Path, file: &File) -> Result<bool, StoreError> {
        let mut there = match fs::File::open(target) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(unavailable(target, &error)),
        };
        let mut bytes = Vec::with_capacity(file.bytes.len());
        io::Read::read_to_end(&mut there, &mut bytes).map_err(|e| unavailable(target, &e))?;
        if bytes != file.bytes {
            return Err(StoreError::Broken(format!("{} exists with other content", target.display())));
        }
        there.sync_all().map_err(|e| unavailable(target, &e))?;
        Ok(true)
    }

    fn point(&self, seen: Option<&[u8]>, timestamp: &[u8]) -> Result<bool, StoreError> {
        let unfinished = self.write(timestamp)?;
        let replaced = self.replace_pointer(seen, &unfinished);
        if !matches!(replaced, Ok(true)) {
            self.discard(&unfinished);
            return replaced;
        }
        self.sync_names().map(|()| true)
    }

    /// Renames `unfinished` to the pointer if that is `seen`, while no other process does the same.
    fn replace_pointer(&self, seen: Option<&[u8]>, unfinished: &Path) -> Result<bool, StoreError> {
        let _lock = self.lock_pointer()?;
        if self.read(POINTER)?.as_deref() != seen {
            return Ok(false);
        }
        let target = self.directory.join(POINTER);
        fs::rename(unfinished, &target).map(|()| true).map_err(|error| unavailable(&target, &error))
    }

    /// Takes the lock of the pointer; it is given back when the file is closed.
    fn lock_pointer(&self) -> Result<fs::File, StoreError> {
        let path = self.directory.join(POINTER_LOCK);
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(&path).map_err(|e| unavailable(&path, &e))?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(LOCK_PAUSE),
                Err(error) => return Err(unavailable(&path, &error.into())),
            }
        }
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.directory.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unavailable(&path, &error)),
        }
    }

    /// Writes bytes where no reader looks, and waits until they are on the disk.
    fn write(&self, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let number = self.next_file.fetch_add(1, Ordering::Relaxed);
        let path = self.unfinished.join(format!("{}-{number}", self.instance.simple()));
        let write = || -> io::Result<()> {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path)?;
            file.write_all(bytes)?;
            make_readable(&file)?;
            file.sync_all()
        };
        write().map_err(|error| {
            self.discard(&path);
            unavailable(&path, &error)
        })?;
        Ok(path)
    }

    fn sync_names(&self) -> Result<(), StoreError> {
        sync_directory(&self.directory).map_err(|e| unavailable(&self.directory, &e))
    }

    /// Best effort: what stays is removed at the next start.
    fn discard(&self, unfinished: &Path) {
        if let Err(error) = fs::remove_file(unfinished)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %unfinished.display(), %error, "an unfinished file can't be removed");
        }
    }
}

fn prepare(directory: &Path, unfinished: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(unfinished)?;
    for left in fs::read_dir(unfinished)? {
        match fs::remove_file(left?.path()) {
            // Another worker has just renamed it, or removed it as well.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    sync_directory(directory)?;
    match fs::canonicalize(directory)?.parent() {
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

/// Undoes what the process's umask took from the mode.
fn make_readable(file: &fs::File) -> io::Result<()> {
    if file.metadata()?.permissions().mode() & 0o777 == FILE_MODE {
        return Ok(());
    }
    file.set_permissions(fs::Permissions::from_mode(FILE_MODE))
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

/// Renames, unless the target exists.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Old kernels and some network file systems can't.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => link_new(from, to),
        Err(error) => Err(error.into()),
    }
}

fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

/// What [`RoleName::file_name`](crate::tuf::name::RoleName::file_name) can make: nothing hidden, nothing that leaves the directory.
fn is_file_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(allowed)
}

fn severity(error: &StoreError) -> u8 {
    match error {
        StoreError::Unavailable { .. } => 0,
        StoreError::Lost(_) => 1,
        StoreError::Broken(_) => 2,
    }
}

fn unavailable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::unavailable("bucket", format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::bucket::contract;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("a directory");
        let mut names: Vec<_> =
            entries.map(|e| e.expect("an entry").file_name().into_string().expect("utf-8")).collect();
        names.sort();
        names
    }

    fn file(name: &str, bytes: &str) -> File {
        File { name: name.to_owned(), bytes: bytes.into() }
    }

    #[tokio::test]
    async fn keeps_the_contract() {
        contract::all(|| {
            let directory = tempfile::tempdir().expect("a directory");
            async move || DirectoryBucket::open(directory.path().join("metadata")).expect("opened")
        })
        .await;
    }

    #[tokio::test]
    async fn keeps_the_contract_where_files_are_renamed() {
        contract::all(|| {
            let directory = tempfile::tempdir().expect("a directory");
            async move || {
                let bucket = DirectoryBucket::open(directory.path().join("metadata")).expect("opened");
                bucket.0.only_renames.store(true, Ordering::Relaxed);
                bucket
            }
        })
        .await;
    }

    #[test]
    fn files_are_the_same_one_by_one_and_together() {
        let home = tempfile::tempdir().expect("a directory");
        let DirectoryBucket(place) = DirectoryBucket::open(home.path()).expect("opened");
        let files: Vec<_> = (0..=OPEN).map(|n| file(&format!("{n}.bins-0f.json"), &n.to_string())).collect();
        let left = place.create_together(files.clone()).expect("created");
        left.iter().for_each(|file| place.create(file).expect("created"));
        // Again, and in the other way.
        place.create_together(files.clone()).expect("created");
        files.iter().for_each(|file| place.create(file).expect("created"));
        for file in &files {
            assert_eq!(place.read(&file.name).expect("read").as_ref(), Some(&file.bytes));
        }
        assert_eq!(names(home.path()).len(), files.len() + 1);
        assert!(!place.only_renames.load(Ordering::Relaxed), "the directories of tests are on a local disk");
        let other = vec![file("0.bins-0f.json", "other")];
        assert!(matches!(place.create(&other[0]), Err(StoreError::Broken(_))));
        // Where files can't be made together they are given back.
        let outcome = place.create_together(other.clone());
        assert!(matches!(&outcome, Err(StoreError::Broken(_))) || outcome.is_ok_and(|left| left == other));
    }

    #[tokio::test]
    async fn what_a_killed_process_left_is_cleared_and_harms_nobody() {
        let home = tempfile::tempdir().expect("a directory");
        let bucket = DirectoryBucket::open(home.path()).expect("opened");
        let left = bucket.0.write(b"half a fi").expect("written");
        assert_eq!(bucket.read("1.root.json").await.expect("read"), None);
        drop(bucket);

        let bucket = DirectoryBucket::open(home.path()).expect("opened");
        assert!(!left.exists());
        bucket.create(vec![file("1.root.json", "whole")]).await.expect("created");
        assert_eq!(names(home.path()), [".tmp", "1.root.json"]);
        assert_eq!(names(&home.path().join(UNFINISHED)), [] as [&str; 0]);
    }

    #[tokio::test]
    async fn other_content_is_refused_by_name_and_leaves_nothing_behind() {
        let home = tempfile::tempdir().expect("a directory");
        let bucket = DirectoryBucket::open(home.path()).expect("opened");
        bucket.create(vec![file("7.bins-0f.json", "a")]).await.expect("created");
        let error = bucket.create(vec![file("7.bins-0f.json", "b")]).await.expect_err("refused");
        assert!(error.to_string().contains("7.bins-0f.json"), "{error}");
        assert_eq!(names(&home.path().join(UNFINISHED)), [] as [&str; 0]);
    }

    #[tokio::test]
    async fn everybody_may_read_the_files() {
        let home = tempfile::tempdir().expect("a directory");
        let bucket = DirectoryBucket::open(home.path()).expect("opened");
        bucket.create(vec![file("1.root.json", "a")]).await.expect("created");
        assert!(bucket.point(None, b"b".to_vec()).await.expect("pointed"));
        for name in ["1.root.json", POINTER] {
            let mode = fs::metadata(home.path().join(name)).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, FILE_MODE, "{name}");
        }
    }

    #[test]
    fn neither_way_to_rename_replaces_a_file() {
        for rename in [rename_new, link_new] {
            let home = tempfile::tempdir().expect("a directory");
            let [from, to] = ["from", "to"].map(|name| home.path().join(name));
            fs::write(&from, "new").expect("written");
            rename(&from, &to).expect("renamed");
            assert_eq!(names(home.path()), ["to"]);
            fs::write(&from, "newer").expect("written");
            assert_eq!(rename(&from, &to).expect_err("refused").kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&to).expect("there"), b"new");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let home = tempfile::tempdir().expect("a directory");
        fs::write(home.path().join("taken"), "").expect("written");
        let error = DirectoryBucket::open(home.path().join("taken")).expect_err("refused");
        assert!(error.to_string().contains("taken"), "{error}");
    }
}
