"""Tables with columns that tempt a reader to misread them, made from a few bytes; what must hold of each is asserted.

Rows in memory hold a text, a label and odd columns: identifiers, dates, constants, row numbers, copies of the label, a
split column; cells that are missing, bytes, lists, NaN; labels that mark no label, labels that come once, lists of
labels, scores. An accepted table must account for every row, must not take an identifier or a copy of the label as a
field, and must not make a class of a mark.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from typing import Any

from autoprompt.corpus import Corpus, from_rows

WORDS = ("parcel", "invoice", "server", "login", "refund", "courier", "screen", "thanks", "größe", "订单")
CLASSES = (["pos", "neg"], ["0", "1", "2"], ["billing", "shipping", "praise"], [0, 1], [True, False], [1.0, 2.0, 3.0])
MARKS = (None, "", "-", "NA", "?", float("nan"))

Column = Callable[[random.Random, int, int], Any]
MEANINGLESS: dict[str, Column] = {
    "ticket_id": lambda _rng, row, _place: f"T-{row:05d}",
    "guid": lambda rng, _row, _place: f"{rng.getrandbits(128):032x}",
    "url": lambda _rng, row, _place: f"https://example.org/{row}",
    "created_at": lambda rng, _row, _place: f"2024-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
    "day": lambda rng, _row, _place: datetime.date(2024, rng.randint(1, 12), 3).isoformat(),
    "status": lambda _rng, _row, _place: "open",
    "nothing": lambda _rng, _row, _place: None,
    "Unnamed: 0": lambda _rng, row, _place: row,
    "__index_level_0__": lambda _rng, row, _place: row,
}
COPIES: dict[str, Column] = {
    "label_text": lambda _rng, _row, place: ("negative words", "positive words", "neither of them")[place],
    "coarse": lambda _rng, _row, place: ("left side", "right side", "right side")[place],
    "Reply": lambda rng, _row, place: f"{('Sorry', 'Glad', 'Noted')[place]}" + rng.choice(("", "")),
}
CELLS: tuple[Callable[[Any], Any], ...] = (
    lambda value: str(value).encode(),
    lambda value: [value],
    lambda value: {"value": value},
    lambda _value: float("nan"),
    lambda _value: None,
    lambda value: {str(value)},
    lambda value: datetime.datetime(2024, 1, 3, tzinfo=datetime.UTC) if value else value,
    lambda value: f"b'{value}'",
    lambda value: f"[{value}, {value}]",
)


def check(data: bytes) -> None:
    """Make the table of these bytes, read it, and check what came of it. Raises what reading raises."""
    rng = random.Random(data)  # noqa: S311
    rows, planted, marks = table(rng)
    corpus = from_rows(rows, shots=rng.choice((4, 16)), test_rows=rng.choice((0, 50, 400)),
                       drop_empty=rng.random() < 0.5, drop_duplicates=True)  # fmt: skip
    _accounted(corpus, len(rows))
    assert not planted & set(corpus.fields), (planted, corpus.fields)
    known = [str(mark) for mark in marks if mark is not None]
    assert not set(known) & set(corpus.labels), (known, corpus.labels)


def table(rng: random.Random) -> tuple[list[dict[str, Any]], set[str], list[Any]]:
    """Rows, the names of columns that must not become fields, and the marks that must not become classes."""
    size, classes = rng.randint(24, 80), rng.choice(CLASSES)
    odd = rng.sample(sorted(MEANINGLESS), rng.randint(0, 3))
    copies = rng.sample(sorted(COPIES), rng.randint(0, 1)) if size >= 40 else []
    text = rng.choice(("text", "message", "review.text", "Body", "comment text"))
    marks = [rng.choice(MARKS) for _ in range(rng.choice((0, 0, 1, 2)))]
    rows = []
    for number in range(size):
        place = rng.randrange(len(classes))
        label: Any = rng.choice(marks) if marks and number % 11 == 0 else classes[place]
        words = " ".join(rng.choice(WORDS) for _ in range(rng.randint(3, 9)))
        row: dict[str, Any] = {text: f"{words} of case {number}", "label": label}
        for name in (*odd, *copies):
            row[name] = {**MEANINGLESS, **COPIES}[name](rng, number, place)
        rows.append(row)
    rng.shuffle(columns := [text, "label", *odd, *copies])
    rows = [{name: row[name] for name in columns} for row in rows]
    if rng.random() < 0.3:  # spoil some cells
        for _ in range(rng.randint(1, 4)):
            row, name = rng.choice(rows), rng.choice(columns)
            row[name] = rng.choice(CELLS)(row[name])
        return rows, set(), []
    return rows, {*odd, *copies}, marks


def _accounted(corpus: Corpus, rows: int) -> None:
    """Each row that was read is in a split, unused, or dropped for a reason that is given."""
    summary = corpus.summary
    assert summary is not None
    used = len(corpus.train) + len(corpus.validation) + len(corpus.test)
    assert summary.rows == rows == used + summary.unused + sum(summary.dropped.values())
    assert summary.unused >= 0
    texts = [str(sorted(row.fields.items())) for row in (*corpus.train, *corpus.validation, *corpus.test)]
    assert len(texts) == len(set(texts))
