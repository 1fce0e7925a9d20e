"""PromptClassifier among scikit-learn's tools."""

import numpy as np
import pandas
import pytest
import tiny
from prompt_files import a_prompt
from sklearn.base import clone, is_classifier
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from autoprompt import PromptClassifier, PromptModel
from autoprompt.candidate import Settings
from autoprompt.errors import InputError
from autoprompt.export import save

X = [row["text"] for row in tiny.rows(0)]
Y = [row["label"] for row in tiny.rows(0)]
TEMPLATE = "Review: {text}\nMood: {label}"


@pytest.fixture
def classifier(model_folders) -> PromptClassifier:
    return PromptClassifier(model=str(model_folders["llama"]), template=TEMPLATE, epochs=6, learning_rate=5e-3)


def test_it_learns_as_a_prompt_model_does(classifier, model_folders):
    assert classifier.fit(X, Y) is classifier
    assert classifier.classes_.tolist() == sorted(set(Y))
    assert classifier.score(X, Y) > 0.8
    model = PromptModel.from_pretrained(str(model_folders["llama"]))
    rows = [{"text": text, "label": label} for text, label in zip(X, Y, strict=True)]
    model.fit(rows, TEMPLATE, epochs=6, learning_rate=5e-3)
    assert np.array_equal(classifier.predict_proba(X), model.predict_proba(X))
    assert classifier.predict(X).tolist() == model.predict(X)


@pytest.mark.parametrize("kind", [np.array, pandas.Series, tuple, lambda x: pandas.DataFrame({"text": x})])
def test_texts_of_any_kind(classifier, kind):
    classifier.set_params(epochs=1)
    expected = classifier.fit(X, Y).predict_proba(X)
    assert np.array_equal(classifier.fit(kind(X), np.array(Y)).predict_proba(kind(X)), expected)


def test_labels_of_any_kind_come_back_as_they_were(classifier):
    numbers = np.array([10 if label == "positive" else 2 for label in Y])
    classifier.set_params(label_words={"2": "bad", "10": "good"}).fit(X, numbers)
    assert classifier.classes_.tolist() == [2, 10]
    found = classifier.predict(X)
    assert found.dtype == numbers.dtype
    assert accuracy_score(numbers, found) > 0.8, "the columns are in the order of classes_, not of the texts '10', '2'"
    classifier.set_params(label_words=None).fit(X, numbers == 10)
    assert classifier.predict(X).dtype == bool


def test_parameters_and_clones(classifier):
    assert is_classifier(classifier)
    assert classifier.get_params()["epochs"] == 6
    copy = clone(classifier)
    assert copy is not classifier
    assert copy.get_params() == classifier.get_params()
    assert not hasattr(clone(classifier.fit(X, Y)), "model_")
    with pytest.raises(NotFittedError):
        copy.predict(X)
    with pytest.raises(ValueError, match="epoch"):
        copy.set_params(epoch=3)
    assert "epochs=6" in repr(classifier)


def test_cross_validation_pipelines_and_grid_search(classifier):
    classifier.set_params(epochs=3)
    pipeline = make_pipeline(FunctionTransformer(lambda texts: [text.strip() for text in texts]), classifier)
    scores = cross_val_score(pipeline, [f"  {text} " for text in X], Y, cv=3)
    assert scores.mean() > cross_val_score(DummyClassifier(), np.zeros((len(X), 1)), Y, cv=3).mean()
    grid = GridSearchCV(
        classifier, {"template": [TEMPLATE, "{label} {text}"], "epochs": [1]}, cv=2, error_score="raise"
    )
    grid.fit(X, Y)
    assert grid.best_params_["epochs"] == 1
    assert grid.predict(X).shape == (len(X),)


def test_the_prompt_of_a_search(model_folders, tmp_path):
    settings = Settings.default("tail", 24).change(epochs=2, learning_rate=5e-3)
    prompt = a_prompt(model_folders["llama"], label_words={"negative": "bad", "positive": "good"},
                      labels=("negative", "positive"), settings=settings.to_dict())  # fmt: skip
    save(prompt, tmp_path / "best.json")
    fitted = PromptClassifier(tmp_path / "best.json").fit(X, Y)
    assert fitted.model_.candidate_.settings == settings
    assert fitted.model_.candidate_.template.format() == prompt.template
    assert np.array_equal(fitted.predict_proba(X), prompt.fit(tiny.rows(0)).predict_proba(X))
    changed = clone(PromptClassifier(prompt, tuning="lora", epochs=1)).fit(X, Y)
    assert (changed.model_.candidate_.settings.tuning, changed.model_.candidate_.settings.epochs) == ("lora", 1)
    assert changed.model_.candidate_.settings.learning_rate != settings.learning_rate, (
        "another mode's rate is none of it"
    )


def test_what_cannot_be_learnt_from(classifier):
    with pytest.raises(InputError, match="one label a row"):
        classifier.fit(X, Y[:-1])
    with pytest.raises(InputError, match="row 1 is the number 1, not a text"):
        classifier.fit([1, 2], ["a", "b"])
    with pytest.raises(InputError, match="are the same as texts"):
        classifier.fit(X, np.array([1 if n % 2 else " 1" for n in range(len(X))], dtype=object).astype(str))
