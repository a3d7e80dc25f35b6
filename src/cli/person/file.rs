//! Keys in files: PEM, DER, and what older tools wrote.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use super::{
    legacy,
    locked::Locked,
    pem::{Body, blocks, is_pem},
    public::{Public, of_certificate, of_object, of_spki},
};
use crate::{
    cli::failure::Failure,
    store::keys::private::{PrivateKey, Scheme},
};

/// No key is larger; what is, is something else.
const MAX_BYTES: u64 = 64 * 1024;

/// The schemes by which the kind of a private key is found out.
const SCHEMES: [Scheme; 4] = [Scheme::Ed25519, Scheme::EcdsaP256, Scheme::EcdsaP384, Scheme::RsaPssSha256];

/// What a file has of a key: at least one half.
#[derive(Default)]
pub(super) struct KeyFile {
    /// The public half, as it stands there.
    pub(super) public: Option<Public>,
    /// The private half.
    pub(super) private: Option<Private>,
}

/// A private half in a file.
pub(super) enum Private {
    /// Its DER: PKCS#8, PKCS#1 or SEC1.
    Open(Zeroizing<Vec<u8>>),
    /// It needs a password.
    Locked(Locked),
}

impl KeyFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it can't be read, or has no key that this program knows.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        let unreadable = |why: &dyn std::fmt::Display| Failure::new(format_args!("can't read {name}: {why}"));
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        let metadata = file.metadata().map_err(|error| unreadable(&error))?;
        if metadata.is_dir() {
            return Err(unreadable(&"it is a directory"));
        }
        // Never grows, so that no copy of a private key stays behind unwiped.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize + 1));
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(Failure::new(format_args!("{name} is larger than any key")));
        }
        Self::parse(&bytes).map_err(|failure| Failure { cause: format!("{name}: {}", failure.cause), ..failure })
    }

    fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        let read = match std::str::from_utf8(bytes) {
            Ok(text) if is_pem(text) && !text.trim_start().starts_with('{') => Self::of_pem(text)?,
            Ok(text) => Self::of_text(text)?,
            Err(_) => Self::of_der(bytes)?,
        };
        match read {
            Self { public: None, private: None } => Err(Failure::new("there is no key in it")
                .remedy("a key is PEM or DER: a private key (PKCS#8, PKCS#1, SEC1), a public key or a certificate")),
            read => Ok(read),
        }
    }

    fn of_pem(text: &str) -> Result<Self, Failure> {
        let mut read = Self::default();
        for block in blocks(text).ok_or_else(|| Failure::new("the PEM is damaged"))? {
            let bytes = match block.body {
                Body::Bytes(bytes) => bytes,
                Body::LegacyEncrypted => {
                    return Err(Failure::new("the private key is encrypted in a way that is too old")
                        .remedy("encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW"));
                }
            };
            match block.label {
                "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => read.private = Some(Private::Open(bytes)),
                "ENCRYPTED PRIVATE KEY" => read.private = Some(Private::Locked(Locked::pkcs8(&bytes)?)),
                "PUBLIC KEY" => {
                    let object = of_spki(&bytes).map_err(Failure::new)?;
                    read.public.get_or_insert(Public { object, label: None });
                }
                // The first of a chain is that of the key.
                "CERTIFICATE" if read.public.is_none() => {
                    read.public = Some(of_certificate(&bytes).map_err(Failure::new)?);
                }
                "OPENSSH PRIVATE KEY" => {
                    return Err(Failure::new("a private key of OpenSSH is not read")
                        .remedy("make a key with rstuf key generate: keys of repositories serve nothing else"));
                }
                _ => {}
            }
        }
        Ok(read)
    }

    fn of_text(text: &str) -> Result<Self, Failure> {
        if let Some(locked) = legacy::Locked::parse(text) {
            return Ok(Self { public: None, private: Some(Private::Locked(Locked::Legacy(locked))) });
        }
        // The private half is read apart, since a JSON value would not be wiped.
        if let Some(private) = legacy::private(text) {
            return Ok(Self { public: None, private: Some(Private::Open(private)) });
        }
        let Ok(object) = serde_json::from_str(text) else { return Ok(Self::default()) };
        let object = of_object(&object).map_err(Failure::new)?;
        Ok(Self { public: Some(Public { object, label: None }), private: None })
    }

    fn of_der(der: &[u8]) -> Result<Self, Failure> {
        if EncryptedPrivateKeyInfoRef::try_from(der).is_ok() {
            return Ok(Self { public: None, private: Some(Private::Locked(Locked::pkcs8(der)?)) });
        }
        if PrivateKeyInfoRef::try_from(der).is_ok() || recognise(der).is_ok() {
            return Ok(Self { public: None, private: Some(Private::Open(Zeroizing::new(der.to_vec()))) });
        }
        let public = of_certificate(der).or_else(|_| of_spki(der).map(|object| Public { object, label: None }));
        public.map(|public| Self { public: Some(public), private: None }).or_else(|_| Ok(Self::default()))
    }
}

/// The private key in this DER, in the first scheme of its kind.
///
/// # Errors
/// When it is of no kind that this program signs with.
pub(super) fn recognise(der: &[u8]) -> Result<PrivateKey, Failure> {
    SCHEMES.iter().find_map(|&scheme| PrivateKey::parse(der, scheme).ok()).ok_or_else(|| {
        Failure::new("the private key is damaged, or none of ed25519, ecdsa on p-256 or p-384, and rsa from 2048 bits")
    })
}

/// The public half of a private key.
///
/// # Errors
/// As [`recognise`].
pub(super) fn public_half(der: &[u8]) -> Result<serde_json::Value, Failure> {
    let public = recognise(der)?.public().map_err(|_| Failure::new("the public half can't be computed"))?;
    of_object(&public).map_err(Failure::new)
}

/// The private half as DER with PKCS#8, whatever it was read as.
///
/// # Errors
/// As [`recognise`].
pub(in crate::cli) fn pkcs8(der: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    recognise(der)?.pkcs8().map_err(|_| Failure::new("the private key can't be written"))
}

/// Writes a file that does not exist yet.
///
/// # Errors
/// When there is one, or it can't be written; then it is not there.
pub(in crate::cli) fn write_new(path: &Path, mode: u32, content: &[u8]) -> Result<(), Failure> {
    let unwritable = |error: io::Error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::new(format_args!("{} is there already", path.display()))
            .remedy("choose another file: keys are never replaced"),
        _ => Failure::new(format_args!("can't write {}: {error}", path.display())),
    };
    let mut file = File::options().write(true).create_new(true).mode(mode).open(path).map_err(unwritable)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(|error| {
        // What there is of it is of no use to anybody.
        let _ = fs::remove_file(path);
        unwritable(error)
    })
}

/// Where the public half of a private key file is kept.
pub(in crate::cli) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}
