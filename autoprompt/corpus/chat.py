"""Chat data as rows: a column of messages becomes the text before the last answer, and that answer.

The column is ``messages`` of {role, content} (OpenAI) or ``conversations`` of {from, value} (ShareGPT). The new columns
are called ``text`` and ``response``. With a single user message, the text is the system message, if any, and that
message, on separate lines; with several turns, each message in the text follows its role.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from autoprompt.corpus.cells import Cells
from autoprompt.corpus.readers import Table
from autoprompt.errors import InputError

TEXT, RESPONSE = "text", "response"
_COLUMNS = ("messages", "conversations", "conversation")
_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant", "chatgpt": "assistant"}


def flattened(table: Table, named: Sequence[str] = (), *, answered: bool = True) -> Table:
    """Return the table with its column of messages as ``text`` and ``response``.

    The table is unchanged if it has no such column outside ``named``, or has a ``text`` column already. ``answered``:
    each chat must end with the assistant's message, which is the response; if False, there is no ``response`` column,
    and a last message of the assistant is left out. Raises InputError, with the place, for a malformed chat.
    """
    column = next((name for name in table.columns if name.casefold() in _COLUMNS and name not in named), None)
    if column is None or TEXT in table.columns or not any(_is_chat(row.get(column)) for row in table.rows):
        return table
    added = (TEXT, RESPONSE) if answered else (TEXT,)
    rows = []
    for row, place in zip(table.rows, table.places, strict=True):
        rest = {name: cell for name, cell in row.items() if name not in (column, *added)}
        rows.append({**_turned(row.get(column), f"{table.source}: {place}", column, answered=answered), **rest})
    kept = tuple(name for name in table.columns if name not in (column, *added))
    note = (
        f"{table.source}: the column {column!r} was read as {TEXT!r}, the messages before the last answer, and "
        f"{RESPONSE!r}, that answer (a label, or with --target-column {RESPONSE} a text to write)."
    )
    notes = (*table.notes, note) if answered else table.notes
    return Table(table.source, (*added, *kept), tuple(rows), table.places, table.class_names, notes)


def _is_chat(cell: Any) -> bool:
    return isinstance(cell, list) and bool(cell) and isinstance(cell[0], Mapping) and _role(cell[0]) is not None


def _role(message: Mapping[str, Any]) -> str | None:
    role = message.get("role", message.get("from"))
    return _ROLES.get(role.casefold(), role.casefold()) if isinstance(role, str) else None


def _turned(cell: Any, place: str, column: str, *, answered: bool) -> Cells:
    if not isinstance(cell, list) or not cell:
        raise InputError(f"{place} has no chat in the column {column!r}; give a list of messages of role and content.")
    turns = [_turn(message, place, column) for message in cell]
    if turns[-1][0] == "assistant":
        *turns, (_role_name, response) = turns
    elif answered:
        raise InputError(
            f"{place} has a chat whose last message is of the {turns[-1][0]}; end each with the assistant's, which is "
            "the answer."
        )
    else:
        response = ""
    if not turns:
        raise InputError(f"{place} has a chat of an answer alone; give the messages before it.")
    plain = sum(role != "system" for role, _content in turns) == 1
    text = "\n".join(content if plain else f"{role}: {content}" for role, content in turns if content)
    return {TEXT: text, RESPONSE: response} if answered else {TEXT: text}


def _turn(message: Any, place: str, column: str) -> tuple[str, str]:
    role = _role(message) if isinstance(message, Mapping) else None
    if role is None:
        raise InputError(f"{place} has a message without a role in the column {column!r}; correct the row.")
    content = message.get("content", message.get("value"))
    if isinstance(content, list) and all(isinstance(part, Mapping) and isinstance(part.get("text"), str)
                                         for part in content):  # fmt: skip
        content = "\n".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise InputError(f"{place} has a message that is no text in the column {column!r}; leave out rows with such.")
    return role, content
