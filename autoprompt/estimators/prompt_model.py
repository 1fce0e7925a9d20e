"""``PromptModel``: a pretrained model with one prompt; fit, evaluate and predict as in scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoprompt import corpus as corpora
from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Corpus
from autoprompt.errors import UsageError
from autoprompt.models import FAMILIES, LanguageModel, ReentrantLock, check_device, load_model, locate_model
from autoprompt.predicting import Predictor, labelled, tuned
from autoprompt.run import (
    DEFAULT_MODEL,
    DataOptions,
    ModelOptions,
    check_options,
    given_words,
    with_drawn_demos,
    words_for,
)
from autoprompt.short_repr import short_repr
from autoprompt.template import Template

KEPT_ROWS = 2000
"""Most training rows for which ``tail`` is the default: it caches their prefixes in memory. Above, it is ``lora``."""


class Fitted(NamedTuple):
    """The result of one fit. Threads replace and read it as one object, so that its parts never come from two fits."""

    predictor: Predictor
    label_column: str


class PromptModel:
    """A pretrained model with a template and the result of a fine-tune; made by ``from_pretrained``.

    Attributes after ``fit``: ``candidate_`` (template, label words, settings) and ``labels_``, in the order of the
    probabilities (empty for target texts).

    Threads may share a model: their calls take turns, and each returns what a single thread would get. While one thread
    fits, predictions wait; each comes from the old fine-tune or the new one. For more throughput, pass longer lists of
    rows, or use several processes, each with its own model.
    """

    def __init__(self, name: str, family: str | None, device: str, max_length: int, chat: bool) -> None:
        max_length = plain(max_length)
        check_options(DataOptions(max_length=max_length), ModelOptions(name, device, family=family), None)
        self._source = locate_model(name)
        self.family = family or self._source.family
        self._options = {"device": check_device(device), "max_length": max_length, "chat": chat, "family": self.family}
        self._lock = ReentrantLock()
        self._model: LanguageModel | None = None
        self._loaded_for: tuple[str, ...] = ()
        self._fitted: Fitted | None = None

    def __repr__(self) -> str:
        fitted = self._fitted
        prompt = {} if fitted is None else {"template": fitted.predictor.candidate.template.format()}
        return short_repr(self, self._source.name, family=self.family, **prompt)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle: that of one fit, whatever other threads do."""
        with self._lock:
            return dict(self.__dict__)

    @classmethod
    def from_pretrained(
        cls,
        name: str = DEFAULT_MODEL,
        *,
        family: str | None = None,
        device: str = "auto",
        max_length: int = 128,
        chat: bool = False,
    ) -> PromptModel:
        """Load an embedded model, a local folder (as a path: ``./my-model``) or a Hub model.

        ``family``: as for `autoprompt.search`; None: as the checkpoint was saved. ``device``: auto, cpu, cuda or mps;
        auto takes a GPU if there is one. ``max_length``: tokens that a field is cut to. ``chat``: wrap prompts in the
        tokenizer's chat format.

        Raises UsageError for an unknown family, an absent device and a ``max_length`` below 1; InputError for a model
        that cannot be used (NotFoundError: that does not exist).
        """
        model = cls(name, family, device, max_length, chat)
        if FAMILIES[model.family].takes_label_words:  # a head depends on the labels, which ``fit`` knows
            model._load(())
        return model

    def fit(
        self,
        train: Any,
        template: Template | str | None = None,
        *,
        label_words: Mapping[str, str] | None = None,
        text_column: str | None = None,
        label_column: str | None = None,
        target_column: str | None = None,
        tuning: str | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> PromptModel:
        """Fine-tune on all rows of ``train``, from the pretrained weights; returns the model itself.

        ``train``: a ``datasets.Dataset``, a pandas frame, a list of dicts or a dict of lists.
        ``template``: None: the manual template of the data's columns. Solved examples (``{demos:k}``) are drawn from
        ``train``, and these rows are not trained on.
        ``label_words``: label -> word or phrase; None: the labels in lower case. There are none for target texts and
        for the family classifier.
        ``text_column``: the field, or several separated by commas. None: as in a search, columns without meaning
        (identifiers, dates, constants) and columns that give the label away are left out; ``candidate_.template`` shows
        the fields used.
        ``label_column``: None: found by its name and values. ``target_column``: the text to generate, in place of a
        label.
        ``tuning``: as for `autoprompt.search`; None: the family's (tail of causal models becomes lora with more than
        2000 rows).
        ``seed``: of everything that is drawn at random.
        ``settings``: learning_rate, batch_size (rows per step), epochs (at most) and rank (of the adapters), as far as
        the tuning mode uses them; and calibration (True or False).

        Raises UsageError for arguments that cannot be used, InputError for rows, a template or label words that cannot
        be used, NothingSucceededError for a fine-tune that diverged. After an error the model is as it was before.
        """
        corpus = corpora.from_rows_unsplit(
            train, name="train", text_column=text_column, label_column=label_column, target_column=target_column
        )
        tuning, seed = plain(tuning) or self._default_tuning(len(corpus.train)), plain(seed)
        candidate = with_drawn_demos(self._candidate(corpus, template, label_words, tuning, settings), corpus, seed)
        model = self._load(corpus.labels)
        if tuning not in model.tuning_modes:
            modes = ", ".join(model.tuning_modes)
            raise UsageError(f"This {self.family} model cannot be tuned with {tuning!r}; use one of {modes}.")
        with model.exclusive():
            model.check(candidate)
            delta = tuned(model, candidate, corpus.train, corpus.labels, corpus.fields, seed)
            written = 0 if corpus.labels else model.target_length(corpus.train)
        predictor = Predictor(model, candidate, corpus.labels, corpus.fields, delta, written)
        with self._lock:
            self._fitted = Fitted(predictor, corpus.label_column)
            self.candidate_, self.labels_ = candidate, corpus.labels
        return self

    def predict(self, rows: Any) -> list[str]:
        """Return the label of each row, or the text generated for it [rows].

        ``rows``: texts (for a template with one field), or rows as for ``fit``. Raises UsageError before the first fit,
        InputError for a row without a field, NothingSucceededError if the model fails.
        """
        return self.fitted.predictor.predict(rows)

    def predict_proba(self, rows: Any) -> NDArray[np.float64]:
        """Return the probability of each of ``labels_`` for each row [rows, labels], as a NumPy array.

        Raises as ``predict`` does, and UsageError for target texts.
        """
        return self.fitted.predictor.predict_proba(rows)

    def evaluate(self, test: Any) -> dict[str, float]:
        """Return all metrics of labelled rows by name, ``loss`` and ``n``, the number of rows.

        ``test``: rows as for ``fit``. With labels the metrics are those of classification, and ``loss`` is the mean
        log-loss (nats per row). With target texts they are those of generation, and ``loss`` is the mean negative
        log-probability of a target's tokens (nats per token). Raises as ``predict`` does, and InputError for unknown
        labels.
        """
        predictor, label_column = self.fitted
        corpus = labelled(test, predictor.fields, label_column, predictor.labels, name="test", trains=False)
        return predictor.evaluate(corpus.train)

    @property
    def fitted(self) -> Fitted:
        """The result of the last fit. Raises UsageError before the first."""
        if self._fitted is None:
            raise UsageError("This model has no prompt yet; call fit first.")
        return self._fitted

    def _default_tuning(self, rows: int) -> str:
        mode = FAMILIES[self.family].tuning
        return "lora" if mode == "tail" and rows > KEPT_ROWS else mode

    def _load(self, labels: tuple[str, ...]) -> LanguageModel:
        wanted = () if FAMILIES[self.family].takes_label_words else labels
        with self._lock:
            if self._model is None or self._loaded_for != wanted:
                self._model = load_model(self._source.folder, labels=wanted, **self._options)  # type: ignore[arg-type]
                self._loaded_for = wanted
            return self._model

    def _candidate(
        self,
        corpus: Corpus,
        template: Template | str | None,
        label_words: Mapping[str, str] | None,
        tuning: str,
        changes: Mapping[str, Any],
    ) -> Candidate:
        parsed = template if isinstance(template, Template) else Template.parse(template or corpus.manual_template)
        words = words_for(corpus, self.family, given_words(corpus, label_words))
        default = Settings.default(tuning, len(corpus.train), labelled=bool(corpus.labels))
        known = {*default.to_dict(), "calibration"} - {"tuning"}
        if set(changes) - known:
            raise UsageError(
                f"The settings {sorted(set(changes) - known)} are unknown to {tuning}; use {sorted(known)}."
            )
        bound = parsed.bind(corpus.fields, corpus.label_column)
        return Candidate(bound, words, default.change(**{name: plain(value) for name, value in changes.items()}))


def plain(value: Any) -> Any:
    """Return a NumPy scalar, as grids of settings hold, as a Python value; anything else unchanged."""
    return value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value
