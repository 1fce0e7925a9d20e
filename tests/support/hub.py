"""A Hub of our own on a local port, for the real Hub libraries: repositories of files, by commit, tag and branch.

What it answers is what huggingface_hub and datasets ask for; nothing of either is replaced.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from paths import ROOT

NO_TENSORS = "\2" + "\0" * 7 + "{}"
"""A safetensors file of none."""
_ERRORS = {"RepoNotFound": 401, "GatedRepo": 401, "RevisionNotFound": 404, "EntryNotFound": 404}


@dataclass(frozen=True)
class Repository:
    """The files of each commit, and what names lead to it."""

    commits: Mapping[str, Mapping[str, str]]
    names: Mapping[str, str]
    gated: bool = False


def repository(*versions: Mapping[str, str], gated: bool = False, **tags: int) -> Repository:
    """Versions of path to content, the last one as ``main``; tags give the index of a version."""
    ids = [hashlib.sha1(f"{n}{sorted(files.items())}".encode()).hexdigest() for n, files in enumerate(versions)]  # noqa: S324
    names = {"main": ids[-1], **{tag: ids[n] for tag, n in tags.items()}, **{commit: commit for commit in ids}}
    return Repository(dict(zip(ids, versions, strict=True)), names, gated)


class _Refused(Exception):  # noqa: N818
    """An answer with one of the Hub's error codes."""


def _handler(repositories: Mapping[str, Repository], moved: Mapping[str, str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: Any) -> None:
            """Nothing."""

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {}
            try:
                place = self._new_place()
                if place:
                    body, headers = b"", {"Location": place}
                    self.send_response(307)
                else:
                    body, headers = self._body(sent)
                    self.send_response(200)
            except _Refused as refused:
                body, headers = b"", {"X-Error-Code": str(refused), "X-Error-Message": "Access is restricted."}
                self.send_response(_ERRORS[str(refused)])
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _new_place(self) -> str | None:
            for old, new in moved.items():
                match = re.match(
                    rf"(/(?:api/)?datasets/){re.escape(old)}(?=/(?:resolve|revision|tree|paths-info)/|$)", self.path
                )
                if match:
                    return f"{match[1]}{new}{self.path[match.end() :]}"
            return None

        def _body(self, sent: bytes) -> tuple[bytes, dict[str, str]]:
            path = unquote(urlsplit(self.path).path).strip("/")
            api = path.startswith("api/")
            name, found, rest = self._repository(re.sub(r"^(api/)?(datasets/|models/)?", "", path))
            verb, _, rest = rest.partition("/")
            revision, inner = _split(rest, found.names) if verb else ("main", "")
            commit = found.names[revision]
            files = found.commits[commit]
            if not api and verb == "resolve":
                if found.gated and inner != "README.md":
                    raise _Refused("GatedRepo")
                if inner not in files:
                    raise _Refused("EntryNotFound")
                content = files[inner].encode()
                return content, {"X-Repo-Commit": commit, "ETag": f'"{_id(content)}"'}
            listed = [_entry(place, content) for place, content in files.items() if place.startswith(inner)]
            if verb == "tree":
                return json.dumps(listed).encode(), {}
            if verb == "paths-info":
                wanted = parse_qs(sent.decode()).get("paths") or json.loads(sent).get("paths")
                return json.dumps([entry for entry in listed if entry["path"] in wanted]).encode(), {}
            siblings = [{"rfilename": place} for place in files]
            return json.dumps({"id": name, "sha": commit, "siblings": siblings}).encode(), {}

        def _repository(self, path: str) -> tuple[str, Repository, str]:
            for name, found in repositories.items():
                if path == name or path.startswith(f"{name}/"):
                    return name, found, path.removeprefix(name).strip("/")
            raise _Refused("RepoNotFound")

    return Handler


def _split(rest: str, names: Mapping[str, str]) -> tuple[str, str]:
    """A revision, which may hold slashes, and the path behind it."""
    for name in sorted(names, key=len, reverse=True):
        if rest == name or rest.startswith(f"{name}/"):
            return name, rest.removeprefix(name).strip("/")
    raise _Refused("RevisionNotFound")


def _entry(place: str, content: str) -> dict[str, Any]:
    return {"type": "file", "path": place, "size": len(content.encode()), "oid": _id(content.encode())}


def _id(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()  # noqa: S324


@contextmanager
def serve(repositories: Mapping[str, Repository], moved: Mapping[str, str]) -> Iterator[str]:
    """The address of a running Hub; ``moved`` are old names of repositories, which it redirects."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(repositories, moved)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


_CLIENT = """
import json, sys, time
from autoprompt import corpus, errors
answers = []
for source, options in json.loads(sys.argv[1]):
    started = time.monotonic()
    try:
        found = corpus.load(source, **options)
        answer = {name: getattr(found, name) for name in ("name", "task", "fields", "labels", "revision", "warnings")}
        for split in ("train", "validation", "test"):
            answer[split] = [[row.fields, row.label] for row in getattr(found, split)]
    except errors.AutopromptError as error:
        answer = {"error": str(error), "code": error.exit_code}
    answers.append(answer | {"seconds": time.monotonic() - started})
print(json.dumps(answers))
"""


_MODELS = """
import json, sys, time
from autoprompt import errors
from autoprompt.models import locate_model
answers = []
for name in json.loads(sys.argv[1]):
    started = time.monotonic()
    try:
        found = locate_model(name)
        answer = {"family": found.family, "revision": found.revision, "hidden": found.config["hidden_size"]}
    except errors.AutopromptError as error:
        answer = {"error": str(error), "code": error.exit_code}
    answers.append(answer | {"seconds": time.monotonic() - started})
print(json.dumps(answers))
"""


def locate(home: Path, *names: str, **environment: str) -> list[dict[str, Any]]:
    """What ``locate_model`` says to each name, in one process that starts with this environment and cache."""
    return _ask(home, _MODELS, names, environment)


def load(home: Path, *calls: tuple[str, dict[str, Any]], **environment: str) -> list[dict[str, Any]]:
    """What ``corpus.load`` says to each call, in one process that starts with this environment and cache."""
    return _ask(home, _CLIENT, calls, environment)


def _ask(home: Path, client: str, calls: Any, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", client, json.dumps(calls)],
        cwd=home,
        env=env
        | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONPATH": str(ROOT), "HF_HOME": str(home / "hf")}
        | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout)
