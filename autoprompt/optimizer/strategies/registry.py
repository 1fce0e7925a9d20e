"""The strategies by name. All share one evaluator, one budget and one leaderboard."""

from autoprompt.optimizer.strategies.base import GradientStrategy, RandomStrategy, Strategy
from autoprompt.optimizer.strategies.genetic import GeneticStrategy, HybridStrategy
from autoprompt.optimizer.strategies.grid import GridStrategy

STRATEGIES: dict[str, type[Strategy]] = {
    cls.name: cls for cls in (HybridStrategy, GeneticStrategy, GradientStrategy, RandomStrategy, GridStrategy)
}
