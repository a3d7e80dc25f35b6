"""Makes repositories with python-tuf, and attacks from a valid one.

usage: repositories.py OUT
       repositories.py OUT PATH FILE     one repository with one artifact: FILE, at PATH

Each repository is a directory of OUT with metadata/ and files/, and perhaps behaviour.json: what the server does in place
of serving a file. Writes the tables to standard output, as JSON:

    valid     name, stages (directories, one after the other at the same address), ask (artifacts that must be found),
              absent (artifacts that must not), hash_prefix
    base      the directory of the valid repository that the attacks are made from: a client has seen it
    attacks   name, how it is made, expected (words of the refusal), directory, ask, follows_root (the attack comes with a
              new root that is valid, and that a client keeps)
"""

import copy
import datetime
import hashlib
import json
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)

LATER = datetime.datetime(2099, 1, 1, tzinfo=datetime.timezone.utc)
PAST = "2020-01-01T00:00:00Z"
ONLINE = ("timestamp", "snapshot", "targets")


def signer(private=None):
    private = private or ed25519.Ed25519PrivateKey.generate()
    return CryptoSigner(private, SSlibKey.from_crypto(private.public_key()))


def rsa_signer():
    return signer(rsa.generate_private_key(65537, 2048))


def compact(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def canonical(signed):
    try:
        return encode_canonical(signed).encode()
    except Exception:
        return compact(signed)


def signature(signed, by, over=canonical):
    return by.sign(over(signed)).to_dict()


class Repository:
    """All roles, their signers, and the content of the artifacts. Files are made by `publish`."""

    def __init__(self, make=signer, consistent=True):
        self.signers = {"root": [make() for _ in range(3)]} | {role: [make()] for role in ONLINE}
        self.version = 1
        self.roots = []
        self.content = {}
        self.targets = {"targets": Targets(expires=LATER)}
        self.consistent = consistent
        self.root()

    def clone(self):
        other = copy.copy(self)
        for member in ("signers", "roots", "content"):
            setattr(other, member, copy.copy(getattr(self, member)))
        other.targets = {
            role: Metadata.from_dict(Metadata(targets).to_dict()).signed for role, targets in self.targets.items()
        }
        return other

    def root_signed(self):
        root = Root(version=len(self.roots) + 1, expires=LATER, consistent_snapshot=self.consistent)
        for role, signers in self.signers.items():
            if role in root.roles:
                for by in signers:
                    root.add_key(by.public_key, role)
        root.roles["root"].threshold = 2
        return root.to_dict()

    def root(self, change=None, signers=None, before=()):
        """The next root, signed by two of its keys and by those of `before`."""
        signed = self.root_signed()
        if change:
            change(signed)
        signers = (self.signers["root"][:2] if signers is None else signers) + list(before)
        self.roots.append({"signatures": [signature(signed, by) for by in signers], "signed": signed})

    def rotate(self, role, **options):
        """The next root, with other keys of a role."""
        old = self.signers["root"][:2] if role == "root" else []
        self.signers[role] = [signer() for _ in self.signers[role]]
        self.root(before=old, **options)

    def add(self, path, content, role="targets", hashes=("sha256",)):
        self.content[path] = content
        self.targets[role].targets[path] = TargetFile.from_data(path, content, list(hashes))

    def delegate(self, name, by="targets", terminating=False, signers=None, **scope):
        self.signers[name] = signers or [signer()]
        self.targets[name] = Targets(expires=LATER)
        parent = self.targets[by]
        parent.delegations = parent.delegations or Delegations({}, roles={})
        keyids = [key.public_key.keyid for key in self.signers[name]]
        parent.delegations.keys |= {key.public_key.keyid: key.public_key for key in self.signers[name]}
        parent.delegations.roles[name] = DelegatedRole(name, keyids, 1, terminating, **scope)

    def file_name(self, role, version):
        return f"{version}.{role}.json" if self.consistent else f"{role}.json"

    def publish(self, out, signed=None, signers=None, file=None, text=None, listed=None, serve=None, files=None):
        """Writes the next version of everything. By role: `signed` changes what is signed, `signers` who signs, `file` what
        comes out of that, `text` its bytes, after all else was made from it; `listed` changes how it is listed."""
        signed, signers, file, text, listed = ({} if it is None else it for it in (signed, signers, file, text, listed))
        metadata = {}

        def write(role, value, name):
            value = json.loads(json.dumps(value)) if role not in signed else signed[role](value) or value
            made = {"signatures": [signature(value, by) for by in signers.get(role, self.signers[role])], "signed": value}
            if role in file:
                made = file[role](made) or made
            content = compact(made)
            metadata[name] = text[role](content) if role in text else content
            return content

        for role, targets in self.targets.items():
            targets.version = self.version
        meta = {}
        for role, targets in self.targets.items():
            content = write(role, targets.to_dict(), self.file_name(role, self.version))
            with_hash = {"length": len(content), "hashes": {"sha256": hashlib.sha256(content).hexdigest()}}
            meta[f"{role}.json"] = {"version": self.version} | (with_hash if role == "targets" else {})
            if role in listed:
                meta[f"{role}.json"] = listed[role](meta[f"{role}.json"]) or meta[f"{role}.json"]
        snapshot = Snapshot(version=self.version, expires=LATER).to_dict() | {"meta": meta}
        content = write("snapshot", snapshot, self.file_name("snapshot", self.version))
        entry = {"version": self.version, "length": len(content), "hashes": {"sha256": hashlib.sha256(content).hexdigest()}}
        if "snapshot" in listed:
            entry = listed["snapshot"](entry) or entry
        timestamp = Timestamp(version=self.version, expires=LATER).to_dict() | {"meta": {"snapshot.json": entry}}
        write("timestamp", timestamp, "timestamp.json")
        for number, root in enumerate(self.roots, 1):
            content = compact(root)
            metadata[f"{number}.root.json"] = text["root"](content) if "root" in text and root is self.roots[-1] else content

        out = pathlib.Path(out)
        (out / "metadata").mkdir(parents=True)
        for name, content in metadata.items():
            (out / "metadata" / name).write_bytes(content)
        for path, content in (self.content | (files or {})).items():
            write_artifact(out / "files", path, content)
        if serve:
            (out / "behaviour.json").write_text(json.dumps(serve))
        self.version += 1
        return metadata


def write_artifact(directory, path, content):
    """Puts it at its path and, as servers with prefixes have it, at those with each of its digests."""
    target = (directory / path).resolve()
    if directory.resolve() not in target.parents:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    for algorithm in ("sha256", "sha512"):
        (target.parent / f"{hashlib.new(algorithm, content).hexdigest()}.{target.name}").write_bytes(content)


# What is valid.

VALID = []


def valid(name, **more):
    def register(make):
        VALID.append((name, more, make))
        return make

    return register


@valid("plain targets", ask=["hello.txt", "dir/x y.bin"], absent=["hello", "dir"])
def plain(out):
    repository = Repository()
    repository.add("hello.txt", b"hello")
    repository.add("dir/x y.bin", bytes(range(256)))
    repository.publish(out / "1")
    return [out / "1"]


@valid("names that mean something elsewhere", ask=["..\\..\\evil", "%2e%2e/evil", "a?b#c", "C:/x", "ü/\u202e.txt", "-x", "a+b.part", "~"])
def hostile(out):
    repository = Repository()
    for name in ["..\\..\\evil", "%2e%2e/evil", "a?b#c", "C:/x", "ü/\u202e.txt", "-x", "a+b.part", "~"]:
        repository.add(name, name.encode())
    repository.publish(out / "1")
    return [out / "1"]


@valid("prefixed by hashes", ask=["dir/a.txt", "b.txt"], hash_prefix=True)
def prefixed(out):
    repository = Repository()
    repository.add("dir/a.txt", b"a", hashes=["sha256", "sha512"])
    repository.add("b.txt", b"b", hashes=["sha512"])
    repository.publish(out / "1")
    return [out / "1"]


@valid("every digest", ask=["sha256", "sha384", "sha512", "blake2b-256", "all"])
def digests(out):
    repository = Repository()
    algorithms = ["sha256", "sha384", "sha512", "blake2b-256"]
    for algorithm in algorithms:
        repository.add(algorithm, algorithm.encode(), hashes=[algorithm])
    repository.add("all", b"all", hashes=[*algorithms, "md5"])
    repository.publish(out / "1")
    return [out / "1"]


@valid("nested delegations", ask=["a/b/c.txt", "a/x.txt", "z.txt"], absent=["a/b/none", "b/b/c.txt"])
def nested(out):
    repository = Repository()
    repository.delegate("a", paths=["a/*", "a/*/*"])
    repository.delegate("a-b", by="a", paths=["a/b/*", "b/b/*"])
    repository.add("a/x.txt", b"x", "a")
    repository.add("a/b/c.txt", b"c", "a-b")
    repository.add("b/b/c.txt", b"not from a", "a-b")
    repository.add("z.txt", b"z")
    repository.publish(out / "1")
    return [out / "1"]


@valid("terminating delegations", ask=["a/1", "b/2"], absent=["a/2"])
def terminating(out):
    repository = Repository()
    repository.delegate("one", terminating=True, paths=["a/*"])
    repository.delegate("two", paths=["*/*"])
    repository.add("a/1", b"1", "one")
    repository.add("a/2", b"2", "two")
    repository.add("b/2", b"2", "two")
    repository.publish(out / "1")
    return [out / "1"]


@valid("a role that two delegate to", ask=["x/1"])
def shared(out):
    repository = Repository()
    repository.delegate("a", paths=["x/*"])
    repository.delegate("b", paths=["x/*"])
    repository.delegate("c", by="a", paths=["none/*"])
    repository.delegate("c", by="b", signers=repository.signers["c"], paths=["x/*"])
    repository.add("x/1", b"1", "c")
    repository.publish(out / "1")
    return [out / "1"]


@valid("delegations in a circle", ask=["x/1"], absent=["x/2"])
def circle(out):
    repository = Repository()
    repository.delegate("a", paths=["x/*"])
    repository.delegate("b", by="a", paths=["x/*"])
    one = repository.signers["a"][0].public_key
    repository.targets["b"].delegations = Delegations(
        {one.keyid: one}, roles={"a": DelegatedRole("a", [one.keyid], 1, False, paths=["x/*"])}
    )
    repository.add("x/1", b"1", "b")
    repository.publish(out / "1")
    return [out / "1"]


@valid("bins by path_hash_prefixes", ask=["f1", "f2", "dir/f3"], absent=["f4"])
def prefixes(out):
    repository = Repository()
    for number in range(16):
        repository.delegate(f"bin-{number:x}", path_hash_prefixes=[f"{number:x}"], signers=repository.signers["targets"])
    for path in ("f1", "f2", "dir/f3"):
        repository.add(path, path.encode(), f"bin-{hashlib.sha256(path.encode()).hexdigest()[0]}")
    repository.publish(out / "1")
    return [out / "1"]


def succinct(bits):
    repository = Repository()
    key = signer()
    roles = SuccinctRoles([key.public_key.keyid], 1, bits, "bins")
    repository.targets["targets"].delegations = Delegations({key.public_key.keyid: key.public_key}, succinct_roles=roles)
    for role in roles.get_roles():
        repository.signers[role], repository.targets[role] = [key], Targets(expires=LATER)
    return repository, roles


@valid("succinct bins", ask=["f1", "f2", "dir/f3"], absent=["f4"])
def succinct_bins(out):
    repository, roles = succinct(5)
    for path in ("f1", "f2", "dir/f3"):
        repository.add(path, path.encode(), roles.get_role_for_target(path))
    repository.publish(out / "1")
    return [out / "1"]


@valid("no consistent snapshots", ask=["a/x.txt", "z.txt"], hash_prefix=True)
def inconsistent(out):
    repository = Repository(consistent=False)
    repository.delegate("a", paths=["a/*"])
    repository.add("a/x.txt", b"x", "a")
    repository.add("z.txt", b"z")
    repository.publish(out / "1")
    return [out / "1"]


@valid("no consistent snapshots, twice", ask=["z.txt"])
def inconsistent_twice(out):
    repository = Repository(consistent=False)
    repository.add("z.txt", b"z")
    repository.publish(out / "1")
    repository.add("z.txt", b"other")
    repository.publish(out / "2")
    return [out / "1", out / "2"]


for kind, make_key in {
    "rsa": rsa_signer,
    "ecdsa p-256": lambda: signer(ec.generate_private_key(ec.SECP256R1())),
    "ecdsa p-384": lambda: signer(ec.generate_private_key(ec.SECP384R1())),
}.items():

    def of_kind(out, make_key=make_key):
        repository = Repository(make=make_key)
        repository.add("z.txt", b"z")
        repository.publish(out / "1")
        return [out / "1"]

    valid(f"{kind} keys", ask=["z.txt"])(of_kind)


@valid("lengths and hashes that snapshot and timestamp leave open", ask=["z.txt"])
def version_only(out):
    repository = Repository()
    repository.add("z.txt", b"z")
    only = {"targets": lambda entry: {"version": entry["version"]}, "snapshot": lambda entry: {"version": entry["version"]}}
    repository.publish(out / "1", listed=only)
    return [out / "1"]


@valid("rotations of every role's keys", ask=["z.txt"])
def rotations(out):
    repository = Repository()
    repository.add("z.txt", b"z")
    stages = []
    for number, role in enumerate(("root", "timestamp", "snapshot", "targets", "root", "root")):
        repository.publish(out / str(number))
        stages.append(out / str(number))
        repository.rotate(role)
    repository.publish(out / "last")
    return [*stages, out / "last"]


@valid("roots that expired between", ask=["z.txt"])
def expired_between(out):
    repository = Repository()
    repository.add("z.txt", b"z")
    repository.publish(out / "1")
    repository.root(change=lambda signed: signed.update(expires=PAST))
    repository.root()
    repository.publish(out / "2")
    return [out / "1", out / "2"]


@valid("recovery from a fast-forward", ask=["z.txt"])
def fast_forward(out):
    repository = Repository()
    repository.add("z.txt", b"z")
    repository.version = 1_000_000
    repository.publish(out / "1")
    repository.version = 2
    repository.rotate("timestamp")
    repository.rotate("snapshot")
    repository.publish(out / "2")
    return [out / "1", out / "2"]


@valid("an artifact that changes", ask=["z.txt"])
def changes(out):
    repository = Repository()
    for number in (1, 2):
        repository.add("z.txt", b"z" * number)
        repository.publish(out / str(number))
    return [out / "1", out / "2"]


# What is not.

ATTACKS = []


def attack(name, how, expected, **more):
    def register(make):
        ATTACKS.append((name, how, expected, more, make))
        return make

    return register


def to(**members):
    return lambda value: value | members


def simple(name, how, expected, **publish):
    attack(name, how, expected)(lambda repository: publish)


def base():
    repository = Repository()
    repository.root()
    repository.delegate("apps", paths=["apps/*"])
    repository.delegate("nightly", by="apps", paths=["apps/*"])
    repository.add("hello.txt", b"hello" * 100)
    repository.add("apps/app.bin", b"app", "apps")
    repository.add("apps/night.bin", b"night", "nightly")
    repository.version = 5
    return repository


ROLES = ("timestamp", "snapshot", "targets", "apps")

simple("rollback: timestamp", "timestamp 4 after 5", "timestamp 4 is older than version 5", signed={"timestamp": to(version=4)})
simple("rollback: snapshot", "timestamp lists snapshot 4", "snapshot 4 is older than version 5", listed={"snapshot": to(version=4)})
simple("rollback: targets", "snapshot lists targets 4", "lists targets.json 4, older than version 5", listed={"targets": to(version=4)})
simple("rollback: delegated", "snapshot lists apps 4", "lists apps.json 4, older than version 5", listed={"apps": to(version=4)})
for _role in ROLES:
    simple(f"freeze: {_role}", "expired, signed as it should be", f"{_role} expired at 2020", signed={_role: to(expires=PAST)})
    simple(f"unsigned: {_role}", "no signature", f"{_role} has valid signatures of 0 keys and needs 1", signers={_role: []})
    simple(f"wrong type: {_role}", "another _type", f"{_role} is metadata of the type root", signed={_role: to(_type="root")})
    simple(f"specification 2: {_role}", "spec_version 2.0.0", "spec_version: must be 1.x", signed={_role: to(spec_version="2.0.0")})

for _role in ("timestamp", "apps"):
    simple(f"malformed: {_role}", "a page of HTML", f"{_role} can't be read: not json", text={_role: lambda text: b"<html>"})


def by_other(role, other):
    @attack(f"another role's key: {role}", f"signed by the key of {other}", f"{role} has valid signatures of 0 keys and needs 1")
    def make(repository):
        return {"signers": {role: repository.signers[other]}}


for _role, _other in (("timestamp", "snapshot"), ("snapshot", "timestamp"), ("targets", "snapshot"), ("apps", "targets"), ("apps", "nightly")):
    by_other(_role, _other)


@attack("another role's key id: timestamp", "the key of snapshot under the id of the key of timestamp", "timestamp has valid signatures of 0 keys")
def borrowed_id(repository):
    own = repository.signers["timestamp"][0].public_key.keyid
    sign = lambda file: file | {"signatures": [signature(file["signed"], repository.signers["snapshot"][0]) | {"keyid": own}]}
    return {"file": {"timestamp": sign}}


simple("same key twice", "one key signs timestamp twice", "signatures[1].keyid: signs twice", file={"timestamp": lambda file: file | {"signatures": file["signatures"] * 2}})
simple("signature: not hexadecimal", "sig is zz", "timestamp has valid signatures of 0 keys", file={"timestamp": lambda file: file | {"signatures": [file["signatures"][0] | {"sig": "zz"}]}})
simple("signature: other content", "version raised after signing", "timestamp has valid signatures of 0 keys", file={"timestamp": lambda file: file | {"signed": file["signed"] | {"version": 7}}})


@attack("signature: not over the canonical form", "signed with blanks and lines", "timestamp has valid signatures of 0 keys")
def not_canonical(repository):
    over = lambda signed: json.dumps(signed, indent=1).encode()
    sign = lambda file: file | {"signatures": [signature(file["signed"], repository.signers["timestamp"][0], over)]}
    return {"file": {"timestamp": sign}}


simple("duplicate member", "version is there twice in timestamp", 'the member "version" is there twice',
       text={"timestamp": lambda text: text.replace(b'"version":6}', b'"version":999,"version":6}')})
simple("duplicate member: delegated", "targets is there twice in apps", 'the member "targets" is there twice',
       text={"apps": lambda text: text.replace(b'"targets":{', b'"targets":{},"targets":{')})
simple("number: float", "version 6.0", "version: must be a whole number from 1", signed={"timestamp": to(version=6.0)})
simple("number: huge", "version 2^70", "version: must be a whole number from 1", signed={"timestamp": to(version=2**70)})
simple("number: beyond all floats", "version 1e999", "number out of range", text={"timestamp": lambda text: text.replace(b'"version":6}', b'"version":1e999}')})
simple("number: zero", "version 0", "version: must be a whole number from 1", signed={"timestamp": to(version=0)})
simple("number: float somewhere", "a float in an unknown member", "timestamp can't be signed", signed={"timestamp": to(x=1.5)})
simple("nested without end", "ten thousand lists in each other", "recursion limit exceeded", text={"timestamp": lambda text: b"[" * 10_000})
simple("expiry: another form", "expires without Z", "expires: must be a time as", signed={"timestamp": to(expires="2099-01-01T00:00:00+00:00")})
simple("timestamp without snapshot", "meta is empty", "meta.snapshot.json: is missing", signed={"timestamp": to(meta={})})

simple("changed: timestamp", "timestamp 5 again, with another snapshot", "timestamp 5 was seen before with other content", signed={"timestamp": to(version=5)})
simple("mix and match: snapshot", "snapshot 5 as 6", "snapshot 5 was found where version 6 is listed", signed={"snapshot": to(version=5)})
simple("mix and match: targets", "targets 5 as 6", "targets 5 was found where version 6 is listed", signed={"targets": to(version=5)})
simple("mix and match: delegated", "apps 5 as 6", "apps 5 was found where version 6 is listed", signed={"apps": to(version=5)})
simple("wrong version: delegated", "apps 7 as 6", "apps 7 was found where version 6 is listed", signed={"apps": to(version=7)})
simple("wrong length: snapshot", "its last byte is gone", "snapshot is not the file that is signed:", text={"snapshot": lambda text: text[:-1]})
simple("wrong length: targets", "a byte more", "bytes that may be read", text={"targets": lambda text: text + b" "})
simple("wrong hash: snapshot", "another expiry", "snapshot is not the file that is signed: its sha256 is another", text={"snapshot": lambda text: text.replace(b"2099", b"2098")})
simple("wrong hash: targets", "another expiry", "targets is not the file that is signed: its sha256 is another", text={"targets": lambda text: text.replace(b"2099", b"2098")})
simple("wrong hash: delegated", "hash of apps in snapshot is another", "apps is not the file that is signed: its sha256 is another", listed={"apps": to(hashes={"sha256": "00" * 32})})
simple("snapshot loses a role", "apps is listed no more", "snapshot lists apps.json no more", signed={"snapshot": lambda signed: signed["meta"].pop("apps.json") and None})


@attack("unlisted role", "snapshot does not list a new role", "snapshot does not list fresh", ask=["fresh/x"])
def unlisted(repository):
    repository.delegate("fresh", paths=["fresh/*"])
    repository.add("fresh/x", b"x", "fresh")
    return {"signed": {"snapshot": lambda signed: signed["meta"].pop("fresh.json") and None}}


@attack("swapped roles", "the file of nightly as that of apps", "apps has valid signatures of 0 keys and needs 1")
def swapped(repository):
    made = {}
    keep = lambda file: made.update(nightly=compact(file)) or file
    repository.targets = dict(sorted(repository.targets.items(), key=lambda item: item[0] != "nightly"))
    # Written before that of apps.
    return {"file": {"nightly": keep}, "text": {"apps": lambda _: made["nightly"]}}


# Roots.


@attack("root: rollback", "root 2 as 3", "root 2 can't follow version 2")
def root_rollback(repository):
    repository.roots.append(repository.roots[-1])


@attack("root: gap", "root 4 as 3", "root 4 can't follow version 2")
def root_gap(repository):
    repository.root(change=lambda signed: signed.update(version=4))


@attack("root: old keys only", "new keys, signed by the old ones", "root has valid signatures of 0 keys and needs 2")
def root_old_only(repository):
    old = repository.signers["root"]
    repository.signers["root"] = [signer() for _ in old]
    repository.root(signers=old[:2])


@attack("root: new keys only", "new keys, signed by themselves", "root has valid signatures of 0 keys and needs 2")
def root_new_only(repository):
    repository.signers["root"] = [signer() for _ in range(3)]
    repository.root()


@attack("root: threshold", "signed by one of two", "root has valid signatures of 1 keys and needs 2")
def root_threshold(repository):
    repository.root(signers=repository.signers["root"][:1])


@attack("root: threshold of the old one", "threshold lowered to one, and signed by one", "root has valid signatures of 1 keys and needs 2")
def root_lowered(repository):
    repository.root(change=lambda signed: signed["roles"]["root"].update(threshold=1), signers=repository.signers["root"][:1])


@attack("root: one key with two ids", "and it signs under both", "root has valid signatures of 1 keys and needs 2")
def root_two_ids(repository):
    old, one = repository.signers["root"][:2], signer()
    repository.signers["root"] = [one]

    def change(signed):
        signed["keys"]["other"] = signed["keys"][one.public_key.keyid]
        signed["roles"]["root"]["keyids"].append("other")

    repository.root(change=change, signers=[*old, one])
    root = repository.roots[-1]
    root["signatures"].append(signature(root["signed"], one) | {"keyid": "other"})


@attack("root: a key id twice", "a role names a key twice", "must not name a key twice")
def root_key_twice(repository):
    repository.root(change=lambda signed: signed["roles"]["snapshot"]["keyids"].append(signed["roles"]["snapshot"]["keyids"][0]))


@attack("root: threshold of none", "threshold 0 for timestamp", "roles.timestamp.threshold: must be from 1")
def root_zero(repository):
    repository.root(change=lambda signed: signed["roles"]["timestamp"].update(threshold=0))


@attack("root: no keys for a role", "snapshot is missing", "roles.snapshot: is missing")
def root_no_role(repository):
    repository.root(change=lambda signed: signed["roles"].pop("snapshot") and None)


@attack("root: expired", "the newest root expired", "root expired at 2020", follows_root=True)
def root_expired(repository):
    repository.root(change=lambda signed: signed.update(expires=PAST))


@attack("root: keys revoked", "a timestamp of keys that the new root doesn't have", "timestamp has valid signatures of 0 keys", follows_root=True)
def root_revoked(repository):
    old = repository.signers["timestamp"]
    repository.rotate("timestamp")
    return {"signers": {"timestamp": old}}


@attack("root: hidden", "the server has an error for the next root", "3.root.json answers 500")
def root_hidden(repository):
    return {"serve": {"metadata/3.root.json": {"status": 500}}}


# Delegations.


@attack("delegation: name that leaves the directory", "a role ../../evil", "roles[1].name: must be of the characters", ask=["hello.txt"])
def role_name(repository):
    repository.delegate("evil", paths=["evil/*"])

    def change(signed):
        signed["delegations"]["roles"][1]["name"] = "../../evil"

    return {"signed": {"targets": change}}


@attack("delegation: name of a role at the top", "a role snapshot", "must be no other role's")
def role_top(repository):
    repository.delegate("evil", paths=["evil/*"])

    def change(signed):
        signed["delegations"]["roles"][1]["name"] = "snapshot"

    return {"signed": {"targets": change}}


@attack("delegation: two scopes", "paths and path_hash_prefixes", "paths: must be there, or else path_hash_prefixes")
def role_scopes(repository):
    def change(signed):
        signed["delegations"]["roles"][0]["path_hash_prefixes"] = ["0"]

    return {"signed": {"targets": change}}


@attack("delegation: a chain without end", "forty roles, each delegates to the next", "delegations lead on after 33 roles", ask=["deep/x"])
def chain(repository):
    repository.delegate("r0", paths=["deep/*"])
    for number in range(1, 40):
        repository.delegate(f"r{number}", by=f"r{number - 1}", paths=["deep/*"], signers=repository.signers["r0"])
    repository.add("deep/x", b"x", "r39")


@attack("delegation: too many at once", "forty roles for one path", "delegations lead on after 33 roles", ask=["deep/x"])
def crowd(repository):
    repository.signers["r"] = [signer()]
    for number in range(40):
        repository.delegate(f"r{number}", paths=["deep/*"], signers=repository.signers["r"])
    repository.add("deep/x", b"x", "r39")
    del repository.signers["r"]


@attack("delegation: in a circle", "a delegates to b, b to a, none has it", "Artifact loop/x not trusted", ask=["loop/x"], finds_nothing=True)
def loop(repository):
    repository.delegate("a", paths=["loop/*"])
    repository.delegate("b", by="a", paths=["loop/*"])
    one = repository.signers["a"][0].public_key
    repository.targets["b"].delegations = Delegations({one.keyid: one}, roles={"a": DelegatedRole("a", [one.keyid], 1, False, paths=["loop/*"])})


@attack("delegation: outside of the scope", "apps lists an artifact that is not below apps/", "Artifact other.txt not trusted", ask=["other.txt"], finds_nothing=True)
def outside(repository):
    repository.add("other.txt", b"x", "apps")


@attack("delegation: after a terminating one", "a later role has what a terminating one doesn't", "Artifact term/x not trusted", ask=["term/x"], finds_nothing=True)
def after_terminating(repository):
    repository.delegate("end", terminating=True, paths=["term/*"])
    repository.delegate("late", paths=["term/*"])
    repository.add("term/x", b"x", "late")


@attack("delegation: another bin", "an artifact in a bin that its hash does not choose", "Artifact f1 not trusted", ask=["f1"], finds_nothing=True)
def other_bin(repository):
    for number in range(2):
        repository.delegate(f"half-{number}", path_hash_prefixes=[f"{digit:x}" for digit in range(8 * number, 8 * number + 8)])
    wrong = 1 - int(hashlib.sha256(b"f1").hexdigest()[0], 16) // 8
    repository.add("f1", b"x", f"half-{wrong}")


# Endless data and other answers.

for _role, _file, _limit in (
    ("root", "3.root.json", "512000"),
    ("timestamp", "timestamp.json", "16384"),
    ("snapshot", "6.snapshot.json", ""),
    ("targets", "6.targets.json", ""),
    ("delegated", "6.apps.json", "5000000"),
):
    simple(f"endless: {_role}", f"{_file} has no end", f"{_file} has more than the {_limit}", serve={f"metadata/{_file}": "endless"})
simple("endless: a length without measure", "timestamp says that snapshot has 10^15 bytes", "has more than the 67108864 bytes that may be read",
       listed={"snapshot": to(length=10**15)}, serve={"metadata/6.snapshot.json": "endless"})
simple("endless: artifact", "hello.txt has no end", "is not the artifact that is signed:", serve={"files/hello.txt": "endless"})
simple("redirect: to a file, metadata", "302 to file:///etc/hostname", "leads to file:///etc/hostname, which is not followed", serve={"metadata/timestamp.json": {"redirect": "file:///etc/hostname"}})
simple("redirect: to a file, artifact", "302 to file:///etc/hostname", "leads to file:///etc/hostname, which is not followed", serve={"files/hello.txt": {"redirect": "file:///etc/hostname"}})
simple("redirect: in a circle, artifact", "302 to itself", "it leads on after 5 redirects", serve={"files/hello.txt": {"redirect": "/files/hello.txt"}})
simple("missing: snapshot", "404", "the repository has no 6.snapshot.json", serve={"metadata/6.snapshot.json": {"status": 404}})
simple("missing: artifact", "404", "there is no http", serve={"files/hello.txt": {"status": 404}})

# Artifacts.

simple("artifact: longer", "a byte more", "501 bytes instead of 500", files={"hello.txt": b"hello" * 100 + b"x"})
simple("artifact: shorter", "a byte less", "499 bytes instead of 500", files={"hello.txt": (b"hello" * 100)[:-1]})
simple("artifact: empty", "nothing", "0 bytes instead of 500", files={"hello.txt": b""})
simple("artifact: another one", "the content of another file of the repository", "3 bytes instead of 500", files={"hello.txt": b"app"})
for _algorithm in ("sha256", "sha384", "sha512", "blake2b-256"):

    def wrong_digest(repository, algorithm=_algorithm):
        repository.add("x.txt", b"right", hashes=[algorithm])
        return {"files": {"x.txt": b"wrong"}}

    attack(f"artifact: wrong {_algorithm}", "other content of the same length", f"its {_algorithm} is another", ask=["x.txt"])(wrong_digest)


@attack("artifact: one digest of two", "SHA-256 is right, SHA-512 is not", "its sha512 is another", ask=["x.txt"])
def one_of_two(repository):
    repository.add("x.txt", b"right", hashes=["sha256", "sha512"])
    repository.targets["targets"].targets["x.txt"].hashes["sha512"] = "00" * 64


@attack("artifact: weak digest", "MD5 alone", "none of its digests is of a known algorithm", ask=["x.txt"])
def weak(repository):
    repository.add("x.txt", b"right", hashes=["md5"])


@attack("artifact: without digest", "hashes is empty", "x.txt.hashes: must be digests", ask=["x.txt"])
def without(repository):
    repository.add("x.txt", b"right")
    return {"signed": {"targets": lambda signed: signed["targets"]["x.txt"].update(hashes={})}}


for _name, _why in (
    ("../../evil.txt", "a path must not have empty, . or .. segments"),
    ("/tmp/evil.txt", "a path must not start with /"),
    ("a/../../evil.txt", "a path must not have empty, . or .. segments"),
    ("..", "a path must not have empty, . or .. segments"),
    ("evil\n.txt", "a path must not contain control characters"),
    ("evil\x1b[2J", "a path must not contain control characters"),
    ("x" * 300, "the file would have a name of 300 bytes, file systems take 255"),
):

    def evil_name(repository, name=_name):
        repository.add(name if len(name) < 300 else "y", b"evil")
        if len(name) == 300:
            repository.targets["targets"].targets[name] = repository.targets["targets"].targets.pop("y")

    attack(f"artifact: name {ascii(_name)[:24]}", "signed, and asked for", _why, ask=[_name])(evil_name)


def main(out):
    tables = {"valid": [], "attacks": [], "base": str(out / "base")}
    for number, (name, more, make) in enumerate(VALID):
        stages = make(out / f"valid-{number}")
        tables["valid"].append({"name": name, "stages": [str(stage) for stage in stages], "absent": [], "hash_prefix": False} | more)
    repository = base()
    repository.publish(out / "base")
    for number, (name, how, expected, more, make) in enumerate(ATTACKS):
        attacked, directory = repository.clone(), out / f"attack-{number}"
        attacked.publish(directory, **(make(attacked) or {}))
        entry = {"name": name, "how": how, "expected": expected, "directory": str(directory), "ask": ["hello.txt", "apps/app.bin"]}
        tables["attacks"].append(entry | {"follows_root": False, "finds_nothing": False} | more)
    repository.publish(out / "next")
    tables["next"] = str(out / "next")
    print(json.dumps(tables))


def one(out, path, file):
    repository = Repository()
    repository.add(path, pathlib.Path(file).read_bytes())
    repository.publish(out)


if __name__ == "__main__":
    [main, None, one][len(sys.argv) - 2](pathlib.Path(sys.argv[1]), *sys.argv[2:])
