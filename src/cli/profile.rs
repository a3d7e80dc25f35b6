//! The configuration file of a person, `~/.rstuf.yml`, as the Python command line writes and reads it too.
//!
//! The document is kept as it was read, so what this program doesn't know survives. An entry is looked at when a command
//! needs it: a repository that is written wrongly keeps nobody from talking to a server.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{failure::Failure, replace::replace};
use crate::tuf::verify::Trusted;

const SERVER: &str = "SERVER";
const HEADERS: &str = "HEADERS";
const CURRENT: &str = "CURRENT_REPOSITORY";
const REPOSITORIES: &str = "REPOSITORIES";

/// A repository that artifacts are downloaded from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Where its files are.
    pub artifact_base_url: String,
    /// Where its metadata is.
    pub metadata_url: String,
    /// The root that is trusted first, as it was received.
    pub trusted_root: Vec<u8>,
    /// Whether file names begin with their digest.
    pub hash_prefix: bool,
    /// Where files are put.
    pub download_dir: Option<PathBuf>,
}

impl Repository {
    /// Makes sure that its root is signed by its own keys.
    ///
    /// # Errors
    /// When it isn't; the message names the entry, which is that of `name`.
    pub fn check_root(&self, name: &str) -> Result<(), Failure> {
        Trusted::from_root(&self.trusted_root).map(drop).map_err(|error| {
            Failure::new(format_args!("{REPOSITORIES}.{name}.trusted_root is no root that can be trusted: {error}"))
                .remedy(format_args!("replace it with rstuf artifact repository update {name} --root FILE"))
        })
    }
}

/// The configuration file. Entries that this program doesn't know are kept.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    path: Option<PathBuf>,
    document: Map<String, Value>,
    server: Option<String>,
    headers: Option<String>,
}

impl Profile {
    /// Reads `path`, or `~/.rstuf.yml`, which need not exist.
    ///
    /// # Errors
    /// When it can't be read or understood; the message names the entry.
    pub fn load(path: Option<PathBuf>) -> Result<Self, Failure> {
        let Some(path) = path.or_else(|| Some(env::home_dir()?.join(".rstuf.yml"))) else {
            return Ok(Self::default());
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(Failure::new(format_args!("can't read the configuration {}: {error}", path.display())));
            }
        };
        let wrong = |why: &dyn std::fmt::Display| {
            Failure::new(format_args!("the configuration {} can't be understood: {why}", path.display()))
                .remedy("correct the entry, or name another file with --config FILE")
        };
        let mut profile = Self { document: parse(&text).map_err(|why| wrong(&why))?, ..Self::default() };
        profile.server = profile.text(SERVER).map_err(|why| wrong(&why))?;
        profile.headers = profile.read_headers().map_err(|why| wrong(&why))?;
        profile.path = Some(path);
        Ok(profile)
    }

    /// The server that commands talk to: the entry SERVER.
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// Headers of every request: the entry HEADERS, written as the option is.
    pub fn headers(&self) -> Option<&str> {
        self.headers.as_deref()
    }

    /// The name of the repository that commands use when none is named.
    ///
    /// # Errors
    /// When the entry is no text.
    pub fn current(&self) -> Result<Option<String>, Failure> {
        self.text(CURRENT).map_err(|why| self.wrong(&why))
    }

    /// The names of all repositories, in the order of the file.
    ///
    /// # Errors
    /// When the entry is no mapping.
    pub fn names(&self) -> Result<Vec<String>, Failure> {
        Ok(self.entries()?.into_iter().flat_map(Map::keys).cloned().collect())
    }

    /// The repository of this name.
    ///
    /// # Errors
    /// When there is none, or an entry of it is missing or wrong; the message names it.
    pub fn repository(&self, name: &str) -> Result<Repository, Failure> {
        Self::read_repository(self.entry(name)?).map_err(|why| self.wrong(&format_args!("{REPOSITORIES}.{name}.{why}")))
    }

    /// Reads the entry of a repository.
    ///
    /// # Errors
    /// Which member is missing or wrong.
    pub fn read_repository(entry: &Map<String, Value>) -> Result<Repository, String> {
        let wrong = |member: &str, why: &str| format!("{member} {why}");
        let text = |member: &str| match member_of(entry, member) {
            None | Some(Value::Null) => Err(wrong(member, "is missing")),
            Some(value) => value.as_str().map(str::to_owned).ok_or_else(|| wrong(member, "must be a text")),
        };
        let root = text("trusted_root")?;
        let hash_prefix = match member_of(entry, "hash_prefix") {
            None | Some(Value::Null) => false,
            Some(value) => value.as_bool().ok_or_else(|| wrong("hash_prefix", "must be true or false"))?,
        };
        let download_dir = match member_of(entry, "download_dir") {
            None | Some(Value::Null) => None,
            Some(_) => Some(PathBuf::from(text("download_dir")?)),
        };
        Ok(Repository {
            artifact_base_url: text("artifact_base_url")?,
            metadata_url: text("metadata_url")?,
            trusted_root: STANDARD
                .decode(root.split_ascii_whitespace().collect::<String>())
                .map_err(|_| wrong("trusted_root", "must be a root in base64"))?,
            hash_prefix,
            download_dir,
        })
    }

    /// The entry of a repository as the file has it.
    ///
    /// # Errors
    /// When there is none, or it is no mapping.
    pub fn entry(&self, name: &str) -> Result<&Map<String, Value>, Failure> {
        let entry = self.entries()?.and_then(|entries| entries.get(name));
        match entry {
            Some(Value::Object(entry)) => Ok(entry),
            Some(_) => Err(self.wrong(&format_args!("{REPOSITORIES}.{name} must be a mapping"))),
            None => {
                let names = self.names()?;
                let remedy = match names.is_empty() {
                    true => "add one with rstuf artifact repository add".to_owned(),
                    false => format!("the configuration has {}", names.join(", ")),
                };
                Err(Failure::new(format_args!("there is no repository {name} in the configuration")).remedy(remedy))
            }
        }
    }

    /// Makes a repository the one that commands use when none is named; nobody, no repository.
    pub fn set_current(&mut self, name: Option<&str>) {
        match name {
            Some(name) => self.set(CURRENT, name.into()),
            None => self.document.retain(|key, _| !key.eq_ignore_ascii_case(CURRENT)),
        }
    }

    /// Adds a repository, or changes it. Members of its entry that this program doesn't know stay.
    ///
    /// # Errors
    /// When the repositories are no mapping.
    pub fn put(&mut self, name: &str, repository: &Repository) -> Result<(), Failure> {
        let mut entries = self.entries()?.cloned().unwrap_or_default();
        let mut entry = match entries.get(name) {
            Some(Value::Object(entry)) => entry.clone(),
            _ => Map::new(),
        };
        let download_dir = repository.download_dir.as_ref().map(|directory| json!(directory.to_string_lossy()));
        let members = [
            ("artifact_base_url", Some(json!(repository.artifact_base_url))),
            ("metadata_url", Some(json!(repository.metadata_url))),
            ("trusted_root", Some(json!(STANDARD.encode(&repository.trusted_root)))),
            ("hash_prefix", Some(json!(repository.hash_prefix))),
            ("download_dir", download_dir),
        ];
        for (member, value) in members {
            let known = entry.keys().find(|key| key.eq_ignore_ascii_case(member)).cloned();
            match (value, known) {
                (Some(value), known) => drop(entry.insert(known.unwrap_or_else(|| member.to_owned()), value)),
                (None, Some(known)) => drop(entry.shift_remove(&known)),
                (None, None) => {}
            }
        }
        entries.insert(name.to_owned(), Value::Object(entry));
        self.set(REPOSITORIES, Value::Object(entries));
        Ok(())
    }

    /// Removes a repository. If it was the one that commands use, there is none any more.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn remove(&mut self, name: &str) -> Result<(), Failure> {
        self.entry(name)?;
        let mut entries = self.entries()?.cloned().unwrap_or_default();
        entries.shift_remove(name);
        self.set(REPOSITORIES, Value::Object(entries));
        if self.current()?.as_deref() == Some(name) {
            self.set_current(None);
        }
        Ok(())
    }

    /// Writes it back, atomically and for its owner alone.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn save(&self) -> Result<(), Failure> {
        let path = self.path.as_deref().ok_or_else(|| {
            Failure::new("there is no home directory for the configuration").remedy("name a file with --config FILE")
        })?;
        let cant = |error: &dyn std::fmt::Display| {
            Failure::new(format_args!("can't write the configuration {}: {error}", path.display()))
        };
        let upper: Map<_, _> =
            self.document.iter().map(|(key, value)| (key.to_ascii_uppercase(), value.clone())).collect();
        let text = serde_saphyr::to_string(&upper).map_err(|error| cant(&error))?;
        // A link, as people have who keep such files elsewhere, stays one.
        let file = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        replace(&file, text.as_bytes()).map_err(|error| cant(&error))
    }

    /// Where it is written to.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    fn entries(&self) -> Result<Option<&Map<String, Value>>, Failure> {
        match member_of(&self.document, REPOSITORIES) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(entries)) => Ok(Some(entries)),
            Some(_) => Err(self.wrong(&format_args!("{REPOSITORIES} must be a mapping"))),
        }
    }

    fn text(&self, key: &str) -> Result<Option<String>, String> {
        match member_of(&self.document, key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("{key} must be a text")),
        }
    }

    fn read_headers(&self) -> Result<Option<String>, String> {
        let Some(Value::Object(headers)) = member_of(&self.document, HEADERS) else { return self.text(HEADERS) };
        let pair = |(name, value): (&String, &Value)| Some(format!("{name}: {}", value.as_str()?));
        let pairs: Option<Vec<_>> = headers.iter().map(pair).collect();
        pairs.map(|pairs| Some(pairs.join(", "))).ok_or_else(|| format!("{HEADERS} must have texts only"))
    }

    fn set(&mut self, key: &str, value: Value) {
        let known = self.document.keys().find(|known| known.eq_ignore_ascii_case(key)).cloned();
        self.document.insert(known.unwrap_or_else(|| key.to_owned()), value);
    }

    fn wrong(&self, why: &dyn std::fmt::Display) -> Failure {
        let path = self.path.as_deref().unwrap_or(Path::new("~/.rstuf.yml"));
        Failure::new(format_args!("the configuration {}: {why}", path.display())).remedy("correct or remove this entry")
    }
}

/// A member, whatever the case of its name: the Python command line does not look at it.
fn member_of<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn parse(text: &str) -> Result<Map<String, Value>, String> {
    let document: Value = match text.trim().is_empty() {
        true => Value::Null,
        // What follows the first line draws the place.
        false => serde_saphyr::from_str(text)
            .map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())?,
    };
    let document = match document {
        Value::Null => Map::new(),
        Value::Object(document) => document,
        _ => return Err("it is not a mapping".to_owned()),
    };
    let mut upper: Vec<_> = document.keys().map(|key| key.to_ascii_uppercase()).collect();
    upper.sort_unstable();
    match upper.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("{} is there twice", pair[0])),
        None => Ok(document),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("rstuf.yml");
        fs::write(&path, text).expect("a file");
        (directory, path)
    }

    fn load(path: &Path) -> Profile {
        Profile::load(Some(path.to_owned())).expect("a profile")
    }

    fn sample() -> Repository {
        Repository {
            artifact_base_url: "https://files.example.com".into(),
            metadata_url: "https://tuf.example.com/metadata".into(),
            trusted_root: b"{}".to_vec(),
            hash_prefix: false,
            download_dir: None,
        }
    }

    #[test]
    fn what_is_not_there_is_empty() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut profile = load(&directory.path().join("none.yml"));
        assert_eq!((profile.server(), profile.headers()), (None, None));
        assert!(profile.names().expect("names").is_empty());
        profile.put("a", &sample()).expect("put");
        profile.save().expect("saved");
        assert_eq!(load(&directory.path().join("none.yml")).repository("a").expect("kept"), sample());
    }

    #[test]
    fn names_of_entries_have_any_case_and_unknown_ones_stay() {
        let (_directory, path) = written(
            "server: http://a\nHeaders: {A: b, C: d}\nother: [1, {x: null}]\nrepositories:\n  'no':\n    Metadata_Url: m\n    \
             artifact_base_url: a\n    trusted_root: e30=\n    mine: 1.5\n",
        );
        let mut profile = load(&path);
        assert_eq!((profile.server(), profile.headers()), (Some("http://a"), Some("A: b, C: d")));
        assert_eq!(profile.repository("no").expect("a repository").metadata_url, "m");
        profile.set_current(Some("no"));
        profile.put("no", &sample()).expect("put");
        profile.save().expect("saved");
        let text = fs::read_to_string(&path).expect("a file");
        for line in ["SERVER: ", "OTHER:", "REPOSITORIES:", "CURRENT_REPOSITORY: ", "mine: 1.5", "Metadata_Url: https"]
        {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("metadata_url"), "{text}");
        let again = load(&path);
        assert_eq!(again.current().expect("a text").as_deref(), Some("no"));
        assert_eq!(again.repository("no").expect("a repository"), sample());
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn who_removes_the_current_one_has_none() {
        let (_directory, path) = written("");
        let mut profile = load(&path);
        profile.put("a", &sample()).expect("put");
        profile.set_current(Some("a"));
        profile.remove("a").expect("removed");
        assert_eq!(profile.current().expect("none"), None);
        let failure = profile.remove("a").expect_err("gone");
        assert_eq!(failure.cause, "there is no repository a in the configuration");
    }

    #[test]
    fn refusals_name_the_entry() {
        for (text, entry) in [
            ("- a", "it is not a mapping"),
            ("SERVER: [1]", "SERVER must be a text"),
            ("SERVER: a\nserver: b", "SERVER is there twice"),
            ("HEADERS: {a: 1}", "HEADERS must have texts only"),
            ("SERVER: \"", "can't be understood"),
        ] {
            let (_directory, path) = written(text);
            let failure = Profile::load(Some(path)).expect_err(text);
            assert!(failure.cause.contains(entry), "{failure}");
        }
        for (text, entry) in [
            ("REPOSITORIES: 1", "REPOSITORIES must be a mapping"),
            ("REPOSITORIES: {a: 1}", "REPOSITORIES.a must be a mapping"),
            ("REPOSITORIES: {a: {}}", "REPOSITORIES.a.trusted_root is missing"),
            (
                "REPOSITORIES: {a: {trusted_root: '?', artifact_base_url: a, metadata_url: m}}",
                "REPOSITORIES.a.trusted_root must be a root in base64",
            ),
            ("REPOSITORIES: {a: {trusted_root: e30=}}", "REPOSITORIES.a.artifact_base_url is missing"),
            (
                "REPOSITORIES: {a: {trusted_root: e30=, artifact_base_url: a, metadata_url: m, hash_prefix: 1}}",
                "REPOSITORIES.a.hash_prefix must be true or false",
            ),
            ("REPOSITORIES: {b: {}}", "there is no repository a"),
        ] {
            let (_directory, path) = written(text);
            let failure = load(&path).repository("a").expect_err(text);
            assert!(failure.cause.contains(entry), "{failure}");
        }
    }

    #[test]
    fn a_link_to_the_file_stays_one() {
        let (directory, path) = written("SERVER: a");
        let link = directory.path().join("link.yml");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        let mut profile = load(&link);
        profile.set_current(Some("x"));
        profile.save().expect("saved");
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
        assert!(fs::read_to_string(&path).expect("a file").contains("CURRENT_REPOSITORY: x"));
    }
}
