"""Session: predictions and fine-tunes of a prompt from a file; its model is loaded on first use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoprompt.candidate import Candidate, Settings
from autoprompt.errors import InputError, parameter
from autoprompt.files import sha256
from autoprompt.manifest import files_of
from autoprompt.model_folder import weight_files
from autoprompt.models import (
    FAMILIES,
    Delta,
    LanguageModel,
    ModelSource,
    ReentrantLock,
    check_device,
    load_model,
    locate_model,
    read_delta,
)
from autoprompt.predicting.predictor import Ensemble, Predictor
from autoprompt.predicting.training import labelled, tuned

MOST_WEIGHTS = 64 << 20
"""Most bytes of fine-tuned weights, in addition to four times the model's: room for float32 and high-rank adapters."""


@dataclass(frozen=True)
class Loading:
    """How a prompt's model is loaded. ``files``: SHA-256, by name, of the model files that the weights were trained
    with; empty where they are not known."""

    model: str
    family: str | None
    max_length: int
    chat: bool
    files: Mapping[str, str]
    device: str = "auto"


@dataclass(frozen=True)
class StoredWeights:
    """Files of a fine-tune in a folder, with their SHA-256."""

    folder: Path
    files: Mapping[str, str]

    def read(self, settings: Settings, model: Path) -> Delta:
        """Return the weights. Raises InputError for a file that is missing, has changed, or is many times as large as
        the model."""
        most = MOST_WEIGHTS + 4 * sum(file.stat().st_size for file in weight_files(model))
        for name, expected in self.files.items():
            path = self.folder / name
            try:
                if path.stat().st_size > most:
                    raise InputError(f"The weights {path} have more than {most >> 20} MiB; export both again.")
                found = sha256(path)
            except OSError as error:
                raise InputError(
                    f"The weights {path} cannot be read ({error.strerror}); keep the folder beside the prompt file."
                ) from error
            if found != expected:
                raise InputError(f"The weights {path} are not those of the prompt file; export both again.")
        return read_delta([self.folder / name for name in self.files], settings)


class Session:
    """A prompt, or several that predict together, with its model and weights, which are loaded by the first call that
    needs them.

    Threads may share a session: the model is loaded once, and each predictor has the weights of one fit.

    ``prompts``: each with its weights, where there are any; several have labels. ``labels``: in the order of the
    scores; empty where texts of at most ``written`` tokens are generated.
    """

    def __init__(
        self,
        loading: Loading,
        prompts: Sequence[tuple[Candidate, StoredWeights | None]],
        labels: tuple[str, ...],
        label_column: str,
        written: int,
    ) -> None:
        self.loading = loading
        self.candidates = tuple(candidate for candidate, _ in prompts)
        self.labels = labels
        self.label_column = label_column
        self.written = written
        self._weights = tuple(weights for _, weights in prompts)
        self._lock = ReentrantLock()
        self._located: ModelSource | None = None
        self._loaded: LanguageModel | None = None
        self._deltas: tuple[Delta, ...] | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that each row must have."""
        return tuple(dict.fromkeys(name for candidate in self.candidates for name in candidate.template.fields))

    def predictor(self, *, frozen: bool = False) -> Predictor:
        """Return the predictor; ``frozen``: with the pretrained model, without a fine-tune.

        Raises InputError for a fine-tuned prompt that has no weights and was not fitted, and for a frozen classifier.
        """
        with self._lock:
            candidates, deltas = self.candidates, self._deltas
            if frozen:
                self._check_frozen()
                candidates = tuple(
                    replace(one, settings=Settings("none", calibration=one.settings.calibration)) for one in candidates
                )
                deltas = ({},) * len(candidates)
            elif deltas is None:
                deltas = self._deltas = self._read()
            made = [
                Predictor(self._model, candidate, self.labels, self.fields, delta, self.written)
                for candidate, delta in zip(candidates, deltas, strict=True)
            ]
        return made[0] if len(made) == 1 else Ensemble(**vars(made[0]), others=tuple(made[1:]))

    def fit(self, rows: Any, label_column: str | None, seed: int) -> None:
        """Fine-tune on all rows, from the pretrained weights. Raises as ``PromptModel.fit`` does."""
        corpus = labelled(
            rows, self.fields, label_column or self.label_column, self.labels, name="training", trains=True
        )
        model = self._model
        with model.exclusive():
            deltas = tuple(
                tuned(model, candidate, corpus.train, self.labels, self.fields, int(seed))
                for candidate in self.candidates
            )
            written = self.written if self.labels else model.target_length(corpus.train)
        with self._lock:
            self._deltas, self.written = deltas, written

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle, which belongs to one fit even if another thread fits meanwhile."""
        with self._lock:
            return dict(self.__dict__)

    def evaluate(self, rows: Any, label_column: str | None, *, frozen: bool) -> dict[str, float]:
        """Return all metrics of labelled rows and ``n``; for target texts the generation metrics."""
        corpus = labelled(rows, self.fields, label_column or self.label_column, self.labels, name="test", trains=False)
        return self.predictor(frozen=frozen).evaluate(corpus.train)

    def _read(self) -> tuple[Delta, ...]:
        """What the fine-tunes changed, one for each prompt."""
        tuned = [candidate.settings.tuning != "none" for candidate in self.candidates]
        if not any(tuned):
            return ({},) * len(tuned)
        if any(fitted and weights is None for fitted, weights in zip(tuned, self._weights, strict=True)):
            raise InputError(
                "The prompt was found with a fine-tune, and its file comes without the weights; export the winner of a "
                f"run with {parameter('with_weights', True)}, call fit with labelled rows, or ask for the "
                "pretrained model as it is "
                f"({parameter('frozen', True)})."
            )
        now = files_of(self._source.folder)
        changed = [name for name, expected in self.loading.files.items() if now.get(name) != expected]
        if changed:
            raise InputError(
                f"The model {self.loading.model!r} is not the one that the weights were trained with ({changed[0]} is "
                "another); use that one, or call fit."
            )
        return tuple(
            weights.read(candidate.settings, self._source.folder) if weights and fitted else {}
            for candidate, weights, fitted in zip(self.candidates, self._weights, tuned, strict=True)
        )

    def _check_frozen(self) -> None:
        families = (self._source.family, self.loading.family or self._source.family)
        if not all(FAMILIES[family].takes_label_words for family in families):
            raise InputError("A classifier's head is untrained before a fine-tune; call fit, or export its weights.")

    @property
    def _source(self) -> ModelSource:
        with self._lock:
            if self._located is None:
                self._located = locate_model(self.loading.model)
            return self._located

    @property
    def _model(self) -> LanguageModel:
        loading = self.loading
        with self._lock:
            if self._loaded is None:
                family = loading.family or self._source.family
                self._loaded = load_model(
                    self._source.folder,
                    device=check_device(loading.device),
                    max_length=loading.max_length,
                    labels=() if FAMILIES[family].takes_label_words else self.labels,
                    family=family,
                    chat=loading.chat,
                )
            return self._loaded
