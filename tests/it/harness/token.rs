//! A PKCS#11 token in software, in a directory of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The PIN of its user.
pub(crate) const PIN: &str = "135790";
const PLACES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
];

/// The token.
pub(crate) struct Token {
    configuration: PathBuf,
}

impl Token {
    /// An empty token called `label`, in this directory.
    pub(crate) fn new(directory: &Path, label: &str) -> Self {
        let tokens = directory.join("tokens");
        fs::create_dir_all(&tokens).expect("a directory can be made");
        let configuration = directory.join("softhsm2.conf");
        let text =
            format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
        fs::write(&configuration, text).expect("a file can be written");
        let token = Self { configuration };
        token.tool(&["--init-token", "--free", "--label", label, "--so-pin", "97531024", "--pin", PIN]);
        token
    }

    /// Puts a key from an unencrypted PKCS#8 file into the token.
    pub(crate) fn import(&self, token: &str, file: &Path, label: &str, id: &str) {
        let file = file.to_string_lossy();
        self.tool(&["--import", &file, "--token", token, "--label", label, "--id", id, "--pin", PIN]);
    }

    /// The library that talks to it.
    pub(crate) fn module() -> &'static str {
        PLACES.into_iter().find(|place| Path::new(place).exists()).expect("run `scripts/test.sh --setup` first")
    }

    /// The environment of programs that use it.
    pub(crate) fn environment(&self) -> [(&'static str, &Path); 1] {
        [("SOFTHSM2_CONF", &self.configuration)]
    }

    fn tool(&self, arguments: &[&str]) {
        let mut command = Command::new("softhsm2-util");
        let done = command.args(arguments).envs(self.environment()).output().expect("softhsm2-util is installed");
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}
