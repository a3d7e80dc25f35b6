//! A server that answers as AWS KMS does, a process of its own on a free port.

use std::{
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use super::{deployment::lasting_port, python_kms};

const START_LIMIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// What it is asked: to make a key of this kind, by this alias.
const MAKE_KEY: &str = "
import boto3, sys
kms = boto3.client('kms')
key = kms.create_key(KeyUsage='SIGN_VERIFY', KeySpec=sys.argv[1])['KeyMetadata']['KeyId']
kms.create_alias(AliasName=sys.argv[2], TargetKeyId=key)
print(key)
";

/// The server. It is killed when this is dropped.
pub(crate) struct Kms {
    child: Child,
    url: String,
}

impl Kms {
    /// A server that has no keys yet.
    pub(crate) fn start() -> Self {
        let port = lasting_port();
        let serve = format!("from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])");
        let mut command = Command::new(python_kms());
        command.args(["-c", &serve]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("it starts");
        let mut kms = Self { child, url: format!("http://127.0.0.1:{port}") };
        let begin = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(kms.child.try_wait().expect("it is ours").is_none(), "the server ended");
            assert!(begin.elapsed() < START_LIMIT, "the server does not listen");
            std::thread::sleep(POLL_INTERVAL);
        }
        kms
    }

    /// The environment of programs that use it.
    pub(crate) fn environment(&self) -> [(&'static str, &str); 4] {
        [
            ("AWS_ENDPOINT_URL", &self.url),
            ("AWS_REGION", "eu-north-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]
    }

    /// Makes a key such as `ECC_NIST_P256` with an alias such as `alias/ada`; its id.
    pub(crate) fn key(&self, spec: &str, alias: &str) -> String {
        let mut command = Command::new(python_kms());
        command.args(["-c", MAKE_KEY, spec, alias]).envs(self.environment()).env("AWS_DEFAULT_REGION", "eu-north-1");
        let Output { status, stdout, stderr } = command.output().expect("it starts");
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).expect("an id").trim().to_owned()
    }
}

impl Drop for Kms {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
