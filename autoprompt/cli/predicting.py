"""The command that uses a prompt: predict."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from autoprompt.cli import complete
from autoprompt.cli.options import STARTED, device_option, json_option, print_json
from autoprompt.cli.telling import say
from autoprompt.errors import UsageError

if TYPE_CHECKING:
    from autoprompt.cli.answers import Write
    from autoprompt.corpus.readers import Table

FORMATS = ("text", "csv", "jsonl")


@click.command(short_help="Answer texts, a file's rows or piped lines with a prompt.")
@click.argument("prompt_file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option("--input", "input_file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), metavar="FILE",
              help="Rows of a csv, tsv, jsonl or parquet file, lines of a txt file; - is standard input.")  # fmt: skip
@click.option("--lines", type=click.Choice(("text", "json")),
              help="What a line of standard input is.  [default: text; json for several fields]")  # fmt: skip
@click.option("--format", "form", type=click.Choice(FORMATS), help="What is printed.  [default: text]")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="A .csv or .jsonl file instead of standard output.")  # fmt: skip
@click.option("--frozen", is_flag=True, help="With the pretrained model, whatever fine-tune the prompt was found with.")
@click.option("--model", metavar="NAME", shell_complete=complete.models,
              help="Where the prompt's model is, if not where it was.")  # fmt: skip
@device_option
@json_option
def predict(
    prompt_file: Path,
    texts: tuple[str, ...],
    input_file: Path | None,
    lines: str | None,
    form: str | None,
    out: Path | None,
    frozen: bool,
    model: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Answer TEXTs, the rows of a file or the lines of standard input with the prompt of PROMPT_FILE (best.json).

    A line each is printed, the label and its probability; csv and jsonl hold the rows as well, and the probability of
    each label. What comes through a pipe is answered as it comes.

    \b
    autoprompt predict best.json "A fine film." "Dull."
    autoprompt predict best.json --input reviews.csv --out labelled.csv
    tail -f reviews.txt | autoprompt predict best.json
    """
    if texts and input_file is not None:
        raise UsageError("Predict takes TEXT arguments or --input FILE; give one of the two.")
    kind = _kind(form, out, as_json)
    from autoprompt import corpus
    from autoprompt.export import load

    session = load(prompt_file, model=model, device=device).session
    blocks = _blocks(texts, input_file, lines, session.fields)
    predictor = session.predictor(frozen=frozen)
    number, found = 0, []
    with _output(out) as stream:
        write = _writer(kind, stream, session.labels)
        for table in blocks:
            answers = predictor.answers(corpus.inputs(table, session.fields))
            number += len(answers)
            if as_json:
                found += [
                    {"label": a.text, "probabilities": dict(zip(session.labels, a.probabilities, strict=False))}
                    for a in answers
                ]
            else:
                write(table.rows, answers)
    if as_json:
        print_json({"predictions": found})
    elif out is not None:
        say(f"Wrote {out}: {number} rows in {time.monotonic() - STARTED:.1f} s.")


def _kind(form: str | None, out: Path | None, as_json: bool) -> str:
    """The output's format. Raises UsageError for options that contradict each other."""
    if as_json and (form or out):
        raise UsageError("--json prints one JSON object; leave --format and --out out.")
    if out is None:
        return form or "text"
    kind = out.suffix.lower().removeprefix(".")
    if kind not in ("csv", "jsonl"):
        raise UsageError(f"{out} ends in neither .csv nor .jsonl; name the file so.")
    if form not in (None, kind):
        raise UsageError(f"--format {form} contradicts --out {out}; leave --format out.")
    return kind


def _blocks(
    texts: tuple[str, ...], input_file: Path | None, lines: str | None, fields: tuple[str, ...]
) -> Iterable[Table]:
    """What is to be answered. Raises UsageError, InputError."""
    from autoprompt.cli import rows
    from autoprompt.predicting import BLOCK

    if texts or (input_file is not None and str(input_file) != "-"):
        if lines is not None:
            raise UsageError("--lines is about standard input; leave it out.")
        if input_file is not None:
            return rows.of_file(input_file, fields, BLOCK)
        if len(fields) > 1:
            raise UsageError(f"The prompt has the fields {', '.join(fields)}; give rows with them by --input FILE.")
        return rows.of_texts(texts, fields[0])
    if input_file is None and sys.stdin.isatty():
        raise UsageError("There is nothing to predict; give TEXTs, --input FILE, or lines by a pipe.")
    if lines == "text" and len(fields) > 1:
        raise UsageError(
            f"The prompt has the fields {', '.join(fields)}; send JSON objects with them, and --lines json."
        )
    as_objects = lines == "json" or len(fields) > 1
    stream = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8")
    return rows.of_stream(stream, None if as_objects else fields[0], BLOCK)


@contextmanager
def _output(out: Path | None) -> Iterator[TextIO]:
    from autoprompt.files import whole_file

    if out is None:
        yield sys.stdout
        return
    with whole_file(out) as stream:
        yield stream


def _writer(kind: str, stream: TextIO, labels: tuple[str, ...]) -> Write:
    from autoprompt.cli import answers

    if kind == "text":
        return answers.as_text(stream)
    if kind == "csv":
        return answers.as_csv(stream, labels)
    return answers.as_json_lines(stream, labels)
