"""Few-shot tasks: folders of the user's, or samples of the embedded corpora."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from bench import Options

from autoprompt import corpus as corpora
from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import UNLABELED, Corpus
from autoprompt.corpus.types import SPLITS
from autoprompt.errors import AutopromptError
from autoprompt.evaluator import CostModel, Evaluator, WorkerSpec, start_worker
from autoprompt.execution import LocalExecutor, default_workers
from autoprompt.models import locate_model
from autoprompt.run import DataOptions
from autoprompt.template import LabelWords, Literal, Slot, Template

MODEL = "smollm2-135m"
EMBEDDED = ("rotten-tomatoes", "bbc-news", "tickets")
SEEDS = (13, 21)


@dataclass(frozen=True)
class Task:
    """``source``: what ``autoprompt search`` takes; ``seed`` draws the sample where the source has no splits."""

    name: str
    source: str
    seed: int = 0

    @property
    def group(self) -> str:
        """The data set that it is a sample of."""
        return self.name.rpartition("/")[0] or self.name

    def load(self, test_rows: int | None = None) -> Corpus:
        """``test_rows``: the first so many of the test rows, which are in no order."""
        if not Path(self.source).is_dir():
            return corpora.load(self.source, shots=16, seed=self.seed, test_rows=test_rows or 400)
        corpus = corpora.load(self.source)
        return corpus if test_rows is None else replace(corpus, test=corpus.test[:test_rows])

    def options(self, corpus: Corpus, folder: Path) -> tuple[str, DataOptions]:
        """How a command reads just these rows; ``folder`` takes those of a folder's task that was cut."""
        if Path(self.source).is_dir():
            return str(_written(corpus, folder)), DataOptions()
        return self.source, DataOptions(test_rows=len(corpus.test))


def few_shot(given: Options) -> list[Task]:
    """All classification tasks with one text, the data sets in turn."""
    if given.data is None:
        return [Task(f"{name}/seed-{seed}", name, seed) for seed in SEEDS for name in EMBEDDED]
    root = given.data.resolve()
    folders = sorted({path.parent for path in root.rglob("train.*")})
    tasks = [Task(folder.relative_to(root).as_posix(), str(folder)) for folder in folders]
    found = [task for task in tasks if _usable(task)]
    if not found:
        raise SystemExit(f"{root} holds no folder with train, validation and test files of one text and a label.")
    place = {task.name: [t.name for t in found if t.group == task.group].index(task.name) for task in found}
    return sorted(found, key=lambda task: (place[task.name], task.name))


def first_of_each(tasks: Sequence[Task]) -> list[Task]:
    """One task a data set."""
    return list({task.group: task for task in reversed(tasks)}.values())[::-1]


def by_group(values: Mapping[str, Sequence[float]]) -> list[list[float]]:
    """One group of values a data set, from those of its tasks' test rows: samples of one have the same test rows, so
    that their values are no independent ones but are averaged, row by row."""
    groups: dict[str, list[Sequence[float]]] = {}
    for name, rows in values.items():
        groups.setdefault(Task(name, "").group, []).append(rows)
    return [[fmean(row) for row in zip(*own, strict=True)] for own in groups.values()]


def by_length(tasks: Sequence[Task]) -> list[Task]:
    """Those with the shortest texts, whose evaluations take the least time, first."""
    return sorted(tasks, key=_text_length)


def _text_length(task: Task) -> float:
    rows = task.load().train
    return sum(len(str(row.fields)) for row in rows) / len(rows)


@contextmanager
def evaluating(
    corpus: Corpus,
    seed: int = 0,
    *,
    max_length: int = 128,
    workers: int | None = None,
    start: Callable[[WorkerSpec], None] = start_worker,
    variables: Mapping[str, str] | None = None,
    metric: str = "accuracy",
) -> Iterator[Evaluator]:
    """An evaluator over the rows but those of the test split; as many workers as a search has, and each with the
    environment variables. ``metric``: of generated texts."""
    rows = corpus.without_test()
    with tempfile.TemporaryDirectory() as scratch:
        spec = WorkerSpec(
            locate_model(MODEL).folder, rows, seed, "cpu", max_length, Path(scratch), Path(scratch), metric=metric
        )
        count = workers or default_workers()
        executor = LocalExecutor(count, start, (spec,), environments=[variables or {}] * count)
        try:
            yield Evaluator(executor, rows, CostModel(rows, count), weights=Path(scratch))
        finally:
            executor.close()


def words_of(corpus: Corpus) -> LabelWords:
    """The manual label words."""
    return LabelWords.of(corpus.label_words, corpus.labels)


def with_tail(corpus: Corpus, tail: str, settings: Settings) -> Candidate:
    """The text, closing words, the label."""
    (text,) = corpus.fields
    return Candidate(Template((Slot(text), Literal(tail), Slot("label"))), words_of(corpus), settings)


def _usable(task: Task) -> bool:
    try:
        corpus = task.load()
    except AutopromptError as error:
        print(f"  {task.name} is left out: {error}")
        return False
    return bool(corpus.labels) and len(corpus.fields) == 1 and bool(corpus.test)


def _written(corpus: Corpus, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    splits: dict[str, list[dict[str, str]]] = {
        split: [{**row.fields, corpus.label_column: row.label} for row in getattr(corpus, split)] for split in SPLITS
    }
    if corpus.unlabeled:
        splits[UNLABELED] = [dict(row.fields) for row in corpus.unlabeled]
    for split, rows in splits.items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return folder
