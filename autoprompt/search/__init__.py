"""Proposes candidates, spends evaluations on them, and names the best."""

from autoprompt.search.budget import Budget
from autoprompt.search.loop import Outcome, Search
from autoprompt.search.strategies import STRATEGIES

__all__ = ["STRATEGIES", "Budget", "Outcome", "Search"]
