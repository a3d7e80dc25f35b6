//! tough's client. It has no succinct bins (TAP 15), and reads every bin when it loads a repository.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tough::{IntoVec, RepositoryLoader, TargetName};
use url::Url;

use crate::harness::{artifact::Artifact, deployment::Deployment, repository::Repository};

/// A repository that tough has loaded, and so accepted.
pub(crate) struct Tough {
    repository: tough::Repository,
    targets: PathBuf,
}

impl Tough {
    /// Loads a repository as a new client.
    pub(crate) async fn load(repository: &Repository<impl Deployment>) -> Self {
        Self::try_load(repository).await.expect("tough accepts the repository")
    }

    /// Loads a repository as a new client, or says why tough does not accept it.
    pub(crate) async fn try_load(repository: &Repository<impl Deployment>) -> Result<Self, tough::error::Error> {
        let root = fs::read(&repository.ceremony.root).expect("the ceremony has written the root");
        let targets = repository.server.scratch("tough");
        let loader = RepositoryLoader::new(&root, directory_url(&repository.server.bucket()), directory_url(&targets));
        Ok(Self { repository: loader.load().await?, targets })
    }

    /// What it finds under these paths, null where it finds nothing.
    pub(crate) fn find(&self, paths: &[&str]) -> BTreeMap<String, Value> {
        paths.iter().map(|path| ((*path).to_owned(), self.info(path))).collect()
    }

    fn info(&self, path: &str) -> Value {
        let found = self.repository.targets().signed.find_target(&target_name(path), false);
        found.map_or(
            Value::Null,
            |target| json!({ "length": target.length, "hashes": { "sha256": hex::encode(&target.hashes.sha256) } }),
        )
    }

    /// Downloads and verifies an artifact that has no directory in its path: tough looks for others at `HASH.dir/file`.
    pub(crate) async fn download(&self, artifact: &Artifact) -> Vec<u8> {
        artifact.store(&self.targets);
        let stream = self.repository.read_target(&target_name(&artifact.path)).await.expect("tough can read targets");
        stream.expect("tough finds the target").into_vec().await.expect("tough accepts the target")
    }
}

fn target_name(path: &str) -> TargetName {
    TargetName::new(path).expect("the path is a target name")
}

fn directory_url(directory: &Path) -> Url {
    Url::from_directory_path(directory).expect("the directory's path is absolute")
}
