"""Short ``repr`` of objects whose values may be large: one line, long texts and lists cut."""

from __future__ import annotations

import reprlib
from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 70
        self.maxlist = self.maxtuple = self.maxdict = 4
        self.maxlevel = 3

    def repr_float(self, value: float, _level: int) -> str:
        return f"{value:.5g}"

    def repr_dict(self, values: dict[Any, Any], level: int) -> str:
        """In the dict's own order, which reprlib would sort."""
        if level <= 0 or not values:
            return "{...}" if values else "{}"
        pieces = [
            f"{self.repr1(key, level - 1)}: {self.repr1(values[key], level - 1)}"
            for key in list(values)[: self.maxdict]
        ]
        return "{" + ", ".join([*pieces, "..."] if len(values) > self.maxdict else pieces) + "}"


_SHORT = _Short()


def shortened(value: Any) -> str:
    """Return the value's ``repr``, cut to some 70 characters."""
    return _SHORT.repr(value)


def short_repr(instance: object, /, *values: Any, **named: Any) -> str:
    """Return ``Name(value, name=value)`` for the class of ``instance``, each value cut to some 70 characters."""
    shown = [*map(_SHORT.repr, values), *(f"{name}={_SHORT.repr(value)}" for name, value in named.items())]
    return f"{type(instance).__name__}({', '.join(shown)})"


class ShortRepr:
    """Short ``repr`` of a dataclass: the fields that differ from their defaults; declare it with ``repr=False``."""

    def __repr__(self: DataclassInstance) -> str:
        values = {field.name: (getattr(self, field.name), _default(field)) for field in fields(self)}
        return short_repr(self, **{name: value for name, (value, default) in values.items() if value != default})


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
