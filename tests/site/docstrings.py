"""An extension of griffe: shapes in docstrings, such as ``[rows][labels]``, are code; Markdown takes them for links."""

import re
from typing import Any

import griffe

_SHAPE = re.compile(r"(?<!`)(?:\[\w+\]){2,}")


class Shapes(griffe.Extension):
    """Puts shapes into backticks."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = _SHAPE.sub(r"`\g<0>`", obj.docstring.value)
