"""Table cells for scores, settings and prompts, and tables that fit the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from rich import box
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from autoprompt.metrics import Score
from autoprompt.registry import CLASSIFICATION_METRICS
from autoprompt.terminal import Console, plain, printable

WIDE = 100
"""Terminal width, in characters, from which less important columns are shown."""
NARROW = 60
LONGEST_HEADER = 10
PROMPT = "prompt"
ROOM = 32
"""Least width of the prompt column, in characters."""
GAP = 2


class Prompted(Protocol):
    """A line with a prompt: an entry of the leaderboard, or a prompt of a result."""

    @property
    def template(self) -> str: ...
    @property
    def label_words(self) -> Mapping[str, str]: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...


class Column(NamedTuple):
    """A table column: shown in terminals at least ``least`` characters wide, and itself at most ``most`` wide."""

    name: str
    least: int = 0
    most: int | None = None
    wraps: bool = False
    right: bool = False


def print_table(
    console: Console, columns: Sequence[Column], rows: Sequence[Mapping[str, str | Text]], key: str = ""
) -> None:
    """Print a table; each row maps column names to cells. Empty columns are left out.

    Prompts that do not fit are printed in full width under the table, each once, next to the column ``key``.
    """
    shown = [c for c in columns if console.width >= c.least and any(len(row.get(c.name, "")) for row in rows)]
    shown = shown or list(columns[:1])
    others = [column for column in shown if column.name != PROMPT]
    anywhere = console.options.update(width=10_000)
    left = console.width - Measurement.get(console, anywhere, _table(others, rows)).maximum - GAP
    longest = max((len(row.get(PROMPT, "")) for row in rows), default=0)
    if len(others) == len(shown) or left >= min(ROOM, longest):
        console.print(_table(shown, rows))
        return
    console.print(_table(others, rows))
    once = {(str(row[key]), str(row[PROMPT])): row for row in rows}
    console.print(_table([column for column in shown if column.name in (key, PROMPT)], list(once.values())))


def _table(columns: Sequence[Column], rows: Sequence[Mapping[str, str | Text]]) -> Table:
    table = Table(show_edge=False, pad_edge=False, collapse_padding=True, box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(
            Text(printable(column.name)),
            overflow="fold",
            no_wrap=not (column.wraps or column.most),
            max_width=column.most,
            justify="right" if column.right else "left",
        )
    for row in rows:
        table.add_row(*(_cell(row.get(column.name, "")) for column in columns))
    return table


def _cell(value: str | Text) -> Text:
    return plain(value) if isinstance(value, str) else value


def print_words(console: Console, rows: Sequence[Prompted]) -> str:
    """Print the label words on a line if all rows share them; return them, else an empty text."""
    words = common_words(rows)
    if words:
        console.print(plain(f"label words: {words}"))
    return words


def prompt(row: Prompted, *, words: bool = True, note: str = "") -> Text:
    """Return the template, its label words (with ``words``) and the note as one text."""
    added = f"  {word_list(row)}" if words and row.label_words else ""
    return plain(repr(row.template)[1:-1]) + plain(added + note, "dim")


def word_list(row: Prompted) -> str:
    """Return the label words as ``bad/good``."""
    return "/".join(row.label_words.values())


def common_words(rows: Sequence[Prompted]) -> str:
    """Return the label words if all rows share them, else an empty text."""
    found = {word_list(row) for row in rows}
    return found.pop() if len(found) == 1 else ""


def settings_text(settings: Mapping[str, Any]) -> str:
    """Return settings as ``tail lr 5e-04 batch 8 epochs 8 rank 8``."""
    short = {"learning_rate": "lr", "batch_size": "batch"}
    numbers = [f"{short.get(k, k)} {v:.0e}" if isinstance(v, float) else f"{short.get(k, k)} {v}"
               for k, v in settings.items() if k != "tuning"]  # fmt: skip
    return " ".join([*([settings["tuning"]] if "tuning" in settings else []), *numbers])


def split_settings(rows: Sequence[Prompted]) -> tuple[str, list[str]]:
    """Return the settings that all rows share, and the other settings of each row."""
    values = [row.settings for row in rows]
    common = {k: v for k, v in (values[0] if values else {}).items() if all(other.get(k) == v for other in values)}
    return settings_text(common), [settings_text({k: v for k, v in s.items() if k not in common}) for s in values]


def is_label(score: Score | None) -> bool:
    """Whether accuracy is shown first (for labels, and without a score); generated texts show their metric."""
    return not score or score.metric in CLASSIFICATION_METRICS


def accuracy(score: Score | None, digits: int = 2) -> str:
    """Return the accuracy as ``0.94``; empty for generated texts."""
    return f"{score.accuracy:.{digits}f}" if score and is_label(score) and score.accuracy is not None else ""


def percent(score: Score | None) -> str:
    """Return the accuracy as ``94.0 %``; empty for generated texts."""
    return f"{100 * score.accuracy:.1f} %" if score and score.accuracy is not None and is_label(score) else ""


def other_metrics(scores: Sequence[Score | None]) -> list[str]:
    """Return the names of the scores' metrics other than loss and accuracy."""
    return list(dict.fromkeys(s.metric for s in scores if s and s.metric not in ("accuracy", "loss")))


def metric_column(scores: Sequence[Score | None]) -> Column:
    """Return the column for metrics other than loss and accuracy, named after the metric if there is only one."""
    names = other_metrics(scores)
    return Column(header(names[0]) if len(names) == 1 else "metric", right=len(names) == 1)


def metric_cell(score: Score | None, column: Column) -> str:
    """Return the value of a metric other than loss and accuracy, with its name if the column holds several."""
    if not other_metrics([score]) or not score:
        return ""
    return f"{score.value:.3f}" + (f" {score.metric}" if column.name == "metric" else "")


def header(name: str) -> str:
    """Break a long name into lines at its underscores."""
    return name if len(name) <= LONGEST_HEADER else name.replace("_", "_\n")


def test_text(score: Score | None) -> str:
    """Return a score as ``75.0 % accuracy, 0.741 f1_macro (n=32)``; ``-`` without one."""
    if not score:
        return "-"
    parts = [f"{percent(score)} accuracy"] if percent(score) else []
    parts += [f"{score.value:.3f} {name}" for name in other_metrics([score])]
    return f"{', '.join(parts)} (n={score.n})" if parts else "-"
