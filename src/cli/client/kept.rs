//! What a client keeps from run to run: the files that it trusts, below one directory for each repository.
//!
//! ```text
//! root.json                   the newest root
//! root_history/N.root.json    all roots, one by one
//! timestamp.json snapshot.json targets.json, and each delegated role that was asked
//! metadata-url                whose files these are
//! lock                        held while files are replaced
//! ```
//!
//! Nothing of this is believed: the newest root must be signed by its own keys, all else is verified with it. A root is kept as
//! soon as it is verified (TUF §5.3.8); the other files are kept together, when all that was asked for is verified, so that what
//! is here is what one whole look at the repository trusted. Two processes may look at once: the files of who saw less are
//! not kept.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};

use crate::{
    cli::replace::replace,
    tuf::{
        name::{RoleName, Version},
        verify::Trusted,
    },
};

const HISTORY: &str = "root_history";
const ADDRESS: &str = "metadata-url";

/// What becomes of timestamp and snapshot when a root is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// They stay.
    Stays,
    /// They are deleted, since their keys changed (TUF §5.3.11).
    Ends,
}

/// The kept files of a repository.
#[derive(Debug)]
pub(super) struct Kept {
    directory: PathBuf,
    metadata_url: String,
    is_established: bool,
    roots: Vec<(Version, Vec<u8>, Memory)>,
    files: BTreeMap<RoleName, Vec<u8>>,
}

impl Kept {
    /// What is kept of the repository at `metadata_url`, perhaps nothing yet.
    pub(super) fn of(directory: &Path, metadata_url: &str) -> anyhow::Result<Self> {
        let mut kept = Self {
            directory: directory.to_owned(),
            metadata_url: metadata_url.to_owned(),
            is_established: false,
            roots: Vec::new(),
            files: BTreeMap::new(),
        };
        let owner = kept.file(ADDRESS)?;
        ensure!(
            owner.as_ref().is_none_or(|owner| owner == metadata_url.as_bytes()),
            "{} has what is trusted of another repository, {}",
            directory.display(),
            String::from_utf8_lossy(&owner.unwrap_or_default())
        );
        kept.is_established = kept.root()?.is_some();
        Ok(kept)
    }

    /// The newest root.
    pub(super) fn root(&self) -> anyhow::Result<Option<Vec<u8>>> {
        self.file("root.json")
    }

    /// A root that was trusted at some time.
    pub(super) fn past_root(&self, version: Version) -> Option<Vec<u8>> {
        fs::read(self.history(version)).ok()
    }

    /// The file of another role, as it was trusted last.
    pub(super) fn role(&self, role: &RoleName) -> Option<Vec<u8>> {
        fs::read(self.directory.join(role.meta_name())).ok()
    }

    /// Keeps a root, at once when there is one already.
    pub(super) fn keep_root(&mut self, version: Version, bytes: Vec<u8>, memory: Memory) -> anyhow::Result<()> {
        self.roots.push((version, bytes, memory));
        if self.is_established {
            let _lock = self.lock()?;
            self.write_roots()?;
        }
        Ok(())
    }

    /// Keeps the file of a role at the next [`commit`](Self::commit).
    pub(super) fn keep(&mut self, role: &RoleName, bytes: Vec<u8>) {
        self.files.insert(role.clone(), bytes);
    }

    /// Writes what is to be kept, unless somebody else has seen more meanwhile. `trusted` is what it was verified with.
    pub(super) fn commit(&mut self, trusted: &Trusted) -> anyhow::Result<()> {
        let _lock = self.lock()?;
        if !self.is_established && self.root()?.is_some() {
            let is_same =
                |(version, bytes, _): &(Version, Vec<u8>, Memory)| self.past_root(*version).as_ref() == Some(bytes);
            ensure!(
                self.roots.first().is_some_and(is_same),
                "another process began to trust another root in {} meanwhile",
                self.directory.display()
            );
        }
        self.write_roots()?;
        self.is_established = true;
        let files = std::mem::take(&mut self.files);
        if self.is_behind(trusted)? {
            return Ok(());
        }
        // Timestamp comes last: it names what is there then.
        let order = |role: &RoleName| (role.as_str() == "timestamp", role.as_str() == "snapshot");
        let mut files: Vec<_> = files.into_iter().collect();
        files.sort_by_key(|(role, _)| order(role));
        for (role, bytes) in files {
            self.write(&self.directory.join(role.meta_name()), &bytes)?;
        }
        Ok(())
    }

    /// Whether another process has kept a newer root or timestamp.
    fn is_behind(&self, trusted: &Trusted) -> anyhow::Result<bool> {
        let root = self.root()?.and_then(|bytes| Trusted::from_root(&bytes).ok());
        if root.is_some_and(|root| root.root().version > trusted.root().version) {
            return Ok(true);
        }
        let mut other = trusted.clone();
        let timestamp = self.role(&RoleName::timestamp());
        let is_trusted = timestamp.is_some_and(|bytes| other.remember_timestamp(&bytes).is_ok());
        let versions = [&other, trusted].map(|trusted| trusted.timestamp().map(|timestamp| timestamp.version));
        Ok(is_trusted && versions[0] > versions[1])
    }

    fn write_roots(&mut self) -> anyhow::Result<()> {
        let address = self.directory.join(ADDRESS);
        if !address.exists() {
            self.write(&address, self.metadata_url.as_bytes())?;
        }
        for (version, bytes, memory) in std::mem::take(&mut self.roots) {
            self.write(&self.history(version), &bytes)?;
            let newest = self.root()?.and_then(|bytes| Trusted::from_root(&bytes).ok());
            if newest.is_some_and(|newest| newest.root().version >= version) {
                continue;
            }
            if memory == Memory::Ends {
                for role in [RoleName::timestamp(), RoleName::snapshot()] {
                    self.remove(&self.directory.join(role.meta_name()))?;
                }
            }
            self.write(&self.directory.join("root.json"), &bytes)?;
        }
        Ok(())
    }

    fn lock(&self) -> anyhow::Result<File> {
        let context = || format!("can't keep what is trusted in {}", self.directory.display());
        let make = || DirBuilder::new().recursive(true).mode(0o700).create(self.directory.join(HISTORY));
        make().with_context(context)?;
        let file = File::options().create(true).write(true).truncate(false).open(self.directory.join("lock"));
        let file = file.with_context(context)?;
        file.lock().with_context(context)?;
        Ok(file)
    }

    fn file(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let path = self.directory.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
        replace(path, bytes).with_context(|| format!("can't write {}", path.display()))
    }

    fn remove(&self, path: &Path) -> anyhow::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("can't remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn history(&self, version: Version) -> PathBuf {
        self.directory.join(HISTORY).join(format!("{version}.root.json"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tuf::{
        sample::{self, Signer, at, sign, version},
        snapshot::MetaFile,
        timestamp,
    };

    struct World {
        directory: tempfile::TempDir,
        owner: Signer,
        online: Signer,
    }

    impl World {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            Self { directory, owner: Signer::new(), online: Signer::new() }
        }

        fn kept(&self) -> Kept {
            Kept::of(&self.directory.path().join("kept"), "http://a").expect("kept")
        }

        fn root(&self, number: u64) -> Vec<u8> {
            sign(sample::root(number, &[&self.owner], 1, &self.online), &[&self.owner]).to_bytes()
        }

        fn timestamp(&self, number: u64) -> Vec<u8> {
            let signed = timestamp::render(version(number), at(100), &MetaFile::version_only(version(number)));
            sign(json!(signed), &[&self.online]).to_bytes()
        }

        /// Looks at the repository and keeps what it sees.
        fn look(&self, kept: &mut Kept, root: u64, number: u64) -> anyhow::Result<()> {
            let mut trusted = Trusted::from_root(&self.root(root)).expect("a root");
            trusted.update_timestamp(&self.timestamp(number), at(0)).expect("a timestamp");
            kept.keep(&RoleName::timestamp(), self.timestamp(number));
            kept.commit(&trusted)
        }
    }

    #[test]
    fn the_first_root_is_kept_with_all_the_rest() {
        let world = World::new();
        let mut kept = world.kept();
        kept.keep_root(version(1), world.root(1), Memory::Stays).expect("kept");
        assert_eq!(world.kept().root().expect("read"), None);
        world.look(&mut kept, 1, 5).expect("kept");
        let again = world.kept();
        assert_eq!(again.root().expect("read"), Some(world.root(1)));
        assert_eq!(again.past_root(version(1)), Some(world.root(1)));
        assert_eq!(again.role(&RoleName::timestamp()), Some(world.timestamp(5)));
    }

    #[test]
    fn who_saw_less_keeps_nothing() {
        let world = World::new();
        let mut kept = world.kept();
        kept.keep_root(version(1), world.root(1), Memory::Stays).expect("kept");
        world.look(&mut kept, 1, 5).expect("kept");
        world.look(&mut world.kept(), 1, 4).expect("passed over");
        assert_eq!(kept.role(&RoleName::timestamp()), Some(world.timestamp(5)));
        world.kept().keep_root(version(2), world.root(2), Memory::Ends).expect("kept");
        assert_eq!(kept.role(&RoleName::timestamp()), None);
        world.look(&mut kept, 1, 6).expect("passed over");
        assert_eq!(kept.role(&RoleName::timestamp()), None);
        kept.keep_root(version(1), world.root(1), Memory::Ends).expect("kept");
        assert_eq!(kept.root().expect("read"), Some(world.root(2)));
    }

    #[test]
    fn two_that_begin_at_once_trust_the_same_root() {
        let world = World::new();
        let other = World::new();
        let (mut one, mut same, mut different) = (world.kept(), world.kept(), world.kept());
        for kept in [&mut one, &mut same] {
            kept.keep_root(version(1), world.root(1), Memory::Stays).expect("kept");
            world.look(kept, 1, 5).expect("kept");
        }
        different.keep_root(version(1), other.root(1), Memory::Stays).expect("kept");
        let refused = other.look(&mut different, 1, 5).expect_err("another root").to_string();
        assert!(refused.starts_with("another process began to trust another root"), "{refused}");
        assert_eq!(one.root().expect("read"), Some(world.root(1)));
    }

    #[test]
    fn what_is_damaged_hides_nothing() {
        let world = World::new();
        let mut kept = world.kept();
        kept.keep_root(version(1), world.root(1), Memory::Stays).expect("kept");
        world.look(&mut kept, 1, 5).expect("kept");
        fs::write(kept.directory.join("timestamp.json"), b"{").expect("a file");
        world.look(&mut kept, 1, 3).expect("kept");
        assert_eq!(kept.role(&RoleName::timestamp()), Some(world.timestamp(3)));
    }

    #[test]
    fn the_directory_is_of_one_repository() {
        let world = World::new();
        let mut kept = world.kept();
        kept.keep_root(version(1), world.root(1), Memory::Stays).expect("kept");
        world.look(&mut kept, 1, 5).expect("kept");
        let refused = Kept::of(&kept.directory, "http://b").expect_err("another").to_string();
        assert!(refused.ends_with("of another repository, http://a"), "{refused}");
    }
}
