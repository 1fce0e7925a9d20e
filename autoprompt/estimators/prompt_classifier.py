"""``PromptClassifier``: a prompt as a scikit-learn classifier for pipelines, cross-validation and grid search."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d

from autoprompt import corpus as corpora
from autoprompt.errors import InputError, UsageError, first_line
from autoprompt.estimators.prompt_model import PromptModel, plain
from autoprompt.export import Prompt, load
from autoprompt.predicting import Predictor
from autoprompt.run import DEFAULT_MODEL, DataOptions
from autoprompt.template import Template

FIELD = "text"
"""The field of plain texts in a template."""
LABEL = "label"


class PromptClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A scikit-learn classifier that fine-tunes a pretrained model with a prompt.

    Grid search may vary all parameters; numbers may be NumPy scalars. None takes the value of ``prompt``, without one
    the default of ``PromptModel``.

    ``prompt``: a ``Prompt``, or the path of a ``best.json``: its model, template, label words and settings are used, of
    an ensemble those of its first prompt.
    ``model``: an embedded model, a folder (as a path: ``./my-model``) or a Hub name.
    ``template``: with the slots ``{text}``, or the columns of the rows, and ``{label}``.
    ``label_words``: label -> word or phrase; labels as in ``y``, or as texts.
    ``tuning``: as for `autoprompt.search`. With another mode than the prompt's, the prompt's settings are not used.
    ``learning_rate``, ``batch_size`` (rows per step), ``epochs`` (at most), ``rank`` (of the adapters).
    ``family``: as for `autoprompt.search`. ``max_length``: tokens that a field is cut to. ``chat``: wrap prompts in
    the tokenizer's chat format. ``device``: auto, cpu, cuda or mps.
    ``random_state``: the seed of the fine-tune; None and a ``numpy.random.RandomState`` draw one.

    Attributes after ``fit``: ``classes_`` [classes], ``model_`` (the fitted ``PromptModel``), ``n_features_in_`` and,
    if ``X`` is a frame, ``feature_names_in_``.

    Threads may share a classifier, like a ``PromptModel``: each prediction comes from one fit, the old or the new one.
    """

    def __init__(
        self,
        prompt: Prompt | str | os.PathLike[str] | None = None,
        *,
        model: str | None = None,
        template: Template | str | None = None,
        label_words: Mapping[str, str] | None = None,
        tuning: str | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        rank: int | None = None,
        family: str | None = None,
        max_length: int | None = None,
        chat: bool | None = None,
        device: str = "auto",
        random_state: Any = 0,
    ) -> None:
        self.prompt = prompt
        self.model = model
        self.template = template
        self.label_words = label_words
        self.tuning = tuning
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.rank = rank
        self.family = family
        self.max_length = max_length
        self.chat = chat
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> PromptClassifier:  # noqa: N803
        """Fine-tune on all rows, from the pretrained weights; returns the classifier itself.

        ``X`` [rows]: texts (a list, an array, a series, a generator, a column [rows, 1]), rows as dicts, or a pandas
        frame. The only column of a frame is the text, whatever its name. A number is refused as a text; in a column of
        rows with several columns it becomes text. Without a template, as in a search, columns without meaning
        (identifiers, dates, constants) and columns that give the label away are left out.
        ``y`` [rows]: labels of any kind that ``numpy.unique`` sorts.

        Raises UsageError for parameters, or an ``X``, that cannot be used; InputError for a missing label or text,
        several labels per row, a single class, and a prompt, model, template or label words that cannot be used;
        NothingSucceededError for a fine-tune that diverged.
        """
        frame = _columns(X)
        rows = _rows(X)
        if not rows:
            raise InputError("X holds no rows; give texts to learn from.")
        classes, places = _classes(y, len(rows))
        names = _names(classes)
        found = self.prompt if self.prompt is None or isinstance(self.prompt, Prompt) else load(self.prompt)
        template = self._of("template", found)
        renamed = _renamed(template, frame)
        rows = _with_names(rows, renamed)
        column = _unused(rows)
        train = [{**row, column: names[place]} for row, place in zip(rows, places, strict=True)]
        length = self._of("max_length", found)
        model = PromptModel.from_pretrained(
            self.model or (found.model_place if found else DEFAULT_MODEL),
            family=self._of("family", found),
            device=self.device,
            max_length=DataOptions().max_length if length is None else length,
            chat=bool(self._of("chat", found)),
        )
        model.fit(
            train,
            template,
            label_words=_words(self._of("label_words", found), classes, names),
            text_column=None if template is None else _fields(template, rows),
            label_column=column,
            seed=_seed(self.random_state),
            **self._settings(found),
        )
        self._fitted = _Fitted(model.fitted.predictor, classes, bool(frame), renamed)
        self.model_, self.classes_ = model, classes
        self.n_features_in_ = len(frame) if frame else 1
        if frame:
            self.feature_names_in_ = np.asarray(frame, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Return the class of each row [rows].

        ``X``: as for ``fit``. Raises scikit-learn's NotFittedError before the first fit, UsageError for an ``X`` that
        cannot be used, InputError for a missing column or text, NothingSucceededError if the model fails.
        """
        classes, probabilities = self._probabilities(X)
        return np.asarray(classes[np.argmax(probabilities, axis=1)])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Return the probability of each of ``classes_`` for each row [rows, classes]. Raises as ``predict`` does."""
        return self._probabilities(X)[1]

    def _probabilities(self, X: Any) -> tuple[NDArray[Any], NDArray[np.float64]]:  # noqa: N803
        """Return the classes [classes] and probabilities [rows, classes], both of one fit."""
        check_is_fitted(self)
        predictor, classes, named, renamed = self._fitted
        frame = _columns(X)
        if frame and not named and len(frame) == len(predictor.fields) == 1:
            renamed = {frame[0]: predictor.fields[0]}  # fitted on texts
        lacking = [name for name in renamed if frame and name not in frame]
        if lacking:
            there = ", ".join(map(repr, frame))
            raise InputError(f"X has no column {lacking[0]!r}, which fit had; its columns are {there}.")
        found = predictor.predict_proba(_with_names(_rows(X), renamed) if frame else corpora.as_rows(X, "X"))
        order = [predictor.labels.index(name) for name in _names(classes)]
        return classes, found[:, order]

    def __sklearn_tags__(self) -> Any:
        """Return the tags of an estimator whose input is text."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags

    def _of(self, name: str, found: Prompt | None) -> Any:
        """Return the parameter, or the prompt's value if it is None."""
        given = getattr(self, name)
        return getattr(found, name) if given is None and found is not None else given

    def _settings(self, found: Prompt | None) -> dict[str, Any]:
        """Return the given settings; the others are the prompt's, if its tuning mode is used."""
        given = {
            name: getattr(self, name)
            for name in ("tuning", "learning_rate", "batch_size", "epochs", "rank")
            if getattr(self, name) is not None
        }
        same = found is not None and self.tuning in (None, found.settings["tuning"])
        return {**(found.settings if found is not None and same else {}), **given}


class _Fitted(NamedTuple):
    """The result of one fit. ``named``: whether ``X`` was a frame; ``renamed``: its column -> the template's field."""

    predictor: Predictor
    classes: NDArray[Any]
    named: bool
    renamed: dict[str, str]


_SEVERAL = (
    "y holds several labels a row (multi-label), and a prompt predicts one; give one label a row, or fit a classifier "
    "for each label, as sklearn.multiclass.OneVsRestClassifier does."
)


def _classes(y: Any, rows: int) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the sorted classes [classes] and the index of each row's class [rows].

    Raises InputError unless there are at least two classes and one label per row.
    """
    labels = _as_array(list(y) if isinstance(y, Iterator) else y)
    kinds = sorted({type(label).__name__ for label in labels.ravel().tolist()})
    if (labels.ndim == 2 and labels.shape[1] > 1) or {"list", "tuple", "set", "frozenset", "dict"} & {*kinds}:
        raise InputError(_SEVERAL)
    if labels.ndim not in (1, 2) or len(labels) != rows:
        raise InputError(f"X has {rows} rows and y the shape {labels.shape}; give one label a row.")
    labels = column_or_1d(labels, warn=True)
    without = sum(map(corpora.is_missing, labels.tolist()))
    if without:
        raise InputError(f"y has no label (None, NaN or NA) in {without} of {rows} rows; leave these rows out.")
    if "bytes" in kinds:
        raise InputError("y holds bytes; decode the labels to text.")
    if labels.dtype.kind == "f" and (np.isinf(labels).any() or type_of_target(labels).startswith("continuous")):
        raise InputError("y holds numbers with decimals, which are no classes; give the class of each row.")
    try:
        classes, places = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise InputError(f"y holds labels of several types ({', '.join(kinds)}); make all of them texts.") from error
    if len(classes) < 2:
        only = ", ".join(map(repr, classes.tolist())) or "none"
        raise InputError(f"y holds one class only ({only}); give rows of at least two classes.")
    return classes, places


def _as_array(y: Any) -> NDArray[Any]:
    """Return the labels as an array: of objects for lists of different lengths, or if one is None."""
    try:
        return np.asarray(y)
    except ValueError:
        return np.asarray([*y, None], dtype=object)[:-1]


def _names(classes: NDArray[Any]) -> list[str]:
    """Return the classes as texts, the labels of the model. Raises InputError for equal and for empty texts."""
    names = [str(value).strip() for value in classes.tolist()]
    if len(set(names)) < len(names):
        raise InputError(f"The labels {names} are the same as texts; rename some.")
    if "" in names:
        raise InputError("y holds an empty text as a label; give these rows a label, or leave them out.")
    return names


def _words(words: Mapping[Any, str] | None, classes: NDArray[Any], names: Sequence[str]) -> dict[str, str] | None:
    """Return label as text -> word. The keys of ``words`` are classes, or classes as texts."""
    known = dict(zip(classes.tolist(), names, strict=True))
    return {known.get(plain(key), str(key)): word for key, word in words.items()} if words else None


def _seed(random_state: Any) -> int:
    """Return the seed as scikit-learn reads ``random_state``: None and a RandomState draw one. Raises UsageError."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError as error:
        raise UsageError(f"random_state={random_state!r}: {first_line(error)}.") from error


def _columns(data: Any) -> list[str]:
    """Return the column names of a frame; an empty list for anything else."""
    return [str(name) for name in data.columns] if hasattr(data, "iterrows") else []


def _rows(data: Any) -> list[dict[str, Any]]:
    """Return texts or rows of any kind as dicts. Raises UsageError and InputError for anything else."""
    data = corpora.as_rows(data, "X")
    if hasattr(data, "iterrows"):
        return [{str(name): value for name, value in row.items()} for row in data.to_dict("records")]
    return [{FIELD: row} if isinstance(row, str) else dict(row) for row in data]


def _renamed(template: Template | str | None, frame: Sequence[str]) -> dict[str, str]:
    """Return a frame's only column -> the template's only field, if their names differ; else an empty dict."""
    if template is None or len(frame) != 1:
        return {}
    fields = [name for name in _parsed(template).fields if name != LABEL]
    return {frame[0]: fields[0]} if len(fields) == 1 and fields[0] != frame[0] else {}


def _with_names(rows: Sequence[Mapping[str, Any]], renamed: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{renamed.get(name, name): value for name, value in row.items()} for row in rows]


def _unused(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a name for the label column that no field has."""
    name = LABEL
    while any(name in row for row in rows):
        name += "_"
    return name


def _fields(template: Template | str, rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the template's fields that the rows have, as a ``text_column``; None (found in the data) without any."""
    return ",".join(name for name in _parsed(template).fields if rows and name in rows[0]) or None


def _parsed(template: Template | str) -> Template:
    return template if isinstance(template, Template) else Template.parse(template)
