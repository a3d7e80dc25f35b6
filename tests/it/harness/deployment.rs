//! What all ways to run the service have in common.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use super::api::Api;

/// For how long the online keys of a root that was replaced go on to sign.
pub(crate) const ROTATION_GRACE_SECONDS: &str = "3";

/// The service as it runs somewhere, with a directory that is its test's own.
pub(crate) trait Deployment {
    /// Everything of this deployment is below it; removed in the end.
    fn directory(&self) -> &Path;

    /// Where private online keys are read from.
    fn keys(&self) -> PathBuf;

    /// The bucket.
    fn bucket(&self) -> PathBuf;

    /// `http://` and the address of an API.
    fn url(&self) -> String;

    /// Where clients find the metadata.
    fn metadata_url(&self) -> String;

    /// A directory of the test's own, removed together with the rest.
    fn scratch(&self, name: &str) -> PathBuf {
        let scratch = self.directory().join(name);
        fs::create_dir_all(&scratch).expect("a directory can be made");
        scratch
    }

    /// The REST API.
    fn api(&self) -> Api {
        Api::at(&self.url())
    }

    /// All APIs that there are.
    fn all_apis(&self) -> Vec<Api> {
        vec![self.api()]
    }
}

/// A free port below those that systems give to outgoing connections. A client that tries to reach a server which is
/// just away could otherwise be given the very port as its own, and would be connected to itself.
pub(crate) fn lasting_port() -> u16 {
    lasting_ports(1)
}

/// The first of `count` free ports in a row.
pub(crate) fn lasting_ports(count: u16) -> u16 {
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        let port = fastrand::u16(10_000..32_000);
        if (port..port + count).all(is_free) {
            return port;
        }
    }
}
