"""How this program starts Python again: the interpreter's command line, its variables and its module search path.

The folder in which a command is run holds data, perhaps a stranger's. Python looks for modules there as well when it is
started with ``-c`` or ``-m``, so that a file called ``socket.py`` beside the data would be run. Interpreters started
from here never look there.
"""

from __future__ import annotations

import os
import sys
import sysconfig

_HOME = os.path.realpath(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""The folder that this package was imported from: code from there runs already."""


def command(code: str) -> list[str]:
    """The command line that runs ``code`` in another interpreter, with ``search_path`` as its ``sys.path``."""
    return [*base_command(), "-c", f"import sys; sys.path[:] = {search_path()!r}; {code}"]


def base_command() -> list[str]:
    """The interpreter with the options that this one has, and ``-P``: the current folder is not searched."""
    flags = sys.flags
    options = [("-I", flags.isolated), ("-E", flags.ignore_environment), ("-s", flags.no_user_site)]
    utf8 = ["-X", "utf8"] if flags.utf8_mode else []
    return [sys.executable, "-P", *(option for option, given in options if given), *utf8]


def variables(**more: str) -> dict[str, str]:
    """The environment of another interpreter: this one's, without the current folder in PYTHONPATH, and ``more``."""
    found = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    named = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if not _unsafe(entry)]
    if named:
        found["PYTHONPATH"] = os.pathsep.join(named)
    return {**found, "PYTHONSAFEPATH": "1", **more}


def search_path() -> list[str]:
    """This interpreter's ``sys.path`` without the current folder; the folder of this package is there always."""
    found = [entry for entry in sys.path if not _unsafe(entry)]
    return found if _HOME in map(os.path.realpath, found) else [*found, _HOME]


def leave_current_folder() -> None:
    """Take the current folder out of this interpreter's own ``sys.path``."""
    sys.path[:] = search_path()


def unsafe_folders() -> list[str]:
    """The names of the current folder, where it may not be searched."""
    try:
        current = os.getcwd()
    except OSError:
        return []
    return sorted({entry for entry in (current, os.path.realpath(current)) if _unsafe(entry)})


def _unsafe(entry: str) -> bool:
    """Whether a place to search is the current folder, or depends on it; installed libraries are none of that."""
    if not os.path.isabs(entry):
        return not entry.startswith("__editable__")  # a name that setuptools' own finder understands
    try:
        current = os.path.realpath(os.getcwd())
    except OSError:  # it was removed
        return False
    return os.path.realpath(entry) == current and current not in _installed()


def _installed() -> set[str]:
    libraries = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return {_HOME, *map(os.path.realpath, libraries)}
