"""What PromptClassifier and the other predictors take as X, y and parameters, and what they refuse."""

import numpy as np
import pandas
import pytest
import tiny
from prompt_files import a_prompt
from scipy.stats import randint
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import DataConversionWarning
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import make_pipeline

from autoprompt import PromptClassifier
from autoprompt.corpus import is_missing
from autoprompt.errors import InputError, UsageError

X = [row["text"] for row in tiny.rows(0)]
Y = [row["label"] for row in tiny.rows(0)]
TEMPLATE = "Review: {text}\nMood: {label}"
NA = pandas.NA
Y01 = [int(label == "positive") for label in Y]


@pytest.fixture(scope="module")
def quick(model_folders) -> PromptClassifier:
    """Fitted with one short pass, on labels 0 and 1."""
    return PromptClassifier(model=str(model_folders["llama"]), template=TEMPLATE, tuning="none").fit(X, Y01)


@pytest.mark.parametrize("labels", [
    [None, *Y[1:]], [np.nan, *Y01[1:]], np.array([np.nan, *Y01[1:]]), pandas.Series([NA, *Y[1:]], dtype="string"),
    pandas.Series([None, *Y], dtype="category")[: len(Y)], np.array([pandas.NaT, *Y[1:]], dtype=object),
])  # fmt: skip
def test_missing_labels_are_counted(quick, labels):
    with pytest.raises(
        InputError, match=r"^y has no label \(None, NaN or NA\) in 1 of 24 rows; leave these rows out\.$"
    ):
        clone(quick).fit(X, labels)


@pytest.mark.parametrize(("labels", "part"), [
    ([[label] if n else [label, "b"] for n, label in enumerate(Y)], "multi-label"),
    ([{label} for label in Y], "multi-label"),
    ([(label, "b") for label in Y], "multi-label"),
    (np.eye(24, 2, dtype=int), "multi-label"),
    (np.zeros((24, 1, 1)), r"the shape \(24, 1, 1\)"),
    ("positive", r"the shape \(\)"),
    ([0.5 + n for n in Y01], "decimals"),
    ([np.inf, *Y01[1:]], "decimals"),
    (["a"] * 24, "one class only \\('a'\\)"),
    (["", *Y[1:]], "empty text"),
    ([b"a", b"b"] * 12, "bytes"),
    ([1, *Y[1:]], None),
    (np.array([1, *Y[1:]], dtype=object), "several types"),
])  # fmt: skip
def test_what_is_no_label_of_a_row(quick, labels, part):
    if part is None:  # numpy makes texts of them
        assert clone(quick).fit(X[:3], labels[:3]).classes_.tolist() == ["1", "negative", "positive"]
        return
    with pytest.raises(InputError, match=part) as caught:
        clone(quick).fit(X, labels)
    assert "\n" not in str(caught.value)


def test_a_column_of_labels_is_taken_as_scikit_learn_does(quick):
    with pytest.warns(DataConversionWarning, match="column-vector"):
        found = clone(quick).fit(X, np.array(Y01).reshape(-1, 1)).predict_proba(X)
    assert np.array_equal(found, quick.predict_proba(X))
    assert np.array_equal(clone(quick).fit(X, iter(Y01)).predict_proba(X), found)


@pytest.mark.parametrize(("given", "part"), [
    ("one text", "one text"), (b"one text", "one text"), ({"text": "a"}, "one row"), ({"a", "b"}, "a set"),
    (7, "the number 7"),
    ([None], r"row 1 is missing \(None\)"), (["a", None], r"row 2 is missing \(None\)"), ([np.nan], "row 1 is missing"),
    (pandas.Series(["a", NA], dtype="string"), "row 2 is missing"), (np.array(["a", np.nan], dtype=object), "row 2"),
    ([1, 2], "row 1 is the number 1, not a text"), (np.ones(3), "row 1 is the number 1.0"),
    (["a", 5], "row 2 is the number 5"),
    (np.ones((3, 2)), r"the shape \(3, 2\)"), ([["a", "b"]], "row 1 is a list"),
    (["a", {"text": "b"}], "row 2 is a dict"),
    ([b"\xff"], "not UTF-8"), ([{"text": None}], "row 1 has no 'text'"),
    (pandas.DataFrame({"text": ["a", None]}), "row 2 has no"),
])  # fmt: skip
def test_what_is_no_text_is_refused_by_all_predictors_with_its_row(quick, shared_prompt, given, part):
    refused = [quick.predict, quick.predict_proba, quick.model_.predict, quick.model_.predict_proba]
    for call in [*refused, shared_prompt.predict, shared_prompt.predict_proba]:
        with pytest.raises((InputError, UsageError), match=part) as caught:
            call(given)
        assert "\n" not in str(caught.value)
    with pytest.raises((InputError, UsageError)):
        clone(quick).fit(given, Y01)


@pytest.fixture(scope="module")
def shared_prompt(model_folders):
    return a_prompt(model_folders["llama"])


@pytest.mark.parametrize("kind", [
    iter, tuple, lambda x: (text for text in x), lambda x: np.array(x, dtype=object).reshape(-1, 1),
    lambda x: [[text] for text in x],
    lambda x: [text.encode() for text in x], lambda x: pandas.Series(x, index=range(5, 29)),
    lambda x: dict.fromkeys(x).keys(),
    lambda x: pandas.DataFrame({"text": x, "other": 1}), lambda x: [{"text": text} for text in x],
])  # fmt: skip
def test_texts_in_any_container(quick, shared_prompt, kind):
    assert np.array_equal(quick.predict_proba(kind(X)), quick.predict_proba(X))
    assert shared_prompt.predict_proba(kind(X)) == shared_prompt.predict_proba(X)
    assert np.array_equal(clone(quick).fit(kind(X), Y01).predict_proba(X), quick.predict_proba(X))


def test_none_and_no_rows(quick, shared_prompt):
    assert (quick.predict([]).shape, quick.predict_proba([]).shape, shared_prompt.predict(iter([]))) == (
        (0,),
        (0, 2),
        [],
    )
    assert quick.predict(["", "  "]).shape == (2,), "an empty text is a text"
    with pytest.raises(InputError, match="no rows"):
        clone(quick).fit([], [])


def test_a_frame_s_only_column_is_the_text(quick):
    frame = pandas.DataFrame({"review": X})
    fitted = clone(quick).fit(frame, Y01)
    assert (fitted.feature_names_in_.tolist(), fitted.n_features_in_) == (["review"], 1)
    expected = quick.predict_proba(X)
    for given in (frame, frame.assign(more=1), X):
        assert np.array_equal(fitted.predict_proba(given), expected)
    assert np.array_equal(quick.predict_proba(frame), expected), "fitted on texts"
    with pytest.raises(InputError, match="no column 'review', which fit had; its columns are 'body'"):
        fitted.predict(frame.rename(columns={"review": "body"}))
    with pytest.raises(InputError, match="no column 'text'; its columns are 'review', 'more', the prompt needs 'text'"):
        quick.predict(frame.assign(more=1))
    assert not hasattr(fitted.fit(X, Y01), "feature_names_in_")
    whole = make_pipeline(ColumnTransformer([("t", "passthrough", ["review"])]), clone(quick)).fit(frame, Y01)
    assert np.array_equal(whole.predict_proba(frame), expected)


def test_numbers_in_columns_are_their_texts_in_fit_and_predict(model_folders):
    classifier = PromptClassifier(model=str(model_folders["llama"]), template="{stars}: {text} {label}", tuning="none")
    frames = [pandas.DataFrame({"text": X, "stars": stars}) for stars in (range(24), map(str, range(24)))]
    found = [classifier.fit(fit, Y01).predict_proba(other) for fit in frames for other in frames]
    assert all(np.array_equal(found[0], each) for each in found)


@pytest.mark.parametrize(("keys", "labels"), [
    ((0, 1), Y01), (("0", "1"), Y01), ((np.int64(0), np.int64(1)), Y01), ((0, 1), [float(y) for y in Y01]),
    ((False, True), [bool(y) for y in Y01]), ((np.str_("negative"), "positive"), Y),
])  # fmt: skip
def test_label_words_of_classes_of_any_kind(quick, keys, labels):
    words = dict(zip(keys, ("bad", "good"), strict=True))
    found = clone(quick).set_params(label_words=words).fit(X, labels)
    assert found.model_.candidate_.label_words.words == ("bad", "good")


def test_label_words_of_other_classes_are_named(quick):
    with pytest.raises(InputError, match="label words"):
        clone(quick).set_params(label_words={0: "bad", 2: "good"}).fit(X, Y01)


def test_numpy_s_numbers_are_settings(quick):
    numbers = {"epochs": np.int64(1), "batch_size": np.int32(8), "learning_rate": np.float32(0.001), "rank": np.int8(4),
               "max_length": np.int64(64), "random_state": np.int64(3), "tuning": np.str_("tail")}  # fmt: skip
    plain = {name: value.item() for name, value in numbers.items()}
    found = [clone(quick).set_params(**values).fit(X, Y01) for values in (numbers, plain)]
    assert found[0].model_.candidate_ == found[1].model_.candidate_
    assert np.array_equal(*(each.predict_proba(X) for each in found))
    search = RandomizedSearchCV(
        clone(quick).set_params(tuning="tail"), {"epochs": randint(1, 3), "learning_rate": np.logspace(-4, -3, 2)},
        n_iter=1, cv=2, random_state=0, error_score="raise",
    )  # fmt: skip
    assert search.fit(X, Y01).predict(X).shape == (24,)


def test_random_states_of_all_kinds(quick):
    def made(state):
        values = {"tuning": "lora", "epochs": 1, "learning_rate": 0.01, "random_state": state}
        return clone(quick).set_params(**values).fit(X, Y01).predict_proba(X)

    assert np.array_equal(made(np.random.RandomState(0)), made(np.random.RandomState(0)))
    assert not np.array_equal(made(np.random.RandomState(0)), made(np.random.RandomState(1)))
    np.random.seed(0)
    assert not np.array_equal(made(None), made(None))
    with pytest.raises(UsageError, match="random_state='a'"):
        made("a")


def test_sample_weights_are_refused_as_scikit_learn_does(quick):
    with pytest.raises(TypeError, match="sample_weight"):
        clone(quick).fit(X, Y01, sample_weight=np.ones(24))


def test_missing_cells():
    assert all(map(is_missing, (None, float("nan"), np.nan, np.float32("nan"), np.float64("nan"), NA, pandas.NaT)))
    assert not any(map(is_missing, ("", 0, False, "nan", [], "None", np.int64(0))))


def test_a_number_that_no_float_holds_is_not_missing():
    from autoprompt.corpus import inputs

    assert not is_missing(10**400)
    assert inputs([{"text": 10**400}], ["text"])[0].fields["text"] == str(10**400)
