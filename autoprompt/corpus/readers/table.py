"""``Table``: rows as a reader returns them, before the text and label columns are chosen."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from autoprompt.corpus.cells import Cells
from autoprompt.errors import InputError


@dataclass(frozen=True)
class Table:
    """Rows as they were read.

    ``places``: where each row is in the source ("line 7"). ``class_names``: column -> names of the classes that its
    integers stand for. ``notes``: what the reader assumed or left out, one sentence each.
    """

    source: str
    columns: tuple[str, ...]
    rows: tuple[Cells, ...]
    places: tuple[str, ...]
    class_names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def joined(tables: Sequence[Table], source: str | None = None) -> Table:
    """Join the rows of all tables in order, each with its place. Raises InputError where class names differ."""
    if len(tables) == 1:
        return tables[0]
    first = tables[0]
    for table in tables[1:]:
        if table.class_names != first.class_names:
            raise InputError(
                f"{first.source} and {table.source} name their classes differently; write them with the same features."
            )
    columns = dict.fromkeys(name for table in tables for name in table.columns)
    places = tuple(f"{table.source}: {place}" for table in tables for place in table.places)
    rows = tuple(row for table in tables for row in table.rows)
    notes = tuple(note for table in tables for note in table.notes)
    name = ", ".join(table.source for table in tables) if source is None else source
    return Table(name, tuple(columns), rows, places, first.class_names, notes)
