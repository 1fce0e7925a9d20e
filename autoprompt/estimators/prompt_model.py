"""A pretrained model with one prompt: fit, evaluate, predict, as in scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from autoprompt import corpus as corpora
from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Corpus
from autoprompt.errors import UsageError
from autoprompt.models import DEFAULT_TUNING, LanguageModel, check_device, load_model, locate_model
from autoprompt.models.locks import Turn
from autoprompt.predicting import Predictor, labelled, tuned
from autoprompt.run import DEFAULT_MODEL, DataOptions, ModelOptions
from autoprompt.run.inputs import check_options, shown, words_of
from autoprompt.template import Template

KEPT_ROWS = 2000
"""Training rows whose prefixes ``tail`` may keep in memory; with more, ``lora`` is the default."""


class Fitted(NamedTuple):
    """What one fit made, and what its rows called the label: read at once, it is never of two fits."""

    predictor: Predictor
    label_column: str


class PromptModel:
    """A model, a template and what a fine-tune changed; ``fit`` starts from the pretrained weights each time.

    Attributes after ``fit``: ``candidate_`` (template, label words, settings), ``labels_``.

    Threads may share one: their calls are answered one after another, each as one thread alone would be; while one
    thread fits, predictions wait, and come from the old fine-tune or the new one. More throughput takes longer lists of
    rows or several processes, each with a model of its own.
    """

    def __init__(self, name: str, family: str | None, device: str, max_length: int, chat: bool) -> None:
        max_length = plain(max_length)
        check_options(DataOptions(max_length=max_length), ModelOptions(name, device, family=family), None)
        self._source = locate_model(name)
        self.family = family or self._source.family
        self._options = {"device": check_device(device), "max_length": max_length, "chat": chat, "family": self.family}
        self._turn = Turn()
        self._model: LanguageModel | None = None
        self._loaded_for: tuple[str, ...] = ()
        self._fitted: Fitted | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: of one fit, whatever another thread does meanwhile."""
        with self._turn:
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
        """An embedded model, a local folder or a Hub name.

        ``family``: causal, masked, seq2seq or classifier, default as the checkpoint was saved. ``max_length``: tokens
        of a field. ``chat``: wrap prompts in the tokenizer's chat format. Raises UsageError, InputError.
        """
        model = cls(name, family, device, max_length, chat)
        if model.family != "classifier":  # whose head waits for the labels
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
        """Fine-tune on all rows of ``train``: a ``datasets.Dataset``, a list of dicts or a pandas frame.

        Without ``text_column``, columns that say nothing of their row (identifiers, dates, constants) or that give the
        label away are no fields, as in a search; ``candidate_.template`` shows those that are.

        ``template``: default the manual one of the data's columns. ``settings``: epochs, learning_rate, batch_size,
        rank, calibration. Solved examples (``{demos:k}``) are drawn from ``train``, and nothing is learnt of them.
        After an error the model is what it was before. Raises UsageError, InputError, NothingSucceededError for a
        fine-tune that diverged.
        """
        corpus = corpora.whole(
            train, name="train", text_column=text_column, label_column=label_column, target_column=target_column
        )
        tuning, seed = plain(tuning) or self._default_tuning(len(corpus.train)), plain(seed)
        candidate = shown(self._candidate(corpus, template, label_words, tuning, settings), corpus, seed)
        model = self._load(corpus.labels)
        if tuning not in model.tuning_modes:
            modes = ", ".join(model.tuning_modes)
            raise UsageError(f"This {self.family} model cannot be tuned with {tuning!r}; use one of {modes}.")
        with model.exclusive():
            model.check(candidate)
            delta = tuned(model, candidate, corpus.train, corpus.labels, corpus.fields, seed)
            written = 0 if corpus.labels else model.target_length(corpus.train)
        predictor = Predictor(model, candidate, corpus.labels, corpus.fields, delta, written)
        with self._turn:
            self._fitted = Fitted(predictor, corpus.label_column)
            self.candidate_, self.labels_ = candidate, corpus.labels
        return self

    def predict(self, rows: Any) -> list[str]:
        """The label of each row, or the text written for it. ``rows``: texts, or rows as for ``fit``."""
        return self.fitted.predictor.predict(rows)

    def predict_proba(self, rows: Any) -> list[list[float]]:
        """The probability of each of ``labels_`` for each row [rows][labels]. Raises UsageError for target texts."""
        return self.fitted.predictor.predict_proba(rows)

    def evaluate(self, test: Any) -> dict[str, float]:
        """All metrics of labelled rows and ``n``; for target texts those of generation. Raises InputError."""
        predictor, label_column = self.fitted
        corpus = labelled(test, predictor.fields, label_column, predictor.labels, name="test", trains=False)
        return predictor.evaluate(corpus.train)

    @property
    def fitted(self) -> Fitted:
        """What the last fit made. Raises UsageError before the first."""
        if self._fitted is None:
            raise UsageError("This model has no prompt yet; call fit first.")
        return self._fitted

    def _default_tuning(self, rows: int) -> str:
        mode = DEFAULT_TUNING[self.family]
        return "lora" if mode == "tail" and rows > KEPT_ROWS else mode

    def _load(self, labels: tuple[str, ...]) -> LanguageModel:
        wanted = labels if self.family == "classifier" else ()
        with self._turn:
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
        words = words_of(corpus, self.family, None if label_words is None else dict(label_words))
        default = Settings.default(tuning, len(corpus.train), labelled=bool(corpus.labels))
        known = {*default.to_dict(), "calibration"} - {"tuning"}
        if set(changes) - known:
            raise UsageError(
                f"The settings {sorted(set(changes) - known)} are unknown to {tuning}; use {sorted(known)}."
            )
        bound = parsed.bind(corpus.fields, corpus.label_column)
        return Candidate(bound, words, default.change(**{name: plain(value) for name, value in changes.items()}))


def plain(value: Any) -> Any:
    """A setting with Python's own value in place of numpy's, which grids of settings hold."""
    return value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value
