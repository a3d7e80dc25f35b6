"""python-tuf's client as a judge. One JSON command a line on standard input, one JSON answer a line on standard output.

Every command has "do", and names a repository by "url" (where its metadata is) and "root" (the file of its first root).
"cache" is a directory that the client keeps between commands; without it, each command is a new client's.

    refresh                          → {"ok": {"root": 1, "timestamp": 7, "snapshot": 7, "targets": 1}}
    find, "paths"                    → {"ok": {path: {"length": …, "hashes": {…}} or null, …}}
    download, "path", "targets_url"  → {"ok": {"length": …, "sha256": …}}
    serve, "directory"               → {"ok": "http://127.0.0.1:…"}, the files of a directory, until this program ends
    watch, "paths"                   → {"ok": null}, and from now on a client with a cache and new ones take turns to
                                       refresh and to look one of the paths up
    expect, "paths"                  → {"ok": null}, and from now on the watch takes it for a refusal when one of these
                                       is not found, too
    forget, "paths"                  → {"ok": null}, and it does no longer, with lookups that began before included
    seen                             → {"ok": 17}, how often the watch has accepted the repository so far
    rest                             → {"ok": {"refreshed": …, "unreachable": …, "refused": [text, …]}}, what the watch
                                       has seen, and its end

What goes wrong is {"unreachable": text} if the server was not there, and {"refused": text} if the client does not accept
what it was given, which a missing file belongs to.
"""

import functools
import hashlib
import http.server
import itertools
import json
import pathlib
import sys
import tempfile
import threading
import traceback

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError
from tuf.ngclient import Updater
from tuf.ngclient.urllib3_fetcher import Urllib3Fetcher


def is_unreachable(error):
    if isinstance(error, DownloadHTTPError):
        return error.status_code >= 500
    if isinstance(error, DownloadLengthMismatchError):
        return False
    return isinstance(error, (DownloadError, urllib3.exceptions.HTTPError))


def outcome(function, *arguments):
    """The answer to a command, whatever happens."""
    try:
        return {"ok": function(*arguments)}
    except Exception as error:
        if is_unreachable(error):
            return {"unreachable": f"{type(error).__name__}: {error}"}
        return {"refused": "".join(traceback.format_exception_only(error)).strip() + cause_of(error)}


def cause_of(error):
    cause = error.__cause__ or error.__context__
    return f" (after {type(cause).__name__}: {cause})" if cause else ""


class Repository:
    """What a client knows of a repository before its first contact, and where it keeps what it learns."""

    def __init__(self, command):
        self.url = command["url"].rstrip("/") + "/"
        self.root = pathlib.Path(command["root"]).read_bytes()
        self.cache = command.get("cache")

    def updater(self, cache, **options):
        pathlib.Path(cache).mkdir(parents=True, exist_ok=True)
        return Updater(
            metadata_dir=str(cache),
            metadata_base_url=self.url,
            fetcher=Urllib3Fetcher(socket_timeout=20),
            bootstrap=self.root,
            **options,
        )

    def with_updater(self, use, **options):
        """Calls `use` with a client that has refreshed."""
        with tempfile.TemporaryDirectory() as fresh:
            updater = self.updater(self.cache or fresh, **options)
            updater.refresh()
            return use(updater)


def versions(updater):
    trusted = updater._trusted_set
    return {role: getattr(trusted, role).version for role in ("root", "timestamp", "snapshot", "targets")}


def refresh(command):
    return Repository(command).with_updater(versions)


def find(command):
    def look(updater):
        found = {}
        for path in command["paths"]:
            info = updater.get_targetinfo(path)
            found[path] = info and info.to_dict()
        return found

    return Repository(command).with_updater(look)


def download(command):
    def fetch(updater):
        info = updater.get_targetinfo(command["path"])
        if info is None:
            raise LookupError(f"{command['path']} is not a target")
        content = pathlib.Path(updater.download_target(info)).read_bytes()
        return {"length": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    with tempfile.TemporaryDirectory() as targets:
        return Repository(command).with_updater(
            fetch, target_dir=targets, target_base_url=command["targets_url"]
        )


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve(command):
    handler = functools.partial(QuietFiles, directory=command["directory"])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


class Watch:
    """Looks paths up without a pause. Every other client is new, the rest go on with what they trusted before."""

    def __init__(self, command):
        self.repository = Repository(command)
        self.paths = itertools.cycle(command["paths"])
        self.expected = []
        self.turns = 0
        self.over = threading.Event()
        self.refreshed = 0
        self.unreachable = 0
        self.refused = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        with tempfile.TemporaryDirectory() as kept:
            while not self.over.is_set():
                self.turn(kept)
                with tempfile.TemporaryDirectory() as fresh:
                    self.turn(fresh)

    def turn(self, cache):
        answer = outcome(self.refresh, cache)
        if "ok" in answer:
            self.refreshed += 1
        elif "unreachable" in answer:
            self.unreachable += 1
            self.over.wait(0.005)
        else:
            self.refused.append(answer["refused"])

    def refresh(self, cache):
        expected = list(self.expected)
        self.turns += 1
        updater = self.repository.updater(cache)
        updater.refresh()
        updater.get_targetinfo(next(self.paths))
        if expected:
            path = expected[self.turns // 2 % len(expected)]
            if updater.get_targetinfo(path) is None and path in self.expected:
                raise LookupError(f"{path} is not found any more")

    def rest(self):
        self.over.set()
        self.thread.join()
        return {
            "refreshed": self.refreshed,
            "unreachable": self.unreachable,
            "refused": self.refused,
        }


class Judge:
    def __init__(self):
        self.watching = None

    def watch(self, command):
        self.watching = Watch(command)

    def expect(self, command):
        self.watching.expected = self.watching.expected + command["paths"]

    def forget(self, command):
        self.watching.expected = [path for path in self.watching.expected if path not in command["paths"]]

    def seen(self, _):
        return self.watching.refreshed

    def rest(self, _):
        return self.watching.rest()

    def answer(self, command):
        commands = {
            "refresh": refresh,
            "find": find,
            "download": download,
            "serve": serve,
            "watch": self.watch,
            "expect": self.expect,
            "forget": self.forget,
            "seen": self.seen,
            "rest": self.rest,
        }
        return outcome(commands[command["do"]], command)


def main():
    judge = Judge()
    for line in sys.stdin:
        print(json.dumps(judge.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
