"""``SearchResult``: what ``search``, ``resume`` and ``refine`` return to Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from autoprompt.errors import InputError
from autoprompt.registry import CLASSIFICATION_METRICS
from autoprompt.results import Difference, Refinement, RunResult, ScoredPrompt
from autoprompt.short_repr import shortened

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

    from autoprompt.export import Prompt
    from autoprompt.leaderboard import Entry
    from autoprompt.progress import ProgressChoice

T = TypeVar("T")
_SHOWN = ("winner", "manual_tuned", "manual")


@dataclass(frozen=True, repr=False)
class SearchResult:
    """A finished run: its winner, ready to predict, beside the baselines, with the leaderboard that it is stored in.

    ``outcome``: everything that ``to_dict`` gives, with types. ``file``: the leaderboard.
    """

    outcome: RunResult
    file: Path

    @property
    def run(self) -> str | None:
        """The run's id; None for a refinement that was not kept."""
        return self.outcome.run

    @cached_property
    def best(self) -> Prompt | None:
        """The winner as a ``Prompt`` with its fine-tuned weights; the model is loaded with the first prediction.

        None for a refinement that was not kept. Raises InputError if the stored weights are missing or have changed.
        """
        from autoprompt.leaderboard import Leaderboard
        from autoprompt.run import load_entry

        if self.winner is None:
            return None
        with Leaderboard.open(self.file, read_only=True) as board:
            return load_entry(board, self.winner.entry, with_weights=self.outcome.weights is not None)

    @property
    def winner(self) -> ScoredPrompt | None:
        """The winner with its scores on validation and test rows."""
        return self.outcome.best

    @property
    def baselines(self) -> Mapping[str, ScoredPrompt | None]:
        """The manual, manual_tuned, null and random prompts with their scores; None for one that was not scored."""
        return self.outcome.baselines

    @property
    def difference(self) -> Difference | None:
        """The winner's metric minus that of the tuned manual template on the test rows, with a 95 % interval."""
        return self.outcome.difference

    @property
    def refinement(self) -> Refinement | None:
        """How a refined entry changed; None for a search."""
        return self.outcome.refine

    @property
    def verdict(self) -> str:
        """Whether the winner is better than the tuned manual template, in a sentence."""
        return self.outcome.verdict

    @property
    def warnings(self) -> Sequence[str]:
        """Notes on data, model and machines."""
        return self.outcome.warnings

    @property
    def entries(self) -> list[Entry]:
        """The entries of the run, best first within each group that was judged on the same rows."""
        from autoprompt.leaderboard import Leaderboard

        with Leaderboard.open(self.file, read_only=True) as board:
            return [] if self.run is None else list(board.listed_entries(self.run, None))

    def leaderboard(self) -> pd.DataFrame:
        """The entries as a pandas frame, one row each, best first within each group of rows.

        Losses compare within a ``group`` only. ``loss`` (nats), ``accuracy``, ``metric``, ``value`` and ``n`` are those
        of the validation rows. ``error`` is the estimated share of wrong answers, which orders fine-tuned entries.
        """
        import pandas as pd

        rows = []
        for entry in self.entries:
            row = entry.to_dict()
            score = row.pop("validation") or {}
            error = (row.pop("estimate") or {}).get("error")
            names = ("loss", "accuracy", "metric", "value", "n")
            scores = {"error": error} | {name: score.get(name) for name in names}
            rows.append({"entry": row.pop("entry")} | scores | row)
        return pd.DataFrame(rows)

    def report(self, folder: str | Path) -> Path:
        """Write the run's report (report.html, report.md) into a folder. Returns the folder.

        Raises InputError for a refinement that was not kept, StorageError if the folder cannot be written.
        """
        from autoprompt.leaderboard import Leaderboard
        from autoprompt.report import write

        with Leaderboard.open(self.file, read_only=True) as board:
            write(board, [self._kept(self.run)], Path(folder))
        return Path(folder)

    def export(
        self,
        path: str | Path,
        *,
        with_weights: bool | None = None,
        ensemble: int | None = None,
        corpus: Any = None,
        progress: ProgressChoice = "auto",
    ) -> list[Path]:
        """Write the winner to a ``.json`` or ``.py`` file. Returns the files written.

        ``with_weights``: also what its fine-tune changed, in a folder next to the ``.json``; None: if there are any.
        ``ensemble``: so many prompts in one file, which predict together: the winner and the best others, whose
        fine-tunes are repeated; for that ``corpus`` are the rows, needed again if they were in memory, and ``progress``
        is as for ``search``.

        Raises InputError for a refinement that was not kept, StorageError if the files cannot be written; for an
        ensemble also UsageError, InputError where the run has fewer prompts, VerificationError where data or model have
        changed.
        """
        from autoprompt.leaderboard import Leaderboard
        from autoprompt.progress import choose_view
        from autoprompt.run import export, export_ensemble, rows_of

        out = Path(path)
        if ensemble is not None:
            entry = self._kept(self.winner).entry
            with choose_view(progress) as view:
                return export_ensemble(entry, self.file, out, ensemble, view, rows=rows_of(corpus))
        if with_weights is None:
            with_weights = out.suffix == ".json" and self.outcome.weights is not None
        with Leaderboard.open(self.file, read_only=True) as board:
            return export(board, self._kept(self.winner).entry, out, with_weights=with_weights)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: what the command prints with ``--json``."""
        return self.outcome.to_dict()

    @staticmethod
    def _kept(stored: T | None) -> T:
        """What the leaderboard has of the run. Raises InputError where a refinement was not kept."""
        if stored is None:
            raise InputError("The refinement was not kept, so there is no run of it; use the parent's entry.")
        return stored

    def _rows(self) -> list[tuple[str, ScoredPrompt]]:
        prompts = {"winner": self.winner, **self.baselines}
        return [(name, row) for name in _SHOWN if (row := prompts.get(name))]

    def __repr__(self) -> str:
        lines = [f"SearchResult of run {self.run}: {self.outcome.corpus} with {self.outcome.model}"]
        for name, row in self._rows():
            lines.append(f"  {name + ':':14}{_score(row):24}{shortened(row.template)}")
        return "\n".join([*lines, *([f"  {self.verdict}"] if self.verdict else [])])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{name}</td><td>{escape(_score(row))}</td><td><code>{escape(repr(row.template)[1:-1])}</code></td></tr>"
            for name, row in self._rows()
        )
        title = escape(f"{self.outcome.corpus} with {self.outcome.model}, run {self.run}")
        return (
            f"<p><b>{title}</b></p><table><thead><tr><th></th><th>score</th><th>prompt</th></tr></thead>"
            f"<tbody>{rows}</tbody></table><p>{escape(self.verdict)}</p>"
        )


def _score(row: ScoredPrompt) -> str:
    """``84.0 % (test, n=400)``, or ``0.412 rougeL (test, n=400)``; of the validation rows without test rows."""
    name, score = ("test", row.test) if row.test else ("validation", row.validation)
    if score is None:
        return ""
    if score.accuracy is not None and score.metric in CLASSIFICATION_METRICS:
        value = f"{100 * score.accuracy:.1f} %"
    else:
        value = f"{score.value:.3f} {score.metric}"
    return f"{value} ({name}, n={score.n})"
