"""Searches with every family and with what a template can hold, from the command line to the leaderboard."""

import json
from types import SimpleNamespace

import commands
import contract
import pytest
import tiny
import tiny_families
import torch

from autoprompt.evaluator import Evaluation, Rung
from autoprompt.evaluator.scoring import to_evaluation
from autoprompt.leaderboard import Leaderboard
from autoprompt.template import LabelWords, Template

KINDS = ("bert", "roberta", "deberta", "t5", "bart", "encoder", "bert-head")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("families")
    return {name: tiny_families.save(name, root / name) for name in KINDS}


def _search(capsys, corpus_folder, model, board, *options):
    config = board.with_suffix(".toml")
    config.write_text("[search]\npool = 4\nsurvivors = 2\n")
    return commands.call(
        capsys, "search", corpus_folder, "--model", model, "--max-evaluations", 5, "--fix", "epochs=1",
        "--config", config, "--leaderboard", board, *options, "--json",
    )  # fmt: skip


@pytest.mark.parametrize("name", contract.models(KINDS))
def test_a_search_with_each_family(capsys, folders, corpus_folder, tmp_path, name):
    result = _search(capsys, corpus_folder, folders[name], tmp_path / "lb.sqlite")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    classifier = tiny_families.FAMILY[name] == "classifier"
    assert found["evaluations"] == 5
    for row in (found["best"], found["baselines"]["manual_tuned"]):
        assert row["settings"]["tuning"] == "lora"
        assert bool(row["label_words"]) != classifier
        assert 0 <= row["test"]["accuracy"] <= 1
    # A fresh head knows nothing before it is tuned.
    assert (found["baselines"]["manual"] is None) == (name == "encoder")
    with Leaderboard.open(tmp_path / "lb.sqlite", read_only=True) as board:
        (run,) = board.runs()
        assert run.config.family == tiny_families.FAMILY[name]
        statuses = {e.reason for e in board.evaluations(run.id) if e.status == "failed"}
    assert all("cannot be tuned" in reason for reason in statuses), statuses


@pytest.mark.parametrize(("name", "tuning"), [("bert", "tail"), ("t5", "head"), ("encoder", "tail")])
def test_modes_that_make_no_sense_are_refused_before_the_model_is_loaded(
    capsys, folders, corpus_folder, tmp_path, name, tuning
):
    result = _search(capsys, corpus_folder, folders[name], tmp_path / "lb.sqlite", "--tuning", tuning)
    commands.refused(result, 2, tuning, "lora")
    assert not (tmp_path / "lb.sqlite").exists()


def test_a_masked_checkpoint_can_serve_as_a_classifier(capsys, folders, corpus_folder, tmp_path):
    result = _search(
        capsys, corpus_folder, folders["bert"], tmp_path / "lb.sqlite", "--family", "classifier", "--tuning", "head"
    )
    assert result.code == 0, result.err
    assert json.loads(result.out)["best"]["settings"]["tuning"] == "head"


def test_texts_are_refused_where_a_family_writes_none(capsys, folders, tmp_path):
    path = tmp_path / "talks.jsonl"
    path.write_text("".join(json.dumps({"talk": f"t {n}", "gist": f"g {n}"}) + "\n" for n in range(90)))
    result = commands.call(
        capsys, "search", path, "--target-column", "gist", "--model", folders["bert"], "--leaderboard", tmp_path / "l"
    )
    commands.refused(result, 2, "masked", "generates no text")


def test_solved_examples_vectors_and_calibration_are_searched(capsys, model_folders, corpus_folder, tmp_path):
    config = tmp_path / "search.toml"
    config.write_text(
        "[search]\npool = 8\nsurvivors = 7\n[settings]\ncalibration = [false, true]\n"
        "[template]\ndemos = [0, 2]\nsoft = [0, 4]\n"
    )
    result = commands.call(
        capsys, "search", corpus_folder, "--model", model_folders["llama"], "--max-evaluations", 10, "--strategy",
        "random", "--fix", "epochs=1", "--config", config, "--leaderboard", tmp_path / "lb.sqlite", "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    with Leaderboard.open(tmp_path / "lb.sqlite", read_only=True) as board:
        (run,) = board.runs()
        tuned = [e for e in board.evaluations(run.id) if e.rung > 0 and e.status == "complete"]
    candidates = [e.candidate for e in tuned]
    assert {c.template.demos for c in candidates} == {0, 2}
    assert {c.template.soft for c in candidates} == {0, 4}
    assert {c.settings.calibration for c in candidates} == {False, True}
    for evaluation in tuned:
        shown = {demo.row_id for demo in evaluation.candidate.demos}
        assert len(shown) == evaluation.candidate.template.demos
        assert not shown & set(evaluation.row_ids), "nobody is judged by a solved example"


def test_folds_and_repeats_of_the_finalists(capsys, model_folders, corpus_folder, tmp_path):
    result = _search(
        capsys, corpus_folder, model_folders["llama"], tmp_path / "lb.sqlite", "--folds", 3, "--repeats", 2
    )
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert len(found["spread"]["values"]) == 6
    assert found["spread"]["deviation"] >= 0
    with Leaderboard.open(tmp_path / "lb.sqlite", read_only=True) as board:
        (run,) = board.runs()
        parts = [e for e in board.evaluations(run.id) if e.rung == 2 and e.entry == found["best"]["entry"]]
    assert {(e.fold, e.repeat) for e in parts} == {(fold, repeat) for fold in (1, 2, 3) for repeat in (0, 1)}
    for repeat in (0, 1):
        rows = [row for e in parts if e.repeat == repeat for row in e.row_ids]
        assert len(rows) == len(set(rows)) == 48, "each row of train and validation is judged once"
    a, b = (next(e for e in parts if (e.fold, e.repeat) == (1, repeat)) for repeat in (0, 1))
    assert a.row_ids == b.row_ids
    assert a.log_probs != b.log_probs


def test_calibration_takes_the_words_prior_away(capsys, model_folders, corpus_folder, tmp_path):
    shown = {}
    for fixed in ("false", "true"):
        result = commands.call(
            capsys, "search", corpus_folder, "--model", model_folders["llama"], "--tuning", "none",
            "--max-evaluations", 2, "--fix", f"calibration={fixed}", "--leaderboard", tmp_path / "lb.sqlite", "--json",
        )  # fmt: skip
        assert result.code == 0, result.err
        shown[fixed] = json.loads(result.out)["baselines"]["manual_tuned"]
    assert "calibration" not in shown["false"]["settings"]
    assert shown["true"]["settings"]["calibration"] is True
    assert shown["true"]["validation"]["loss"] != shown["false"]["validation"]["loss"]


def test_fault_27_constant_predictions_are_scored_and_flagged(corpus):
    worker = SimpleNamespace(labels=corpus.labels, gold=lambda rows: [corpus.labels.index(r.label) for r in rows])
    candidate = tiny.prompt_of(Template.parse("{text}{label}"), LabelWords.of(tiny.WORDS, corpus.labels))
    task = Evaluation(candidate, Rung.TUNED)
    rows = corpus.validation
    leaning = torch.tensor([[-0.1, -2.4]] * len(rows))
    constant = to_evaluation(task, worker, rows, leaning)
    assert (constant.status, constant.reason) == ("complete", "constant predictions")
    assert constant.loss == pytest.approx(1.25)
    leaning[0] = leaning[0].flip(0)
    assert to_evaluation(task, worker, rows, leaning).reason is None
