"""A prompt file that predicts: with its weights it says what the leaderboard has stored, without them it says so."""

import json
import shutil
from pathlib import Path

import commands
import datasets
import numpy as np
import pandas
import pytest
import runs
import tiny
import tiny_families

from autoprompt import load, run
from autoprompt.candidate import Settings
from autoprompt.corpus import load as load_corpus
from autoprompt.errors import InputError, StorageError, UsageError
from autoprompt.estimators.prompt_model import PromptModel
from autoprompt.export import FORMAT, VERSION, Prompt
from autoprompt.leaderboard import Leaderboard
from autoprompt.models import FAMILIES
from autoprompt.progress import Silent

TEXTS = [row["text"] for row in tiny.rows(2)]


@pytest.fixture(scope="module")
def won(model_folders, corpus_folder, tmp_path_factory) -> tuple[Path, dict, Path]:
    """A finished run's leaderboard, its result, and the winner exported with its weights."""
    folder = tmp_path_factory.mktemp("won")
    options = runs.small(model_folders["llama"], corpus_folder, folder)
    with commands.inline():
        result = run.search(options, Silent()).to_dict()
    out = folder / "desk" / "best.json"
    out.parent.mkdir()
    with Leaderboard.open(options.leaderboard, read_only=True) as board:
        written = run.export(board, result["best"]["entry"], out, with_weights=True)
    assert written[0] == out
    (folder,) = (out.parent / "best.weights").iterdir()
    assert set(folder.iterdir()) == set(written[1:])
    assert {path.stat().st_mode for path in written} == {out.stat().st_mode}, "others may read them, too"
    return options.leaderboard, result, out


def test_weights_give_the_stored_predictions(won, corpus_folder):
    board, result, out = won
    with Leaderboard.open(board, read_only=True) as opened:
        (stored,) = [e for e in opened.entry(result["best"]["entry"]) if e.split == "test"]
    test = load_corpus(str(corpus_folder)).test
    assert [row.row_id for row in test] == stored.row_ids
    prompt = load(out)
    rows = [dict(row.fields) for row in test]
    assert prompt.predict(rows) == stored.predictions
    assert prompt.predict_proba(rows).dtype == np.float64
    assert (prompt.predict_proba(rows).shape, prompt.predict_proba([]).shape) == ((len(test), 2), (0, 2))
    for row, probabilities in zip(stored.log_probs, prompt.predict_proba(rows), strict=True):
        assert probabilities == pytest.approx([2.718281828459045**value for value in row], abs=1e-5)
    labelled = [{**row.fields, "label": row.label} for row in test]
    found = prompt.evaluate(labelled)
    assert (found["n"], found["accuracy"]) == (len(test), result["best"]["test"]["accuracy"])
    assert found["loss"] == pytest.approx(result["best"]["test"]["loss"], abs=1e-5)
    frozen = result["baselines"]["manual"]["test"]["loss"]
    assert found["loss"] != pytest.approx(frozen, abs=1e-3), "the fine-tune changed something"


def test_rows_of_any_kind(won):
    prompt = load(won[2])
    expected = prompt.predict(TEXTS)
    rows = [{"text": text} for text in TEXTS]
    for kind in (rows, pandas.DataFrame(rows), pandas.Series(TEXTS), datasets.Dataset.from_list(rows)):
        assert prompt.predict(kind) == expected
    assert prompt.predict([]) == []
    with pytest.raises(InputError, match="has no column 'text'; its columns are 'review'"):
        prompt.predict([{"review": "a"}])
    with pytest.raises(UsageError, match="list"):
        prompt.predict("a text")


def test_in_another_process_and_place_it_predicts_the_same(won, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(won[2].parent, moved)
    (moved / "best.json").rename(moved / "winner.json")
    done = commands.spawn("predict", moved / "winner.json", *TEXTS, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)["predictions"]
    assert [one["label"] for one in found] == load(won[2]).predict(TEXTS)
    assert all(sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5) for one in found)


def test_a_model_that_has_moved_is_named(won, model_folders, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(model_folders["llama"], copy)
    assert load(won[2], model=str(copy)).predict(TEXTS) == load(won[2]).predict(TEXTS)
    with pytest.raises(InputError, match="not the one that the weights were trained with"):
        load(won[2], model=str(model_folders["llama-closed"])).predict(TEXTS)


def spoiled(won, to: Path, change) -> Prompt:
    """The export with its weights' folder changed."""
    shutil.copytree(won[2].parent, to)
    (stored,) = (to / "best.weights").iterdir()
    change(stored)
    return load(to / "best.json")


def test_weights_that_are_others_are_refused(won, tmp_path):
    def damage(folder: Path) -> None:
        file = folder / "adapter_model.safetensors"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)

    with pytest.raises(InputError, match="not those of the prompt file"):
        spoiled(won, tmp_path / "a", damage).predict(TEXTS)
    with pytest.raises(InputError, match="keep the folder beside"):
        spoiled(won, tmp_path / "b", shutil.rmtree).predict(TEXTS)
    prompt = spoiled(
        won, tmp_path / "c", lambda folder: (folder / "other_parts.safetensors").write_bytes(b"not listed")
    )
    assert prompt.predict(TEXTS) == load(won[2]).predict(TEXTS), "only listed files are read"


@pytest.mark.parametrize("change", [
    {"folder": "../best.weights"}, {"folder": "/etc"}, {"folder": ""}, {"folder": ".."},
    {"files": {"../../secret": "0" * 64}}, {"files": {"a\\b": "0" * 64}},
])  # fmt: skip
def test_a_stranger_s_file_names_no_path(won, tmp_path, change):
    values = json.loads(won[2].read_text(encoding="utf-8"))
    values["weights"] |= change
    (tmp_path / "best.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(InputError, match="is damaged at 'weights"):
        load(tmp_path / "best.json")


def test_without_weights_a_fine_tuned_prompt_says_what_to_do(won, tmp_path):
    board, result, _ = won
    with Leaderboard.open(board, read_only=True) as opened:
        assert run.export(opened, result["best"]["entry"], tmp_path / "best.json") == [tmp_path / "best.json"]
    prompt = load(tmp_path / "best.json")
    with pytest.raises(InputError, match="with_weights=True"):
        prompt.predict(TEXTS)
    frozen = prompt.predict(TEXTS, frozen=True)
    assert set(frozen) <= set(tiny.LABELS)
    assert prompt.fit(tiny.rows(0)) is prompt
    fitted = prompt.predict_proba(TEXTS)
    assert not np.array_equal(fitted, prompt.predict_proba(TEXTS, frozen=True))
    assert prompt.predict(TEXTS, frozen=True) == frozen, "a fine-tune leaves the pretrained model as it was"
    assert np.array_equal(fitted, load(tmp_path / "best.json").fit(tiny.rows(0)).predict_proba(TEXTS))
    assert load(tmp_path / "best.json") == prompt, "what is loaded is no part of what a prompt is"
    with pytest.raises(InputError, match="'neutral'"):
        prompt.fit([*tiny.rows(0), {"text": "so so", "label": "neutral"}])


def test_a_fit_is_that_of_a_prompt_model(won, model_folders, tmp_path):
    board, result, _ = won
    with Leaderboard.open(board, read_only=True) as opened:
        run.export(opened, result["best"]["entry"], tmp_path / "best.json")
    prompt = load(tmp_path / "best.json").fit(tiny.rows(0), seed=3)
    model = PromptModel.from_pretrained(str(model_folders["llama"]))
    model.fit(tiny.rows(0), prompt.template, label_words=prompt.label_words, seed=3, **prompt.settings)
    assert prompt.labels == model.labels_
    assert np.array_equal(prompt.predict_proba(TEXTS), model.predict_proba(TEXTS))


def test_what_has_no_weights_is_not_exported_with_them(won, tmp_path):
    board, result, _ = won
    with Leaderboard.open(board, read_only=True) as opened:
        with pytest.raises(InputError, match="were not kept"):
            run.export(opened, result["baselines"]["null"]["entry"], tmp_path / "null.json", with_weights=True)
        with pytest.raises(InputError, match="not fine-tuned"):
            run.export(opened, result["baselines"]["manual"]["entry"], tmp_path / "manual.json", with_weights=True)
        with pytest.raises(UsageError, match=r"best\.json"):
            run.export(opened, result["best"]["entry"], tmp_path / "best.py", with_weights=True)
    assert not list(tmp_path.iterdir())


def test_an_older_export_makes_way(won, tmp_path):
    board, result, out = won
    with Leaderboard.open(board, read_only=True) as opened:
        for _ in range(2):
            run.export(opened, result["best"]["entry"], tmp_path / "best.json", with_weights=True)
    assert {path.name for path in tmp_path.iterdir()} == {"best.json", "best.weights"}
    assert load(tmp_path / "best.json").predict(TEXTS) == load(out).predict(TEXTS)


def a_prompt(model: Path, **changes) -> Prompt:
    values = {
        "format": FORMAT, "version": VERSION, "template": "{text}\nMood: {label}", "label_words": {},
        "settings": Settings.default("full", 24).change(epochs=20, learning_rate=3e-3).to_dict(), "model": str(model),
        "corpus": "rows", "fingerprint": "f" * 64, "entry": "e" * 64, "run": "r" * 12, "scores": {},
        "family": "causal", "max_length": 128, "model_revision": "", "chat": None, "labels": (),
        "label_column": "label", "target_length": 0, "model_files": {},
    }  # fmt: skip
    return Prompt.from_dict(values | changes)


def test_a_prompt_that_writes(model_folders):
    prompt = a_prompt(model_folders["llama"], target_length=4)
    prompt.fit(tiny.rows(0))
    assert prompt.evaluate(tiny.rows(0))["exact_match"] > 0.7
    assert len(prompt.predict(TEXTS)) == len(TEXTS)
    with pytest.raises(UsageError, match="no probabilities"):
        prompt.predict_proba(TEXTS)


def test_a_classifier_needs_its_head(tmp_path):
    folder = tiny_families.save("encoder", tmp_path / "encoder")
    prompt = a_prompt(folder, template="{text}{label}", labels=tiny.LABELS, family="classifier")
    with pytest.raises(InputError, match="head"):
        prompt.predict(TEXTS, frozen=True)
    assert prompt.fit(tiny.rows(0)).evaluate(tiny.rows(0))["accuracy"] > 0.8


def reversed_words(values):
    values["labels"].reverse()
    values["label_words"] = dict(reversed(values["label_words"].items()))


@pytest.mark.parametrize("change", [
    lambda v: v.update(template=v["template"].replace("{label}", "then {label}")), reversed_words,
    lambda v: v.update(label_words={label: word + "er" for label, word in v["label_words"].items()}),
    lambda v: v["settings"].update(rank=v["settings"]["rank"] + 1), lambda v: v.update(label_column="other"),
    lambda v: v.update(max_length=7), lambda v: v.update(chat=["a", "b"]), lambda v: v.update(family="masked"),
    lambda v: v["model_files"].update({"model.safetensors": "0" * 64}), lambda v: v.update(model_files={}),
    lambda v: v["weights"]["files"].update({"adapter_model.safetensors": "0" * 64}),
    lambda v: v["weights"].update(binding="0" * 64),
])  # fmt: skip
def test_weights_are_bound_to_what_they_were_trained_with(won, tmp_path, change):
    values = json.loads(won[2].read_text(encoding="utf-8"))
    shutil.copytree(won[2].with_suffix(".weights"), tmp_path / "best.weights")
    change(values)
    (tmp_path / "best.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(InputError, match="are not those that its weights were trained with") as caught:
        load(tmp_path / "best.json")
    assert "\n" not in str(caught.value)
    del values["weights"]
    (tmp_path / "best.json").write_text(json.dumps(values), encoding="utf-8")
    load(tmp_path / "best.json")  # without weights it is a prompt like any other


def test_a_prompt_file_may_name_every_family_and_no_other(won, tmp_path):
    values = json.loads(won[2].read_text(encoding="utf-8"))
    del values["weights"]
    for family in FAMILIES:
        (tmp_path / "best.json").write_text(json.dumps(values | {"family": family}), encoding="utf-8")
        assert load(tmp_path / "best.json").family == family
    (tmp_path / "best.json").write_text(json.dumps(values | {"family": "lasuac"}), encoding="utf-8")
    with pytest.raises(InputError, match="damaged at 'family'"):
        load(tmp_path / "best.json")


def test_labels_in_another_order_than_their_words_are_refused(won, tmp_path):
    values = json.loads(won[2].read_text(encoding="utf-8"))
    del values["weights"]
    for labels in ([*reversed(values["labels"])], values["labels"][:1], [*values["labels"], "more"], []):
        (tmp_path / "best.json").write_text(json.dumps(values | {"labels": labels}), encoding="utf-8")
        with pytest.raises(InputError, match="are not the same"):
            load(tmp_path / "best.json")
    double = values | {"label_words": {}, "labels": ["a", "b", "a"]}
    (tmp_path / "best.json").write_text(json.dumps(double), encoding="utf-8")
    with pytest.raises(InputError, match="occurs twice"):
        load(tmp_path / "best.json")


def test_a_prompt_of_other_labels_predicts_by_them(won, tmp_path):
    """Both orders of the same labels give the same answers, and probabilities in the file's order."""
    values = json.loads(won[2].read_text(encoding="utf-8"))
    del values["weights"]
    prompts = []
    for name in ("one.json", "other.json"):
        (tmp_path / name).write_text(json.dumps(values), encoding="utf-8")
        prompts.append(load(tmp_path / name))
        reversed_words(values)
    one, other = prompts
    assert one.predict(TEXTS, frozen=True) == other.predict(TEXTS, frozen=True)
    turned = other.predict_proba(TEXTS, frozen=True)[:, ::-1]
    np.testing.assert_allclose(one.predict_proba(TEXTS, frozen=True), turned, rtol=0, atol=1e-6)


def test_a_linked_prompt_file_finds_its_weights(won, tmp_path):
    board, result, out = won
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    link, real = tmp_path / "here" / "best.json", tmp_path / "there" / "stored.json"
    real.write_text("older")
    real.chmod(0o640)
    link.symlink_to(real)
    with Leaderboard.open(board, read_only=True) as opened:
        run.export(opened, result["best"]["entry"], link, with_weights=True)
    assert link.is_symlink()
    assert link.resolve() == real
    assert real.stat().st_mode & 0o777 == 0o640
    assert {path.name for path in real.parent.iterdir()} == {"stored.json", "stored.weights"}
    assert load(link).predict(TEXTS) == load(real).predict(TEXTS) == load(out).predict(TEXTS)


def test_a_new_export_leaves_what_is_the_users(won, tmp_path):
    board, result, out = won
    shelf = tmp_path / "best.weights"
    older, left, mine, odd = (shelf / name for name in ("a" * 16, ".autoprompt-killed", "mine", "b" * 16))
    for folder in (older, left, mine, odd):
        folder.mkdir(parents=True)
        (folder / "adapter_model.safetensors").touch()
    (odd / "notes.txt").touch()
    with Leaderboard.open(board, read_only=True) as opened:
        written = run.export(opened, result["best"]["entry"], tmp_path / "best.json", with_weights=True)
    assert set(shelf.iterdir()) == {mine, odd, written[1].parent}
    assert load(tmp_path / "best.json").predict(TEXTS) == load(out).predict(TEXTS)


def test_a_failed_export_leaves_nothing(won, tmp_path):
    board, result, _ = won
    (tmp_path / "best.json").mkdir()
    with Leaderboard.open(board, read_only=True) as opened, pytest.raises(StorageError, match="Is a directory"):
        run.export(opened, result["best"]["entry"], tmp_path / "best.json", with_weights=True)
    assert [path.name for path in tmp_path.iterdir()] == ["best.json"]
