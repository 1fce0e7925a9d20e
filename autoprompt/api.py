"""The public Python functions: ``search``, ``resume``, ``verify`` and ``refine``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoprompt.duration import parse_duration
from autoprompt.leaderboard import Leaderboard
from autoprompt.progress import Callback, ProgressChoice, choose_view
from autoprompt.results import Verification
from autoprompt.run import (
    DEFAULT_LEADERBOARD,
    DEFAULT_MODEL,
    UNLABELED_ROWS,
    DataOptions,
    ModelOptions,
    PlaceOptions,
    SearchOptions,
    budget_of,
    rows_of,
    source_of,
)
from autoprompt.run import refine as run_refine
from autoprompt.run import resume as run_resume
from autoprompt.run import search as run_search
from autoprompt.run import verify as run_verify
from autoprompt.search_result import SearchResult
from autoprompt.tracking import tracked


def search(
    corpus: Any,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    target_column: str | None = None,
    drop_empty: bool = False,
    drop_duplicates: bool = False,
    max_length: int = 128,
    test_rows: int = 400,
    shots: int = 16,
    validation_rows: int = 0,
    encoding: str | None = None,
    delimiter: str | None = None,
    no_header: bool = False,
    column_names: str | None = None,
    unlabeled: Any = None,
    unlabeled_rows: int = UNLABELED_ROWS,
    model: str = DEFAULT_MODEL,
    templates: Sequence[str] = (),
    label_words: dict[str, str] | None = None,
    strategy: str = "hybrid",
    tuning: str | None = None,
    family: str | None = None,
    chat: bool = False,
    metric: str | None = None,
    folds: int | None = None,
    repeats: int = 1,
    refit: bool = True,
    budget: float | str | None = None,
    max_evaluations: int | None = None,
    seed: int = 0,
    name: str | None = None,
    workers: int | None = None,
    workers_per_gpu: int | None = None,
    executor: str = "local",
    ray_address: str | None = None,
    device: str = "auto",
    leaderboard: str | Path = DEFAULT_LEADERBOARD,
    config: str | Path | None = None,
    fix: Mapping[str, Any] | None = None,
    warm_start: str | Path | Sequence[str | Path] = (),
    track: str | Path | None = None,
    progress: ProgressChoice = "auto",
    callback: Callback | None = None,
) -> SearchResult:
    """Search for the best prompt on a corpus, as ``autoprompt search`` does.

    ``corpus``: an embedded corpus, a data file, a folder of data files, or ``hub:NAME``; or rows in memory: a
    ``datasets.Dataset``, a pandas frame, a list of dicts or a dict of lists, split like a file; or a dict of such
    tables (a ``DatasetDict``) with ``train`` and ``validation``, ``test`` or both, which are used whole.
    ``text_column``: the text field, or several with commas ("premise,hypothesis"). ``label_column``: the label.
    ``target_column``: the text to generate, in place of a label. None: found by names and contents.
    ``drop_empty``: leave out rows without text. ``drop_duplicates``: leave out texts that an earlier split has, too.
    ``max_length``: tokens that a field is cut to.
    ``test_rows``: most test rows, and ``shots``: rows of a class for training and as many for validation, of data
    without splits. ``validation_rows``: validation takes more, up to so many in all, of what is left after the test
    rows.
    ``encoding``: of a file that is not UTF-8. ``delimiter``: between its cells. ``no_header``: its first row is data.
    ``column_names``: of a file without a header, with commas.
    ``unlabeled``: a file of rows without labels; for a corpus in memory also such rows, or a list of texts.
    ``unlabeled_rows``: most of them; without any, labelled rows that the sample leaves over count, whose labels are not
    looked at.
    ``model``: an embedded model, a folder (as a path: ``./my-model``) or a Hub name.
    ``templates``: the first replaces the manual baseline, further ones join the search.
    ``label_words``: label -> word or phrase; None: those of the corpus card, else the labels in lower case.
    ``strategy``: what proposes prompts, by a name that `autoprompt search --help` lists.
    ``tuning``: what is trained, likewise; None: the family's default, tail for causal models and lora for others.
    ``family``: what kind of model it is used as, likewise; None: as the checkpoint was saved.
    ``chat``: wrap prompts in the tokenizer's chat format.
    ``metric``: reported in addition to loss and accuracy; None: that of the corpus (accuracy, or rougeL for target
    texts, unless its card names another).
    ``folds``: parts of the finalists' cross-validation, at least 2; None swaps training and validation rows.
    ``repeats``: seeds that each finalist is fine-tuned with.
    ``refit``: train the winner once more before the test, on validation rows and rows without labels as well, with the
    answers that the best prompts give together. It is left out without rows without labels, with fewer than four
    fine-tuned prompts, and where no time is left for it.
    ``budget``: time from start to result, in seconds or as ``"5m"``. ``max_evaluations``: number of fine-tunes. Give at
    most one of the two; the default is a budget of 300 seconds.
    ``seed``: of everything that is drawn at random.
    ``name``: of the run, at most 200 characters, used once in a leaderboard.
    ``workers``: worker processes; None: one per CPU core, or ``workers_per_gpu`` (None: 1) per GPU.
    ``executor``: "local", "ray" (extra: ray) for the workers of a cluster, or another that is listed. Local workers are
    separate processes that import only this package, so a script needs no ``if __name__ == "__main__":``.
    ``ray_address``: of the cluster; None: the one that ``ray.init`` has connected to, else that of RAY_ADDRESS, one
    that runs on this machine, or a new one on this machine.
    ``device``: auto, cpu, cuda or mps; auto takes a GPU if there is one.
    ``leaderboard``: the SQLite file that runs are stored in; created if missing.
    ``config``: a TOML file with the ranges of the genes and the sizes of the search.
    ``fix``: gene -> the one value that it keeps: ``{"epochs": 2}``.
    ``warm_start``: leaderboards or bundles of runs on other data, whose prompts the search begins with (strategies
    hybrid and genetic).
    ``track``: a folder for TensorBoard curves (extra: tracking), or NAME:PLACE for another tracker.
    ``progress``: "auto" shows a panel in a terminal, a bar in a notebook, and nothing elsewhere; True writes lines to
    standard error elsewhere; False shows nothing.
    ``callback``: a function that is given every event (``StageStarted``, ``NoteGiven``, ``SearchPlanned``,
    ``CandidateEvaluated``) as it happens. What it raises stops the search, which ``resume`` continues.

    Returns a ``SearchResult``: ``best`` is the winner as a prompt that predicts, ``winner`` and ``baselines`` are the
    prompts with their scores, and ``to_dict()`` is what ``autoprompt search --json`` prints.

    Raises UsageError for unknown or contradictory arguments, a missing extra and a budget that is too short; InputError
    for data, templates, label words, models and configurations that cannot be used (NotFoundError: that do not exist);
    StorageError for files that cannot be read or written; NothingSucceededError if no candidate could be evaluated;
    WorkerLostError if worker processes keep failing. All are subclasses of AutopromptError.
    """
    data = DataOptions(
        text_column=text_column,
        label_column=label_column,
        target_column=target_column,
        drop_empty=drop_empty,
        drop_duplicates=drop_duplicates,
        max_length=max_length,
        test_rows=test_rows,
        shots=shots,
        validation_rows=validation_rows,
        encoding=encoding,
        delimiter=delimiter,
        no_header=no_header,
        column_names=column_names,
        unlabeled_rows=unlabeled_rows,
    )
    source, data = source_of(corpus, data, unlabeled)
    options = SearchOptions(
        corpus=source,
        data=data,
        model=ModelOptions(model, device, workers, tuning, family, chat, executor, ray_address, workers_per_gpu),
        templates=tuple(templates),
        label_words=label_words,
        strategy=strategy,
        budget=parse_duration(budget, "budget") if isinstance(budget, str) else budget,
        max_evaluations=max_evaluations,
        metric=metric,
        folds=folds,
        repeats=repeats,
        refit=refit,
        seed=seed,
        name=name,
        leaderboard=Path(leaderboard),
        config=None if config is None else Path(config),
        fix=dict(fix or {}),
        warm_start=_paths(warm_start),
    )
    limits = budget_of(options)
    with (
        choose_view(progress, callback, seconds=limits.seconds, evaluations=limits.evaluations) as shown,
        tracked(shown, None if track is None else str(track)) as view,
    ):
        return SearchResult(run_search(options, view), options.leaderboard)


def _paths(given: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    return tuple(map(Path, [given] if isinstance(given, str | Path) else given))


def resume(
    run: str,
    *,
    corpus: Any = None,
    leaderboard: str | Path = DEFAULT_LEADERBOARD,
    executor: str | None = None,
    ray_address: str | None = None,
    workers: int | None = None,
    workers_per_gpu: int | None = None,
    device: str | None = None,
    progress: ProgressChoice = "auto",
    callback: Callback | None = None,
) -> SearchResult:
    """Continue a run that was stopped or killed, or return the result of a finished one.

    ``run``: its id or name. ``corpus``: the rows, needed again if they were in memory. ``leaderboard``: the file with
    the run. ``executor``, ``ray_address``, ``workers``, ``workers_per_gpu``, ``device``: where the run is computed from
    now on, as for ``search``; an address alone means executor "ray". None: as before, if this user began the run on
    this machine, else as in a new search. ``progress`` and ``callback``: as for ``search``.

    Returns what ``search`` returns. Raises what ``search`` raises, and NotFoundError for an unknown run; UsageError if
    the rows were in memory and ``corpus`` is missing; StorageError while another process works on the run, if data,
    model or scoring have changed, and for a run that holds no steps to continue from.
    """
    place = PlaceOptions(executor, ray_address, workers, workers_per_gpu, device)
    file, rows = Path(leaderboard), rows_of(corpus)
    with Leaderboard.open(file, read_only=True) as board:
        config = board.run(run).config
    with choose_view(progress, callback, seconds=config.budget, evaluations=config.max_evaluations) as view:
        return SearchResult(run_resume(run, file, view, rows=rows, place=place), file)


def verify(
    entry: str,
    *,
    corpus: Any = None,
    leaderboard: str | Path = DEFAULT_LEADERBOARD,
    executor: str | None = None,
    ray_address: str | None = None,
    workers: int | None = None,
    workers_per_gpu: int | None = None,
    device: str | None = None,
    progress: ProgressChoice = "auto",
    callback: Callback | None = None,
) -> Verification:
    """Repeat all evaluations of an entry, in the newest run that has it, and compare them with the stored ones.

    ``entry``: its id, or the first 8 characters or more. ``corpus``: the rows, needed again if they were in memory.
    ``leaderboard``: the file with the entry. ``executor``, ``ray_address``, ``workers``, ``workers_per_gpu``,
    ``device``: where to compute, as for ``resume``. None: as in a new search; the device is the run's, if this user
    began the run on this machine. ``progress`` and ``callback``: as for ``search``.

    Returns a ``Verification``; its ``to_dict()`` is what ``autoprompt verify --json`` prints. ``verdict`` is "exact"
    (every prediction and loss is the same to the last bit), "within" (near, with other versions or on another machine)
    or "different"; ``flipped`` of ``n`` predictions changed.

    Raises what ``search`` raises, and NotFoundError for an unknown entry; InputError for one whose evaluations all
    failed; VerificationError if data or model have changed; UsageError if the rows were in memory and ``corpus`` is
    missing.
    """
    place = PlaceOptions(executor, ray_address, workers, workers_per_gpu, device)
    rows = rows_of(corpus)
    with choose_view(progress, callback) as view:
        return run_verify(entry, Path(leaderboard), view, rows=rows, place=place)


def refine(
    entry: str,
    corpus: Any,
    *,
    leaderboard: str | Path = DEFAULT_LEADERBOARD,
    device: str = "auto",
    seed: int = 0,
    name: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    target_column: str | None = None,
    drop_empty: bool = False,
    encoding: str | None = None,
    delimiter: str | None = None,
    no_header: bool = False,
    column_names: str | None = None,
    progress: ProgressChoice = "auto",
    callback: Callback | None = None,
) -> SearchResult:
    """Continue the fine-tune of a run's winner with new labelled rows, as ``autoprompt refine`` does.

    The result is a new entry, unless a paired test says that it got worse, or its loss rose on both the old validation
    rows and the new rows. A winner that was trained once more (``refit``) has learnt the validation rows: its
    refinement is judged by the new rows alone, two or more, and has the scores of these.

    ``entry``: the id of the winner, or its first 8 characters or more. ``corpus``: the new rows, as for ``search``; of
    a corpus with splits the training rows. Rows that the entry's run already holds are left out. ``leaderboard``: the
    file with the entry. ``device``: auto, cpu, cuda or mps. ``seed``: of the order of the rows. ``name``: of the new
    run. ``text_column`` and the following: how the corpus is read, as for ``search``; columns that are not named are
    called as in the entry's run. ``progress`` and ``callback``: as for ``search``.

    Returns a ``SearchResult``: ``best`` and ``winner`` are the new entry, or None if it was not kept; ``refinement``
    has the scores before and after, and ``to_dict()`` is what ``autoprompt refine --json`` prints.

    Raises NotFoundError for an unknown entry; UsageError for arguments that cannot be used; InputError for an entry
    without stored weights or rows, and if the new rows have other fields, unknown labels or only known texts;
    VerificationError if the model has changed; NothingSucceededError if the fine-tune failed; StorageError for files
    that cannot be read or written.
    """
    data = DataOptions(
        text_column,
        label_column,
        target_column,
        drop_empty,
        encoding=encoding,
        delimiter=delimiter,
        no_header=no_header,
        column_names=column_names,
    )
    source, data = source_of(corpus, data)
    file = Path(leaderboard)
    with choose_view(progress, callback) as view:
        return SearchResult(run_refine(entry, source, file, view, data=data, device=device, seed=seed, name=name), file)
