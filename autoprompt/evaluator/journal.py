"""Journal of a run's finished tasks: a resumed run reads their results instead of computing them again.

All decisions of a search follow from its seed, the results of its tasks and the clock. With these recorded, repeating
the search up to where it stopped takes no time, and restores populations, random states, races and surrogate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from autoprompt.candidate import Candidate
from autoprompt.corpus import Example
from autoprompt.evaluator.evaluation import Evaluation
from autoprompt.evaluator.proposing import ProposeTask, WordsTask
from autoprompt.evaluator.tasks import FitTask, FrozenTask, TestTask
from autoprompt.evaluator.worker import Work
from autoprompt.hashing import canonical_json, digest
from autoprompt.models import TokenProposals
from autoprompt.template import Demos, LabelWords, Literal, Slot, Soft, Template

_PARTS: dict[str, Callable[[Any], Any]] = {cls.__name__: cls for cls in (Literal, Slot, Demos, Soft)}


class Journal:
    """A journal that stores nothing, and the interface of one that does. Values are plain JSON."""

    @property
    def unread(self) -> bool:
        """Whether results of tasks are left to read."""
        return False

    def next_result(self, key: str) -> dict[str, Any]:
        """Return the next result, which must be that of ``key``."""
        raise LookupError(key)

    def record(self, key: str, value: Mapping[str, Any]) -> None:
        """Record a result; it is stored by the next ``flush`` at the latest."""

    def flush(self) -> None:
        """Store all recorded results and decisions; called when the driver is idle, and before it stores anything that
        follows from them."""

    def decision(self, _name: str, decide: Callable[[], Any]) -> Any:
        """Return a decision that depends on the clock: the recorded one, or a new one, which is then recorded."""
        return decide()


def task_key(task: Any) -> str:
    """Return a key for what a task computes, the same for any worker and time."""
    values = [_named(getattr(task, field.name)) for field in fields(task)]
    return f"{type(task).__name__} {digest(canonical_json(values))[:32]}"


def work_to_json(work: Work) -> dict[str, Any]:
    """Return a task's work as plain JSON values."""
    return {"value": _encoded(work.value), "seconds": work.seconds, "tokens": work.tokens}


def work_from_json(task: Any, values: Mapping[str, Any]) -> Work:
    """Return the work of ``task`` from what ``work_to_json`` made of it."""
    value = values["value"]
    match task:
        case FitTask() if value is None:  # dropped, since no time was left for it
            pass
        case FrozenTask() | FitTask():
            value = _evaluation(task.evaluation, value)
        case TestTask():
            value = [_evaluation(evaluation, one) for evaluation, one in zip(task.evaluations, value, strict=True)]
        case ProposeTask():
            value = TokenProposals(*([(_template(parts), float(score)) for parts, score in edits] for edits in value))
        case WordsTask():
            value = [LabelWords(_tuples(pairs)) for pairs in value]
    return Work(value, values["seconds"], values["tokens"])


def _named(value: Any) -> Any:
    match value:
        case Candidate():
            return value.canonical()
        case Evaluation():
            return [value.candidate.canonical(), value.rung, value.fold, value.repeat, value.split]
        case Example():
            return value.row_id
        case tuple():
            return [_named(one) for one in value]
        case float():
            return repr(value)
    return value


def _encoded(value: Any) -> Any:
    match value:
        case Evaluation():
            return {f.name: getattr(value, f.name) for f in fields(value) if f.name not in ("candidate", "estimate")}
        case TokenProposals():
            # JSON holds finite numbers only, and a score may be infinite or NaN.
            edits = (value.replacements, value.infills)
            return [[(_encoded(template), repr(score)) for template, score in kind] for kind in edits]
        case Template():
            return [[type(segment).__name__, getattr(segment, fields(segment)[0].name)] for segment in value.segments]
        case LabelWords():
            return value.pairs
        case list() | tuple():
            return [_encoded(one) for one in value]
    return value


def _evaluation(asked: Evaluation, values: Mapping[str, Any]) -> Evaluation:
    return replace(asked, **{name: _tuples(value) for name, value in values.items()})


def _template(parts: Any) -> Template:
    return Template(_PARTS[name](value) for name, value in parts)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value
