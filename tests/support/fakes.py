"""An evaluator without a model: losses are hashes, so that a search over candidates alone runs in no time."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from autoprompt.candidate import Candidate, Demo, Settings, derived_seed
from autoprompt.evaluator import CostModel, Evaluation, Journal, Rung
from autoprompt.models import TokenProposals
from autoprompt.optimizer import Budget, Outcome, Search, Space, phrases
from autoprompt.optimizer.space import flaw
from autoprompt.template import LabelWords, Template


def share(*parts: object) -> float:
    """A number from 0 to 1 that the parts decide."""
    return derived_seed(*parts) / 2**63


def valid(candidate: Candidate, space: Space) -> bool:
    """Whether a candidate may be scored."""
    return flaw(candidate, space) is None


def near(template: Template, count: int) -> list[tuple[Template, float]]:
    """Edits of a template, the best first."""
    return [
        (phrases.with_tail(template, f" near{int(999 * share(template.format(), n))} "), -float(n))
        for n in range(count)
    ]


NO_ROWS: Any = SimpleNamespace(train=(), validation=(), unlabeled=(), labels=())


class FakeCosts(CostModel):
    """Nothing takes any time."""

    def __init__(self, workers: int = 1) -> None:
        super().__init__(NO_ROWS, workers)

    def fit_estimate(self, settings: Settings) -> float:  # noqa: ARG002
        return 0.0

    def test_seconds(self, candidates: Sequence[Candidate], rows: int) -> float:  # noqa: ARG002
        return 0.0


class FakeEvaluator:
    """A ``CandidateEvaluator``."""

    def __init__(self, costs: CostModel | None = None) -> None:
        self.fitted = 0
        self.journal = Journal()
        self.prefix_tokens = 2000
        self.costs = costs or FakeCosts()
        self.fit_time = 0.0
        self.known: dict[tuple[str, int], Evaluation] = {}
        self.heads: set[tuple[Template, tuple[Demo, ...]]] = set()
        self.asked = {"frozen": 0, "propose": 0, "rank_words": 0}

    def frozen(self, candidates: Sequence[Candidate]) -> list[Evaluation]:
        self.asked["frozen"] += 1
        self.heads |= {(c.template.head(), c.demos) for c in candidates}
        return [_scored(c, Rung.FROZEN, share(c.text_id), 0) for c in candidates]

    def fit(
        self,
        candidates: Sequence[Candidate],
        *,
        rung: Rung = Rung.TUNED,
        fold: int = 0,
        repeat: int = 0,
        counted: bool = True,
        gate: Callable[[], bool] | None = None,
        bar: float | None = None,  # noqa: ARG002
        left: Callable[[], float | None] = lambda: None,
    ) -> list[Evaluation]:
        out = []
        for candidate in candidates:
            key = candidate.id, fold + 100 * repeat
            if key not in self.known:
                if gate is not None and not gate():
                    break
                seconds = left()
                if seconds is not None and self.fit_time > seconds:
                    break
                self.fitted += counted
                self.known[key] = _scored(candidate, rung, share(candidate.id, fold), fold)
            out.append(replace(self.known[key], rung=rung))
        return out

    def propose(self, candidates: Sequence[Candidate], *, replacements: int, infills: int) -> list[TokenProposals]:
        self.asked["propose"] += bool(candidates)
        edits = [near(c.template, max(replacements, infills)) for c in candidates]
        return [TokenProposals(edit[:replacements], edit[::-1][:infills]) for edit in edits]

    def rank_words(self, candidates: Sequence[Candidate], count: int) -> list[list[LabelWords]]:
        self.asked["rank_words"] += bool(candidates)
        return [
            [
                c.label_words.replace(c.label_words.labels[0], f"word{int(99 * share(c.template.format(), n))}")
                for n in range(count)
            ]
            for c in candidates
        ]

    def propose_and_rank(
        self,
        edited: Sequence[Candidate],
        worded: Sequence[Candidate],
        *,
        replacements: int,
        infills: int,
        words: int,
    ) -> tuple[list[TokenProposals], list[list[LabelWords]]]:
        edits = self.propose(edited, replacements=replacements, infills=infills)
        return edits, self.rank_words(worded, words)

    def prepare_votes(self, candidates: Sequence[Candidate]) -> None:
        """There are no unlabelled rows."""

    def has_prefix(self, candidate: Candidate) -> bool:
        return (candidate.template.head(), candidate.demos) in self.heads

    def delete_other_weights(self, candidates: Sequence[Candidate]) -> None:
        """There are none."""

    def without_weights(self, evaluations: Sequence[Evaluation]) -> list[Evaluation]:  # noqa: ARG002
        """All are kept."""
        return []

    def time_writing(self, candidate: Candidate) -> None:
        """No texts are written."""


def _scored(candidate: Candidate, rung: Rung, loss: float, fold: int) -> Evaluation:
    return Evaluation(
        candidate,
        rung,
        fold=fold,
        row_ids=("a", "b"),
        gold=(0, 1),
        log_probs=((-0.1, -2.0), (-2.0, -0.1)),
        losses=(loss, loss * 1.1),
        readability=share("readability", candidate.text_id),
    )


def run_search(space: Space, strategy: str, evaluations: int = 60) -> tuple[Outcome, list[tuple[str, Evaluation]]]:
    """One search, and all that it recorded with its role."""
    found: list[tuple[str, Evaluation]] = []
    outcome = Search(
        evaluator=FakeEvaluator(),
        space=space,
        strategy_name=strategy,
        seed=0,
        budget=Budget(evaluations=evaluations),
        test_rows=0,
        record=lambda evaluations, role, _proposals=(): found.extend((role, e) for e in evaluations),
    ).run()
    return outcome, found
