//! Files without a name: they get one when they are on the disk, and one that gets none is gone with its process.
//!
//! Local file systems can, network ones can't.

use std::{
    fs,
    io::{self, Write},
    os::fd::AsRawFd,
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, fstatfs, linkat, open, syncfs},
    io::Errno,
    system::uname,
};

use super::make_readable;

/// File systems that keep all that they promise of [`sync_all`]; some others, such as FUSE, do nothing and say that all is well.
const EXT4: u64 = 0xef53;
const XFS: u64 = 0x5846_5342;
/// Before this Linux, [`sync_all`] did not tell that data could not be written.
const FIRST_TO_TELL: (u32, u32) = (5, 8);

/// A file that nobody can find.
#[derive(Debug)]
pub(super) struct Nameless(fs::File);

impl Nameless {
    /// Writes bytes into a new file, which [`link`](Self::link) can put into `directory`.
    pub(super) fn write(directory: &Path, bytes: &[u8]) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let mut file = fs::File::from(open(directory, flags, Mode::from_raw_mode(super::FILE_MODE))?);
        file.write_all(bytes)?;
        make_readable(&file)?;
        Ok(Self(file))
    }

    /// Gives it a name that no other file has.
    pub(super) fn link(&self, target: &Path) -> io::Result<()> {
        // The way over /proc needs no privileges.
        let own = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        Ok(linkat(CWD, own, CWD, target, AtFlags::SYMLINK_FOLLOW)?)
    }
}

/// Whether an error says that there can't be files without a name here.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    // Without O_TMPFILE, without /proc, without links.
    errno.is_some_and(|errno| {
        matches!(errno, Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT | Errno::PERM | Errno::XDEV)
    })
}

/// Whether [`sync_all`] makes durable what was written into this directory, or tells that it could not.
pub(super) fn syncs_all(directory: &fs::File) -> io::Result<bool> {
    let magic = u64::try_from(fstatfs(directory)?.f_type).unwrap_or_default();
    let kernel = uname();
    Ok(matches!(magic, EXT4 | XFS) && release(&kernel.release().to_string_lossy()) >= FIRST_TO_TELL)
}

/// Waits until all files of the file system are on the disk. `directory` was opened before they were written: what failed
/// since then is told.
pub(super) fn sync_all(directory: &fs::File) -> io::Result<()> {
    Ok(syncfs(directory)?)
}

/// The first two numbers of a kernel's version, 0 for what is none.
fn release(text: &str) -> (u32, u32) {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_kernels_are_compared_as_numbers() {
        let cases =
            [("6.18.44-fc", true), ("5.8.0", true), ("5.15-rc1", true), ("5.7.19", false), ("4.18.0-553.el8", false)];
        for (text, tells) in cases {
            assert_eq!(release(text) >= FIRST_TO_TELL, tells, "{text}");
        }
        assert_eq!(release("what"), (0, 0));
    }

    #[test]
    fn a_name_is_given_once_and_a_file_without_one_is_gone() {
        let home = tempfile::tempdir().expect("a directory");
        let first = Nameless::write(home.path(), b"first").expect("written");
        let second = Nameless::write(home.path(), b"second").expect("written");
        let target = home.path().join("1.root.json");
        assert!(!target.exists());
        first.link(&target).expect("linked");
        let error = second.link(&target).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(!is_unsupported(&error));
        drop((first, second));
        assert_eq!(fs::read(&target).expect("there"), b"first");
        assert_eq!(fs::read_dir(home.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn a_place_that_can_not_is_told_from_one_that_failed() {
        let error = Nameless::write(Path::new("/proc/self"), b"").expect_err("no files there");
        assert!(is_unsupported(&error), "{error}");
        let process = fs::File::open("/proc/self").expect("opened");
        assert!(!syncs_all(&process).expect("asked"));
        assert!(!is_unsupported(&io::Error::from(Errno::NOSPC)));
        assert!(!is_unsupported(&io::Error::from(Errno::ACCESS)));
    }
}
