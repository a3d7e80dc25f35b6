//! Which files are meant, and under which path each becomes an artifact.
//!
//! A file has the last part of its name, a file of a directory its place below that directory. Whatever can't become an artifact is
//! named, all at once, before any file is read.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use clap::ValueEnum;

use crate::tuf::name::ArtifactPath;

/// What becomes of symbolic links that are met inside directories. A link that is named itself is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Links {
    /// They are named, and nothing is added
    Refuse,
    /// They are left out
    Skip,
    /// The file that they lead to is added under the name of the link; links to directories are refused
    Follow,
}

/// A file and the artifact that it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) file: PathBuf,
    pub(super) bytes: u64,
}

/// Finds the files that `arguments` name, each with its path below `prefix`.
///
/// # Errors
/// All that is wrong, a line each.
pub(super) fn find(
    arguments: &[PathBuf],
    prefix: Option<&str>,
    links: Links,
) -> Result<BTreeMap<ArtifactPath, Found>, Vec<String>> {
    let mut search = Search { prefix, links, found: BTreeMap::new(), faults: Vec::new() };
    for argument in arguments {
        search.argument(argument);
    }
    match search.faults.is_empty() {
        true => Ok(search.found),
        false => Err(search.faults),
    }
}

struct Search<'a> {
    prefix: Option<&'a str>,
    links: Links,
    found: BTreeMap<ArtifactPath, Found>,
    faults: Vec<String>,
}

impl Search<'_> {
    /// A name, or a pattern if there is nothing of that name.
    fn argument(&mut self, argument: &Path) {
        let pattern = argument.to_str().filter(|text| text.contains(['*', '?', '[']));
        match (fs::metadata(argument), pattern) {
            (Err(error), Some(pattern)) if error.kind() == io::ErrorKind::NotFound => self.pattern(pattern),
            (Err(error), _) => self.fault(argument, error),
            (Ok(metadata), _) => self.named(argument, &metadata),
        }
    }

    fn pattern(&mut self, pattern: &str) {
        let matches: Vec<_> = match glob::glob(pattern) {
            Ok(matches) => matches.collect(),
            Err(error) => return self.faults.push(format!("{pattern}: {error}")),
        };
        if matches.is_empty() {
            self.faults.push(format!("{pattern}: no file has such a name"));
        }
        for found in matches {
            match found {
                Ok(file) => match fs::metadata(&file) {
                    Ok(metadata) => self.named(&file, &metadata),
                    Err(error) => self.fault(&file, error),
                },
                Err(error) => self.faults.push(format!("{}: {}", error.path().display(), error.error())),
            }
        }
    }

    fn named(&mut self, file: &Path, metadata: &fs::Metadata) {
        if metadata.is_dir() {
            return self.directory(file, "");
        }
        match file.file_name() {
            Some(name) => self.file(file, metadata, name.to_str().map(str::to_owned)),
            None => self.fault(file, "it has no name"),
        }
    }

    /// What is in a directory; `below` is its place below the one that was named.
    fn directory(&mut self, directory: &Path, below: &str) {
        let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.fault(directory, error),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let file = entry.path();
            let place = entry.file_name().to_str().map(|name| format!("{below}{name}"));
            match (entry.file_type(), &place) {
                (Err(error), _) => self.fault(&file, error),
                (Ok(kind), _) if kind.is_symlink() => self.link(&file, place),
                (Ok(kind), Some(place)) if kind.is_dir() => self.directory(&file, &format!("{place}/")),
                (Ok(kind), None) if kind.is_dir() => self.fault(&file, "its name is not UTF-8"),
                (Ok(_), _) => match entry.metadata() {
                    Ok(metadata) => self.file(&file, &metadata, place),
                    Err(error) => self.fault(&file, error),
                },
            }
        }
    }

    fn link(&mut self, file: &Path, place: Option<String>) {
        match (self.links, fs::metadata(file)) {
            (Links::Skip, _) => {}
            (Links::Refuse, _) => self.fault(file, "it is a symbolic link (see --links)"),
            (Links::Follow, Ok(metadata)) if metadata.is_dir() => self.fault(file, "it is a link to a directory"),
            (Links::Follow, Ok(metadata)) => self.file(file, &metadata, place),
            (Links::Follow, Err(error)) => self.fault(file, error),
        }
    }

    fn file(&mut self, file: &Path, metadata: &fs::Metadata, place: Option<String>) {
        if !metadata.is_file() {
            return self.fault(file, "it is neither a file nor a directory");
        }
        let Some(place) = place else { return self.fault(file, "its name is not UTF-8") };
        let text = match self.prefix {
            Some(prefix) => format!("{}/{place}", prefix.trim_end_matches('/')),
            None => place,
        };
        let path = match ArtifactPath::parse(&text) {
            Ok(path) => path,
            Err(error) => return self.fault(file, format_args!("it would be the artifact {text:?}, but {error}")),
        };
        let found = Found { file: file.to_owned(), bytes: metadata.len() };
        match self.found.get(&path) {
            Some(other) if other.file != found.file => {
                let other = other.file.display().to_string();
                self.fault(file, format_args!("it would be the artifact {path}, as {other} would"));
            }
            _ => drop(self.found.insert(path, found)),
        }
    }

    fn fault(&mut self, file: &Path, why: impl std::fmt::Display) {
        self.faults.push(format!("{}: {why}", file.display()));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let tree = tempfile::tempdir().expect("a directory");
        for file in files {
            let file = tree.path().join(file);
            fs::create_dir_all(file.parent().expect("a parent")).expect("directories");
            fs::write(file, "content").expect("a file");
        }
        tree
    }

    fn paths(arguments: &[PathBuf], prefix: Option<&str>, links: Links) -> Result<Vec<String>, Vec<String>> {
        find(arguments, prefix, links).map(|found| found.into_keys().map(String::from).collect())
    }

    #[test]
    fn files_have_their_name_and_those_of_directories_their_place() {
        let tree = tree(&["dist/a", "dist/.hidden", "dist/sub/b", "c.gz", "d.gz"]);
        let at = |name: &str| tree.path().join(name);
        let found = |arguments: &[PathBuf], prefix| paths(arguments, prefix, Links::Refuse).expect("found");
        assert_eq!(found(&[at("dist"), at("c.gz")], None), [".hidden", "a", "c.gz", "sub/b"]);
        assert_eq!(found(&[at("*.gz")], Some("v1/x//")), ["v1/x/c.gz", "v1/x/d.gz"]);
        assert_eq!(found(&[at("c.gz"), at("c.gz"), at("?.gz")], None), ["c.gz", "d.gz"]);
    }

    #[test]
    fn all_that_is_wrong_is_named_at_once() {
        let tree = tree(&["a/same", "b/same", "links/file"]);
        let at = |name: &str| tree.path().join(name);
        symlink(at("a/same"), at("links/to-file")).expect("a link");
        symlink(at("a"), at("links/to-directory")).expect("a link");
        symlink(at("nowhere"), at("links/to-nothing")).expect("a link");
        let all = [at("a/same"), at("b/same"), at("none"), at("*.none"), at("links")];
        let faults = paths(&all, None, Links::Refuse).expect_err("faults");
        assert_eq!(faults.len(), 6, "{faults:#?}");
        for words in ["as ", "No such file", "no file has such a name", "symbolic link"] {
            assert!(faults.iter().any(|fault| fault.contains(words)), "{words}: {faults:#?}");
        }
        assert_eq!(paths(&[at("links")], None, Links::Skip), Ok(vec!["file".to_owned()]));
        assert_eq!(paths(&[at("links")], None, Links::Follow).expect_err("faults").len(), 2);
        fs::remove_file(at("links/to-directory")).expect("a link");
        fs::remove_file(at("links/to-nothing")).expect("a link");
        assert_eq!(paths(&[at("links")], None, Links::Follow).expect("found"), ["file", "to-file"]);
        assert_eq!(paths(&[at("links/to-file")], None, Links::Refuse).expect("found"), ["to-file"]);
        assert!(paths(&[at("a")], Some("/v1"), Links::Refuse).is_err());
    }
}
