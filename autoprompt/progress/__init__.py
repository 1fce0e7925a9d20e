"""Progress of a run: views for terminals, notebooks and files, and events for a callback."""

from autoprompt.progress.callbacks import Callback, CallbackView
from autoprompt.progress.choosing import ProgressChoice, choose_view, in_notebook, view
from autoprompt.progress.downloads import pull_bar
from autoprompt.progress.notebook import NotebookView
from autoprompt.progress.views import PLAIN_SECONDS, LiveView, PlainView, Silent, VerboseView, View

__all__ = [
    "PLAIN_SECONDS",
    "Callback",
    "CallbackView",
    "LiveView",
    "NotebookView",
    "PlainView",
    "ProgressChoice",
    "Silent",
    "VerboseView",
    "View",
    "choose_view",
    "in_notebook",
    "pull_bar",
    "view",
]  # fmt: skip
