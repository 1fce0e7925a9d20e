"""Automatic prompt generation: search templates, label words and training settings together.

Public names are imported on first use, so that ``import autoprompt`` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoprompt.api import search
    from autoprompt.errors import AutopromptError
    from autoprompt.export import Prompt, load
    from autoprompt.template import LabelWords, Template

__all__ = ["AutopromptError", "LabelWords", "Prompt", "Template", "load", "search"]

_HOME = {
    "AutopromptError": "autoprompt.errors",
    "LabelWords": "autoprompt.template",
    "Prompt": "autoprompt.export",
    "Template": "autoprompt.template",
    "load": "autoprompt.export",
    "search": "autoprompt.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'autoprompt' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
