"""``CandidateEvaluator``: what a search needs of an evaluator, which tests replace by one without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from autoprompt.candidate import Candidate
from autoprompt.evaluator.cost_model import CostModel
from autoprompt.evaluator.evaluation import Evaluation, Rung
from autoprompt.evaluator.journal import Journal
from autoprompt.models import TokenProposals
from autoprompt.template import LabelWords


class CandidateEvaluator(Protocol):
    """Scores candidates of one run; ``Evaluator`` documents each member."""

    @property
    def costs(self) -> CostModel: ...
    @property
    def journal(self) -> Journal: ...
    @property
    def fitted(self) -> int: ...
    @property
    def prefix_tokens(self) -> int: ...

    def frozen(self, candidates: Sequence[Candidate]) -> list[Evaluation]: ...

    def fit(
        self,
        candidates: Sequence[Candidate],
        *,
        rung: Rung = Rung.TUNED,
        fold: int = 0,
        repeat: int = 0,
        counted: bool = True,
        gate: Callable[[], bool] | None = None,
        bar: float | None = None,
        left: Callable[[], float | None] = lambda: None,
    ) -> list[Evaluation]: ...

    def prepare_votes(self, candidates: Sequence[Candidate]) -> None: ...

    def time_writing(self, candidate: Candidate) -> None: ...

    def propose(self, candidates: Sequence[Candidate], *, replacements: int, infills: int) -> list[TokenProposals]: ...

    def rank_words(self, candidates: Sequence[Candidate], count: int) -> list[list[LabelWords]]: ...

    def propose_and_rank(
        self,
        edited: Sequence[Candidate],
        worded: Sequence[Candidate],
        *,
        replacements: int,
        infills: int,
        words: int,
    ) -> tuple[list[TokenProposals], list[list[LabelWords]]]: ...

    def has_prefix(self, candidate: Candidate) -> bool: ...

    def delete_other_weights(self, candidates: Sequence[Candidate]) -> None: ...

    def without_weights(self, evaluations: Sequence[Evaluation]) -> list[Evaluation]: ...
