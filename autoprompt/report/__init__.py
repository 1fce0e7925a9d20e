"""Reports from leaderboard rows, as HTML and as Markdown: the same rows give the same bytes."""

from autoprompt.report.writing import write

__all__ = ["write"]
