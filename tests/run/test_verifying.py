"""Doing an entry's evaluations again."""

import json
from dataclasses import replace
from pathlib import Path

import commands
import pytest

from autoprompt import run
from autoprompt.errors import InputError, NotFoundError, VerificationError
from autoprompt.hashing import canonical_json
from autoprompt.leaderboard import EvaluationRecord, Leaderboard
from autoprompt.progress import Silent


@pytest.fixture(scope="module")
def searched(model_folders, corpus_folder, tmp_path_factory) -> tuple[run.SearchOptions, dict]:
    """A search of each kind of evaluation: frozen, stopped early, complete, in folds, on test rows."""
    folder = tmp_path_factory.mktemp("verify")
    (folder / "small.toml").write_text("[search]\npool = 5\nsurvivors = 4\nfinalists = 2\n")
    commands.copied(corpus_folder, folder / "corpus")
    options = run.SearchOptions(
        corpus=str(folder / "corpus"),
        model=run.ModelOptions(str(model_folders["llama"]), "cpu", 1),
        max_evaluations=11,
        leaderboard=folder / "lb.sqlite",
        config=folder / "small.toml",
        fix={"epochs": 4},
    )
    with commands.inline():
        return options, run.search(options, Silent()).to_dict()


def kind_of(evaluation: EvaluationRecord) -> tuple[str, str, int]:
    return evaluation.split, evaluation.status, evaluation.rung


def verified(options: run.SearchOptions, entry: str) -> dict:
    with commands.inline():
        return run.verify(entry, options.leaderboard, Silent()).to_dict()


def test_every_evaluation_of_a_run_is_exact(searched):
    options, found = searched
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        stored = [e for e in board.evaluations() if e.status != "failed" and e.losses]
    kinds = set(map(kind_of, stored))
    assert {("frozen", "pruned", 0), ("validation", "pruned", 1), ("validation", "complete", 2),
            ("test", "complete", 1)} <= kinds  # fmt: skip
    with commands.inline():
        whole = run.verify_run(found["run"], options.leaderboard, Silent()).to_dict()
    assert (whole["verdict"], whole["flipped"], whole["changed"]) == ("exact", 0, [])
    assert {entry["entry"] for entry in whole["entries"]} == {e.entry for e in stored}
    assert whole["n"] == sum(len(e.predictions) for e in stored)
    # One entry alone comes to the same: one that was stopped early, and the winner.
    behind = next(e.entry for e in stored if kind_of(e) == ("validation", "pruned", 1))
    for entry in (behind, found["best"]["entry"]):
        result = verified(options, entry)
        assert (result["verdict"], result["flipped"], result["changed"]) == ("exact", 0, []), result
        assert result["n"] == sum(len(e.predictions) for e in stored if e.entry == entry)


def edited(options: run.SearchOptions, tmp_path: Path, **changes: str) -> tuple[run.SearchOptions, str]:
    """A copy of the leaderboard in which the winner's losses, or facts of its run, are others."""
    board = tmp_path / "edited.sqlite"
    with Leaderboard.open(options.leaderboard, read_only=True) as old, Leaderboard.open(board) as new:
        (record,) = old.runs()
        new.start_run(replace(record, environment=record.environment | changes.get("environment", {})))
        stored = [e for e in old.evaluations() if e.entry == record.winner and e.split == "test"]
        shift = changes.get("shift", 0.0)
        new.add([replace(e, losses=[loss + shift for loss in e.losses]) for e in stored])
    return replace(options, leaderboard=board), record.winner


@pytest.mark.parametrize(
    ("shift", "torch", "verdict"),
    [(0.0, None, "exact"), (0.01, None, "different"), (0.0, "1.0", "exact"), (0.01, "1.0", "within"),
     (0.2, "1.0", "different")],
)  # fmt: skip
def test_other_numbers_are_forgiven_where_the_versions_are_others(searched, tmp_path, shift, torch, verdict):
    environment = {} if torch is None else {"torch": torch}
    options, entry = edited(searched[0], tmp_path, shift=shift, environment=environment)
    result = verified(options, entry)
    assert result["verdict"] == verdict
    assert [line.partition(" ")[0] for line in result["changed"]] == [f"environment.{name}" for name in environment]


def test_fault_53_the_data_or_the_model_changed(searched):
    options, result = searched
    train = next(Path(options.corpus).glob("train*"))
    whole = train.read_text(encoding="utf-8")
    train.write_text(whole.replace("a", "o", 1), encoding="utf-8")
    try:
        with pytest.raises(VerificationError, match=r"data\.fingerprint is now .*, was "):
            verified(options, result["best"]["entry"])
    finally:
        train.write_text(whole, encoding="utf-8")
    assert verified(options, result["best"]["entry"])["verdict"] == "exact"


def test_the_command(searched, capsys, tmp_path):
    options, result = searched
    entry = result["best"]["entry"]
    shown = commands.call(capsys, "verify", entry[:10], "--leaderboard", options.leaderboard, "--json")
    assert shown.code == 0, shown.err
    assert json.loads(shown.out)["verdict"] == "exact"
    shown = commands.call(capsys, "verify", entry[:10], "--leaderboard", options.leaderboard)
    assert "exact, 0 of" in shown.out
    other, _ = edited(options, tmp_path, shift=0.5)
    shown = commands.call(capsys, "verify", entry, "--leaderboard", other.leaderboard, "--json")
    assert shown.code == 6
    assert json.loads(shown.out)["verdict"] == "different"
    shown = commands.call(capsys, "verify", "--run", result["run"], "--leaderboard", other.leaderboard)
    assert shown.code == 6
    assert entry[:12] in shown.out
    assert "different, 0 of 1 entries exact" in shown.out
    for wrong in ((), (entry, "--run", result["run"])):
        refused = commands.call(capsys, "verify", *wrong, "--leaderboard", options.leaderboard)
        commands.refused(refused, 2, "ENTRY", "--run RUN")


def test_what_has_nothing_to_verify(searched, tmp_path):
    options, result = searched
    board = tmp_path / "failed.sqlite"
    with Leaderboard.open(options.leaderboard, read_only=True) as old, Leaderboard.open(board) as new:
        (record,) = old.runs()
        new.start_run(record)
        (one,) = [e for e in old.evaluations() if e.entry == record.winner and e.split == "test"]
        new.add([replace(one, status="failed", reason="it hung", score=None, losses=[], log_probs=[],
                         predictions=[], row_ids=[])])  # fmt: skip
    with pytest.raises(InputError, match="it hung"):
        verified(replace(options, leaderboard=board), result["best"]["entry"])
    with pytest.raises(NotFoundError):
        verified(options, "0123456789")


def test_the_manifest_names_what_a_run_depends_on(searched):
    options, result = searched
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        record = board.run(result["run"])
    facts = record.config.manifest.to_dict()
    assert {"fingerprint", "rows", "revision"} <= facts["data"].keys()
    assert facts["data"]["rows"]["train"]["n"] == 24
    assert len(facts["model"]["files"]["model.safetensors"]) == 64
    assert {"tokenizer.json", "config.json"} <= facts["model"]["files"].keys()
    assert {"scoring", "source"} <= facts["code"].keys()
    assert {"torch", "transformers", "python", "processor", "device", "dtype"} <= record.environment.keys()
    assert canonical_json(facts)
