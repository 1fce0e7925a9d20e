"""PromptModel: fit, evaluate, predict, on whatever rows a user has."""

import commands
import datasets
import pandas
import pytest
import tiny
import tiny_families
import torch
from sklearn.metrics import accuracy_score

from autoprompt import PromptModel, Template, search
from autoprompt.errors import InputError, NothingSucceededError, UsageError
from autoprompt.evaluator.scoring import CONTENT_FREE

REVIEW = "Review: {text} | Sentiment: {sentiment}"
RATE = 5e-3


@pytest.fixture(scope="module")
def rows():
    return tiny.rows(0), tiny.rows(2)


@pytest.fixture(scope="module")
def fitted(model_folders, rows):
    model = PromptModel.from_pretrained(str(model_folders["llama"]))
    return model.fit(rows[0], template=Template(REVIEW), epochs=4, learning_rate=RATE)


def test_imdb_like_columns_just_work_with_such_a_template(model_folders, rows):
    """Columns text and label, labels as ClassLabel integers."""
    names = datasets.ClassLabel(names=["neg", "pos"])
    features = datasets.Features({"text": datasets.Value("string"), "label": names})
    table = [{"text": r["text"], "label": int(r["label"] == "positive")} for r in rows[0]]
    train = datasets.Dataset.from_list(table, features=features)
    model = PromptModel.from_pretrained(str(model_folders["llama"]))
    model.fit(train, template=Template(REVIEW), epochs=1, learning_rate=0.001)
    assert model.labels_ == ("neg", "pos")
    assert model.candidate_.template.format() == "Review: {text} | Sentiment: {label}"
    assert (model.candidate_.settings.epochs, model.candidate_.settings.learning_rate) == (1, 0.001)
    assert set(model.predict(["The soup was cold."])) <= {"neg", "pos"}
    assert model.evaluate(train)["n"] == len(table)


def test_rows_of_any_kind_give_the_same(fitted, rows):
    test = rows[1]
    found = [fitted.evaluate(kind) for kind in (test, pandas.DataFrame(test), datasets.Dataset.from_list(test))]
    assert found[0] == found[1] == found[2]
    texts = [row["text"] for row in test]
    predicted = fitted.predict(texts)
    assert predicted == fitted.predict(test) == fitted.predict(pandas.DataFrame(test))
    assert found[0]["accuracy"] == accuracy_score([row["label"] for row in test], predicted)
    for row, label in zip(fitted.predict_proba(texts), predicted, strict=True):
        assert sum(row) == pytest.approx(1, abs=1e-5)
        assert fitted.labels_[row.index(max(row))] == label


def test_columns_that_say_nothing_are_no_fields_unless_they_are_named(model_folders, rows):
    numbered = [{"ticket_id": f"T-{1000 + n}", "message": row["text"], "sentiment": row["label"]}
                for n, row in enumerate(rows[0])]  # fmt: skip
    model = PromptModel.from_pretrained(str(model_folders["llama"]))
    model.fit(numbered, tuning="none")
    assert set(model.candidate_.template.fields) == {"message"}
    assert model.predict([numbered[0]["message"]]) == model.predict(numbered[:1])
    model.fit(numbered, text_column="ticket_id,message", tuning="none")
    assert set(model.candidate_.template.fields) == {"ticket_id", "message"}


def test_it_learns_and_a_second_fit_starts_anew(model_folders, rows):
    model = PromptModel.from_pretrained(str(model_folders["llama"]))
    frozen = model.fit(rows[0], template=REVIEW, tuning="none").evaluate(rows[0])["loss"]
    tuned = model.fit(rows[0], template=REVIEW, epochs=6, learning_rate=RATE).evaluate(rows[0])["loss"]
    again = model.fit(rows[0], template=REVIEW, epochs=6, learning_rate=RATE).evaluate(rows[0])["loss"]
    assert tuned == again < 0.8 * frozen


def test_a_classifier_and_a_writer(tmp_path, model_folders, rows):
    folder = tiny_families.save("encoder", tmp_path / "encoder")
    classifier = PromptModel.from_pretrained(str(folder))
    classifier.fit(rows[0], template="{text}{label}", tuning="full", epochs=10, learning_rate=2e-3)
    assert classifier.evaluate(rows[0])["accuracy"] > 0.8
    assert not classifier.candidate_.label_words.pairs
    talks = [{"talk": row["text"], "gist": row["label"]} for row in rows[0]]
    writer = PromptModel.from_pretrained(str(model_folders["llama"]))
    writer.fit(
        talks, template="{talk}\nGist: {gist}", target_column="gist", tuning="full", epochs=25, learning_rate=3e-3
    )
    assert len(writer.predict(talks)) == len(talks)
    assert writer.evaluate(talks)["exact_match"] > 0.7
    with pytest.raises(UsageError, match="predict"):
        writer.predict_proba(talks)


def test_what_is_wrong_is_said(fitted, model_folders, rows):
    with pytest.raises(UsageError, match="fit first"):
        PromptModel.from_pretrained(str(model_folders["llama"])).predict(["a"])
    with pytest.raises(UsageError, match="list"):
        fitted.predict("a text")
    with pytest.raises(InputError, match="has no column 'text'; its columns are 'review'"):
        fitted.predict([{"review": "a"}])
    with pytest.raises(InputError, match="'neutral'"):
        fitted.evaluate([{"text": "a", "label": "neutral"}])
    with pytest.raises(UsageError, match="epoch"):
        fitted.fit(rows[0], template=REVIEW, epoch=3)
    with pytest.raises(UsageError, match="head"):
        fitted.fit(rows[0], template=REVIEW, tuning="head")


def test_calibration_divides_by_what_inputs_without_content_get(model_folders, rows):
    texts = [row["text"] for row in rows[1]]
    model = PromptModel.from_pretrained(str(model_folders["llama"]))
    plain, prior, found = (
        torch.tensor(model.fit(rows[0], template=REVIEW, epochs=1, calibration=on).predict_proba(asked))
        for on, asked in ((False, texts), (False, list(CONTENT_FREE)), (True, texts))
    )
    expected = plain / prior.mean(0)
    torch.testing.assert_close(found, expected / expected.sum(1, keepdim=True), rtol=0, atol=1e-5)
    assert (found - plain).abs().max() > 0.01
    loss = model.evaluate(rows[1])["loss"]
    gold = torch.tensor([model.labels_.index(row["label"]) for row in rows[1]])
    assert loss == pytest.approx(-float(found.log()[range(len(gold)), gold].mean()), abs=1e-4)


def test_calibration_is_that_of_a_search(model_folders, corpus_folder, corpus, tmp_path):
    """The same rows, template and seed give the same numbers as a search's own look at its test rows."""
    train, test = ([row.fields | {"label": row.label} for row in part] for part in (corpus.train, corpus.test))
    with commands.inline():
        result = search(
            str(corpus_folder), model=str(model_folders["llama"]), tuning="none", templates=[REVIEW], workers=1,
            max_evaluations=1, leaderboard=tmp_path / "lb.sqlite", fix={"calibration": True, "template": REVIEW},
        )  # fmt: skip
    best = result.to_dict()["best"]
    model = PromptModel.from_pretrained(str(model_folders["llama"]))
    model.fit(train, template=best["template"], label_words=best["label_words"], tuning="none", calibration=True)
    assert best["settings"] == {"tuning": "none", "calibration": True}
    assert model.evaluate(test)["loss"] == pytest.approx(best["test"]["loss"], abs=1e-5)


@pytest.mark.parametrize("settings", [{"epochs": 4}, {"epochs": 1, "batch_size": 64}])
def test_a_fine_tune_that_diverged_leaves_the_model_as_it_was(model_folders, rows, settings):
    model = PromptModel.from_pretrained(str(model_folders["llama"]))
    model.fit(rows[0], template=REVIEW, epochs=1)
    before, candidate = model.predict_proba(["The soup was cold."]), model.candidate_
    other = [{"text": row["text"], "mood": row["label"].upper()} for row in rows[0]]
    with pytest.raises(NothingSucceededError, match="learning rate") as caught:
        model.fit(
            other, template="{text} is {mood}", label_column="mood", tuning="full", learning_rate=1e30, **settings
        )
    assert "\n" not in str(caught.value)
    assert model.predict_proba(["The soup was cold."]) == before
    assert (model.candidate_, model.labels_) == (candidate, ("negative", "positive"))


def test_a_failed_first_fit_leaves_no_prompt(model_folders, rows):
    model = PromptModel.from_pretrained(str(model_folders["llama"]))
    with pytest.raises(NothingSucceededError):
        model.fit(rows[0], template=REVIEW, tuning="full", learning_rate=1e30)
    assert not hasattr(model, "candidate_")
    assert not hasattr(model, "labels_")
    with pytest.raises(UsageError, match="fit first"):
        model.predict(["a"])


def test_a_classifier_comes_back_from_a_failed_fit_with_other_labels(tmp_path, rows):
    model = PromptModel.from_pretrained(str(tiny_families.save("encoder", tmp_path / "encoder")))
    model.fit(rows[0], template="{text}{label}", tuning="head", epochs=1)
    before = model.predict_proba(["The soup was cold."])
    other = [row | {"label": f"{row['label']}{number % 2}"} for number, row in enumerate(rows[0][:12])]
    other += [row | {"label": "third"} for row in rows[0][:4]]
    with pytest.raises(NothingSucceededError):
        model.fit(other, template="{text}{label}", tuning="full", learning_rate=1e30)
    with pytest.raises(UsageError, match="no label words"):
        model.fit(rows[0], template="{text}{label}", label_words=tiny.WORDS)
    assert model.predict_proba(["The soup was cold."]) == before


def test_label_words_and_families_are_checked_as_in_the_command(model_folders, rows):
    model = PromptModel.from_pretrained(str(model_folders["llama"]))
    talks = [{"talk": row["text"], "gist": row["label"]} for row in rows[0]]
    with pytest.raises(UsageError, match="no label words"):
        model.fit(talks, template="{talk}{gist}", target_column="gist", label_words={"a": "b"})
    with pytest.raises(InputError, match="negative"):
        model.fit(rows[0], template=REVIEW, label_words={"positive": "good"})
    with pytest.raises(UsageError, match="'magic'"):
        PromptModel.from_pretrained(str(model_folders["llama"]), family="magic")
    with pytest.raises(UsageError, match="at least 1 token"):
        PromptModel.from_pretrained(str(model_folders["llama"]), max_length=0)


def test_solved_examples_are_drawn_and_not_trained_on(model_folders, rows, monkeypatch):
    model = PromptModel.from_pretrained(str(model_folders["llama"]), max_length=64)
    seen = []
    kind = type(model._load(()))
    prompt = kind.prompt
    monkeypatch.setattr(kind, "prompt", lambda *given: seen.append(given[2]) or prompt(*given))
    model.fit(rows[0], template="{demos:4}" + REVIEW, epochs=1)
    demos = model.candidate_.demos
    assert sorted(demo.label for demo in demos) == ["negative", "negative", "positive", "positive"]
    trained = {row.fields["text"] for row in seen[0]}
    assert trained == {row["text"] for row in rows[0]} - {demo.fields["text"] for demo in demos}
    assert model.predict(rows[1]) == model.predict(rows[1])
    again = PromptModel.from_pretrained(str(model_folders["llama"])).fit(
        rows[0], template="{demos:4}" + REVIEW, epochs=1
    )
    assert again.candidate_ == model.candidate_
    assert model.fit(rows[0], template="{demos:4}" + REVIEW, epochs=1, seed=1).candidate_.demos != demos
    for count, tuning, part in ((6, "full", "leave no rows"), (7, "full", "only 6")):
        with pytest.raises(InputError, match=part):
            model.fit(rows[0][:6], template=f"{{demos:{count}}}{REVIEW}", tuning=tuning)
