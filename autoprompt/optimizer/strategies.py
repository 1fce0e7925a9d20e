"""The strategies by name. All share one evaluator, one budget and one leaderboard."""

from autoprompt.optimizer.genetic import GeneticStrategy, HybridStrategy
from autoprompt.optimizer.grid import GridStrategy
from autoprompt.optimizer.strategy import GradientStrategy, RandomStrategy, Strategy

STRATEGIES: dict[str, type[Strategy]] = {
    cls.name: cls for cls in (HybridStrategy, GeneticStrategy, GradientStrategy, RandomStrategy, GridStrategy)
}
