"""Block-by-block answers of ``predict``: their output, and the message if the command is stopped."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from autoprompt.cli import predictions
from autoprompt.cli.counting import counted
from autoprompt.cli.options import STARTED, print_json
from autoprompt.cli.partial import partial_file
from autoprompt.cli.verbosity import say
from autoprompt.errors import AutopromptError
from autoprompt.terminal import echo

if TYPE_CHECKING:
    from autoprompt.cli.rows import Waiting
    from autoprompt.corpus import Table
    from autoprompt.predicting import Answer, Predictor


@dataclass
class Done:
    """Rows answered and written, the number of all rows (None: unknown), and the partial file that holds them."""

    rows: int = 0
    total: int | None = None
    partial: Path | None = None


@contextmanager
def stoppable(out: Path | None) -> Iterator[Done]:
    """Yield the progress; if a signal or an error ends the work, print how many rows are done and where they are."""
    done = Done()
    try:
        yield done
    except (KeyboardInterrupt, SystemExit) as stop:
        of = "" if done.total is None else f" of {done.total}"
        word = "row" if (done.total if done.total is not None else done.rows) == 1 else "rows"
        where = f"; they are in {done.partial}, and {out} is not written" if done.partial and done.rows else ""
        echo(f"Stopped after {done.rows}{of} {word}{where}.", err=True)
        raise SystemExit(stop.code if isinstance(stop, SystemExit) else 130) from None
    except AutopromptError:
        if done.partial and done.rows:
            echo(f"The first {done.rows} rows are in {done.partial}.", err=True)
        raise


def write(predictor: Predictor, waiting: Waiting, kind: str, out: Path | None, done: Done) -> None:
    """Answer all rows, and write each block when it is answered: to ``out``, or to standard output."""
    wanted = predictions.wanted_names(kind, predictor.labels)
    added = predictions.Added.beside(waiting.columns if kind != "text" else (), wanted)
    for name, instead in added.moved(wanted):
        say(f"Note: the rows have a column {name!r} of their own; the answers' is called {instead!r}.")
    with partial_file(out) if out is not None else nullcontext() as partial:
        block = io.StringIO(newline="\n")
        to = _writer(kind, sys.stdout if partial is None else block, predictor.labels, added)
        for table, found in _answered(predictor, waiting, done, shown=out is not None or not sys.stdout.isatty()):
            to(table, found)
            if partial is not None:
                partial.add(block.getvalue())
                block.seek(0)
                block.truncate()
                done.partial = partial.path
    if out is not None:
        say(f"Wrote {out}: {done.rows} rows in {time.monotonic() - STARTED:.1f} s.")


def print_object(predictor: Predictor, waiting: Waiting, done: Done) -> None:
    """Answer all rows, and print one JSON object."""
    found = [
        {"label": a.text, "probabilities": dict(zip(predictor.labels, a.probabilities, strict=False))}
        for _, block in _answered(predictor, waiting, done, shown=True)
        for a in block
    ]
    print_json({"predictions": found})


def _answered(
    predictor: Predictor, waiting: Waiting, done: Done, *, shown: bool
) -> Iterator[tuple[Table, list[Answer]]]:
    """Yield each block with its answers; when the next one is asked for, the block is written and counts as done."""
    from autoprompt.corpus import inputs

    with counted(waiting.total, shown=shown) as count:
        for table in waiting.blocks:
            found = predictor.answers(inputs(table, predictor.fields))
            yield table, found
            done.rows += len(found)
            count(done.rows)


def _writer(kind: str, stream: TextIO, labels: tuple[str, ...], added: predictions.Added) -> predictions.Write:
    if kind == "text":
        return predictions.as_text(stream)
    if kind == "csv":
        return predictions.as_csv(stream, added)
    return predictions.as_json_lines(stream, labels, added)
