"""The command ``predict``, which answers rows with an exported prompt."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from autoprompt.cli import complete
from autoprompt.cli.options import device_option, file_options, json_option
from autoprompt.errors import UsageError

if TYPE_CHECKING:
    from autoprompt.cli.rows import InputRows

FORMATS = ("text", "csv", "jsonl")


class TextCommand(click.Command):
    """A command whose arguments are texts."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; the error for an unknown option says how to give a text that begins with -."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise click.UsageError(
                f"{error.format_message()} If it is a text, write -- before the texts: {ctx.command_path} best.json -- "
                "TEXT",
                ctx,
            ) from error


@click.command(cls=TextCommand, short_help="Answer texts, a file's rows or piped lines with a prompt.")
@click.argument("prompt_file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option("--input", "input_file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), metavar="FILE",
              help="Data file, as for search, or txt file with one text a line; - is standard input.")  # fmt: skip
@file_options
@click.option("--lines", type=click.Choice(("text", "json")),
              help="Content of a line of standard input.  [default: text; json for several fields]")  # fmt: skip
@click.option("--format", "form", type=click.Choice(FORMATS), help="Output format.  [default: text]")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write to this .csv or .jsonl file instead of standard output.")  # fmt: skip
@click.option("--frozen", is_flag=True, help="Use the pretrained model, without the prompt's fine-tune.")
@click.option("--model", metavar="NAME", shell_complete=complete.models,
              help="Folder or name of the prompt's model, if it has moved.")  # fmt: skip
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
    **rest: Any,
) -> None:
    """Answer TEXTs, the rows of a file or the lines of standard input with the prompt of PROMPT_FILE (best.json).

    One line is printed for each row: the label and its probability. csv and jsonl also hold the rows and the
    probability of each label. Rows from a pipe are answered as they arrive. Write -- before texts that begin with -.

    --out FILE is written when all rows are answered. Until then, and if the command is stopped, FILE.partial.csv (or
    .jsonl) holds the answered rows.

    \b
    autoprompt predict best.json "A fine film." "Dull."
    autoprompt predict best.json --input reviews.csv --out labelled.csv
    tail -f reviews.txt | autoprompt predict best.json
    """
    if texts and input_file is not None:
        raise UsageError("Predict takes TEXT arguments or --input FILE; give one of the two.")
    kind = _kind(form, out, as_json)
    from autoprompt.cli import answering, threads
    from autoprompt.export import load

    with answering.stoppable(out) as done:
        prompt = load(prompt_file, model=model, device=device)
        rows = _input_rows(texts, input_file, lines, rest, prompt.session.fields)
        done.total = rows.total
        threads.share_cores()
        predictor = prompt.session.predictor(frozen=frozen)
        if as_json:
            answering.print_object(predictor, rows, done)
        else:
            answering.write(predictor, rows, kind, out, done)


def _kind(form: str | None, out: Path | None, as_json: bool) -> str:
    """Return the output format. Raises UsageError for options that contradict each other."""
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


def _input_rows(
    texts: tuple[str, ...],
    input_file: Path | None,
    lines: str | None,
    given: Mapping[str, Any],
    fields: tuple[str, ...],
) -> InputRows:
    """Return the rows to answer. ``given``: the file options. Raises UsageError, InputError."""
    from autoprompt.cli import rows
    from autoprompt.corpus import FileOptions

    options = FileOptions(**given)
    if options != FileOptions() and (input_file is None or str(input_file) == "-"):
        raise UsageError(
            "--encoding, --delimiter, --no-header and --column-names are about a file; name it with --input."
        )
    if texts or (input_file is not None and str(input_file) != "-"):
        if lines is not None:
            raise UsageError("--lines is about standard input; leave it out.")
        if input_file is not None:
            return rows.of_file(input_file, fields, options)
        if len(fields) > 1:
            raise UsageError(f"The prompt has the fields {', '.join(fields)}; give rows with them by --input FILE.")
        return rows.of_texts(texts, fields[0])
    if input_file is None and sys.stdin.isatty():
        raise UsageError("There is nothing to predict; give TEXTs, --input FILE, or lines by a pipe.")
    if lines == "text" and len(fields) > 1:
        raise UsageError(
            f"The prompt has the fields {', '.join(fields)}; send JSON objects with them, and --lines json."
        )
    return rows.of_stream(_standard_input(), fields, objects=lines == "json" or len(fields) > 1)


def _standard_input() -> TextIO:
    """Return standard input as UTF-8 with a new buffer.

    At exit the interpreter locks the buffer of ``sys.stdin``, and aborts if a thread is still reading from it.
    """
    try:
        return open(sys.stdin.fileno(), encoding="utf-8", closefd=False)
    except io.UnsupportedOperation:  # a program has replaced ``sys.stdin``
        return io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8")
