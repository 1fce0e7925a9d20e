"""Leaderboard records for tests: a run, a candidate and an evaluation with plain values."""

import subprocess
import sys
from dataclasses import replace

from paths import ROOT, TESTS
from synthetic import typed

from autoprompt.candidate import Candidate, Settings
from autoprompt.leaderboard import EvaluationRecord, RunConfig, RunRecord
from autoprompt.metrics import Score
from autoprompt.template import LabelWords, Template

RUN = "0123456789abcdef"
WORDS = LabelWords((("pos", "great"), ("neg", "bad")))


def a_run(run=RUN, **changes):
    config = RunConfig.from_dict({"budget": "5m", "n": 1})
    base = RunRecord(run, None, "reviews", "f" * 64, "tiny", 7, "hybrid", config, "2026-01-01T00:00:00+00:00")
    return replace(base, **typed(changes))


def a_candidate(text="Review: {text}\nSentiment: {label}", tuning="tail"):
    trained = {"learning_rate": 5e-4, "batch_size": 8, "epochs": 8, "rank": 8} if tuning != "none" else {}
    return Candidate(Template.parse(text), WORDS, Settings(tuning, **trained))


def an_evaluation(key, text="Review: {text}\nSentiment: {label}", loss=0.5, **changes):
    candidate = a_candidate(text)
    base = EvaluationRecord(
        run=RUN,
        key=key,
        entry=candidate.entry("f" * 64, "tiny", 7),
        candidate=candidate,
        role="search",
        split="validation",
        rung=1,
        fold=0,
        repeat=0,
        status="complete",
        reason=None,
        score=Score(loss, 0.75, "accuracy", 0.75, 4),
        log_probs=[[-0.25, -1.5], [-0.125, -2.0]],
        predictions=["pos", "pos"],
        row_ids=["r1", "r2"],
        readability=12.5,
        seconds=1.5,
        tokens=100,
        losses=[0.25, 2.0],
    )
    return replace(base, **changes)


WRITER = """
import os, resource, sys
sys.path[:0] = [{tests!r}, {root!r}]
from boards import an_evaluation
from autoprompt.errors import StorageError
from autoprompt.leaderboard import Leaderboard
path, kill, limit = sys.argv[1], sys.argv[2] == "kill", int(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    board = Leaderboard.open(path)
    board.add([an_evaluation(f"new {{n}}") for n in range(500 if limit else 5)])
    board.close()
except StorageError as error:
    print(error)
if kill:
    os.kill(os.getpid(), 9)
"""


def writing(path, *, kill=False, limit=0):
    """What a writer in a process of its own is told."""
    code = WRITER.format(tests=str(TESTS / "support"), root=str(ROOT))
    if kill:
        code = code.replace("    board.close()\n", "    os.kill(os.getpid(), 9)\n")
    command = [sys.executable, "-c", code, str(path), "kill" if kill else "stay", str(limit)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout.strip()
