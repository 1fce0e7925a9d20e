"""Inputs of a refinement: the entry with its weights and rows, and the new rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoprompt import corpus as corpora
from autoprompt.candidate import Candidate
from autoprompt.corpus import SPLITS, UNLABELED, Corpus, Example, has_card, normalised
from autoprompt.errors import InputError
from autoprompt.leaderboard import DataRow, Leaderboard, RunRecord
from autoprompt.run.inputs import report_downloads
from autoprompt.run.options import DataOptions, Progress


@dataclass(frozen=True)
class Parent:
    """The newest run that an entry won, with its weights and its data rows."""

    run: RunRecord
    entry: str
    candidate: Candidate
    weights: str
    rows: Mapping[str, tuple[Example, ...]]

    @classmethod
    def of(cls, board: Leaderboard, entry: str) -> Parent:
        """Read an entry. Raises NotFoundError for an unknown entry, InputError for one without weights or rows."""
        evaluations = board.entry(entry)
        name, candidate = evaluations[0].entry, evaluations[0].candidate
        won = (run for run in board.runs() if run.winner == name)
        found = next(((run, run.result.weights) for run in won if run.result and run.result.weights), None)
        if found is None:
            why = "is frozen" if candidate.settings.tuning == "none" else "has none: those of a run's winner are kept"
            raise InputError(f"The entry {name[:12]} {why}; refine the winner of a run, as `leaderboard runs` has it.")
        run, weights = found
        rows = {split: examples_of(board.attached(DataRow, run.id), split) for split in (*SPLITS, UNLABELED)}
        if not rows["train"] or not rows["validation"]:
            raise InputError(f"The run {run.id} lacks its rows; search again, and refine that winner.")
        return cls(run, name, candidate, weights, rows)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the data fields."""
        return tuple(self.rows["train"][0].fields)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the data, in the order of the scores; empty for target texts."""
        return tuple(self.run.config.labels)

    @property
    def validation_learnt(self) -> bool:
        """Whether the weights were trained on the validation rows: by a refit, or before an earlier refinement."""
        refitted = self.run.result is not None and bool(self.run.result.versions)
        return refitted or (self.run.config.refine is not None and self.run.config.refine.validation_learnt)


def examples_of(rows: Sequence[DataRow], split: str) -> tuple[Example, ...]:
    return tuple(Example(row.row_id, row.fields, row.label) for row in rows if row.split == split)


def new_rows(parent: Parent, source: str, data: DataOptions, progress: Progress) -> Corpus:
    """Load the new rows. Raises UsageError, and InputError for fields or labels that the entry does not know."""
    columns = {name: getattr(data, name) for name in ("text_column", "label_column", "target_column")}
    if not any(columns.values()) and not (data.rows is None and has_card(source)):
        answer = "label_column" if parent.labels else "target_column"
        columns |= {"text_column": ",".join(parent.fields), answer: parent.run.config.label_column}
    about_files = {name: getattr(data, name) for name in ("encoding", "delimiter", "no_header", "column_names")}
    options = {**columns, "drop_empty": data.drop_empty, "trains": False}
    if data.rows is None:
        found = corpora.load_unsplit(source, progress=report_downloads(progress), **options, **about_files)
    else:
        found = corpora.from_rows_unsplit(data.rows["train"], name=source, **options)
    if found.fields != parent.fields:
        raise InputError(
            f"The new rows of {found.name!r} have the fields {', '.join(found.fields)}, and the entry "
            f"{parent.entry[:12]} was found on {', '.join(parent.fields)}; name the columns."
        )
    unknown = sorted({row.label for row in found.train} - set(parent.labels)) if parent.labels else []
    if unknown:
        raise InputError(
            f"The new rows of {found.name!r} have the labels {', '.join(unknown)}, which the entry "
            f"{parent.entry[:12]} does not know; search again with all rows."
        )
    return found


def add_new_rows(parent: Parent, found: Corpus) -> tuple[Corpus, list[str], list[str]]:
    """The entry's data with the new rows added to its training rows, the new rows' ids, and notes on those left out.

    Raises InputError where no row is new, or one alone where only new rows can judge.
    """
    known, tested = (
        {normalised(row.fields) for split in splits for row in parent.rows[split]}
        for splits in (("train", "validation"), ("test",))
    )
    new, repeated, unseen = [], 0, 0
    for row in found.train:
        text = normalised(row.fields)
        if text in tested:
            unseen += 1
        elif text in known:
            repeated += 1
        else:
            known.add(text)
            new.append(row)
    notes = []
    if repeated:
        notes.append(
            f"{repeated} rows were left out: their texts are already rows of the entry's run, or repeat another new "
            "row."
        )
    if unseen:
        notes.append(f"{unseen} rows were left out: their texts are test rows of the entry's run.")
    if not new:
        raise InputError(
            f"No row of {found.name!r} is new to the entry {parent.entry[:12]}; give rows that its run does not have."
        )
    if len(new) == 1 and parent.validation_learnt:
        raise InputError(
            f"One new row of {found.name!r} cannot be judged: the entry {parent.entry[:12]} has learnt the validation "
            "rows, and a row judges only what it did not teach; give two or more."
        )
    # A text that had no label and has one now is no longer without.
    left = tuple(row for row in parent.rows[UNLABELED] if normalised(row.fields) not in known)
    rows = {**parent.rows, "train": (*parent.rows["train"], *new), UNLABELED: left}
    return corpus_of(parent.run, found.name, rows), [row.row_id for row in new], notes


def corpus_of(run: RunRecord, name: str, rows: Mapping[str, tuple[Example, ...]]) -> Corpus:
    labels = tuple(run.config.labels)
    return Corpus(
        name=name,
        fields=tuple(rows["train"][0].fields),
        label_column=run.config.label_column,
        labels=labels,
        train=rows["train"],
        validation=rows["validation"],
        test=rows["test"],
        unlabeled=rows[UNLABELED],
        metric=run.config.metric,
        label_words=run.config.label_words or {},
        task="classification" if labels else "generation",
    )
