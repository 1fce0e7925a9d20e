"""``PromptModel``, which fits one prompt, and ``PromptClassifier``, a scikit-learn classifier.

Each is imported on first use: only the classifier loads scikit-learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoprompt.estimators.prompt_classifier import PromptClassifier
    from autoprompt.estimators.prompt_model import PromptModel

__all__ = ["PromptClassifier", "PromptModel"]

_HOME = {"PromptClassifier": "prompt_classifier", "PromptModel": "prompt_model"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
