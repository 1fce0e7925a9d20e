"""A prompt as a classifier of scikit-learn: for pipelines, cross-validation and grid search."""

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
from autoprompt.export import MAX_LENGTH, Prompt, load
from autoprompt.predicting import Predictor
from autoprompt.run import DEFAULT_MODEL
from autoprompt.template import Template

FIELD = "text"
"""What plain texts are called in a template."""
LABEL = "label"


class PromptClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Fine-tunes a pretrained model with a prompt, and classifies texts with it.

    Parameters, all of which grid search may vary (``None`` takes the prompt's, else the engine's default):

    ``prompt``: a ``Prompt``, or the path of a ``best.json``, whose model, template, label words and settings are used.
    ``model``: an embedded model, a folder or a Hub name. ``template``: with the slots ``{text}``, or the columns of the
    rows, and ``{label}``. ``label_words``: label → word; the labels as in ``y``, or as texts. ``tuning``,
    ``learning_rate``, ``batch_size``, ``epochs`` (at most), ``rank``: how it is fine-tuned. ``family``, ``max_length``
    (tokens of a field), ``chat``, ``device``: how the model is loaded. ``random_state``: the fine-tune's seed; None and
    a ``numpy.random.RandomState`` draw one. Numbers may be numpy's.

    Attributes after ``fit``: ``classes_`` [classes], ``model_`` (the fitted ``PromptModel``), ``n_features_in_``, and
    where ``X`` is a frame ``feature_names_in_``.

    Threads may share one, as they may a ``PromptModel``: a prediction comes from one fit, the old one or the new one.
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
        """Fine-tune on all rows, from the pretrained weights.

        ``X``: texts (a list, an array, a series, a generator, a column [rows, 1]), rows as dicts, or a pandas frame
        [rows]; the only column of a frame is the text, whatever it is called. A number is no text, but in a column of
        rows with several it becomes its text. Without a template, columns that say nothing of their row (identifiers,
        dates, constants) or that give the label away are not read, as in a search. ``y``: labels [rows], of any kind
        that ``numpy.unique`` sorts. Raises UsageError, InputError (a missing label or text, several labels a row, one
        class), NothingSucceededError.
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
        model = PromptModel.from_pretrained(
            self.model or (found.model_place if found else DEFAULT_MODEL),
            family=self._of("family", found),
            device=self.device,
            max_length=self._of("max_length", found) or MAX_LENGTH,
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
        """The class of each row [rows]. ``X`` as for ``fit``."""
        classes, probabilities = self._probabilities(X)
        return np.asarray(classes[np.argmax(probabilities, axis=1)])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """The probability of each of ``classes_`` for each row [rows, classes]."""
        return self._probabilities(X)[1]

    def _probabilities(self, X: Any) -> tuple[NDArray[Any], NDArray[np.float64]]:  # noqa: N803
        """Classes and probabilities [rows, classes], both of one fit."""
        check_is_fitted(self)
        predictor, classes, named, renamed = self._fitted
        frame = _columns(X)
        if frame and not named and len(frame) == len(predictor.fields) == 1:
            renamed = {frame[0]: predictor.fields[0]}  # fitted on texts
        lacking = [name for name in renamed if frame and name not in frame]
        if lacking:
            there = ", ".join(map(repr, frame))
            raise InputError(f"X has no column {lacking[0]!r}, which fit had; its columns are {there}.")
        found = predictor.predict_proba(_with_names(_rows(X), renamed) if frame else corpora.given(X, "X"))
        order = [predictor.labels.index(name) for name in _names(classes)]
        return classes, np.asarray(found, dtype=np.float64).reshape(-1, len(order))[:, order]

    def __sklearn_tags__(self) -> Any:
        """Texts, not numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags

    def _of(self, name: str, found: Prompt | None) -> Any:
        """The parameter, else what the prompt says."""
        given = getattr(self, name)
        return getattr(found, name) if given is None and found is not None else given

    def _settings(self, found: Prompt | None) -> dict[str, Any]:
        """Those that are given, over the prompt's as far as its tuning mode is kept."""
        given = {
            name: getattr(self, name)
            for name in ("tuning", "learning_rate", "batch_size", "epochs", "rank")
            if getattr(self, name) is not None
        }
        same = found is not None and self.tuning in (None, found.settings["tuning"])
        return {**(found.settings if found is not None and same else {}), **given}


class _Fitted(NamedTuple):
    """What one fit made. ``named``: on a frame; ``renamed``: its column → the template's field."""

    predictor: Predictor
    classes: NDArray[Any]
    named: bool
    renamed: dict[str, str]


_SEVERAL = (
    "y holds several labels a row (multi-label), and a prompt predicts one; give one label a row, or fit a classifier "
    "for each label, as sklearn.multiclass.OneVsRestClassifier does."
)


def _classes(y: Any, rows: int) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The sorted classes, and the place of each row's. Raises InputError for what are no labels of one a row."""
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
    """An array of the labels; of objects where they are lists of several lengths, or None is among them."""
    try:
        return np.asarray(y)
    except ValueError:
        return np.asarray([*y, None], dtype=object)[:-1]


def _names(classes: NDArray[Any]) -> list[str]:
    """The classes as the model's labels, which are texts. Raises InputError for those that are the same text."""
    names = [str(value).strip() for value in classes.tolist()]
    if len(set(names)) < len(names):
        raise InputError(f"The labels {names} are not told apart as texts; rename some.")
    if "" in names:
        raise InputError("y holds an empty text as a label; give these rows a label, or leave them out.")
    return names


def _words(words: Mapping[Any, str] | None, classes: NDArray[Any], names: Sequence[str]) -> dict[str, str] | None:
    """The label words by the labels' names; their keys are classes, or classes as texts."""
    known = dict(zip(classes.tolist(), names, strict=True))
    return {known.get(plain(key), str(key)): word for key, word in words.items()} if words else None


def _seed(random_state: Any) -> int:
    """A seed, as scikit-learn reads ``random_state``: None and a RandomState draw one."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError as error:
        raise UsageError(f"random_state={random_state!r}: {first_line(error)}.") from error


def _columns(data: Any) -> list[str]:
    """A frame's columns; none of anything else."""
    return [str(name) for name in data.columns] if hasattr(data, "iterrows") else []


def _rows(data: Any) -> list[dict[str, Any]]:
    """Texts and rows of any kind as dicts. Raises UsageError and InputError for what is neither."""
    data = corpora.given(data, "X")
    if hasattr(data, "iterrows"):
        return [{str(name): value for name, value in row.items()} for row in data.to_dict("records")]
    return [{FIELD: row} if isinstance(row, str) else dict(row) for row in data]


def _renamed(template: Template | str | None, frame: Sequence[str]) -> dict[str, str]:
    """What the only column of a frame is called in the template, where the template calls it otherwise."""
    if template is None or len(frame) != 1:
        return {}
    fields = [name for name in _parsed(template).fields if name != LABEL]
    return {frame[0]: fields[0]} if len(fields) == 1 and fields[0] != frame[0] else {}


def _with_names(rows: Sequence[Mapping[str, Any]], renamed: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{renamed.get(name, name): value for name, value in row.items()} for row in rows]


def _unused(rows: Sequence[Mapping[str, Any]]) -> str:
    """A name for the label's column that no field has."""
    name = LABEL
    while any(name in row for row in rows):
        name += "_"
    return name


def _fields(template: Template | str, rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The template's fields that the rows have, as the option wants them; None leaves the choice to the data."""
    return ",".join(name for name in _parsed(template).fields if rows and name in rows[0]) or None


def _parsed(template: Template | str) -> Template:
    return template if isinstance(template, Template) else Template.parse(template)
