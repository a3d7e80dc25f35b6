//! The private online keys: where metadata says that they are, and whether they are the right ones.
//!
//! A key object of the metadata names its private half in `x-rstuf-online-key-uri`. Each kind of place is a
//! [`KeySource`], each loaded key a [`Sign`], both interfaces of tough. No key is used before it has signed something
//! that the public key of the metadata verifies.

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::rand::SystemRandom;
use serde_json::Value;
use thiserror::Error;
use tough::{key_source::KeySource, sign::Sign};

use crate::tuf::{
    key::{Key, KeyError, ONLINE_KEY_URI},
    wire::MetadataError,
};

pub mod files;
pub mod generate;
pub mod private;

use files::FileSource;
use private::Scheme;

/// What is signed to prove a key. Not JSON, so that it can never pass for metadata.
const PROOF: &[u8] = b"rstuf: proof of an online key";

/// Why an online key can't be used. The text says what to do, and holds no secret.
#[derive(Debug, Error)]
pub enum KeyStoreError {
    /// The key object is not one.
    #[error(transparent)]
    Object(#[from] MetadataError),
    /// The key object says nothing about its private half.
    #[error("the key has no {ONLINE_KEY_URI}")]
    NoUri,
    /// Its private half is in a kind of place that this program doesn't know.
    #[error("{ONLINE_KEY_URI} {0:?} can't be used: write fn:<file>, with a file in the key directory of the workers")]
    Uri(String),
    /// Nothing can be verified with the public half.
    #[error("the public key can't be used: {0}")]
    Public(KeyError),
    /// The private half can't be loaded or used.
    #[error("{0}")]
    Private(Box<dyn std::error::Error + Send + Sync + 'static>),
    /// The private half is of another key.
    #[error("the private key at {uri:?} does not belong to the public key")]
    Mismatch {
        /// Where it is.
        uri: String,
    },
}

/// Loads online keys, once each.
///
/// A key that was loaded is kept until the process ends: its file may be replaced only together with the public key in
/// root, which makes it another key.
pub struct KeyStore {
    directory: PathBuf,
    /// By what a key object says of them: URI, scheme and public key.
    loaded: Mutex<HashMap<[String; 3], Arc<dyn Sign>>>,
}

impl KeyStore {
    /// Key files are those of `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), loaded: Mutex::default() }
    }

    /// The private half of `key`, a key object of TUF with `x-rstuf-online-key-uri`, as a signer that was proved to
    /// make signatures for this key.
    ///
    /// # Errors
    /// [`KeyStoreError`] says what is wrong with the object, the place or the private key.
    pub async fn load(&self, key: &Value) -> Result<Arc<dyn Sign>, KeyStoreError> {
        let key = Key::view(key)?;
        key.usable().map_err(KeyStoreError::Public)?;
        let uri = key.online_uri().ok_or(KeyStoreError::NoUri)?;
        let name = [uri, &key.scheme, key.public().unwrap_or_default()].map(str::to_owned);
        let known = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        if let Some(signer) = known {
            return Ok(signer);
        }
        let source = self.source(uri, &key.scheme)?;
        let signer = source.as_sign().await.map_err(KeyStoreError::Private)?;
        prove(&*signer, &key, uri).await?;
        let signer: Arc<dyn Sign> = Arc::from(signer);
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).insert(name, signer.clone());
        Ok(signer)
    }

    fn source(&self, uri: &str, scheme: &str) -> Result<Box<dyn KeySource>, KeyStoreError> {
        match uri.split_once(':') {
            Some(("fn", name)) => {
                let scheme = Scheme::parse(scheme).map_err(|e| KeyStoreError::Private(e.into()))?;
                let source = FileSource::new(&self.directory, name, scheme);
                Ok(Box::new(source.map_err(|e| KeyStoreError::Private(e.into()))?))
            }
            _ => Err(KeyStoreError::Uri(uri.to_owned())),
        }
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore").field("directory", &self.directory).finish_non_exhaustive()
    }
}

async fn prove(signer: &dyn Sign, key: &Key, uri: &str) -> Result<(), KeyStoreError> {
    let signature = signer.sign(PROOF, &SystemRandom::new()).await.map_err(KeyStoreError::Private)?;
    key.verify(PROOF, &hex::encode(signature)).map_err(|_| KeyStoreError::Mismatch { uri: uri.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use generate::{Generated, KeyKind, generate};
    use serde_json::json;
    use std::{fs, path::Path};

    fn object(generated: &Generated, uri: &str) -> Value {
        let mut object = generated.public.clone();
        object[ONLINE_KEY_URI] = json!(uri);
        object
    }

    fn put(directory: &Path, name: &str, kind: KeyKind) -> Value {
        let generated = generate(kind).expect("made");
        fs::write(directory.join(name), generated.private_pem()).expect("written");
        object(&generated, &format!("fn:{name}"))
    }

    async fn refused(store: &KeyStore, object: &Value) -> String {
        store.load(object).await.map(drop).expect_err("refused").to_string()
    }

    #[tokio::test]
    async fn a_loaded_key_signs_for_its_public_half() {
        let home = tempfile::tempdir().expect("a directory");
        let store = KeyStore::new(home.path());
        for (name, kind) in [("a.pem", KeyKind::Ed25519), ("b", KeyKind::EcdsaP256), ("c", KeyKind::EcdsaP384)] {
            let object = put(home.path(), name, kind);
            let signer = store.load(&object).await.expect("loaded");
            let signature = signer.sign(b"message", &SystemRandom::new()).await.expect("signed");
            let key = Key::view(&object).expect("a key");
            assert_eq!(key.verify(b"message", &hex::encode(signature)), Ok(()), "{name}");
        }
    }

    #[tokio::test]
    async fn a_key_is_read_once() {
        let home = tempfile::tempdir().expect("a directory");
        let store = KeyStore::new(home.path());
        let object = put(home.path(), "a", KeyKind::Ed25519);
        let first = store.load(&object).await.expect("loaded");
        fs::remove_file(home.path().join("a")).expect("removed");
        assert!(Arc::ptr_eq(&first, &store.load(&object).await.expect("known")));
    }

    #[tokio::test]
    async fn the_key_of_somebody_else_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let store = KeyStore::new(home.path());
        put(home.path(), "a", KeyKind::Ed25519);
        let other = object(&generate(KeyKind::Ed25519).expect("made"), "fn:a");
        assert!(refused(&store, &other).await.contains("does not belong"));
        let other = object(&generate(KeyKind::EcdsaP256).expect("made"), "fn:a");
        assert!(refused(&store, &other).await.contains("not one for ecdsa-sha2-nistp256"));
    }

    #[tokio::test]
    async fn what_is_missing_or_damaged_is_named_without_its_directory() {
        let home = tempfile::tempdir().expect("a directory");
        let store = KeyStore::new(home.path());
        let public = generate(KeyKind::Ed25519).expect("made");
        fs::write(home.path().join("damaged"), "nonsense").expect("written");
        fs::write(home.path().join("large"), vec![b'x'; 100_000]).expect("written");
        fs::create_dir(home.path().join("directory")).expect("made");
        for (name, cause) in [
            ("missing", "No such file"),
            ("damaged", "damaged or not one for ed25519"),
            ("large", "larger"),
            ("directory", "not a regular file"),
        ] {
            let text = refused(&store, &object(&public, &format!("fn:{name}"))).await;
            assert!(text.contains(name) && text.contains(cause), "{text}");
            assert!(!text.contains(&*home.path().to_string_lossy()), "{text}");
        }
    }

    #[tokio::test]
    async fn uris_cannot_leave_the_key_directory_or_name_what_is_not_there() {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join("keys");
        fs::create_dir(&directory).expect("made");
        let store = KeyStore::new(&directory);
        let generated = generate(KeyKind::Ed25519).expect("made");
        fs::write(home.path().join("outside"), generated.private_pem()).expect("written");
        for uri in ["fn:../outside", "fn:/etc/passwd", "fn:", "fn:.", "fn:..", "fn:.hidden", "fn:a/b", "fn:a\0"] {
            let text = refused(&store, &object(&generated, uri)).await;
            assert!(text.contains("not the name of a file"), "{uri:?}: {text}");
        }
        for uri in ["", "outside", "file:outside", "awskms:alias/online", "FN:outside"] {
            let text = refused(&store, &object(&generated, uri)).await;
            assert!(text.contains("write fn:<file>"), "{uri:?}: {text}");
        }
        assert!(refused(&store, &generated.public).await.contains(ONLINE_KEY_URI));
    }

    #[tokio::test]
    async fn a_public_half_that_cannot_verify_is_refused_before_anything_is_read() {
        let home = tempfile::tempdir().expect("a directory");
        let store = KeyStore::new(home.path());
        let mut object = put(home.path(), "a", KeyKind::Ed25519);
        object["scheme"] = json!("sigstore-oidc");
        assert!(refused(&store, &object).await.contains("public key can't be used"));
        assert!(refused(&store, &json!([])).await.len() > 5);
    }

    #[tokio::test]
    async fn a_written_key_is_for_its_owner_alone_and_never_replaced() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().expect("a directory");
        let source = FileSource::new(home.path(), "a", Scheme::Ed25519).expect("a name");
        let generated = generate(KeyKind::Ed25519).expect("made");
        source.write(generated.private_pem(), "").await.expect("written");
        assert!(source.write("other", "").await.is_err());
        let mode = fs::metadata(home.path().join("a")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(source.as_sign().await.is_ok());
    }
}
