"""People with keys, by an implementation that is not ours. One JSON command a line on standard input, one JSON answer a line
on standard output: {"ok": …}, or {"failed": text}.

    key, "name", ["scheme"]              → {"keyid", "key"}; a new key of a person: ed25519 (default), ecdsa or rsa
    online, "name", "directory", ["role"] → {"keyid", "key"}; a new online key, whose private half is put into the directory
    root, "version", "days", "threshold", "people", "online": {role: [names]}, "unnamed": [names]
                                         → a root, unsigned; no role of it names the last keys
    targets, "version", "days", "files": {path: text}
                                         → the metadata of a delegated role, unsigned
    sign, "names", "metadata"            → the metadata, with the signatures of these added
    signature, "name", "metadata"        → {"keyid", "sig"}
"""

import datetime
import hashlib
import json
import pathlib
import sys
import traceback

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata, Root, TargetFile, Targets

NEW = {
    "ed25519": Ed25519PrivateKey.generate,
    "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
    "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
}
signers = {}


def signer(private_key, **members):
    """A signer whose key object has these members too, under the id over the whole of it that tough asks for."""
    key = SSlibKey.from_crypto(private_key.public_key()).to_dict() | members
    keyid = hashlib.sha256(encode_canonical(key).encode()).hexdigest()
    return CryptoSigner(private_key, SSlibKey.from_dict(keyid, key))


def entry(name):
    key = signers[name].public_key
    return {"keyid": key.keyid, "key": key.to_dict()}


def key(command):
    name = command["name"]
    signers[name] = signer(NEW[command.get("scheme", "ed25519")](), **{"x-rstuf-key-name": name})
    return entry(name)


def online(command):
    name, private_key = command["name"], Ed25519PrivateKey.generate()
    file = f"{name}.pem"
    members = {"x-rstuf-key-name": name, "x-rstuf-online-key-uri": f"fn:{file}"}
    if "role" in command:
        members["x-rstuf-online-key-role"] = command["role"]
    signers[name] = signer(private_key, **members)
    directory = pathlib.Path(command["directory"])
    directory.mkdir(parents=True, exist_ok=True)
    (directory / file).write_bytes(
        private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return entry(name)


def expires(command):
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    return now + datetime.timedelta(days=command.get("days", 365))


def root(command):
    signed = Root(version=command["version"], expires=expires(command))
    for name in command["people"]:
        signed.add_key(signers[name].public_key, "root")
    signed.roles["root"].threshold = command["threshold"]
    for role, names in command["online"].items():
        for name in names:
            signed.add_key(signers[name].public_key, role)
    for name in command["unnamed"]:
        key = signers[name].public_key
        signed.keys[key.keyid] = key
    return Metadata(signed).to_dict()


def targets(command):
    files = {}
    for path, text in command["files"].items():
        files[path] = TargetFile.from_data(path, text.encode(), ["sha256"])
    return Metadata(Targets(version=command["version"], expires=expires(command), targets=files)).to_dict()


def signature(command):
    metadata = Metadata.from_dict(json.loads(json.dumps(command["metadata"])))
    made = metadata.sign(signers[command["name"]])
    return made.to_dict()


def sign(command):
    metadata = Metadata.from_dict(json.loads(json.dumps(command["metadata"])))
    for name in command["names"]:
        metadata.sign(signers[name], append=True)
    return metadata.to_dict()


DO = {"key": key, "online": online, "root": root, "targets": targets, "sign": sign, "signature": signature}

for line in sys.stdin:
    command = json.loads(line)
    try:
        answer = {"ok": DO[command["do"]](command)}
    except Exception as error:
        answer = {"failed": "".join(traceback.format_exception_only(error)).strip()}
    print(json.dumps(answer), flush=True)
