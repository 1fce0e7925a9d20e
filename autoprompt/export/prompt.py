"""Exported prompt: template, label words, settings and origin; it renders, predicts and fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoprompt.candidate import Candidate
from autoprompt.errors import InputError, NotFoundError, parameter
from autoprompt.export.schema import Member, PromptFile, Weights
from autoprompt.hashing import canonical_json, digest
from autoprompt.short_repr import short_repr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from autoprompt.predicting import Session


_OWN = [field.name for field in fields(Member)]
"""What each prompt of an ensemble has of its own."""


@dataclass(frozen=True)
class _Place:
    """Where a prompt was read: ``home``, the folder of its file; ``model``: its model's place, if that has moved."""

    home: Path | None = None
    model: str | None = None
    device: str = "auto"


@dataclass(frozen=True, eq=False, repr=False)
class Prompt:
    """A template with its label words and settings, and where they come from. Immutable.

    The template holds its demonstrations as literal text. ``label_words`` are empty for a classifier and for target
    texts. ``family``, ``max_length`` (tokens that a field was cut to) and ``model_revision`` say how the model was
    loaded; ``chat``: text of its chat format before and after the user's message, special tokens spelled out.
    ``labels``: in the order of probabilities, empty where texts of at most ``target_length`` tokens are generated;
    ``label_column``: the label column's name in the data. ``model_files``: SHA-256 by name. ``weights``: the fine-tuned
    weights, if they were exported too. ``ensemble``: further prompts of the same run, which predict together with this
    one: probabilities are the mean of theirs. ``render`` and ``messages`` give this prompt's text alone.

    A prompt predicts with its weights, or after ``fit``, or with the pretrained model (``frozen``); the model is loaded
    once, on first use.

    Threads may share a prompt: calls run one after another, each with the same result as in a single thread, and wait
    while one of them fits. Calls before a fit have the old weights, calls after it the new ones. For more throughput,
    pass longer lists of rows, or use several processes that each load the prompt themselves. In an event loop use
    ``asyncio.to_thread(prompt.predict, rows)``. Fork before the first prediction, not after it.
    """

    format: str
    version: int
    template: str
    label_words: Mapping[str, str]
    settings: Mapping[str, Any]
    model: str
    corpus: str
    fingerprint: str
    entry: str
    run: str
    scores: Mapping[str, Mapping[str, Any]]
    family: str
    max_length: int
    model_revision: str
    chat: tuple[str, str] | None
    labels: tuple[str, ...]
    label_column: str
    target_length: int
    model_files: Mapping[str, str]
    weights: Weights | None = None
    ensemble: tuple[Member, ...] = ()
    _place: _Place = field(default=_Place(), kw_only=True)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Prompt:
        """Return the prompt of a prompt file's values. Raises ValueError for what the file format does not allow."""
        file = PromptFile.model_validate(values)
        return cls(**{name: getattr(file, name) for name in PromptFile.model_fields})

    def to_dict(self) -> dict[str, Any]:
        """Return the values of its prompt file: the inverse of ``from_dict``."""
        values = asdict(self)
        del values["_place"]
        return values

    def __eq__(self, other: object) -> bool:
        """Whether both would be written as the same file; their places and loaded models do not count."""
        return isinstance(other, Prompt) and self.to_dict() == other.to_dict()

    def __repr__(self) -> str:
        answers: dict[str, Any] = {"labels": self.labels} if self.labels else {"target_length": self.target_length}
        together: dict[str, Any] = {"together": len(self.members)} if self.ensemble else {}
        return short_repr(
            self, self.template, **answers, tuning=self.settings.get("tuning"), model=self.model, **together
        )

    def with_weights(self, folder: str, files: Mapping[str, str]) -> Prompt:
        """Return the prompt with fine-tuned weights: the folder's name beside its file, and SHA-256 by file name."""
        return replace(self, weights=Weights(folder, dict(files), self.binding(files)))

    def with_ensemble(self, others: Sequence[Prompt]) -> Prompt:
        """Return the prompt with others of its run, which predict together with it."""
        return replace(self, ensemble=tuple(Member(**{name: getattr(o, name) for name in _OWN}) for o in others))

    @property
    def members(self) -> tuple[Prompt, ...]:
        """The prompts that predict together, each as a prompt of its own: this one, then those of ``ensemble``."""
        others = [replace(self, ensemble=(), **{name: getattr(m, name) for name in _OWN}) for m in self.ensemble]
        return (replace(self, ensemble=()), *others)

    def binding(self, files: Mapping[str, str]) -> str:
        """Return a SHA-256 over weights (SHA-256 by file name) and all that they were trained with."""
        trained = [
            self.candidate.canonical(), self.labels, self.label_column, self.target_length, self.family,
            self.max_length, self.chat, self.model_files, dict(files),
        ]  # fmt: skip
        return digest(canonical_json(trained))

    @property
    def candidate(self) -> Candidate:
        """Template, label words and settings as a candidate, checked again."""
        return Candidate.from_dict(
            {"template": self.template, "label_words": self.label_words, "settings": self.settings}
        )

    def render(self, *, label: str | None = None, **fields: Any) -> str:
        """Return the prompt up to the label; with ``label``, all of it with that label's word (``label`` itself where
        there are no label words). In a chat format the assistant's turn begins before the label, and whitespace before
        it is left out.

        Raises InputError for a missing field and an unknown label.
        """
        asked, answer = self._asked(label, fields)
        if self.chat is not None:
            asked = self.chat[0] + asked.rstrip() + self.chat[1]
        return asked + answer

    def messages(self, *, label: str | None = None, **fields: Any) -> list[dict[str, str]]:
        """Return the prompt as chat messages: the user's, and with a ``label`` the assistant's answer.

        Their form is that of ``apply_chat_template`` and of chat services. Raises as ``render`` does.
        """
        asked, answer = self._asked(label, fields)
        turns = [{"role": "user", "content": asked.rstrip()}]
        return turns if label is None else [*turns, {"role": "assistant", "content": answer.lstrip()}]

    def _asked(self, label: str | None, fields: Mapping[str, Any]) -> tuple[str, str]:
        """Return the text up to the label, and the text from the label on ("" without a label)."""
        if label is not None and self.label_words:
            if label not in self.label_words:
                raise InputError(f"The label {label!r} is unknown; use one of {list(self.label_words)}.")
            label = self.label_words[label]
        template = self.candidate.template
        asked = template.render(fields)
        return asked, "" if label is None else template.render(fields, label)[len(asked) :]

    def predict(self, rows: Any, *, frozen: bool = False) -> list[str]:
        """Return the label of each row, or the text generated for it.

        ``rows``: texts (where the template has one field), dicts, a ``datasets.Dataset`` or a pandas frame. ``frozen``:
        with the pretrained model, even if the prompt was found with a fine-tune. Raises InputError for a fine-tuned
        prompt without weights, for weights or a model that have changed, and for a row without a field.
        """
        return self.session.predictor(frozen=frozen).predict(rows)

    def predict_proba(self, rows: Any, *, frozen: bool = False) -> NDArray[np.float64]:
        """Return the probabilities of ``labels`` for each row [rows, labels], as a NumPy array. Raises as ``predict``,
        and UsageError where texts are generated."""
        return self.session.predictor(frozen=frozen).predict_proba(rows)

    def evaluate(self, rows: Any, *, label_column: str | None = None, frozen: bool = False) -> dict[str, float]:
        """Return all metrics of labelled rows and ``n``; for target texts the generation metrics.

        ``label_column``: default: its name in the data that the prompt was found on. Raises as ``predict``.
        """
        return self.session.evaluate(rows, label_column, frozen=frozen)

    def fit(self, rows: Any, *, label_column: str | None = None, seed: int = 0) -> Prompt:
        """Fine-tune the pretrained model on all of ``rows`` with the prompt's settings; returns the prompt.

        Raises InputError, NothingSucceededError for a fine-tune that diverged.
        """
        self.session.fit(rows, label_column, seed)
        return self

    def found_at(self, folder: Path | None, model: str | None, device: str) -> Prompt:
        """Return the same prompt, read from ``folder``, where its weights are looked for. ``model``: the model's place,
        if it has moved."""
        return replace(self, _place=_Place(folder and folder.absolute(), model, device))

    def __deepcopy__(self, _memo: Any = None) -> Prompt:
        """Return a copy without the loaded model; everything else is immutable."""
        return replace(self)

    @property
    def session(self) -> Session:
        """The session for all calls, made once. Raises InputError where the file has no labels and no text length."""
        made: Session | None = vars(self).get("_session")
        # If two threads come at the same time, both get the first one's session.
        return made or vars(self).setdefault("_session", self._new_session())

    def _new_session(self) -> Session:
        from autoprompt.predicting import Loading, Session, StoredWeights

        if not self.labels and not self.target_length:
            raise InputError(
                "This prompt file says neither labels nor how long a text to write; export the prompt again."
            )
        loading = Loading(
            model=self.model_place,
            family=self.family,
            max_length=self.max_length,
            chat=self.chat is not None,
            files=self.model_files,
            device=self._place.device,
        )
        home = self._place.home or Path()
        tuned = [
            (one.candidate, StoredWeights(home / one.weights.folder, one.weights.files) if one.weights else None)
            for one in self.members
        ]
        return Session(loading, tuned, self.labels, self.label_column, self.target_length)

    @property
    def model_place(self) -> str:
        """The name or path to load the model by.

        A relative folder in the prompt file (``./`` or ``../``) is looked for from the prompt file's folder, then from
        the current one. Raises NotFoundError, which names both.
        """
        name = self._place.model or self.pinned_model
        if self._place.model or not name.startswith(("./", "../")):
            return name
        places = list(dict.fromkeys([(self._place.home or Path()).absolute() / name, Path(name).absolute()]))
        found = next((place for place in places if place.is_dir()), None)
        if found is None:
            raise NotFoundError(
                f"The prompt's model folder {name} is not there: tried {' and '.join(map(str, places))}; say where it "
                f"is with {parameter('model')}."
            )
        return str(found)

    @property
    def pinned_model(self) -> str:
        """The model's name, with its commit for a Hub model; others have none."""
        return f"{self.model.partition('@')[0]}@{self.model_revision}" if self.model_revision else self.model
