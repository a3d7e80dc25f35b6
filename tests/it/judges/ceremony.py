"""A root ceremony by an implementation that is not ours: a 2-of-3 root and one online key, all ed25519.

usage: ceremony.py --out DIR --keys DIR --bins N --layout LAYOUT

Writes the body of `POST /api/v1/bootstrap` to DIR/payload.json, the root that clients start from to DIR/1.root.json,
and the online key, PKCS#8 in PEM, to the directory of keys.
"""

import argparse
import datetime
import hashlib
import json
import pathlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization.json import JSONSerializer

ONLINE_KEY_FILE = "online.pem"


def signer(private_key, **members):
    """A signer whose key object has these members too, under the id over the whole of it that tough asks for."""
    key = SSlibKey.from_crypto(private_key.public_key()).to_dict() | members
    keyid = hashlib.sha256(encode_canonical(key).encode()).hexdigest()
    return CryptoSigner(private_key, SSlibKey.from_dict(keyid, key))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--keys", type=pathlib.Path, required=True)
    parser.add_argument("--bins", type=int, required=True)
    parser.add_argument("--layout", required=True)
    args = parser.parse_args()

    people = [
        signer(Ed25519PrivateKey.generate(), **{"x-rstuf-key-name": name})
        for name in ("Ada", "Grace", "Hedy")
    ]
    online_key = Ed25519PrivateKey.generate()
    online = signer(
        online_key,
        **{"x-rstuf-key-name": "online", "x-rstuf-online-key-uri": f"fn:{ONLINE_KEY_FILE}"},
    )

    root = Root(expires=datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=365))
    for person in people:
        root.add_key(person.public_key, "root")
    root.roles["root"].threshold = 2
    for role in ("timestamp", "snapshot", "targets"):
        root.add_key(online.public_key, role)

    metadata = Metadata(root)
    for person in people[:2]:
        metadata.sign(person, append=True)
    metadata.verify_delegate("root", metadata)

    payload = {
        "settings": {
            "roles": {
                "root": {"expiration": 365},
                "targets": {"expiration": 365},
                "snapshot": {"expiration": 7},
                "timestamp": {"expiration": 1},
                "bins": {"expiration": 30, "number_of_delegated_bins": args.bins, "layout": args.layout},
            }
        },
        "metadata": {"root": metadata.to_dict()},
    }

    args.out.mkdir(parents=True, exist_ok=True)
    args.keys.mkdir(parents=True, exist_ok=True)
    (args.out / "payload.json").write_text(json.dumps(payload))
    (args.out / "1.root.json").write_bytes(metadata.to_bytes(JSONSerializer(compact=True)))
    (args.keys / ONLINE_KEY_FILE).write_bytes(
        online_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


if __name__ == "__main__":
    main()
