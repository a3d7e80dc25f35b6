//! The library that talks to tokens. One process loads it once, so which one is a matter of the process.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
};

use crate::cli::failure::Failure;

static CHOSEN: OnceLock<PathBuf> = OnceLock::new();

const DIRECTORIES: [&str; 7] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/opt/homebrew/lib",
    "/Library/OpenSC/lib",
];

/// YubiKeys first: OpenSC sees them too, but has less of them.
const NAMES: [&str; 6] = [
    "libykcs11.so.2",
    "libykcs11.so",
    "libykcs11.dylib",
    "opensc-pkcs11.so",
    "softhsm/libsofthsm2.so",
    "pkcs11/opensc-pkcs11.so",
];

/// Takes this module wherever a URI names none.
pub fn choose(path: PathBuf) {
    // There is one command line, so nobody has chosen before.
    let _ = CHOSEN.set(path);
}

/// The modules to look for a key in: the one that is named or chosen, or else all that are installed.
///
/// # Errors
/// When none is installed.
pub(super) fn candidates(named: Option<&Path>) -> Result<Vec<PathBuf>, Failure> {
    if let Some(path) = named.or(CHOSEN.get().map(PathBuf::as_path)) {
        return Ok(vec![path.to_owned()]);
    }
    let places = NAMES.iter().flat_map(|name| DIRECTORIES.iter().map(move |directory| Path::new(directory).join(name)));
    let found: Vec<_> = places.filter(|path| path.exists()).collect();
    match found.is_empty() {
        false => Ok(found),
        true => {
            let names = "libykcs11, opensc-pkcs11 and softhsm/libsofthsm2";
            Err(Failure::new(format_args!(
                "no PKCS#11 module is installed: looked for {names} in {}",
                DIRECTORIES.join(", ")
            ))
            .remedy("install the module of the token, or give it with --pkcs11-module FILE"))
        }
    }
}

/// Loads a module.
///
/// # Errors
/// When it is none, or does not start.
pub(super) fn load(path: &Path) -> Result<Pkcs11, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::new(format_args!("the PKCS#11 module {} can't be used: {why}", path.display()))
            .remedy("give another one with --pkcs11-module FILE")
    };
    let module = Pkcs11::new(path).map_err(|error| failed(&error))?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
        Err(error) => Err(failed(&why(&error))),
    }
}

/// The name of what went wrong, since modules' own words fill a paragraph.
pub(super) fn why(error: &Error) -> String {
    match error {
        Error::Pkcs11(code, function) => format!("{function} says {code:?}"),
        error => error.to_string(),
    }
}
