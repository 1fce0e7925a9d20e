"""Safe use of another user's stored run: model and corpus are opened as data, options for workers are dropped."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import fields, replace

from autoprompt.errors import InputError
from autoprompt.run.options import ModelOptions, PlaceOptions

_MOST_SHOWN = 80


def own_model_options(
    run: str,
    corpus: str,
    unlabeled: str | None,
    model: ModelOptions,
    place: PlaceOptions,
    notify: Callable[[str], None],
) -> ModelOptions:
    """The model options with the defaults for workers and device.

    ``notify`` gets a notice, which lists the dropped options except those that ``place`` sets. Raises InputError where
    model, corpus or ``unlabeled`` is neither a name nor a file or folder.
    """
    for what, name in (("model", model.model), ("corpus", corpus), ("file of rows without labels", unlabeled)):
        if name is not None:
            _check(run, what, name)
    default = ModelOptions()
    own = replace(model, **{field.name: getattr(default, field.name) for field in fields(PlaceOptions)})
    asked = [
        f"--{field.name.replace('_', '-')} {_shown(getattr(model, field.name))}"
        for field in fields(PlaceOptions)
        if getattr(model, field.name) != getattr(default, field.name) and field.name not in place.named
    ]
    left = f" It asks for {' '.join(asked)}, which is ignored; give what you want of it again." if asked else ""
    notify(
        f"The run {run} was not begun by this user on this machine. Its model {_shown(model.model)} and its corpus "
        f"{_shown(corpus)} are opened as data.{left}"
    )
    return own


def _check(run: str, what: str, name: str) -> None:
    """Raise InputError for a pipe (which may never end), a device, and a share of another machine."""
    if not isinstance(name, str):
        raise InputError(f"The {what} of run {run} is not a name; start a new search.")
    place = os.path.expanduser(name)
    if re.match(r"[\\/]{2}", place):
        raise InputError(f"The {what} of run {run} is a share of another machine, {_shown(name)}; start a new search.")
    try:
        mode = os.stat(place).st_mode
    except (OSError, ValueError):  # a name, or a missing path, which is reported when it is opened
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(
            f"The {what} of run {run}, {_shown(name)}, is neither a file nor a folder; start a new search."
        )


def _shown(value: object) -> str:
    """An untrusted value as one short argument, without control characters."""
    text = str(value)
    return text if re.fullmatch(rf"[\w./:@-]{{1,{_MOST_SHOWN}}}", text, re.ASCII) else ascii(text[:_MOST_SHOWN])
