"""PromptModel: fit, evaluate, predict, on whatever rows a user has."""

import datasets
import pandas
import pytest
import tiny
import tiny_families
from sklearn.metrics import accuracy_score

from autoprompt import PromptModel, Template
from autoprompt.errors import InputError, UsageError

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
    with pytest.raises(InputError, match="lacks the field 'text'"):
        fitted.predict([{"review": "a"}])
    with pytest.raises(InputError, match="'neutral'"):
        fitted.evaluate([{"text": "a", "label": "neutral"}])
    with pytest.raises(UsageError, match="epoch"):
        fitted.fit(rows[0], template=REVIEW, epoch=3)
    with pytest.raises(UsageError, match="head"):
        fitted.fit(rows[0], template=REVIEW, tuning="head")
