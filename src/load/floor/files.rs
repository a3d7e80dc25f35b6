//! The files of the floor: bins that grow, snapshot and timestamp.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};

use crate::tuf::bins::Bins;

/// What is signed around artifacts and versions.
const EXPIRES: &str = "2040-01-01T00:00:00Z";

/// What a repository lists, kept as the text that is signed.
#[derive(Debug)]
pub struct Listed {
    names: Vec<String>,
    /// The entries of each bin.
    bins: Vec<String>,
    versions: Vec<u64>,
    version: u64,
}

impl Listed {
    /// Empty bins.
    pub fn new(bins: Bins) -> Self {
        let names: Vec<_> = bins.names().map(String::from).collect();
        let (bins, versions) = (vec![String::new(); names.len()], vec![1; names.len()]);
        Self { names, bins, versions, version: 1 }
    }

    /// Lists an artifact in its bin. The order of the entries costs no client and no server anything.
    pub fn add(&mut self, bin: usize, path: &str, info: &str) {
        let entries = &mut self.bins[bin];
        if !entries.is_empty() {
            entries.push(',');
        }
        // A text takes all that is written to it.
        let _ = write!(entries, r#""{path}":{info}"#);
    }

    /// Gives the next version to these bins, snapshot and timestamp.
    pub fn advance(&mut self, bins: &[usize]) {
        self.version += 1;
        bins.iter().for_each(|bin| self.versions[*bin] += 1);
    }

    /// The version of a bin.
    pub fn version_of(&self, bin: usize) -> u64 {
        self.versions[bin]
    }

    /// The version of snapshot and timestamp.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The files of these bins and of snapshot, and that of timestamp.
    pub fn render(&self, bins: &[usize]) -> (Vec<(String, String)>, String) {
        let bin = |&bin: &usize| {
            let (name, version, entries) = (&self.names[bin], self.versions[bin], &self.bins[bin]);
            let text = file(&format!(
                r#"{{"_type":"targets","expires":"{EXPIRES}","spec_version":"1.0.31","targets":{{{entries}}},"version":{version}}}"#
            ));
            (format!("{version}.{name}.json"), text)
        };
        let mut files: Vec<_> = bins.iter().map(bin).collect();
        let mut meta = String::with_capacity(self.names.len() * 32);
        for (name, version) in self.names.iter().zip(&self.versions) {
            let _ = write!(meta, r#""{name}.json":{{"version":{version}}},"#);
        }
        let version = self.version;
        let snapshot = file(&format!(
            r#"{{"_type":"snapshot","expires":"{EXPIRES}","meta":{{{meta}"targets.json":{{"version":1}}}},"spec_version":"1.0.31","version":{version}}}"#
        ));
        let digest = hex::encode(digest(&SHA256, snapshot.as_bytes()));
        let length = snapshot.len();
        files.push((format!("{version}.snapshot.json"), snapshot));
        let timestamp = file(&format!(
            r#"{{"_type":"timestamp","expires":"{EXPIRES}","meta":{{"snapshot.json":{{"hashes":{{"sha256":"{digest}"}},"length":{length},"version":{version}}}}},"spec_version":"1.0.31","version":{version}}}"#
        ));
        (files, timestamp)
    }
}

/// A file as long as one with the signature of one key.
fn file(signed: &str) -> String {
    let (keyid, sig) = ("0".repeat(64), "0".repeat(128));
    format!(r#"{{"signatures":[{{"keyid":"{keyid}","sig":"{sig}"}}],"signed":{signed}}}"#)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::{super::directory::Directory, *};
    use crate::tuf::bins::Layout;

    #[test]
    fn files_are_metadata_that_refer_to_each_other() {
        let home = tempfile::tempdir().expect("a directory");
        let directory = Directory::new(home.path()).expect("a directory");
        let mut listed = Listed::new(Bins::new(2, Layout::Succinct).expect("bins"));
        listed.add(1, "a", r#"{"length":1}"#);
        listed.add(1, "b", r#"{"length":2}"#);
        listed.advance(&[1]);
        let (files, timestamp) = listed.render(&[1]);
        directory.write_all(&files).expect("written");
        directory.point("timestamp.json", timestamp.as_bytes()).expect("written");
        let signed = |name: &str| -> Value {
            let bytes = fs::read(home.path().join(name)).expect("a file");
            serde_json::from_slice::<Value>(&bytes).expect("JSON")["signed"].take()
        };
        let version = &signed("timestamp.json")["meta"]["snapshot.json"]["version"];
        let snapshot = signed(&format!("{version}.snapshot.json"));
        let bin = signed(&format!("{}.bins-1.json", snapshot["meta"]["bins-1.json"]["version"]));
        assert_eq!(bin["targets"]["b"]["length"], 2);
        assert_eq!(snapshot["meta"]["bins-0.json"]["version"], 1);
    }
}
