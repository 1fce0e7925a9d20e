"""The evaluator in the driver: sends the ladder's tasks to the workers and never computes the same score twice."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoprompt.candidate import Candidate
from autoprompt.corpus import Corpus, Example
from autoprompt.evaluator.cost_model import CostModel, PrefixKey, prefix_key
from autoprompt.evaluator.dispatch import FIRST_LIMIT, TaskMap, dispatch
from autoprompt.evaluator.evaluation import Evaluation, Rung
from autoprompt.evaluator.journal import Journal, task_key, work_from_json, work_to_json
from autoprompt.evaluator.proposing import ProposeTask, WordsTask
from autoprompt.evaluator.refitting import RefitTask
from autoprompt.evaluator.scoring import flag_constant
from autoprompt.evaluator.tasks import (
    FitTask,
    FrozenTask,
    PreparePrefix,
    TestTask,
    TimeWriting,
    WeightsTask,
    weights_name,
)
from autoprompt.evaluator.worker import FROZEN, Work
from autoprompt.models import TokenProposals, writing
from autoprompt.template import LabelWords

LEAST_LIMIT = 300.0
"""Least seconds after which a task counts as hanging, once others have ended."""
SLOWER = 20
"""A task may take this many times as long as the slowest one so far."""
TEST_BLOCK = 50
"""Rows of one test task. Blocks depend on the split alone, so that any number of workers gives the same bits."""

Observer = Callable[["Evaluation | None", "Evaluator"], None]
"""Called with every finished evaluation, and with None after any other task; the evaluator has counted it."""


class Evaluator:
    """Scores candidates of one run.

    ``costs``: gets the time that tasks take. ``weights``: the folder for fine-tuned weights, the same as in the
    workers' ``WorkerSpec``. ``journal``: holds the results of a resumed run's earlier tasks, and stores new ones.
    ``on_idle``: the driver's own work, called whenever all available results have been taken. ``time_limit``: seconds
    that one task may take; None: a multiple of the slowest task so far.
    """

    def __init__(
        self,
        executor: TaskMap,
        corpus: Corpus,
        costs: CostModel,
        *,
        weights: Path,
        journal: Journal | None = None,
        observers: Sequence[Observer] = (),
        on_idle: Callable[[], None] = lambda: None,
        time_limit: float | None = None,
    ) -> None:
        self.costs = costs
        self.journal = journal or Journal()
        self.fitted = 0
        """Fine-tuned evaluations of the search phase so far (frozen ones where nothing is fine-tuned)."""
        self.tokens = 0
        self.executor = executor
        self._corpus = corpus
        self._weights = weights
        self._observers = tuple(observers)
        self._on_idle = on_idle
        self._time_limit = time_limit
        self._slowest = 0.0
        self._frozen: dict[str, Evaluation] = {}
        self._voting: set[PrefixKey] = set()
        """Heads whose prefixes are cached for the unlabelled rows."""
        self._fits: dict[tuple[str, int, int, int], Evaluation] = {}

    def frozen(self, candidates: Sequence[Candidate]) -> list[Evaluation]:
        """Return frozen scores (rung 0), computed once for each template with its demonstrations and label words."""
        new = {c.text_id: c for c in candidates if c.text_id not in self._frozen}
        self._prepare([_frozen(c) for c in new.values()])
        tasks = [FrozenTask(Evaluation(c, Rung.FROZEN, split="frozen")) for c in new.values()]
        for text_id, work in zip(new, self._run(tasks), strict=True):
            evaluation = self._frozen[text_id] = _with_cost(work)
            if evaluation.complete:
                self.costs.row_seconds.append(work.seconds / len(evaluation.losses))
        return [replace(self._frozen[c.text_id], candidate=c) for c in candidates]

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
    ) -> list[Evaluation]:
        """Fine-tune candidates and score their held-out rows. With a ``gate``, stop at its first False: only the first
        candidates are evaluated.

        ``left``: returns the seconds that the next fine-tune may take; called as it starts. A fine-tune that takes
        longer is dropped together with all later ones, as if the gate had stopped them.

        ``bar``: record the validation loss at the milestone, and stop (prune) fine-tunes above the bar there.
        ``counted``: whether they belong to the search phase, whose number of evaluations is limited. A score known from
        another rung of the same fold and repeat is reused, not computed again.
        """
        # For target texts rung 2 scores generated texts, so a score of rung 1 cannot stand in for it.
        scoring_rung = int(rung) if not self._corpus.labels else 0
        new = [c for c in dict.fromkeys(candidates) if (c.id, fold, repeat, scoring_rung) not in self._fits]
        self._prepare([_frozen(c) for c in new if c.settings.mode.caches_prefixes])
        if fold == repeat == 0:
            self.prepare_votes(new)
        tasks = [FitTask(Evaluation(c, rung, fold, repeat), bar) for c in new]
        dropped = False
        for candidate, work in zip(new, self._run(tasks, gate, left), strict=False):
            dropped = dropped or work.value is None
            if dropped:  # results after it are still read into the journal, where a resumed run expects them
                continue
            evaluation = _with_cost(work)
            self._fits[candidate.id, fold, repeat, scoring_rung] = evaluation
            self.fitted += counted
            if candidate.settings.tuning != "none" and evaluation.complete:
                self.costs.fit_seconds.append(work.seconds)
            elif evaluation.complete:
                self.costs.row_seconds.append(work.seconds / len(evaluation.losses))
        keys = [(c.id, fold, repeat, scoring_rung) for c in candidates]
        known = [self._fits[key] for key in keys if key in self._fits]
        return [e if e.rung == rung else replace(e, rung=rung, seconds=0.0, tokens=0) for e in known]

    def time_writing(self, candidate: Candidate) -> None:
        """Measure the speed of text generation, where the corpus has target texts: in all workers at once, as in the
        search, since each is slower while others work."""
        if self.costs.written_tokens:
            self._prepare([_frozen(candidate)])
            timed = self._run([TimeWriting(candidate)] * self.executor.workers)
            self.costs.write_speed = max(work.value for work in timed)

    def propose(self, candidates: Sequence[Candidate], *, replacements: int, infills: int) -> list[TokenProposals]:
        """Return token edits for each candidate: replacements from gradients and infills from the model."""
        return self.propose_and_rank(candidates, [], replacements=replacements, infills=infills, words=0)[0]

    def rank_words(self, candidates: Sequence[Candidate], count: int) -> list[list[LabelWords]]:
        """Return the ``count`` best sets of label words for each candidate's template."""
        return self.propose_and_rank([], candidates, replacements=0, infills=0, words=count)[1]

    def propose_and_rank(
        self,
        edited: Sequence[Candidate],
        worded: Sequence[Candidate],
        *,
        replacements: int,
        infills: int,
        words: int,
    ) -> tuple[list[TokenProposals], list[list[LabelWords]]]:
        """Return ``propose`` of ``edited`` and ``rank_words`` of ``worded``, computed in one round of tasks."""
        self._prepare([_frozen(c) for c in (*edited, *worded)])
        edits = [ProposeTask(c, replacements, infills) for c in edited]
        done = [work.value for work in self._run([*edits, *(WordsTask(_frozen(c), words) for c in worded)])]
        return done[: len(edits)], done[len(edits) :]

    def delete_other_weights(self, candidates: Sequence[Candidate]) -> None:
        """Delete the fine-tuned weights of all other candidates: with ``full`` each file is as large as the model."""
        kept = {candidate.id for candidate in candidates}
        for key, evaluation in self._fits.items():
            if evaluation.weights and evaluation.candidate.id not in kept:
                Path(evaluation.weights).unlink(missing_ok=True)
                self._fits[key] = replace(evaluation, weights=None)

    def test(self, trained: Sequence[Evaluation], rows: Sequence[Example]) -> list[Evaluation]:
        """Score test rows with finished fine-tunes; a fine-tune whose weights are gone is repeated first."""
        carry = self.executor.carry
        tasks = [
            replace(
                e,
                split="test",
                readability=None,
                votes=(),
                estimate=None,
                weights=carry(Path(e.weights)) if e.weights else None,
            )
            for e in self.with_weights(trained)
        ]
        blocks = [tuple(rows[start : start + TEST_BLOCK]) for start in range(0, len(rows), TEST_BLOCK)]
        done = [_with_shared_cost(work) for work in self._run([TestTask(tuple(tasks), block) for block in blocks])]
        return [_join([part[i] for part in done]) for i in range(len(tasks))]

    def with_weights(self, evaluations: Sequence[Evaluation]) -> list[Evaluation]:
        """Return the same fine-tunes with weights on this machine, repeating those whose weights are missing here.

        Raises StorageError where the weights cannot be written.
        """
        gone = self.without_weights(evaluations)
        # Not through the journal, which stores no weights.
        works = self._dispatch([WeightsTask(Evaluation(e.candidate, Rung.TUNED)) for e in gone])
        again = {id(one): self._keep(*work.value) for one, work in zip(gone, works, strict=True)}
        return [again.get(id(e), e) for e in evaluations]

    def refit(self, candidates: Sequence[Candidate], answers: Sequence[tuple[float, ...]]) -> list[Evaluation]:
        """Fine-tune candidates on training and validation rows, and on unlabelled rows with a teacher's ``answers``:
        probabilities of the labels [rows][labels].

        Returns evaluations without scores: no rows are left for those but test rows. Raises StorageError where the
        weights cannot be written.
        """
        self._prepare([_frozen(c) for c in candidates if c.settings.mode.caches_prefixes])
        self.prepare_votes(candidates)
        tasks = [RefitTask(Evaluation(c, Rung.REFITTED), tuple(answers)) for c in candidates]
        # Not through the journal, as in ``with_weights``.
        return [replace(self._keep(*work.value), seconds=work.seconds) for work in self._dispatch(tasks)]

    @staticmethod
    def without_weights(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
        """Return the fine-tuned evaluations whose weights are not on this machine, so that they must be repeated."""
        tuned = [e for e in evaluations if e.candidate.settings.tuning != "none"]
        return [e for e in tuned if not Path(e.weights or "").is_file()]

    def _keep(self, evaluation: Evaluation, content: bytes) -> Evaluation:
        if not content:  # the repeated fine-tune failed
            return evaluation
        path = self._weights / weights_name(evaluation.candidate, evaluation.rung)
        with writing(path, "The fine-tuned weights"):
            path.write_bytes(content)
        return replace(evaluation, weights=str(path))

    @property
    def prefix_tokens(self) -> int:
        """Tokens of the largest prefix cache over all rows: the cost of one more template head."""
        return self.costs.prefix_tokens

    def has_prefix(self, candidate: Candidate) -> bool:
        """Whether scoring needs no new prefix pass: the candidate's prefixes are cached, or the model caches none."""
        return not self.prefix_tokens or prefix_key(candidate) in self.costs.prefix_sizes

    def _prepare(self, candidates: Sequence[Candidate]) -> None:
        """Compute the prefix caches that there are none of yet, split over the workers."""
        new = {prefix_key(c): c for c in candidates if prefix_key(c) not in self.costs.prefix_sizes}
        parts = min(self.executor.workers, max(1, len(self._corpus.train) + len(self._corpus.validation)))
        tasks = [
            PreparePrefix(c, split, part, parts) for c in new.values() for split in (0, 1) for part in range(parts)
        ]
        for task, work in zip(tasks, self._run(tasks), strict=True):
            self.costs.record_prefix(prefix_key(task.candidate), work.value, work.seconds)

    def prepare_votes(self, candidates: Sequence[Candidate]) -> None:
        """Compute the prefix caches on unlabelled rows that these candidates' fine-tunes need to predict them."""
        rows = self.costs.voted
        cached = [_frozen(c) for c in candidates if c.settings.mode.caches_prefixes]
        new = {prefix_key(c): c for c in cached if prefix_key(c) not in self._voting}
        parts = min(self.executor.workers, rows)
        tasks = [PreparePrefix(c, 2, part, parts) for c in new.values() for part in range(parts)]
        for work in self._run(tasks):
            self.costs.record_prefix_speed(work.value, work.seconds)
        self._voting |= set(new)

    def _run(
        self,
        tasks: Sequence[Any],
        gate: Callable[[], bool] | None = None,
        left: Callable[[], float | None] = lambda: None,
    ) -> Iterator[Work]:
        """Yield each task's work in order: from the journal while it has unread results, then from the executor."""
        waiting = deque(tasks)
        while waiting and self.journal.unread:
            if gate is not None and not gate():
                return
            task = waiting.popleft()
            yield self._record(work_from_json(task, self.journal.next_result(task_key(task))))
        rest = list(waiting)
        for task, work in zip(rest, self._dispatch(rest, gate, left), strict=False):
            self.journal.record(task_key(task), work_to_json(work))
            yield self._record(work)
        self.journal.flush()

    def _dispatch(
        self,
        tasks: Sequence[Any],
        gate: Callable[[], bool] | None = None,
        left: Callable[[], float | None] = lambda: None,
    ) -> Generator[Work, None, None]:
        guess = max(LEAST_LIMIT, SLOWER * self._slowest) if self._slowest else FIRST_LIMIT
        limit = self._time_limit or guess
        return dispatch(self.executor, tasks, gate, limit=limit, idle=self._idle, left=left)

    def _idle(self) -> None:
        self.journal.flush()
        self._on_idle()

    def _record(self, work: Work) -> Work:
        self.tokens += work.tokens
        self._slowest = max(self._slowest, work.seconds)
        self.costs.record_work(work.seconds, work.cpu)
        evaluation = _with_cost(work) if isinstance(work.value, Evaluation) else None
        for observer in self._observers:
            observer(evaluation, self)
        return work


def _frozen(candidate: Candidate) -> Candidate:
    return replace(candidate, settings=FROZEN)


def _with_cost(work: Work) -> Evaluation:
    evaluation: Evaluation = work.value
    return replace(evaluation, seconds=work.seconds, tokens=work.tokens)


def _with_shared_cost(work: Work) -> list[Evaluation]:
    share = len(work.value)
    return [replace(e, seconds=work.seconds / share, tokens=work.tokens // share) for e in work.value]


def _join(parts: Sequence[Evaluation]) -> Evaluation:
    """Join evaluations of consecutive rows into one; a failed part fails the whole."""
    bad = next((part for part in parts if not part.complete), None)
    if bad is not None:
        return bad
    joined = replace(
        parts[0],
        reason=None,
        row_ids=tuple(r for p in parts for r in p.row_ids),
        gold=tuple(g for p in parts for g in p.gold),
        log_probs=tuple(r for p in parts for r in p.log_probs),
        references=tuple(r for p in parts for r in p.references),
        outputs=tuple(r for p in parts for r in p.outputs),
        losses=tuple(x for p in parts for x in p.losses),
        seconds=sum(p.seconds for p in parts),
        tokens=sum(p.tokens for p in parts),
    )
    return flag_constant(joined)
