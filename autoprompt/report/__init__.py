"""Reports: a run's leaderboard rows as a page and as Markdown, the same bytes each time."""

from autoprompt.report.writing import write

__all__ = ["write"]
