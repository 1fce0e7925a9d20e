"""Conversion of evaluations into leaderboard records and into a run's JSON result."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from autoprompt.candidate import entry_of
from autoprompt.corpus import SPLITS, UNLABELED, Corpus
from autoprompt.evaluator import Evaluation, Readiness
from autoprompt.hashing import canonical_json
from autoprompt.leaderboard import (
    DataRow,
    EntryEstimate,
    EvaluationRecord,
    Leaderboard,
    Origin,
    RunConfig,
    RunRecord,
    StoredManifest,
)
from autoprompt.manifest import Manifest
from autoprompt.metrics import Score, example_values, generation_score, mean_and_deviation, paired_bootstrap, score
from autoprompt.optimizer import Outcome, Proposal
from autoprompt.results import Difference, ErrorEstimate, ScoredPrompt, Spread
from autoprompt.run.inputs import Task
from autoprompt.run.options import TRANSFER, SearchOptions
from autoprompt.run.ownership import mark_of
from autoprompt.run.request import request_of
from autoprompt.run.resuming import diverged_error
from autoprompt.run.worker_pool import warnings_of

PIECE = 100
"""Records that are stored at a time, which takes some 50 ms."""


def new_run(options: SearchOptions, task: Task, workers: int, ready: Readiness, manifest: Manifest) -> RunRecord:
    """The record of a new run."""
    id_ = uuid.uuid4().hex[:12]
    request = request_of(options, task.space.config, workers)
    return RunRecord(
        id=id_,
        name=options.name,
        corpus=options.corpus,
        fingerprint=task.corpus.fingerprint,
        model=task.source.name,
        seed=options.seed,
        strategy=options.strategy if options.transfer is None else TRANSFER,
        config=RunConfig(
            budget=options.budget,
            max_evaluations=options.max_evaluations,
            family=task.source.family,
            model_revision=task.source.revision,
            corpus_revision=task.corpus.revision,
            tuning=task.manual.settings.tuning,
            chat=options.model.chat,
            folds=options.folds,
            repeats=options.repeats,
            workers=workers,
            shots=options.data.shots,
            max_length=options.data.max_length,
            test_rows=options.data.test_rows,
            metric=task.metric,
            templates=[c.template.format() for c in (task.manual, *task.space.seeds)],
            label_words=task.manual.label_words.mapping(),
            search=task.space.config.model_dump(mode="json", exclude_defaults=True),
            fix=options.fix,
            warm_start=options.warm_start_data,
            transfer=options.transfer,
            labels=list(task.corpus.labels),
            label_column=task.corpus.label_column,
            target_length=ready.target_length,
            warnings=warnings_of(task, ready),
            manifest=StoredManifest.from_dict(
                manifest.stored() | {"reading": task.corpus.summary.to_dict() if task.corpus.summary else None}
            ),
            request=request,
            mark=mark_of(id_, request.to_dict()),
        ),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=dict(manifest.environment),
    )


def data_rows(run: RunRecord, corpus: Corpus) -> list[DataRow]:
    """All data rows of a run, split by split and in order."""
    return [
        DataRow(run.id, split, row.row_id, dict(row.fields), row.label)
        for split in (*SPLITS, UNLABELED)
        for row in getattr(corpus, split)
    ]


@dataclass
class Recorder:
    """Turns evaluations into leaderboard records and stores them piece by piece.

    Of thousands of records, the first piece is stored at once and the others while workers are busy: otherwise the
    workers would wait for the storage.
    """

    board: Leaderboard
    run: RunRecord
    metric: str
    known: dict[str, EvaluationRecord] = field(default_factory=dict)
    """Evaluations of this run that are already stored, by key."""
    before: Callable[[], None] = lambda: None
    """Stores what the records follow from, such as the journal; called before each piece."""
    _waiting: deque[tuple[Evaluation, str] | Proposal] = field(default_factory=deque, init=False)

    def __call__(self, evaluations: Sequence[Evaluation], role: str, proposals: Sequence[Proposal] = ()) -> None:
        self._waiting += [*((evaluation, role) for evaluation in evaluations), *proposals]
        self.store_some()

    def store_some(self) -> None:
        """Store one piece of the waiting records. Raises StorageError, also where a stored one differs."""
        if self._waiting:
            self.before()
            piece = list(islice(self._waiting, PIECE))
            records = [self._record(*item) for item in piece if not isinstance(item, Proposal)]
            for record in records:
                if record.key in self.known and _outcome(record) != _outcome(self.known[record.key]):
                    raise diverged_error(self.run.id, f"the evaluation {record.key[:12]}")
            origins = [self._origin(item) for item in piece if isinstance(item, Proposal)]
            self.board.add([record for record in records if record.key not in self.known], origins)
            for _ in piece:
                self._waiting.popleft()

    def store_all(self) -> None:
        """Store all waiting records. Raises as ``store_some`` does."""
        while self._waiting:
            self.store_some()

    def store_after_interruption(self) -> None:
        """Like ``store_all``, if a signal may have come between storing a piece and removing it from the queue."""
        if self._waiting:
            self.known |= {record.key: record for record in self.board.evaluations(self.run.id)}
            self.store_all()

    def store_estimates(self, judged: Sequence[Evaluation]) -> None:
        """Store the estimated errors of a search that has ended. Raises StorageError."""
        found = [(self.entry(e.candidate.id), e.estimate) for e in judged if e.estimate is not None]
        values = [(entry, [one.error, one.deviation, one.weight]) for entry, one in found]
        # Adding 0.0 removes the sign of -0.0, which SQLite would lose.
        self.board.attach([EntryEstimate(self.run.id, entry, *(v + 0.0 for v in own)) for entry, own in values])

    def score(self, evaluation: Evaluation) -> Score:
        """The score to show. Its loss is the one that ranks, which on the frozen rung is the proxy's.

        If the target texts were not generated, the score has only a loss.
        """
        if evaluation.labels:
            values = score(evaluation.log_probs, evaluation.gold, len(evaluation.labels), self.metric)
            return replace(values, loss=evaluation.loss)
        if evaluation.outputs:
            return generation_score(evaluation.losses, evaluation.outputs, evaluation.references, self.metric)
        return Score(evaluation.loss, None, "loss", evaluation.loss, len(evaluation.losses))

    def entry(self, candidate: str) -> str:
        """The id of the leaderboard entry of a candidate (its id) in this run."""
        return entry_of(candidate, self.run.fingerprint, self._reading, self.run.seed)

    @property
    def _reading(self) -> str:
        """The model and how it reads prompts: family, chat format or not, most tokens of a field; as JSON."""
        config = self.run.config
        return canonical_json([self.run.model, config.family, config.chat, config.max_length])

    def _origin(self, proposal: Proposal) -> Origin:
        parents = [self.entry(parent) for parent in proposal.parents]
        return Origin(self.run.id, self.entry(proposal.candidate.id), proposal.operator, parents)

    def _record(self, evaluation: Evaluation, role: str) -> EvaluationRecord:
        failed = evaluation.status == "failed"
        run, device = self.run, self.run.environment["device"]
        return EvaluationRecord(
            run=run.id,
            key=evaluation.key(model=self._reading, fingerprint=run.fingerprint, seed=run.seed, device=device),
            entry=self.entry(evaluation.candidate.id),
            candidate=evaluation.candidate,
            role=role,
            split=evaluation.split,
            rung=int(evaluation.rung),
            fold=evaluation.fold,
            repeat=evaluation.repeat,
            status=evaluation.status,
            reason=evaluation.reason,
            score=None if failed else self.score(replace(evaluation, status="complete")),
            log_probs=[list(row) for row in evaluation.log_probs],
            predictions=evaluation.predictions,
            row_ids=list(evaluation.row_ids),
            readability=evaluation.readability,
            seconds=evaluation.seconds,
            tokens=evaluation.tokens,
            losses=list(evaluation.losses),
            votes=[list(row) for row in evaluation.votes],
        )


def _outcome(record: EvaluationRecord) -> tuple[Any, ...]:
    return record.entry, record.role, record.status, record.losses, record.predictions, record.votes


def scored_prompt(recorder: Recorder, evaluation: Evaluation, tested: Evaluation | None) -> ScoredPrompt:
    """One candidate of a run's JSON result, with its scores. ``tested``: its evaluation of the test rows."""
    candidate = evaluation.candidate
    return ScoredPrompt(
        entry=recorder.entry(candidate.id),
        **candidate.to_dict(),
        validation=recorder.score(evaluation),
        test=recorder.score(tested) if tested else None,
        estimate=_estimate(evaluation),
    )


def _estimate(evaluation: Evaluation) -> ErrorEstimate | None:
    found = evaluation.estimate
    return None if found is None else ErrorEstimate(found.error, found.deviation, found.weight)


def spread(recorder: Recorder, outcome: Outcome) -> Spread | None:
    """The winner's metric over folds and repeats: mean and standard deviation; None for fewer than two values."""
    values = [recorder.score(part).value for part in outcome.parts]
    if len(values) < 2:
        return None
    mean, deviation = mean_and_deviation(values)
    return Spread(recorder.metric, values, mean, deviation)


def paired_difference(recorder: Recorder, ours: Evaluation, theirs: Evaluation) -> Difference:
    """The first evaluation's accuracy (of generated texts, the metric) minus the second's, of the same rows."""
    metric = "accuracy" if ours.labels else recorder.metric
    values = [_example_values(evaluation, metric) for evaluation in (ours, theirs)]
    interval = paired_bootstrap(values[0], values[1])
    return Difference(metric, interval.mean, interval.low, interval.high, len(values[0]))


def _example_values(evaluation: Evaluation, metric: str) -> list[float]:
    if not evaluation.labels:
        return example_values(metric, evaluation.outputs, evaluation.references)
    gold = [evaluation.labels[place] for place in evaluation.gold]
    return [float(p == g) for p, g in zip(evaluation.predictions, gold, strict=True)]
