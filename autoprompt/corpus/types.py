"""``Example`` and ``Corpus``: the data types that the rest of the engine uses."""

import dataclasses
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from autoprompt.corpus.cells import Cells
from autoprompt.corpus.split_names import UNLABELED
from autoprompt.corpus.summary import DataSummary
from autoprompt.hashing import canonical_json, digest
from autoprompt.short_repr import short_repr

Task = Literal["classification", "generation"]
SPLITS = ("train", "validation", "test")
"""The splits whose rows have labels."""
DEFAULT_METRICS: dict[Task, str] = {"classification": "accuracy", "generation": "rougeL"}


@dataclass(frozen=True)
class Example:
    """One labelled row; ``row_id`` depends only on its content and on the number of equal rows before it.

    ``label`` is the class, or the target text of a generation corpus.
    """

    row_id: str
    fields: Cells
    label: str

    def __repr__(self) -> str:
        return short_repr(self, dict(self.fields), label=self.label)


@dataclass(frozen=True)
class Corpus:
    """Checked and split data.

    ``fingerprint`` and ``test_count`` are computed when left out. ``without_test`` does not change them, so that a
    search which cannot see the test rows still identifies the data that they belong to.

    ``unlabeled``: rows that have no label, or whose label is not looked at: their ``label`` is blank. No text is in two
    of the four splits.

    A corpus for ``task`` "generation" has no ``labels`` and no ``label_words``; its ``label_column`` is the target
    column. ``revision`` is the commit of a Hub dataset. ``summary`` says how the source was read; it is None for rows
    that come back from a leaderboard.
    """

    name: str
    fields: tuple[str, ...]
    label_column: str
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    metric: str = ""
    manual_template: str = ""
    label_words: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    fingerprint: str = ""
    test_count: int = -1
    task: Task = "classification"
    revision: str = ""
    summary: DataSummary | None = None
    unlabeled: tuple[Example, ...] = ()

    def __post_init__(self) -> None:
        """Fill in the defaults that depend on the data."""
        if not self.metric:
            object.__setattr__(self, "metric", DEFAULT_METRICS[self.task])
        if not self.manual_template:
            object.__setattr__(self, "manual_template", default_template(self.fields, self.label_column))
        if not self.label_words:
            object.__setattr__(self, "label_words", default_label_words(self.labels))
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", _fingerprint(self))
        if self.test_count < 0:
            object.__setattr__(self, "test_count", len(self.test))

    def __repr__(self) -> str:
        rows = {split: len(getattr(self, split)) for split in (*SPLITS, *([UNLABELED] if self.unlabeled else []))}
        return short_repr(self, self.name, task=self.task, fields=self.fields, labels=self.labels, **rows)

    def without_test(self) -> "Corpus":
        """The same corpus without test rows, with the same fingerprint and test count."""
        return dataclasses.replace(self, test=())


def default_template(fields: tuple[str, ...], label_column: str) -> str:
    """The manual template for data without a card: the text, then the label column's name and the label."""
    shown = label_column.replace("_", " ").replace("{", "{{").replace("}", "}}")
    question = f"{shown[:1].upper()}{shown[1:]}: {{label}}"
    if len(fields) == 1:
        return f"{{{fields[0]}}}\n{question}"
    return "\n".join([*(f"{name}: {{{name}}}" for name in fields), question])


def default_label_words(labels: Iterable[str]) -> dict[str, str]:
    """Label -> the label in lower case, with a space for each ``_``."""
    return {label: label.lower().replace("_", " ") for label in labels}


def make_examples(rows: Iterable[tuple[Cells, str]], seen: dict[str, int]) -> tuple[Example, ...]:
    """Examples with their row ids; ``seen`` counts equal rows across calls."""
    examples = []
    for fields, label in rows:
        base = content_id(fields, label)
        before = seen.get(base, 0)
        seen[base] = before + 1
        examples.append(Example(f"{base}-{before}" if before else base, fields, label))
    return tuple(examples)


def content_id(fields: Cells, label: str) -> str:
    """A hash of the row's content, 16 hex digits."""
    return digest(canonical_json([fields, label]))[:16]


def normalised(fields: Cells) -> str:
    """A key that is equal for rows with the same text: NFC, case folded, white space collapsed."""
    parts = []
    for name in sorted(fields):
        value = fields[name]
        text = value if isinstance(value, str) else canonical_json(value)
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
        parts.append(f"{name}\0{' '.join(folded.split())}")
    return "\0\0".join(parts)


def _fingerprint(corpus: Corpus) -> str:
    content: dict[str, object] = {
        "fields": corpus.fields,
        "label_column": corpus.label_column,
        "labels": corpus.labels,
        **{split: [[row.row_id, row.fields, row.label] for row in getattr(corpus, split)] for split in SPLITS},
    }
    if corpus.unlabeled:
        content[UNLABELED] = [[row.row_id, row.fields] for row in corpus.unlabeled]
    if corpus.task != "classification":
        content["task"] = corpus.task
    return digest(canonical_json(content))
