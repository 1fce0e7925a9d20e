"""Manifest of what a result depends on (data, model, code, machine), and the differences between two manifests.

A manifest has four parts. If ``data`` or ``model`` differ, two results are of different things. If
``code`` or ``environment`` differ, the same computation may give results that differ in the last bits.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from autoprompt.candidate import SCORING_VERSION
from autoprompt.corpus import Corpus, Example
from autoprompt.errors import InputError
from autoprompt.files import sha256
from autoprompt.hashing import digest
from autoprompt.model_folder import model_files

PACKAGES = ("autoprompt-engine", "torch", "transformers", "tokenizers", "peft", "deap", "numpy", "scikit-learn")
INPUTS = ("data", "model")
_GIT_SECONDS = 5


@dataclass(frozen=True)
class Manifest:
    """The four parts, as plain JSON: another version of the program may have other facts in them."""

    data: Mapping[str, Any]
    model: Mapping[str, Any]
    code: Mapping[str, str | int]
    environment: Mapping[str, str]

    @classmethod
    def of(cls, corpus: Corpus, folder: Path, revision: str, device: str) -> Manifest:
        """The manifest of a run that begins now. ``folder``: the model's; its model files are read once."""
        rows = {"train": corpus.train, "validation": corpus.validation, "test": corpus.test}
        rows |= {"unlabeled": corpus.unlabeled} if corpus.unlabeled else {}
        return cls(
            data={
                "fingerprint": corpus.fingerprint,
                "revision": corpus.revision,
                "rows": {split: {"n": len(rows), "sha256": _ids(rows)} for split, rows in rows.items()},
            },
            model={"revision": revision, "files": files_of(folder)},
            code={"scoring": SCORING_VERSION, "source": source(), "commit": _commit()},
            environment=environment(device),
        )

    def stored(self) -> dict[str, Any]:
        """The parts that are stored with a run's configuration; the environment is stored beside it."""
        return {"data": self.data, "model": self.model, "code": self.code}

    def differences(self, now: Manifest, parts: Iterable[str]) -> list[str]:
        """Differences of a later manifest in these parts (``code``, or ``code.scoring``), such as
        ``data.revision is now 'b', was 'a'``."""
        old, new = _flat(vars(self)), _flat(vars(now))
        within = tuple(f"{part}." for part in parts)
        names = [name for name in dict.fromkeys([*old, *new]) if f"{name}.".startswith(within)]
        return [f"{n} is now {new.get(n)!r}, was {old.get(n)!r}" for n in names if old.get(n) != new.get(n)]


def files_of(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file that a model is loaded from, by name; shards in subfolders with ``/``.

    Raises InputError for a file that is missing or is not a regular file.
    """
    try:
        return {name: sha256(folder / name) for name in model_files(folder)}
    except OSError as error:
        raise InputError(f"The model in {folder} cannot be read ({error.strerror}); save it again.") from error


def environment(device: str) -> dict[str, str]:
    """Versions and machine: where all of it is equal, results of the same candidate are bit-identical."""
    import torch

    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "device": device,
        "dtype": "bfloat16 autocast" if device.startswith("cuda") else "float32",
        "threads": "1",
        **{name: _version(name) for name in PACKAGES},
    }


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {name: value}
    return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{name}.{key}" if name else key).items()}


def _ids(rows: Iterable[Example]) -> str:
    """Hash of the row ids in their order."""
    return digest("\n".join(row.row_id for row in rows))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@cache
def _processor() -> str:
    """Name of the processor, where the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


@cache
def source() -> str:
    """Hash of the package's own source files."""
    root = Path(__file__).parent
    return digest("\n".join(f"{p.relative_to(root).as_posix()} {sha256(p)}" for p in sorted(root.rglob("*.py"))))


@cache
def _commit() -> str:
    """Git commit of the source tree that contains this package; empty if it is not in a git repository."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), "rev-parse", "HEAD"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
