"""Proposes candidates, spends evaluations on them, and names the best."""

from autoprompt.optimizer.budget import Budget
from autoprompt.optimizer.config import SearchConfig, parse_fix
from autoprompt.optimizer.estimate import Need, check_budget, needed
from autoprompt.optimizer.forecast import Expected, Forecast, blocks_of
from autoprompt.optimizer.loop import Search
from autoprompt.optimizer.outcome import Generation, Outcome
from autoprompt.optimizer.panel import judged, teach
from autoprompt.optimizer.racing import join_parts
from autoprompt.optimizer.space import Space, demos_of, draw_demos, flaw, make_space
from autoprompt.optimizer.strategy import Proposal

__all__ = [
    "Budget",
    "Expected",
    "Forecast",
    "Generation",
    "Need",
    "Outcome",
    "Proposal",
    "Search",
    "SearchConfig",
    "Space",
    "blocks_of",
    "check_budget",
    "demos_of",
    "draw_demos",
    "flaw",
    "join_parts",
    "judged",
    "make_space",
    "needed",
    "parse_fix",
    "teach",
]
