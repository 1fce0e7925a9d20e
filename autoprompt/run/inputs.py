"""Loading and checking of a run's input (data, prompts, settings, ranges) before a model is loaded."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from autoprompt import corpus as corpora
from autoprompt.candidate import Candidate, Settings, derived_seed
from autoprompt.corpus import Corpus, Reading
from autoprompt.errors import UsageError, parameter
from autoprompt.execution import check_workers, most_workers
from autoprompt.metrics import metric_names
from autoprompt.models import FAMILIES, ModelSource, locate_model
from autoprompt.optimizer import SearchConfig, Space, demos_of, draw_demos, make_space
from autoprompt.registry import CLASSIFICATION_METRICS, GENERATION_METRICS
from autoprompt.run.options import DataOptions, ModelOptions, Progress, SearchOptions, executor_of
from autoprompt.template import LabelWords, Template
from autoprompt.tuning_modes import TUNING_MODES

OnDownload = Callable[[str, "float | None"], None]
"""Called during a download with its stage and the share that is done, from 0 to 1 (None: unknown)."""
GENERIC_NAMES = ("label", "labels", "class", "target", "y")


@dataclass(frozen=True)
class Task:
    """Checked input: every error that can be found without loading the model has been raised."""

    corpus: Corpus
    source: ModelSource
    space: Space
    metric: str

    @property
    def manual(self) -> Candidate:
        """The manual prompt with the default settings."""
        return self.space.manual


def prepare(
    source: str,
    data: DataOptions,
    model: ModelOptions,
    templates: Sequence[str],
    label_words: dict[str, str] | None,
    metric: str | None,
    seed: int,
    config: SearchConfig | None = None,
    fix: Mapping[str, Any] | None = None,
    folds: int | None = None,
    on_download: OnDownload | None = None,
) -> Task:
    """Load and check data, templates, label words, settings and ranges; find the model without loading it.

    ``on_download`` is called during the download of an embedded corpus or model. Raises UsageError, InputError.
    """
    parsed = [Template.parse(text) for text in templates]
    check_options(data, model, metric)
    corpus = _load(source, data, seed, on_download)
    if metric is not None and metric not in metric_names(corpus.task):
        names = ", ".join(metric_names(corpus.task))
        raise UsageError(f"The metric {metric!r} is not for {corpus.task}; use one of {names}.")
    bound = [t.bind(corpus.fields, corpus.label_column) for t in parsed]
    manual = bound[0] if bound else Template.parse(corpus.manual_template).bind(corpus.fields, corpus.label_column)
    given = given_words(corpus, label_words)
    check_folds(folds, corpus)
    found = locate_model(model.model, on_download)  # may take minutes: what is wrong without it has been said
    family = model.family or found.family
    words = words_for(corpus, family, given)
    tuning = model.tuning or FAMILIES[family].tuning
    if tuning not in FAMILIES[family].modes:
        raise UsageError(
            f"A {family} model cannot be tuned with {tuning!r}, which trains {TUNING_MODES[tuning].trains}; use one of "
            f"{', '.join(FAMILIES[family].modes)}."
        )
    if tuning == "none" and any(template.soft for template in bound):
        raise UsageError(
            f"Trainable vectors ({{soft}}) need a {parameter('tuning')} mode that trains them; none leaves all as "
            "it is."
        )
    settings = Settings.default(tuning, len(corpus.train), labelled=bool(corpus.labels))
    candidates = [with_drawn_demos(Candidate(t, words, settings), corpus, seed) for t in (manual, *bound[1:])]
    space = make_space(
        candidates[0], candidates[1:], _label_name(corpus, manual), corpus, config or SearchConfig(), fix or {}, seed
    )
    return Task(corpus, replace(found, family=family), space, metric or corpus.metric)


def prepare_search(options: SearchOptions, config: SearchConfig, progress: Progress) -> Task:
    """The checked input of a search. ``config``: that of the options. Raises UsageError, InputError."""
    progress.stage("data")
    task = prepare(options.corpus, options.data, options.model, options.templates, options.label_words,
                   options.metric, options.seed, config, options.fix, options.folds,
                   report_downloads(progress))  # fmt: skip
    show_data(task.corpus, progress)
    return task


def show_data(corpus: Corpus, progress: Progress) -> None:
    """Report in one line what was read of the data and what was left out."""
    if corpus.summary is not None:
        progress.note(f"data: {corpus.summary}")


def report_downloads(progress: Progress) -> OnDownload:
    """A callback that reports downloads on first use as stages of the run."""
    told: list[str] = []

    def tell(stage: str, _fraction: float | None) -> None:
        if told[-1:] != [stage]:
            told.append(stage)
            progress.stage(f"first use: {stage}")

    return tell


def check_folds(folds: int | None, corpus: Corpus) -> None:
    """Raise UsageError for more folds than the rarest label has rows, since every fold needs a row of each label."""
    rows = (*corpus.train, *corpus.validation)
    counts = Counter(row.label for row in rows) if corpus.labels else {"": len(rows)}
    rarest = min(counts, key=counts.__getitem__)
    if folds is not None and folds > counts[rarest]:
        what = f"the label {rarest!r} has" if corpus.labels else "there are"
        raise UsageError(
            f"{parameter('folds')} is {folds}, but {what} only {counts[rarest]} training and validation rows; give "
            "fewer."
        )


def check_options(data: DataOptions, model: ModelOptions, metric: str | None) -> None:
    """Raise UsageError for options that are wrong for any data."""
    if model.tuning is not None and model.tuning not in TUNING_MODES:
        raise UsageError(f"The tuning mode {model.tuning!r} is unknown; use one of {', '.join(TUNING_MODES)}.")
    if model.family is not None and model.family not in FAMILIES:
        raise UsageError(f"The family {model.family!r} is unknown; use one of {', '.join(FAMILIES)}.")
    known = tuple(dict.fromkeys((*CLASSIFICATION_METRICS, *GENERATION_METRICS)))
    if metric is not None and metric not in known:
        raise UsageError(f"The metric {metric!r} is unknown; use one of {', '.join(known)}.")
    cluster = executor_of(model).cluster
    check_workers(model.workers, model.workers_per_gpu, most_workers(cluster=cluster))
    if data.max_length < 1:
        raise UsageError(f"{parameter('max_length')} is {data.max_length}; give at least 1 token.")


def _load(source: str, data: DataOptions, seed: int, on_download: OnDownload | None) -> Corpus:
    options = {field.name: getattr(data, field.name) for field in fields(Reading) if field.name != "seed"}
    if data.rows is not None:
        path = options.pop("unlabeled")
        rows = {**data.rows} if path is None else {**data.rows, "unlabeled": path}
        return corpora.from_rows(**rows, name=source, seed=seed, **options)
    return corpora.load(source, seed=seed, progress=on_download, **options)


def given_words(corpus: Corpus, given: Mapping[str, str] | None) -> LabelWords | None:
    """The label words that the user gave; None without. Raises UsageError for target texts, InputError."""
    if given is None:
        return None
    if not corpus.labels:
        raise UsageError(f"A corpus of target texts has no label words; leave {parameter('label_words')} out.")
    return LabelWords.of(given, corpus.labels)


def words_for(corpus: Corpus, family: str, given: LabelWords | None) -> LabelWords:
    """The label words, the corpus' own unless given; none for target texts and for a classifier, whose head replaces
    them. Raises UsageError, InputError."""
    if corpus.task not in FAMILIES[family].tasks:
        raise UsageError(
            f"A {family} model generates no text, which the corpus {corpus.name!r} asks for; use a causal or an "
            "encoder-decoder model."
        )
    if not corpus.labels:
        return LabelWords(())
    if FAMILIES[family].takes_label_words:
        return given or LabelWords.of(corpus.label_words, corpus.labels)
    if given is not None:
        raise UsageError(f"A classifier has no label words; leave {parameter('label_words')} out.")
    return LabelWords(())


def with_drawn_demos(candidate: Candidate, corpus: Corpus, seed: int) -> Candidate:
    """The candidate with random solved examples, as many as its template shows. Raises InputError for too few rows."""
    rng = random.Random(derived_seed(seed, "demos"))  # noqa: S311
    return replace(candidate, demos=draw_demos(demos_of(corpus), candidate.template.demos, rng))


def _label_name(corpus: Corpus, manual: Template) -> str:
    """The label's name in prompt phrases: the word before the colon that ends the manual template's last text, else the
    label column's name; ``category`` for a generic name."""
    asked = re.search(r"([^\W\d_]+):\s*$", manual.literals[-1]) if manual.literals else None
    name = asked[1] if asked else corpus.label_column.replace("_", " ")
    return "category" if name.lower() in GENERIC_NAMES else name
