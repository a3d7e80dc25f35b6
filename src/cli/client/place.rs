//! Where an artifact is put: one file of one directory, whatever its name says.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustix::fs::OFlags;

use crate::tuf::{content::Digests, name::ArtifactPath, targets::TargetFile};

/// All but what RFC 3986 never reserves, as the Python clients quote names.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The longest name of a file.
const MAX_NAME_BYTES: usize = 255;
/// How much of a name is in that of its part.
const PART_NAME_BYTES: usize = 200;
const PART_DIGITS: usize = 16;
const PIECE_BYTES: usize = 1 << 16;

/// A text without any character that means something in an URL or to a file system.
pub(super) fn quote(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The place of an artifact.
#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
    /// The file, once it is verified.
    pub(super) target: PathBuf,
    part: PathBuf,
}

impl Place {
    /// The place of `path` in `directory`, which is made if it isn't there.
    pub(super) fn of(directory: &Path, path: &ArtifactPath, info: &TargetFile) -> anyhow::Result<Self> {
        let name = quote(path.as_str());
        ensure!(
            name.len() <= MAX_NAME_BYTES,
            "the file would have a name of {} bytes, file systems take {MAX_NAME_BYTES}",
            name.len()
        );
        fs::create_dir_all(directory).with_context(|| format!("can't make {}", directory.display()))?;
        // No quoted name has a plus, and what was signed anew has another part.
        let content = format!("{name}\n{:?}", info.hashes);
        let digits = &hex::encode(digest(&SHA256, content.as_bytes()))[..PART_DIGITS];
        let part = format!("{}+{digits}.part", &name[..name.len().min(PART_NAME_BYTES)]);
        Ok(Self { target: directory.join(&name), part: directory.join(part), directory: directory.to_owned() })
    }

    /// Whether the verified file is there already.
    pub(super) fn holds(&self, info: &TargetFile) -> anyhow::Result<bool> {
        let Ok(mut file) = open(&self.target, OpenOptions::new().read(true)) else { return Ok(false) };
        if file.metadata().is_ok_and(|found| found.len() != info.length) {
            return Ok(false);
        }
        let mut digests = Digests::expecting(&info.hashes)?;
        Ok(read_into(&mut file, &mut digests).is_ok() && digests.check().is_ok())
    }

    /// Opens the part, which may have come from an earlier run; nobody else has it open.
    pub(super) fn part(&self) -> anyhow::Result<Part> {
        let context = || format!("can't write {}", self.part.display());
        loop {
            let options = &mut OpenOptions::new();
            let options = options.read(true).write(true).create(true).truncate(false);
            let file = match open(&self.part, options) {
                Ok(file) => file,
                // A link, or no plain file: somebody else put it there.
                Err(error) if self.part.symlink_metadata().is_ok_and(|found| !found.is_dir()) => {
                    fs::remove_file(&self.part).map_err(|_| error).with_context(context)?;
                    continue;
                }
                Err(error) => return Err(error).with_context(context),
            };
            file.lock().with_context(context)?;
            // While it waited the one that had it may have given it its name, or thrown it away.
            let (found, named) = (file.metadata().with_context(context)?, self.part.symlink_metadata());
            if !named.is_ok_and(|named| (named.dev(), named.ino()) == (found.dev(), found.ino())) {
                continue;
            }
            if found.nlink() > 1 {
                fs::remove_file(&self.part).with_context(context)?;
                continue;
            }
            return Ok(Part { file, path: self.part.clone(), length: 0 });
        }
    }

    /// Gives a part that is complete and verified its name.
    pub(super) fn take(&self, part: Part) -> anyhow::Result<()> {
        let context = || format!("can't write {}", self.target.display());
        part.file.sync_all().with_context(context)?;
        if self.target.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            bail!("{} is a directory", self.target.display());
        }
        fs::rename(&self.part, &self.target).with_context(context)?;
        File::open(&self.directory).and_then(|directory| directory.sync_all()).with_context(context)
    }
}

/// What has come of an artifact so far.
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    path: PathBuf,
    /// Bytes that are there and went into the digests.
    pub(super) length: u64,
}

impl Part {
    /// Reads what an earlier run has left into the digests; what can't be a part is thrown away.
    pub(super) fn resume(&mut self, info: &TargetFile) -> anyhow::Result<Digests> {
        let mut digests = Digests::expecting(&info.hashes)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.length = read_into(&mut self.file, &mut digests)?;
        if self.length > info.length {
            return self.restart(info);
        }
        Ok(digests)
    }

    /// Throws away what is there.
    pub(super) fn restart(&mut self, info: &TargetFile) -> anyhow::Result<Digests> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.length = 0;
        Ok(Digests::expecting(&info.hashes)?)
    }

    /// Adds what came.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Removes it.
    pub(super) fn discard(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

/// Opens a plain file, following no link and waiting for nobody.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits();
    let file = options.custom_flags(flags.cast_signed()).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no plain file")),
    }
}

fn read_into(file: &mut File, digests: &mut Digests) -> io::Result<u64> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut length = 0;
    loop {
        let count = file.read(&mut piece)?;
        if count == 0 {
            return Ok(length);
        }
        digests.update(&piece[..count]);
        length += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn info(content: &[u8]) -> TargetFile {
        let sha256 = hex::encode(digest(&SHA256, content));
        TargetFile { length: content.len() as u64, hashes: [("sha256".to_owned(), sha256)].into(), custom: None }
    }

    fn place(directory: &Path, name: &str) -> Place {
        Place::of(directory, &ArtifactPath::parse(name).expect("a path"), &info(b"content")).expect("a place")
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("a directory");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn every_name_is_one_file_of_the_directory() {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, file) in [
            ("x/f.txt", "x%2Ff.txt"),
            ("a b~c-d_e.f", "a%20b~c-d_e.f"),
            ("..\\..\\x", "..%5C..%5Cx"),
            ("%2e%2e/x", "%252e%252e%2Fx"),
            ("C:/ü", "C%3A%2F%C3%BC"),
            ("a+b.part", "a%2Bb.part"),
        ] {
            let place = place(directory.path(), name);
            assert_eq!(place.target, directory.path().join(file));
            assert_eq!(place.part.parent(), Some(directory.path()));
        }
        let long = ArtifactPath::parse(&"ü".repeat(100)).expect("a path");
        let refused = Place::of(directory.path(), &long, &info(b"")).expect_err("too long").to_string();
        assert_eq!(refused, "the file would have a name of 600 bytes, file systems take 255");
        assert!(place(directory.path(), &"x".repeat(255)).part().is_ok());
    }

    #[test]
    fn links_are_not_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let victim = directory.path().join("victim");
        let inside = directory.path().join("inside");
        for make in [|to: &Path, at: &Path| symlink(to, at), |to: &Path, at: &Path| fs::hard_link(to, at)] {
            fs::write(&victim, "content").expect("a file");
            let place = place(&inside, "x");
            make(&victim, &place.part).expect("a link");
            let mut part = place.part().expect("a part");
            let mut digests = part.resume(&info(b"content")).expect("digests");
            assert_eq!(part.length, 0);
            part.append(b"other").expect("written");
            digests.update(b"other");
            assert_eq!(fs::read(&victim).expect("a file"), b"content");
            part.discard().expect("removed");
        }
        let place = place(&inside, "x");
        symlink(&victim, &place.target).expect("a link");
        assert!(!place.holds(&info(b"content")).expect("looked"));
        let mut part = place.part().expect("a part");
        part.append(b"mine").expect("written");
        place.take(part).expect("taken");
        assert_eq!(fs::read(&victim).expect("a file"), b"content");
        assert_eq!(fs::read(&place.target).expect("a file"), b"mine");
        assert!(!fs::symlink_metadata(&place.target).expect("a file").is_symlink());
    }

    #[test]
    fn what_was_left_goes_on() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = place(directory.path(), "x");
        place.part().expect("a part").append(b"cont").expect("written");
        let mut part = place.part().expect("a part");
        let mut digests = part.resume(&info(b"content")).expect("digests");
        assert_eq!(part.length, 4);
        part.append(b"ent").expect("written");
        digests.update(b"ent");
        assert_eq!(digests.check(), Ok(()));
        place.take(part).expect("taken");
        assert!(place.holds(&info(b"content")).expect("looked"));
        assert!(!place.holds(&info(b"contend")).expect("looked"));
        assert_eq!(names(directory.path()), ["x"]);
    }

    #[test]
    fn a_part_that_is_too_long_is_thrown_away() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = place(directory.path(), "x");
        place.part().expect("a part").append(b"content and more").expect("written");
        let mut part = place.part().expect("a part");
        part.resume(&info(b"content")).expect("digests");
        assert_eq!(part.length, 0);
        part.discard().expect("removed");
        assert!(names(directory.path()).is_empty());
    }
}
