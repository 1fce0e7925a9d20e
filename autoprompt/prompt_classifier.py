"""A prompt as a classifier of scikit-learn: for pipelines, cross-validation and grid search."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from autoprompt.errors import InputError
from autoprompt.export import MAX_LENGTH, Prompt, load
from autoprompt.prompt_model import PromptModel
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
    rows, and ``{label}``. ``label_words``: label → word, with the labels as texts. ``tuning``, ``learning_rate``,
    ``batch_size``, ``epochs`` (at most), ``rank``: how it is fine-tuned. ``family``, ``max_length`` (tokens of a
    field), ``chat``, ``device``: how the model is loaded. ``random_state``: the fine-tune's seed.

    Attributes after ``fit``: ``classes_`` [classes], ``model_`` (the fitted ``PromptModel``).
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
        random_state: int = 0,
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

        ``X``: texts (a list, an array or a series), rows as dicts, or a pandas frame [rows]. ``y``: labels [rows], of
        any kind that ``numpy.unique`` sorts. Raises UsageError, InputError, NothingSucceededError.
        """
        rows = _rows(X)
        labels = np.asarray(y)
        if labels.ndim != 1 or len(labels) != len(rows):
            raise InputError(f"X has {len(rows)} rows and y the shape {labels.shape}; give one label a row.")
        classes, places = np.unique(labels, return_inverse=True)
        names = _names(classes)
        column = _unused(rows)
        train = [{**row, column: names[place]} for row, place in zip(rows, places, strict=True)]
        found = self.prompt if self.prompt is None or isinstance(self.prompt, Prompt) else load(self.prompt)
        model = PromptModel.from_pretrained(
            self.model or (found.pinned_model if found else DEFAULT_MODEL),
            family=self._of("family", found),
            device=self.device,
            max_length=self._of("max_length", found) or MAX_LENGTH,
            chat=bool(self._of("chat", found)),
        )
        template = self._of("template", found)
        self.model_ = model.fit(
            train,
            template,
            label_words=self._of("label_words", found) or None,
            text_column=None if template is None else _fields(template, rows),
            label_column=column,
            seed=self.random_state,
            **self._settings(found),
        )
        self.classes_ = classes
        self.n_features_in_ = 1
        return self

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """The class of each row [rows]. ``X`` as for ``fit``."""
        places = np.argmax(self.predict_proba(X), axis=1)
        return np.asarray(self.classes_[places])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """The probability of each of ``classes_`` for each row [rows, classes]."""
        check_is_fitted(self)
        order = [self.model_.labels_.index(name) for name in _names(self.classes_)]
        return np.asarray(self.model_.predict_proba(_rows(X)), dtype=np.float64).reshape(-1, len(order))[:, order]

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


def _names(classes: NDArray[Any]) -> list[str]:
    """The classes as the model's labels, which are texts. Raises InputError for those that are the same text."""
    names = [str(value).strip() for value in classes.tolist()]
    if len(set(names)) < len(names):
        raise InputError(f"The labels {names} are not told apart as texts; rename some.")
    return names


def _rows(data: Any) -> list[dict[str, Any]]:
    """Texts and rows of any kind as dicts. Raises InputError for what is neither."""
    if hasattr(data, "iterrows"):
        return [{str(name): value for name, value in row.items()} for row in data.to_dict("records")]
    if hasattr(data, "tolist"):
        data = data.tolist()
    rows = [{FIELD: row} if isinstance(row, str) else row for row in data]
    other = next((row for row in rows if not isinstance(row, Mapping)), None)
    if other is not None:
        raise InputError(f"{other!r} is neither a text nor a row; give texts, dicts or a frame.")
    return [dict(row) for row in rows]


def _unused(rows: Sequence[Mapping[str, Any]]) -> str:
    """A name for the label's column that no field has."""
    name = LABEL
    while any(name in row for row in rows):
        name += "_"
    return name


def _fields(template: Template | str, rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The template's fields that the rows have, as the option wants them; None leaves the choice to the data."""
    parsed = template if isinstance(template, Template) else Template.parse(template)
    return ",".join(name for name in parsed.fields if name in rows[0]) or None
