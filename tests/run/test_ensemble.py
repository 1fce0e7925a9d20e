"""Several prompts in one file: they are the run's own, predict by the mean of their probabilities, and are checked."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import commands
import numpy as np
import pytest
import runs
import tiny

from autoprompt import load, run
from autoprompt.corpus import load as load_corpus
from autoprompt.errors import InputError, NotFoundError, StorageError, UsageError, VerificationError
from autoprompt.leaderboard import Leaderboard
from autoprompt.progress import Silent
from autoprompt.search_result import SearchResult

TEXTS = [row["text"] for row in tiny.rows(2)]


@pytest.fixture(scope="module")
def together(finished, tmp_path_factory) -> tuple[Path, dict, Path]:
    """A finished run's leaderboard, its result, and three of its prompts in one file."""
    options, result = finished
    out = tmp_path_factory.mktemp("together") / "best.json"
    written = run.export_ensemble(result["best"]["entry"], options.leaderboard, out, 3, Silent())
    assert written[0] == out
    assert set(written[1:]) == set(out.parent.glob("best.weights/*/*"))
    return options.leaderboard, result, out


def test_the_winner_comes_first_then_the_best_others_as_they_were_trained(together, corpus_folder, tmp_path):
    board, result, out = together
    first, *others = load(out).members
    assert first.entry == result["best"]["entry"]
    assert len({first.entry, *(other.entry for other in others)}) == 3
    with Leaderboard.open(board, read_only=True) as opened:
        run.export(opened, first.entry, tmp_path / "best.json", with_weights=True)
        stored = {e.entry: e for e in opened.evaluations(result["run"]) if (e.split, e.rung) == ("validation", 1)}
    assert load(tmp_path / "best.json").weights.files == first.weights.files
    rows = [dict(row.fields) for row in load_corpus(str(corpus_folder)).validation]
    for member in (first, *others):
        assert member.scores["validation"]["n"] >= len(rows)
        found = np.log(member.predict_proba(rows))
        assert found == pytest.approx(np.array(stored[member.entry].log_probs), abs=1e-4)


def test_a_winner_that_was_trained_once_more_predicts_as_its_scores_say(model_folders, corpus_folder, tmp_path):
    options = replace(runs.small(model_folders["llama"], corpus_folder, tmp_path), refit=True)
    result = run.search(options, Silent()).to_dict()
    run.export_ensemble(result["best"]["entry"], options.leaderboard, tmp_path / "best.json", 2, Silent())
    first = load(tmp_path / "best.json").members[0]
    rows = [{**row.fields, "label": row.label} for row in load_corpus(str(corpus_folder)).test]
    assert first.scores["test"]["accuracy"] == result["versions"]["refit"]["test"]["accuracy"]
    assert first.evaluate(rows)["loss"] == pytest.approx(result["versions"]["refit"]["test"]["loss"], abs=1e-4)
    assert result["versions"]["single"]["test"]["loss"] != pytest.approx(first.evaluate(rows)["loss"], abs=1e-4)


def test_probabilities_are_the_mean_and_labels_the_most_probable(together):
    prompt = load(together[2])
    each = np.array([member.predict_proba(TEXTS) for member in prompt.members])
    assert np.abs(each[0] - each[1]).max() > 1e-4, "they differ"
    assert prompt.predict_proba(TEXTS) == pytest.approx(each.mean(axis=0), abs=1e-12)
    assert prompt.predict(TEXTS) == [prompt.labels[place] for place in each.mean(axis=0).argmax(axis=1)]
    labelled = [{"text": text, "label": label} for text, label in zip(TEXTS, prompt.predict(TEXTS), strict=True)]
    assert prompt.evaluate(labelled)["accuracy"] == 1.0
    frozen = np.array([member.predict_proba(TEXTS, frozen=True) for member in prompt.members])
    assert prompt.predict_proba(TEXTS, frozen=True) == pytest.approx(frozen.mean(axis=0), abs=1e-12)
    assert prompt.predict_proba([]).shape == (0, 2)
    assert prompt.render(text="x") == prompt.members[0].render(text="x")
    assert "together=3" in repr(prompt)


def test_it_is_fitted_together(together):
    rows = [{"text": row["text"], "label": row["label"]} for row in tiny.rows(0)]
    prompt = load(together[2])
    fitted = [member.fit(rows).predict_proba(TEXTS) for member in prompt.members]
    assert prompt.fit(rows).predict_proba(TEXTS) == pytest.approx(np.mean(fitted, axis=0), abs=1e-12)


def test_a_command_writes_it_and_another_predicts(together, tmp_path, capsys):
    board, result, out = together
    (tmp_path / "here").mkdir()
    where = tmp_path / "here" / "best.json"
    done = commands.call(
        capsys, "export", "--run", result["run"], "--out", where, "--ensemble", "3", "--leaderboard", board
    )
    assert done.code == 0, done.err
    assert load(where) == load(out)
    moved = tmp_path / "moved"
    (tmp_path / "here").rename(moved)
    done = commands.call(capsys, "predict", moved / "best.json", *TEXTS[:3], "--json")
    assert done.code == 0, done.err
    assert [one["label"] for one in json.loads(done.out)["predictions"]] == load(out).predict(TEXTS[:3])


def test_a_result_writes_it(together, tmp_path):
    board, result, out = together
    found = SearchResult(run.resume(result["run"], board, Silent()), board)
    written = found.export(tmp_path / "best.json", ensemble=3, progress=False)
    assert load(written[0]) == load(out)


def test_one_prompt_takes_the_place_of_several_and_the_other_way_round(together, tmp_path):
    board, result, _ = together
    out = tmp_path / "best.json"
    run.export_ensemble(result["best"]["entry"], board, out, 2, Silent())
    assert len(list((tmp_path / "best.weights").iterdir())) == 2
    with Leaderboard.open(board, read_only=True) as opened:
        run.export(opened, result["best"]["entry"], out, with_weights=True)
    assert len(list((tmp_path / "best.weights").iterdir())) == 1
    assert load(out).members == (load(out),)
    assert load(out).predict(TEXTS)
    run.export_ensemble(result["best"]["entry"], board, out, 2, Silent())
    assert len(list((tmp_path / "best.weights").iterdir())) == len(load(out).members) == 2


@pytest.mark.usefixtures("inline")
def test_without_a_fine_tune_the_pretrained_model_predicts_with_each(model_folders, corpus_folder, tmp_path):
    options = replace(runs.small(model_folders["llama"], corpus_folder, tmp_path), max_evaluations=4, fix={})
    options = replace(options, model=replace(options.model, tuning="none"))
    result = run.search(options, Silent())
    out = tmp_path / "best.json"
    assert run.export_ensemble(result.best.entry, options.leaderboard, out, 3, Silent()) == [out]
    prompt = load(out)
    each = np.array([member.predict_proba(TEXTS) for member in prompt.members])
    assert prompt.predict_proba(TEXTS) == pytest.approx(each.mean(axis=0), abs=1e-12)


@pytest.mark.parametrize(("count", "name", "kind", "said"), [
    (1, "best.json", UsageError, "ensemble=1 is not between 2 and 64; give another number"),
    (65, "best.json", UsageError, "ensemble=65 is not between 2 and 64"),
    (2, "best.py", UsageError, "best.py; name it best.json"),
    (60, "best.json", InputError, "prompts that can predict together; ask for ensemble of at most as many"),
])  # fmt: skip
def test_what_cannot_be_written(together, tmp_path, count, name, kind, said):
    board, result, _ = together
    with pytest.raises(kind, match=said):
        run.export_ensemble(result["best"]["entry"], board, tmp_path / name, count, Silent())
    assert not list(tmp_path.iterdir())


def test_an_unknown_entry_and_changed_rows_are_refused(together, corpus_folder, tmp_path):
    board, result, _ = together
    with pytest.raises(NotFoundError):
        run.export_ensemble("0" * 12, board, tmp_path / "best.json", 2, Silent())
    file = corpus_folder / "train.jsonl"
    before = file.read_text(encoding="utf-8")
    try:
        file.write_text(before.replace("a", "e", 1), encoding="utf-8")
        with pytest.raises(VerificationError, match=r"cannot be trained again: .*; restore what it worked with"):
            run.export_ensemble(result["best"]["entry"], board, tmp_path / "best.json", 2, Silent())
    finally:
        file.write_text(before, encoding="utf-8")
    assert not list(tmp_path.iterdir())


def test_a_run_that_has_not_ended_has_not_ranked_its_prompts(together, tmp_path):
    board = runs.copied(together[0], tmp_path)
    result = together[1]
    with Leaderboard.open(board) as opened:
        opened.finish_run(result["run"], "stopped")
    with pytest.raises(InputError, match="is stopped, and prompts are ranked when it ends; resume it"):
        run.export_ensemble(result["best"]["entry"], board, tmp_path / "best.json", 2, Silent())


def test_what_cannot_be_stored_leaves_nothing(together, tmp_path):
    board, result, _ = together
    out = tmp_path / "best.json"
    out.mkdir()
    with pytest.raises(StorageError):
        run.export_ensemble(result["best"]["entry"], board, out, 2, Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["best.json"]


def tampered(together, folder: Path, change) -> Path:
    shutil.copytree(together[2].parent, folder)
    values = json.loads((folder / "best.json").read_text(encoding="utf-8"))
    change(values)
    (folder / "best.json").write_text(json.dumps(values), encoding="utf-8")
    return folder / "best.json"


@pytest.mark.parametrize(("change", "said"), [
    (lambda v: v["ensemble"][0].update(template="{text} so: {label}"), "not those that its weights were trained with"),
    (lambda v: v["ensemble"][1].update(template="{demos:2}{text} {label}"), "which are not text"),
    (lambda v: v["ensemble"][1].update(label_words={"x": "y"}), "the labels and those of the label words"),
    (lambda v: v["ensemble"][0].update(more=1), "is damaged at 'ensemble"),
    (lambda v: v["ensemble"][0]["weights"].update(folder="../elsewhere"), "is damaged at 'ensemble"),
    (lambda v: v.update(ensemble=v["ensemble"] * 40), "is damaged at 'ensemble"),
    (lambda v: v.update(labels=[], label_words={}, target_length=5, weights=None,
                        ensemble=[v["ensemble"][0] | {"label_words": {}, "weights": None}]), "no labels to average"),
])  # fmt: skip
def test_every_prompt_of_a_file_is_checked(together, tmp_path, change, said):
    with pytest.raises(InputError, match=said):
        load(tampered(together, tmp_path / "own", change))


def test_missing_weights_of_one_are_named(together, tmp_path):
    place = tampered(together, tmp_path / "a", lambda v: v["ensemble"][1].update(weights=None))
    with pytest.raises(InputError, match="comes without the weights"):
        load(place).predict(TEXTS)
    place = tampered(together, tmp_path / "b", lambda _: None)
    shutil.rmtree(place.parent / load(place).ensemble[1].weights.folder)
    with pytest.raises(InputError, match="keep the folder beside"):
        load(place).predict(TEXTS)
