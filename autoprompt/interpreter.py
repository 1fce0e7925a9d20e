"""Starting another Python interpreter: its command line, its environment and its module search path.

The current folder holds data, perhaps untrusted. When Python is started with ``-c`` or ``-m``, it also searches that
folder for modules, so it would run a file called ``socket.py`` beside the data. Interpreters started with the functions
here never search it.
"""

from __future__ import annotations

import os
import sys
import sysconfig

_HOME = os.path.realpath(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""The folder that this package was imported from; its code is running already, so it is safe to search."""


def command(code: str) -> list[str]:
    """The command line that runs ``code`` in another interpreter, with ``search_path`` as its ``sys.path``."""
    return [*base_command(), "-c", f"import sys; sys.path[:] = {search_path()!r}; {code}"]


def base_command() -> list[str]:
    """The interpreter with the options of this one, and with ``-P``: the current folder is not searched."""
    flags = sys.flags
    options = [("-I", flags.isolated), ("-E", flags.ignore_environment), ("-s", flags.no_user_site)]
    utf8 = ["-X", "utf8"] if flags.utf8_mode else []
    return [sys.executable, "-P", *(option for option, given in options if given), *utf8]


def variables(**more: str) -> dict[str, str]:
    """Environment for another interpreter: this one's, without the current folder in PYTHONPATH, plus ``more``."""
    found = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    named = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if not _unsafe(entry)]
    if named:
        found["PYTHONPATH"] = os.pathsep.join(named)
    return {**found, "PYTHONSAFEPATH": "1", **more}


def search_path() -> list[str]:
    """This interpreter's ``sys.path`` without the current folder, and always with the folder of this package."""
    found = [entry for entry in sys.path if not _unsafe(entry)]
    return found if _HOME in map(os.path.realpath, found) else [*found, _HOME]


def leave_current_folder() -> None:
    """Remove the current folder from this interpreter's ``sys.path``."""
    sys.path[:] = search_path()


def unsafe_folders() -> list[str]:
    """Paths of the current folder, as given and resolved, that must not be searched for modules."""
    try:
        current = os.getcwd()
    except OSError:
        return []
    return sorted({entry for entry in (current, os.path.realpath(current)) if _unsafe(entry)})


def _unsafe(entry: str) -> bool:
    """Whether a ``sys.path`` entry is the current folder or relative to it; folders of installed libraries are safe."""
    if not os.path.isabs(entry):
        return not entry.startswith("__editable__")  # a name for setuptools' import finder, not a folder
    try:
        current = os.path.realpath(os.getcwd())
    except OSError:  # the current folder was removed
        return False
    return os.path.realpath(entry) == current and current not in _installed()


def _installed() -> set[str]:
    libraries = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return {_HOME, *map(os.path.realpath, libraries)}
