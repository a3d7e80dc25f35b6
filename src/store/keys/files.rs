//! Private keys as files of one directory: `fn:<file>`.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use thiserror::Error;
use tokio::task::spawn_blocking;
use tough::{key_source::KeySource, sign::Sign};
use zeroize::Zeroizing;

use super::private::{PrivateKey, PrivateKeyError, Scheme};

type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// No private key is larger; what is, is something else.
const MAX_BYTES: u64 = 64 * 1024;
const OTHERS: u32 = 0o077;

/// Why a key file can't be used. Names the file and not its directory, since clients are told of it.
#[derive(Debug, Error)]
pub enum FileError {
    /// The name leaves the directory, or is no file name.
    #[error("{0:?} is not the name of a file in the key directory: no slash, no leading dot, at most 255 bytes")]
    Name(String),
    /// It can't be read.
    #[error("the key file {name:?} can't be read: {cause}; put it into the key directory, readable for the workers")]
    Unreadable {
        /// The file.
        name: String,
        /// What the system said.
        cause: io::Error,
    },
    /// It is too large for a key.
    #[error("the key file {0:?} is larger than any private key")]
    Large(String),
    /// It holds something else.
    #[error("the key file {name:?} can't be used: {cause}")]
    Content {
        /// The file.
        name: String,
        /// What is wrong with it.
        cause: PrivateKeyError,
    },
}

/// A private key in a file.
#[derive(Debug, Clone)]
pub struct FileSource {
    path: PathBuf,
    name: String,
    scheme: Scheme,
}

impl FileSource {
    /// The file `name` of `directory`, with a key for `scheme`. Nothing is read yet.
    ///
    /// # Errors
    /// [`FileError::Name`] when the name is not one of a plain file.
    pub fn new(directory: &Path, name: &str, scheme: Scheme) -> Result<Self, FileError> {
        let plain = |name: &str| !name.chars().any(|c| c == '/' || c == '\\' || c.is_control());
        if name.is_empty() || name.len() > 255 || name.starts_with('.') || !plain(name) {
            return Err(FileError::Name(name.to_owned()));
        }
        Ok(Self { path: directory.join(name), name: name.to_owned(), scheme })
    }

    fn read(&self) -> Result<PrivateKey, FileError> {
        let unreadable = |cause| FileError::Unreadable { name: self.name.clone(), cause };
        let file = fs::File::open(&self.path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(unreadable(io::Error::other("not a regular file")));
        }
        if metadata.len() > MAX_BYTES {
            return Err(FileError::Large(self.name.clone()));
        }
        if metadata.permissions().mode() & OTHERS != 0 {
            tracing::warn!(path = %self.path.display(), "others may read this private key: restrict it with chmod 600");
        }
        // Never grows, so that no copy of it stays behind unwiped.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize + 1));
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
        PrivateKey::parse(&bytes, self.scheme).map_err(|cause| FileError::Content { name: self.name.clone(), cause })
    }

    fn write_new(&self, pem: &str) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()
    }
}

#[async_trait]
impl KeySource for FileSource {
    async fn as_sign(&self) -> Result<Box<dyn Sign>, BoxError> {
        let source = self.clone();
        Ok(Box::new(spawn_blocking(move || source.read()).await??))
    }

    /// Writes a PEM into a file that does not exist yet, for its owner alone.
    async fn write(&self, value: &str, _: &str) -> Result<(), BoxError> {
        let (source, value) = (self.clone(), Zeroizing::new(value.to_owned()));
        Ok(spawn_blocking(move || source.write_new(&value)).await??)
    }
}
