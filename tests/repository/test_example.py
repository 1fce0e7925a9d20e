"""The example project: a winner's best.py in a Python that has nothing else."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from paths import ROOT, TESTS

EXAMPLE = TESTS / "example"
TEXTS = ["a gorgeous, witty film", "{label} dull {text} —\tand long"]


def run(folder: Path, what: str, lines: list[str]) -> list[str]:
    """Without site packages and without this repository."""
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-s", "triage.py", what], input="\n".join(lines) + "\n", cwd=folder, text=True,
        capture_output=True, check=True, timeout=60, encoding="utf-8",
    )  # fmt: skip
    return done.stdout.splitlines()


def test_the_example_has_only_the_exported_file(tmp_path):
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLE, folder)
    namespace: dict = {}
    exec((folder / "best.py").read_text(encoding="utf-8"), namespace)  # noqa: S102
    sent = [json.loads(line) for line in run(folder, "requests", TEXTS)]
    assert [request["prompt"] for request in sent] == [namespace["render"](text=text) for text in TEXTS]
    assert all(text in request["prompt"] for text, request in zip(TEXTS, sent, strict=True))
    words = namespace["LABEL_WORDS"]
    answers = [f" {word.upper()}, since" for word in words.values()]
    assert run(folder, "labels", [*answers, "no idea"]) == [*words, "unknown"]


def test_the_example_s_prompt_was_found_by_a_search():
    """It is the reference report's winner."""
    namespace: dict = {}
    exec((EXAMPLE / "best.py").read_text(encoding="utf-8"), namespace)  # noqa: S102
    report = (ROOT / "results" / "reference" / "report.md").read_text(encoding="utf-8")
    assert namespace["PROVENANCE"]["entry"] in report
