"""``Summary``: an evaluation without per-example data, and its candidate as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from autoprompt.candidate import Candidate
from autoprompt.leaderboard.stored_json import parsed
from autoprompt.metrics import Score


class PlainCandidate(NamedTuple):
    """A candidate as it is stored: the template as text, label -> word, settings by name, solved examples."""

    template: str
    label_words: dict[str, str]
    settings: Mapping[str, Any]
    demos: Sequence[Mapping[str, Any]]


class Summary(NamedTuple):
    """An evaluation's row, without per-example data; the fields are the columns.

    A tuple, because a listing makes tens of thousands of them.
    """

    run: str
    key: str
    entry: str
    role: str
    split: str
    rung: int
    fold: int
    repeat: int
    status: str
    reason: str | None
    loss: float | None
    accuracy: float | None
    metric: str | None
    value: float | None
    n: int | None
    readability: float | None
    seconds: float
    tokens: int
    length: int
    candidate: str

    @property
    def score(self) -> Score | None:
        """The score; None if the evaluation has none."""
        if self.loss is None or self.metric is None or self.value is None or self.n is None:
            return None
        return Score(self.loss, self.accuracy, self.metric, self.value, self.n)

    @property
    def plain(self) -> PlainCandidate:
        """The candidate's texts and values; quicker than ``parsed``, since the template is not parsed."""
        values = _candidate_dict(self.candidate)
        return PlainCandidate(values["template"], values["label_words"], values["settings"], values.get("demos", []))

    def parsed(self) -> Candidate:
        """The candidate. Raises InputError for one that this program did not store."""
        return Candidate.from_dict(_candidate_dict(self.candidate))


def _candidate_dict(canonical: str) -> dict[str, Any]:
    """A candidate's canonical JSON as the plain dict of ``Candidate.to_dict``."""
    values: dict[str, Any] = parsed(canonical, "The candidate of an evaluation")
    return values | {"label_words": dict(values["label_words"])}
