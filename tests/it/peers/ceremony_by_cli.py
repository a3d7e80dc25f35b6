"""Holds a root ceremony with the unmodified command line of the Python service, at a terminal as a person would.

usage: ceremony_by_cli.py --out DIR --keys DIR (--bins N | --delegations) [--signers N] [--api-server URL]

Makes the keys (two people's with a password, two online ones without), answers all questions of `rstuf admin ceremony`, and leaves
DIR/payload.json, DIR/1.root.json and each online key under its id in the directory of keys. With an API the ceremony sends
its result there; without one it is a dry run. With --delegations there is one role instead of bins, `default`, which the online key
signs. Fewer signers than people leave the root for others to sign.
"""

import argparse
import json
import os
import pathlib
import sys

import pexpect
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import SSlibKey

PASSWORD = "hunter2"
PATIENCE_SECONDS = 60
DOWN, ENTER = "\x1b[B", "\r"
PEOPLE = ["Ada", "Grace"]


def make_key(directory, name, password):
    """Writes a key pair, and returns the id of the key."""
    key = Ed25519PrivateKey.generate()
    encryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password.encode())
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (directory / name).write_bytes(key.private_bytes(pem, pkcs8, encryption))
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (directory / f"{name}.pub").write_bytes(public)
    return SSlibKey.from_crypto(key.public_key()).keyid


class Terminal:
    """A person at the terminal: waits for each question, then answers."""

    def __init__(self, arguments, directory):
        program = pathlib.Path(sys.executable).parent / "rstuf"
        environment = os.environ | {"HOME": str(directory), "TERM": "xterm", "LANG": "C.UTF-8"}
        self.child = pexpect.spawn(
            str(program), arguments, encoding="utf-8", timeout=PATIENCE_SECONDS, dimensions=(60, 200), env=environment
        )
        # A menu reads the keyboard only a moment after it was drawn.
        self.child.delaybeforesend = 0.3
        self.child.logfile_read = sys.stderr

    def answer(self, question, answer=""):
        self.child.expect_exact(question)
        self.child.send(answer + ENTER)

    def choose(self, last_option, position):
        """Chooses from a menu, once its last option is on the screen."""
        self.child.expect_exact(last_option)
        self.child.send(DOWN * position + ENTER)

    def end(self, last_words):
        self.child.expect_exact(last_words)
        self.child.expect(pexpect.EOF)
        self.child.close()
        assert self.child.exitstatus == 0, f"the ceremony ended with {self.child.exitstatus}"


def delegate_to_bins(terminal, bins):
    terminal.choose("Custom Delegations (online/offline key)", 0)
    terminal.answer("'bins' role")
    terminal.answer("number of delegated hash bins", str(bins))


def delegate_to_default(terminal):
    terminal.choose("Custom Delegations (online/offline key)", 1)
    terminal.answer("delegated target role name", "default")
    terminal.answer("'default' role")
    terminal.answer("enter path", "*")
    terminal.choose("remove path", 1)
    terminal.answer("enter path", "apps/*")
    terminal.choose("remove path", 0)
    terminal.choose("Add Keys", 0)
    terminal.choose("remove delegation", 0)


def hold(terminal, out, bins, signers):
    for role in ("timestamp", "snapshot", "targets"):
        terminal.answer(f"'{role}' role")
    if bins:
        delegate_to_bins(terminal, bins)
    else:
        delegate_to_default(terminal)
    terminal.answer("'root' role")
    terminal.answer("'root' threshold", "2")
    for number, person in enumerate(PEOPLE):
        if number:
            terminal.choose("remove", 0)
        terminal.choose("Sigstore", 1)
        terminal.answer("PUBLIC", str(out / f"{person}.pub"))
        terminal.answer("key name", person)
        terminal.child.expect_exact("Added key")
    terminal.choose("remove", 0)
    terminal.choose("Key PEM File", 4)
    terminal.answer("PUBLIC", str(out / "online.pub"))
    terminal.answer("key name", "online")
    for number, person in enumerate(PEOPLE[:signers]):
        terminal.choose("Select a key for signing", 1 if number else 0)
        terminal.choose("Key PEM File", 1)
        terminal.answer("private key", str(out / person))
        terminal.answer("password", PASSWORD)
    if signers < len(PEOPLE):
        terminal.choose("Select a key for signing or continue", 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--keys", type=pathlib.Path, required=True)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--bins", type=int)
    kind.add_argument("--delegations", action="store_true")
    parser.add_argument("--signers", type=int, default=len(PEOPLE))
    parser.add_argument("--api-server")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.keys.mkdir(parents=True, exist_ok=True)

    for person in PEOPLE:
        make_key(args.out, person, PASSWORD)
    for name in ("online", "next-online"):
        online = make_key(args.out, name, None)
        (args.keys / online).write_bytes((args.out / name).read_bytes())

    payload = args.out / "payload.json"
    server = ["--api-server", args.api_server] if args.api_server else []
    dry_run = [] if args.api_server else ["--dry-run"]
    terminal = Terminal(["admin", *server, "ceremony", "--out", str(payload), *dry_run], args.out)
    hold(terminal, args.out, args.bins, args.signers)
    terminal.end("Bootstrap completed." if args.api_server else "Saved result")
    root = json.loads(payload.read_text())["metadata"]["root"]
    (args.out / "1.root.json").write_text(json.dumps(root))


if __name__ == "__main__":
    main()
