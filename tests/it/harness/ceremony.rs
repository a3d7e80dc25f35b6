//! Root ceremonies, held by python-tuf: our server takes what an implementation that is not ours has made.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rstuf::tuf::bins::Layout;
use serde_json::Value;

use super::{checkout, python};

/// What a ceremony leaves behind.
pub(crate) struct Ceremony {
    /// The body of the bootstrap request.
    pub(crate) payload: Value,
    /// The file of the first root, which clients start from.
    pub(crate) root: PathBuf,
}

impl Ceremony {
    /// Makes a root that 2 of 3 people signed, and an online key among the server's keys.
    pub(crate) fn hold(out: &Path, keys: &Path, layout: Layout, bins: u32) -> Self {
        let status = Command::new(python())
            .arg(checkout().join("tests/it/judges/ceremony.py"))
            .arg("--out")
            .arg(out)
            .arg("--keys")
            .arg(keys)
            .args(["--bins", &bins.to_string()])
            .args(["--layout", name(layout)])
            .status()
            .expect("Python can be started");
        assert!(status.success(), "the ceremony ended with {status}");
        let payload = fs::read(out.join("payload.json")).expect("the ceremony writes its payload");
        Self { payload: serde_json::from_slice(&payload).expect("the payload is JSON"), root: out.join("1.root.json") }
    }
}

fn name(layout: Layout) -> &'static str {
    match layout {
        Layout::Succinct => "succinct",
        Layout::PathHashPrefixes => "path_hash_prefixes",
    }
}
