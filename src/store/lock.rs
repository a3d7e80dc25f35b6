//! One process for each data directory.

use std::{
    fs,
    io::{self, Read, Write},
    path::Path,
};

use rustix::fs::{FlockOperation, flock};

use crate::store::StoreError;

const FILE: &str = "lock";

/// Holds a data directory for this process until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    /// The lock belongs to the open file.
    _file: fs::File,
}

impl DirectoryLock {
    /// Takes `directory`, which is made if it is missing.
    ///
    /// # Errors
    /// [`StoreError::Broken`] with the id of the process that has it, [`StoreError::Unavailable`] when the
    /// directory can't be made or written.
    pub fn acquire(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        let unavailable = |e: io::Error| StoreError::unavailable("data directory", format!("{}: {e}", path.display()));
        fs::create_dir_all(directory).map_err(unavailable)?;
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(unavailable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(taken(directory, &mut file)),
            Err(error) => return Err(unavailable(error.into())),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(unavailable)?;
        Ok(Self { _file: file })
    }
}

fn taken(directory: &Path, file: &mut fs::File) -> StoreError {
    let mut owner = String::new();
    // The owner may be about to write its id; the refusal stands without it.
    let _ = file.take(20).read_to_string(&mut owner);
    let owner = match owner.trim() {
        "" => "another process".to_owned(),
        id => format!("process {id}"),
    };
    StoreError::Broken(format!(
        "{} is in use by {owner}: stop it, or choose another data directory",
        directory.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_refused_until_the_first_has_gone() {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join("data");
        let first = DirectoryLock::acquire(&directory).expect("free");
        let text = DirectoryLock::acquire(&directory).expect_err("taken").to_string();
        assert!(text.contains("data is in use") && text.contains(&std::process::id().to_string()), "{text}");
        drop(first);
        DirectoryLock::acquire(&directory).expect("free again");
    }

    #[test]
    fn what_is_no_directory_is_named() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("file");
        fs::write(&path, "").expect("written");
        let error = DirectoryLock::acquire(&path).expect_err("refused");
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    }
}
