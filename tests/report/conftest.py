"""A run that was searched, and one in which every text is hostile."""

from dataclasses import replace
from pathlib import Path

import commands
import pytest
import runs
from boards import RUN, a_run, an_evaluation
from reports import PAYLOADS
from synthetic import CONFIG

from autoprompt import run
from autoprompt.leaderboard import DataRow, Leaderboard, Origin
from autoprompt.progress import Silent


@pytest.fixture(scope="module")
def searched(model_folders, corpus_folder, tmp_path_factory) -> tuple[run.SearchOptions, dict]:
    options = replace(
        runs.small(model_folders["llama"], corpus_folder, tmp_path_factory.mktemp("report")), max_evaluations=9,
        name="reviews",
    )  # fmt: skip
    with commands.inline():
        return options, run.search(options, Silent()).to_dict()


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A finished run in which every text that a stranger may choose is a payload."""
    board = tmp_path / "hostile.sqlite"
    labels = [f"{PAYLOADS[0]}{n}" for n in range(2)]
    best = an_evaluation("k0", PAYLOADS[2].replace("{", "").replace("}", "") + " {text}{label}")
    words = best.candidate.label_words.__class__(tuple(zip(labels, PAYLOADS[4:6], strict=True)))
    candidate = replace(best.candidate, label_words=words)
    shown = {"entry": best.entry, **candidate.to_dict(), "validation": best.score.to_dict(),
             "test": best.score.to_dict()}  # fmt: skip
    record = a_run(
        name=PAYLOADS[1], corpus=PAYLOADS[0], model=PAYLOADS[3], status="finished",
        config=CONFIG | {"warnings": list(PAYLOADS), "manifest": CONFIG["manifest"] | {
            "model": {"revision": "", "files": {PAYLOADS[1]: PAYLOADS[2]}}}},
        environment={PAYLOADS[0]: PAYLOADS[3]},
        result={"best": shown, "baselines": {"manual": shown}, "evaluations": 1, "frozen": 0, "seconds": 1.0,
                "difference": {"metric": PAYLOADS[0], "value": 0.1, "low": 0.0, "high": 0.2}},
    )  # fmt: skip
    rows = [DataRow(RUN, "test", f"r{n + 1}", {PAYLOADS[n]: PAYLOADS[n + 2]}, labels[1]) for n in range(2)]
    changes = {"candidate": candidate, "predictions": [labels[0]] * 2}
    with Leaderboard.open(board) as opened:
        opened.start_run(record, rows)
        opened.add(
            [replace(best, **changes), replace(best, key="k1", split="test", role="finalist", **changes)],
            [Origin(RUN, best.entry, PAYLOADS[1], [])],
        )
    return board
