"""Automatic prompt generation: search templates, label words and training settings together.

Public names are imported on first use, so that ``import autoprompt`` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoprompt.api import refine, resume, search, verify
    from autoprompt.errors import AutopromptError
    from autoprompt.estimators import PromptClassifier, PromptModel
    from autoprompt.export import Prompt, load
    from autoprompt.search_result import SearchResult
    from autoprompt.template import LabelWords, Template

__all__ = [
    "AutopromptError",
    "LabelWords",
    "Prompt",
    "PromptClassifier",
    "PromptModel",
    "SearchResult",
    "Template",
    "load",
    "refine",
    "resume",
    "search",
    "verify",
]

_HOME = {
    "AutopromptError": "autoprompt.errors",
    "LabelWords": "autoprompt.template",
    "Prompt": "autoprompt.export",
    "PromptClassifier": "autoprompt.estimators",
    "PromptModel": "autoprompt.estimators",
    "SearchResult": "autoprompt.search_result",
    "Template": "autoprompt.template",
    "load": "autoprompt.export",
    "refine": "autoprompt.api",
    "resume": "autoprompt.api",
    "search": "autoprompt.api",
    "verify": "autoprompt.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'autoprompt' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
