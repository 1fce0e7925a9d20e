"""Proposes candidates, spends evaluations on them, and names the best."""

from autoprompt.search.budget import Budget
from autoprompt.search.config import SearchConfig, parse_fix
from autoprompt.search.estimate import Need, check_budget, needed
from autoprompt.search.forecast import Expected
from autoprompt.search.loop import Outcome, Search
from autoprompt.search.space import Space, demos_of, draw_demos, flaw, make_space
from autoprompt.search.strategies import STRATEGIES
from autoprompt.search.strategy import Proposal

__all__ = [
    "STRATEGIES",
    "Budget",
    "Expected",
    "Need",
    "Outcome",
    "Proposal",
    "Search",
    "SearchConfig",
    "Space",
    "check_budget",
    "demos_of",
    "draw_demos",
    "flaw",
    "make_space",
    "needed",
    "parse_fix",
]
