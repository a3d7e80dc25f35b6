//! Keys of people: files, tokens, a key management service.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ceremony::{online, person, signature};
use crate::harness::{
    kms::Kms,
    python,
    terminal::{ENTER, Terminal},
    token::{PIN, Token},
};

const PASSWORD: &str = "correct horse";
const TYPES: [&str; 4] = ["ed25519", "ecdsa-p256", "ecdsa-p384", "rsa"];

/// What another implementation says of a private key.
const READ: &str = "
import json, sys
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import SSlibKey
password = sys.argv[2].encode() if len(sys.argv) > 2 else None
key = SSlibKey.from_crypto(load_pem_private_key(open(sys.argv[1], 'rb').read(), password).public_key())
print(json.dumps({'id': key.keyid, 'key': key.to_dict()}))
";

/// A directory where somebody works.
struct Desk {
    directory: TempDir,
    environment: Vec<(String, PathBuf)>,
}

impl Desk {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("password"), format!("{PASSWORD}\n")).expect("written");
        fs::write(directory.path().join("wrong"), "battery staple\n").expect("written");
        Self { directory, environment: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a command; `Err` has what it printed when it failed.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command.env("HOME", self.directory.path()).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env_remove("RSTUF_PKCS11_MODULE");
        let done = command.output().expect("it can be started");
        match done.status.success() {
            true => Ok(super::text(&done.stdout)),
            false => Err(super::text(&done.stdout) + &super::text(&done.stderr)),
        }
    }

    fn rstuf(&self, arguments: &[&str]) -> Result<String, String> {
        self.run(env!("CARGO_BIN_EXE_rstuf"), arguments)
    }

    fn openssl(&self, arguments: &[&str]) {
        self.run("openssl", arguments).expect("openssl does it");
    }

    /// What is shown of a key.
    fn show(&self, arguments: &[&str]) -> Value {
        let shown = self.rstuf(&[&["--json", "key", "show"], arguments].concat()).expect("shown");
        serde_json::from_str(&shown).expect("one document")
    }

    fn generate(&self, kind: &str, name: &str) {
        self.rstuf(&["key", "generate", "--type", kind, "--no-password", "--out", name]).expect("a key");
    }

    /// What python says of the private key in a file: its id and object.
    fn python(&self, arguments: &[&str]) -> Value {
        let read = self.run(&python().to_string_lossy(), &[&["-c", READ], arguments].concat()).expect("read");
        serde_json::from_str(&read).expect("a document")
    }

    fn is_secret(&self, name: &str) -> bool {
        fs::metadata(self.path(name)).expect("there").permissions().mode() & 0o777 == 0o600
    }
}

/// The key object alone.
fn bare(shown: &Value) -> Value {
    let mut key = shown["key"].clone();
    key.as_object_mut().expect("an object").remove("x-rstuf-key-name");
    key
}

/// Whether none of the lines of a private key file is in a text.
fn keeps_secret(file: &Path, text: &str) -> bool {
    let private = fs::read_to_string(file).expect("there");
    !text.contains(PASSWORD) && private.lines().filter(|line| !line.starts_with("--")).all(|line| !text.contains(line))
}

#[test]
fn others_read_what_is_generated() {
    let desk = Desk::new();
    for kind in TYPES {
        let (open, locked) = (format!("{kind}.pem"), format!("{kind}-locked.pem"));
        let said = desk.rstuf(&["key", "generate", "--type", kind, "--no-password", "--out", &open]).expect("a key");
        assert!(keeps_secret(&desk.path(&open), &said) && desk.is_secret(&open), "{said}");
        let said = desk
            .rstuf(&["key", "generate", "--type", kind, "--password-file", "password", "--out", &locked])
            .expect("a key");
        assert!(keeps_secret(&desk.path(&locked), &said) && desk.is_secret(&locked), "{said}");
        desk.openssl(&["pkey", "-in", &locked, "-passin", "file:password", "-noout"]);

        for (file, password) in [(&open, None), (&locked, Some(PASSWORD))] {
            let arguments: Vec<_> = [Some(file.as_str()), password].into_iter().flatten().collect();
            let theirs = desk.python(&arguments);
            let ours = desk.show(&[&format!("{file}.pub")]);
            assert_eq!(ours["python_key_id"], theirs["id"], "{kind}");
            assert_eq!(bare(&ours), theirs["key"], "{kind}");
            assert_eq!(desk.show(&[file])["key"], ours["key"], "{kind}");
            desk.openssl(&["pkey", "-pubin", "-in", &format!("{file}.pub"), "-noout"]);
        }
    }
}

#[test]
fn what_others_wrote_is_read_and_converted() {
    let desk = Desk::new();
    desk.openssl(&["genpkey", "-algorithm", "ed25519", "-out", "ed.pem"]);
    desk.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-out", "p256.pem"]);
    desk.openssl(&["ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "p384.pem"]);
    desk.openssl(&["genrsa", "-traditional", "-out", "rsa.pem", "2048"]);
    for name in ["ed", "p256", "p384", "rsa"] {
        let pem = format!("{name}.pem");
        let theirs = desk.python(&[&pem]);
        let pkcs8 = ["pkcs8", "-topk8", "-in", &pem];
        let protected = ["-passout", "file:password"];
        let forms: [(&str, &[&str]); 5] = [
            ("der", &["-nocrypt", "-outform", "DER"]),
            ("aes", &[&["-v2", "aes-256-cbc"], &protected[..]].concat()),
            ("sha512", &[&["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"], &protected[..]].concat()),
            ("scrypt", &[&["-scrypt"], &protected[..]].concat()),
            ("locked.der", &[&["-v2", "aes-256-cbc", "-outform", "DER"], &protected[..]].concat()),
        ];
        let mut files = vec![pem.clone()];
        for (form, options) in forms {
            let file = format!("{name}.{form}");
            desk.openssl(&[&pkcs8[..], options, &["-out", &file]].concat());
            files.push(file);
        }
        for file in files {
            let public = format!("{file}.public");
            desk.rstuf(&["key", "convert", &file, "--public", "--out", &public, "--password-file", "password"])
                .unwrap_or_else(|why| panic!("{file}: {why}"));
            assert_eq!(bare(&desk.show(&[&public])), theirs["key"], "{file}");

            let again = format!("{file}.again");
            let new = ["--new-password-file", "wrong", "--password-file", "password"];
            desk.rstuf(&[&["key", "convert", &file, "--out", &again], &new[..]].concat()).expect("converted");
            assert_eq!(desk.python(&[&again, "battery staple"]), theirs, "{file}");
            assert!(desk.is_secret(&again), "{file}");
        }
        let certificate = format!("{name}.crt");
        desk.openssl(&[
            "req",
            "-x509",
            "-new",
            "-key",
            &pem,
            "-subj",
            "/CN=Ada Lovelace",
            "-days",
            "1",
            "-out",
            &certificate,
        ]);
        let shown = desk.show(&[&certificate]);
        assert_eq!((bare(&shown), &shown["name"]), (theirs["key"].clone(), &json!("Ada Lovelace")), "{name}");
    }
}

#[test]
fn what_cannot_be_done_is_said_in_words() {
    let desk = Desk::new();
    let locked = ["key", "generate", "--password-file", "password", "--out", "locked.pem"];
    desk.rstuf(&locked).expect("a key");
    desk.openssl(&["genrsa", "-traditional", "-aes128", "-passout", "file:password", "-out", "old.pem", "2048"]);
    desk.openssl(&["genrsa", "-out", "small.pem", "1024"]);
    desk.openssl(&["ecparam", "-name", "secp256k1", "-genkey", "-noout", "-out", "coin.pem"]);
    fs::write(desk.path("text"), "hello").expect("written");
    fs::write(desk.path("long"), "a".repeat(100_000)).expect("written");
    fs::remove_file(desk.path("locked.pem.pub")).expect("removed");
    let convert = |file| ["key", "convert", file, "--no-password", "--out", "new.pem"];
    let cases: [(&[&str], &str); 11] = [
        (&locked, "locked.pem is there already"),
        (&["key", "show", "missing.pem"], "can't read missing.pem"),
        (&["key", "show", "."], "it is a directory"),
        (&["key", "show", "text"], "there is no key in it"),
        (&["key", "show", "long"], "larger than any key"),
        (&["key", "show", "locked.pem"], "no answer to password"),
        (&["key", "generate", "--out", "new.pem"], "no answer to password"),
        (&[&convert("locked.pem")[..], &["--password-file", "wrong"]].concat(), "the password is wrong"),
        (&convert("old.pem"), "encrypted in a way that is too old"),
        (&convert("small.pem"), "none of ed25519"),
        (&convert("coin.pem"), "none of ed25519"),
    ];
    for (arguments, words) in cases {
        let said = desk.rstuf(arguments).expect_err("refused");
        assert!(said.contains(words) && !said.contains(PASSWORD), "{arguments:?}: {said}");
        assert!(!desk.path("new.pem").exists(), "{arguments:?}");
    }
}

#[test]
fn a_password_is_typed_twice_and_asked_again_when_it_is_wrong() {
    let desk = Desk::new();
    let home = desk.directory.path();
    for columns in [80, 120] {
        let name = format!("ada{columns}.pem");
        let mut terminal = Terminal::rstuf(columns, home, &["key", "generate", "--type", "ecdsa-p256"]);
        terminal.answer("Where is the private key written?", &name);
        terminal.question("Password that the private key gets:");
        terminal.press(&format!("{PASSWORD}{ENTER}"));
        terminal.expect("Once more:");
        terminal.press(&format!("something else{ENTER}"));
        terminal.expect("the two are not the same");
        terminal.press(&format!("{PASSWORD}{ENTER}"));
        terminal.expect("Once more:");
        terminal.press(&format!("{PASSWORD}{ENTER}"));
        let (code, screen) = terminal.end();
        assert_eq!(code, 0, "{screen}");
        assert!(screen.contains("Next: ") && keeps_secret(&desk.path(&name), &screen), "{screen}");
        assert!(desk.is_secret(&name));
        fs::remove_file(desk.path(&format!("{name}.pub"))).expect("removed");

        let mut terminal = Terminal::rstuf(columns, home, &["key", "convert", &name, "--public"]);
        terminal.question("Password of");
        terminal.press(&format!("wrong{ENTER}"));
        terminal.expect("the password is wrong");
        terminal.answer("Password of", PASSWORD);
        let (code, screen) = terminal.end();
        assert_eq!(code, 0, "{screen}");
        assert!(screen.contains("BEGIN PUBLIC KEY") && keeps_secret(&desk.path(&name), &screen), "{screen}");
    }
}

/// Answers to a ceremony of these people and signers.
fn answers(people: &[Value], signatures: &[Value]) -> Value {
    json!({
        "bins": {"number": 2},
        "root": {"keys": people},
        "online": {"key": online("online")},
        "signatures": signatures,
    })
}

impl Desk {
    /// The payload of a ceremony that is not sent.
    fn ceremony(&self, answers: &Value, options: &[&str]) -> Result<Value, String> {
        fs::write(self.path("answers.yml"), answers.to_string()).expect("written");
        let common = ["--json", "--answers", "answers.yml"];
        let said = self.rstuf(&[&common, options, &["admin", "ceremony", "--dry-run"]].concat())?;
        let document: Value = serde_json::from_str(&said).expect("one document");
        assert_eq!(document["missing"], json!([]), "{document}");
        Ok(document["payload"]["metadata"]["root"].clone())
    }
}

#[test]
fn a_token_signs_a_root() {
    let mut desk = Desk::new();
    let token = Token::new(desk.directory.path(), "Root token");
    desk.environment = token.environment().map(|(name, path)| (name.to_owned(), path.to_owned())).into();
    desk.generate("ed25519", "online.pem");
    for (number, kind) in TYPES.iter().enumerate() {
        desk.generate(kind, kind);
        token.import("Root token", &desk.path(kind), kind, &format!("0{number}"));
        let by_label = format!("pkcs11:token=Root%20token;object={kind}?module-path={}", Token::module());
        let by_id = format!("pkcs11:token=Root%20token;id=%0{number}");
        let expected = desk.show(&[&format!("{kind}.pub")]);
        assert_eq!(desk.show(&[&by_label])["key"], expected["key"]);
        assert_eq!(desk.show(&[&by_id, "--pkcs11-module", Token::module()])["key"], expected["key"]);
    }
    fs::write(desk.path("pin"), PIN).expect("written");
    let uri = |kind: &str| format!("pkcs11:token=Root%20token;object={kind}");
    let people = TYPES.map(|kind| json!({"public": uri(kind)}));
    let sign = |kind: &str, place: &str| json!({"key": kind, "private": uri(place), "password": {"file": "pin"}});
    let module = ["--pkcs11-module", Token::module()];
    let root = desk.ceremony(&answers(&people, &TYPES.map(|kind| sign(kind, kind))), &module).expect("signed");
    assert_eq!(root["signatures"].as_array().map(Vec::len), Some(TYPES.len()));

    let refused = |signature: Value| {
        let signatures = [sign("rsa", "rsa"), signature];
        desk.ceremony(&answers(&people, &signatures), &module).expect_err("refused")
    };
    let said = refused(sign("ed25519", "ecdsa-p256"));
    assert!(said.contains("is the key of ecdsa-p256, not of ed25519"), "{said}");
    let said = refused(sign("ed25519", "nothing"));
    assert!(said.contains("no such private key"), "{said}");
    fs::write(desk.path("pin"), "24680").expect("written");
    let said = refused(sign("ed25519", "ed25519"));
    assert!(said.contains("the PIN of Root token is wrong") && !said.contains("24680"), "{said}");

    let said = desk.rstuf(&["key", "show", "pkcs11:token=Root%20token", module[0], module[1]]).expect_err("refused");
    assert!(said.contains("has 4 such keys") && said.contains("object=rsa;id=%03"), "{said}");
    let said = desk.rstuf(&["key", "show", "pkcs11:token=Other", module[0], module[1]]).expect_err("refused");
    assert!(said.contains("there is Root token"), "{said}");
    let said = desk.rstuf(&["key", "show", "pkcs11:token=Other", module[0], "password"]).expect_err("refused");
    assert!(said.contains("can't be used"), "{said}");
}

#[test]
fn a_person_types_the_pin_of_a_token() {
    let desk = Desk::new();
    let token = Token::new(desk.directory.path(), "Ada");
    desk.generate("ecdsa-p256", "ada.pem");
    desk.generate("ed25519", "grace.pem");
    desk.generate("ed25519", "online.pem");
    token.import("Ada", &desk.path("ada.pem"), "root", "01");
    let people = [person("ada"), person("grace")];
    let mut answers = answers(&people, &[]);
    answers.as_object_mut().expect("an object").remove("signatures");
    fs::write(desk.path("answers.yml"), answers.to_string()).expect("written");
    let arguments = ["--answers", "answers.yml", "--pkcs11-module", Token::module(), "admin", "ceremony", "--dry-run"];
    let mut command = Terminal::command(env!("CARGO_BIN_EXE_rstuf"), desk.directory.path(), &arguments);
    for (name, value) in token.environment() {
        command.env(name, value);
    }
    let mut terminal = Terminal::start(80, command);
    terminal.choose("Who signs?", "Ada");
    terminal.answer("Where is the private key of Ada?", "grace.pem");
    terminal.expect("grace.pem is the key of Grace, not of Ada");
    terminal.answer("Where is the private key of Ada?", "pkcs11:token=Ada");
    terminal.question("PIN of the token Ada:");
    terminal.press(&format!("000000{ENTER}"));
    terminal.expect("the PIN of Ada is wrong");
    terminal.answer("PIN of the token Ada", PIN);
    terminal.choose("Who signs?", "Grace");
    terminal.answer("Where is the private key of Grace?", "grace.pem");
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("2 of 2, enough") && !screen.contains(PIN), "{screen}");
}

#[test]
fn a_key_management_service_signs_a_root() {
    let mut desk = Desk::new();
    let kms = Kms::start();
    desk.environment = kms.environment().map(|(name, value)| (name.to_owned(), value.into())).into();
    desk.generate("ed25519", "online.pem");
    let keys = [("ECC_NIST_P256", "p256"), ("ECC_NIST_P384", "p384"), ("RSA_3072", "rsa")];
    for (spec, name) in keys {
        let id = kms.key(spec, &format!("alias/{name}"));
        let by_alias = desk.show(&[&format!("awskms:alias/{name}")]);
        assert_eq!(bare(&desk.show(&[&format!("awskms:{id}")])), bare(&by_alias));
        assert_eq!(by_alias["name"], name);
    }
    let place = |name: &str| format!("awskms:alias/{name}");
    let people = keys.map(|(_, name)| json!({"public": place(name)}));
    let sign = |name: &str, private: &str| json!({"key": name, "private": place(private)});
    let root = desk.ceremony(&answers(&people, &keys.map(|(_, name)| sign(name, name))), &[]).expect("signed");
    assert_eq!(root["signatures"].as_array().map(Vec::len), Some(keys.len()));

    let said = desk.ceremony(&answers(&people, &[sign("rsa", "p256")]), &[]).expect_err("refused");
    assert!(said.contains("is the key of p256, not of rsa"), "{said}");
    let said = desk.rstuf(&["key", "show", "awskms:alias/nothing"]).expect_err("refused");
    assert!(said.contains("AWS KMS does not give alias/nothing"), "{said}");
}

#[test]
fn only_the_key_of_whom_it_says_signs() {
    let desk = Desk::new();
    for name in ["ada", "grace", "linus", "eve", "online"] {
        desk.generate("ed25519", &format!("{name}.pem"));
    }
    let people = ["ada", "grace", "linus"].map(person);
    let by = |key: &str, file: &str| json!({"key": person(key)["name"], "private": file});
    for (file, words) in [
        ("grace.pem", "grace.pem is the key of Grace, not of Ada"),
        ("eve.pem", "eve.pem is not the key of Ada, nor any other that this document knows"),
        ("ada.pem.pub", "ada.pem.pub has a public key alone"),
    ] {
        let said = desk.ceremony(&answers(&people, &[by("ada", file)]), &[]).expect_err("refused");
        assert!(said.contains(words), "{said}");
    }
    let said = desk.ceremony(&answers(&[person("ada"), person("ada")], &[]), &[]).expect_err("refused");
    assert!(said.contains("is the key of Ada already"), "{said}");
    let root = desk.ceremony(&answers(&people, &[signature("linus"), signature("ada")]), &[]).expect("signed");
    assert_eq!(root["signatures"].as_array().map(Vec::len), Some(2));
}
