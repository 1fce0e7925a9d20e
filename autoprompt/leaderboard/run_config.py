"""The configuration of a run: what it was asked for, and the facts found before it began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from autoprompt.leaderboard.stored_json import lacking
from autoprompt.results import WarmStart

P = TypeVar("P", bound="StoredPart")


class StoredPart:
    """A JSON object of a stored run, with typed values. What was read is stored again without any change.

    A value without a default that was not stored raises StorageError where it is used, since other programs and other
    versions may have stored less.
    """

    parts: ClassVar[Mapping[str, type[StoredPart]]] = {}
    """Types of the values that are JSON objects with a type of their own."""
    omitted: ClassVar[Sequence[str]] = ()
    """Values that are not stored where they are None."""

    @classmethod
    def from_dict(cls: type[P], values: Mapping[str, Any]) -> P:
        """The inverse of ``to_dict``. The leaderboard's schema has checked the types of the values."""
        part = object.__new__(cls)
        found = {one.name: values[one.name] for one in fields(cls) if one.name in values}  # type: ignore[arg-type]
        for name, kind in cls.parts.items():
            if found.get(name) is not None:
                found[name] = kind.from_dict(found[name])
        vars(part).update(found, _stored=values)
        return part

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, as they are stored."""
        if "_stored" in vars(self):
            return dict(self._stored)
        return {
            name: value.to_dict() if isinstance(value, StoredPart) else value
            for name, value in vars(self).items()
            if value is not None or name not in self.omitted
        }

    def changed(self: P, **values: Any) -> P:
        """A copy with these values; unlike ``dataclasses.replace`` for a part that was stored without others too."""
        unknown = values.keys() - {one.name for one in fields(self)}  # type: ignore[arg-type]
        if unknown:
            raise TypeError(f"{type(self).__name__} has no value {', '.join(sorted(unknown))}")
        plain = {name: value.to_dict() if isinstance(value, StoredPart) else value for name, value in values.items()}
        return self.from_dict(self.to_dict() | plain)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.to_dict()})"

    if TYPE_CHECKING:
        _stored: Mapping[str, Any]
    else:

        def __getattr__(self, name: str) -> NoReturn:
            if name in type(self).__dataclass_fields__:
                raise lacking(name)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class DataFacts(StoredPart):
    """``rows``: for each split the number of rows ``n``, and ``sha256`` of their ids in order."""

    fingerprint: str
    revision: str
    rows: Mapping[str, Mapping[str, int | str]]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ModelFacts(StoredPart):
    """``files``: the SHA-256 of each file that the model is loaded from."""

    revision: str
    files: Mapping[str, str]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CodeFacts(StoredPart):
    """Version of the scoring, hash of the package's source files, and git commit (empty without one)."""

    scoring: int
    source: str
    commit: str


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Reading(StoredPart):
    """What was read of the data, in the form of ``corpus.DataSummary``. ``summary``: in one line for people."""

    summary: str


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class StoredManifest(StoredPart):
    """Data, model and code of a run (see ``manifest``); its environment is in the record of the run."""

    parts: ClassVar = {"data": DataFacts, "model": ModelFacts, "code": CodeFacts, "reading": Reading}

    data: DataFacts
    model: ModelFacts
    code: CodeFacts
    reading: Reading | None = None


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class StoredRequest(StoredPart):
    """What ``resume`` goes on with. ``data`` and ``model``: the values of their options; ``config``: the ranges."""

    corpus: str
    in_memory: bool
    data: Mapping[str, Any]
    model: Mapping[str, Any]
    config: Mapping[str, Mapping[str, Any]]
    templates: Sequence[str]
    label_words: Mapping[str, str] | None
    strategy: str
    budget: float | None
    max_evaluations: int | None
    metric: str | None
    folds: int | None
    repeats: int
    refit: bool
    seed: int
    name: str | None
    fix: Mapping[str, Any]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class StoredWarmStart(StoredPart):
    """What a search took from earlier runs. ``prompts``: the most promising first, as ``Candidate.to_dict`` has them.

    ``operators``: by name the numbers of tries and wins. ``sources``: the runs, as ``WarmStart.to_dict`` has them.
    """

    prompts: Sequence[Mapping[str, Any]]
    operators: Mapping[str, Sequence[float]]
    sources: Sequence[Mapping[str, Any]]

    @property
    def runs(self) -> list[WarmStart]:
        """The runs that it was taken from."""
        return [WarmStart(**{one.name: source[one.name] for one in fields(WarmStart)}) for source in self.sources]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class StoredTransfer(StoredPart):
    """Another run's prompt that is scored instead of a search, the run that has it, and the ``split`` to score it on.

    ``candidate``: as ``Candidate.to_dict`` has it. ``profile``: of the run's data, as ``transfer.Profile`` has it.
    """

    entry: str
    run: str
    corpus: str
    model: str
    split: str
    candidate: Mapping[str, Any]
    profile: Mapping[str, Any]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RefineInputs(StoredPart):
    """The run, the entry and the weights that a refinement began with. ``new``: ids of the new rows.

    ``candidate``: as ``Candidate.to_dict`` has it. ``validation_learnt``: whether the weights had been trained on the
    validation rows.
    """

    entry: str
    run: str
    weights: str
    candidate: Mapping[str, Any]
    new: Sequence[str]
    validation_learnt: bool = False


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RunConfig(StoredPart):
    """A run's request, and the facts found before it began.

    ``search``: the ranges that differ from the defaults. ``request``: None for a run that cannot be resumed. ``mark``:
    proof of who began the run (see ``run.ownership``). ``refine``: only of a run that refined an entry.
    """

    parts: ClassVar = {
        "warm_start": StoredWarmStart,
        "transfer": StoredTransfer,
        "manifest": StoredManifest,
        "request": StoredRequest,
        "refine": RefineInputs,
    }
    omitted = ("refine",)

    budget: float | None = None
    max_evaluations: int | None = None
    family: str
    model_revision: str
    corpus_revision: str
    tuning: str
    chat: bool
    folds: int | None = None
    repeats: int
    workers: int
    shots: int
    max_length: int
    test_rows: int
    metric: str
    templates: Sequence[str]
    label_words: Mapping[str, str] | None
    search: Mapping[str, Any]
    fix: Mapping[str, Any]
    warm_start: StoredWarmStart | None
    transfer: StoredTransfer | None
    labels: Sequence[str]
    label_column: str
    target_length: int
    warnings: Sequence[str] | None = None
    manifest: StoredManifest
    request: StoredRequest | None
    mark: str | None = None
    refine: RefineInputs | None = None
