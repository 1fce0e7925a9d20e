"""What a run finds out from the loaded model before it begins: whether it fits the data, and the speed of its work."""

from __future__ import annotations

from contextlib import closing

from autoprompt.candidate import Candidate
from autoprompt.evaluator.cost_model import CostModel
from autoprompt.evaluator.dispatch import FIRST_LIMIT, TaskMap, dispatch
from autoprompt.evaluator.measuring import MeasureTask, Speed, mean_speed
from autoprompt.evaluator.tasks import CheckTask, Readiness


class ModelCheck:
    """Checks and measures the model in the workers. No score depends on it, and no journal stores it.

    ``costs``: gets what was found. ``time_limit``: the seconds that a task may take.
    """

    def __init__(self, executor: TaskMap, costs: CostModel, time_limit: float | None = None) -> None:
        self._executor = executor
        self._costs = costs
        self._limit = time_limit or FIRST_LIMIT

    def check(self, candidate: Candidate) -> Readiness:
        """Return what a run needs to know about its model and data. Raises InputError for unusable label words.

        Every worker gets the task, so that all load the model now and none does while others wait for it; the first
        task's result is returned.
        """
        tasks = [CheckTask(candidate)] * self._executor.workers
        with closing(dispatch(self._executor, tasks, limit=self._limit)) as works:
            ready: Readiness = next(works).value
        self._costs.written_tokens = ready.target_length
        return ready

    def measure(self, candidate: Candidate) -> Speed:
        """Measure the seconds of each unit of work with the candidate's tuning mode, on a few rows and in all workers
        at once, as in the search."""
        tasks = [MeasureTask(candidate)] * self._executor.workers
        works = list(dispatch(self._executor, tasks, limit=self._limit))
        for work in works:
            self._costs.record_work(work.seconds, work.cpu)
        speed = self._costs.speed = mean_speed([work.value for work in works])
        return speed
