//! The first command that the README gives a newcomer.

use std::{fs, process::Stdio};

use crate::harness::server;

#[test]
fn the_demonstration_ends_well() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    fs::write(directory.path().join("hello.txt"), "hello").expect("a file can be written");

    let output = server::program()
        .args(["demo", "--exit", "--listen", "127.0.0.1:0", "--files"])
        .arg(directory.path())
        .stdin(Stdio::null())
        .output()
        .expect("rstufd can be started");

    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{text}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("hello.txt"), "{text}");
}
