"""History of a search: fine-tunes, progress, Pareto front, operators, settings, and ancestors of the winner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from autoprompt.leaderboard import Origin, Summary

SHORT_RUNG = 1
"""The rung of the short fine-tunes, whose losses can be compared within a run: one fold, one seed."""


class TunedPrompt(NamedTuple):
    """A prompt that was fine-tuned. ``loss``: on the validation rows; None where it was stopped early or failed."""

    entry: str
    role: str
    status: str
    template: str
    label_words: dict[str, str]
    settings: Mapping[str, Any]
    loss: float | None
    length: int
    readability: float | None


class Point(NamedTuple):
    """The lowest loss so far, and what was spent by then. ``seconds``: of all workers together."""

    evaluations: int
    seconds: float
    tokens: int
    loss: float


class OperatorFacts(NamedTuple):
    """Results of an operator's prompts.

    ``compared``: fine-tuned ones whose parent has a loss. ``better``: how many of these have a lower loss than it.
    """

    operator: str
    proposed: int
    tuned: int
    compared: int
    better: int
    best: float | None


class SettingFacts(NamedTuple):
    """The losses, lowest first, of the fine-tunes with one value of a setting."""

    name: str
    value: Any
    losses: list[float]

    @property
    def median(self) -> float:
        """The median loss."""
        return median(self.losses)


class Ancestor(NamedTuple):
    """A prompt in a line of ancestors. ``changed``: what differs from its parent, in words."""

    prompt: TunedPrompt
    operator: str
    changed: list[str]


def tuned_prompts(summaries: Iterable[Summary]) -> list[TunedPrompt]:
    """The fine-tunes of the search phase and its baselines, in order."""
    return [_tuned_prompt(s) for s in summaries if _is_tuned(s)]


def progress(summaries: Iterable[Summary]) -> list[Point]:
    """One point each time that the lowest loss fell, and one at the end."""
    points: list[Point] = []
    evaluations = tokens = 0
    seconds = 0.0
    for summary in summaries:
        if summary.split == "test":
            continue
        seconds += summary.seconds
        tokens += summary.tokens
        if not _is_tuned(summary):
            continue
        evaluations += 1
        if summary.status == "complete" and summary.loss is not None and (not points or summary.loss < points[-1].loss):
            points.append(Point(evaluations, seconds, tokens, summary.loss))
    if points and points[-1].evaluations < evaluations:
        points.append(Point(evaluations, seconds, tokens, points[-1].loss))
    return points


def pareto_front(prompts: Iterable[TunedPrompt]) -> list[TunedPrompt]:
    """The Pareto front of loss, length and perplexity: prompts for which no other is as good in all three."""
    known = [p for p in prompts if p.loss is not None]
    best: list[TunedPrompt] = []
    for prompt in sorted(known, key=lambda p: (_objectives(p), p.entry)):
        objectives = _objectives(prompt)
        if not any(all(a <= b for a, b in zip(_objectives(other), objectives, strict=True)) for other in best):
            best.append(prompt)
    return best


def operators(prompts: Sequence[TunedPrompt], origins: Sequence[Origin]) -> list[OperatorFacts]:
    """Results by operator, sorted by the share of prompts that beat their parent (smoothed), highest first."""
    losses = {p.entry: p.loss for p in prompts}
    facts = []
    for name in dict.fromkeys(origin.operator for origin in origins):
        mine = [origin for origin in origins if origin.operator == name]
        done = [losses[origin.entry] for origin in mine if origin.entry in losses]
        pairs = [(losses[o.entry], losses.get(o.parents[0])) for o in mine if o.entry in losses and o.parents]
        compared = [(own, parent) for own, parent in pairs if parent is not None]
        better = sum(own is not None and own < parent for own, parent in compared)
        complete = [loss for loss in done if loss is not None]
        facts.append(
            OperatorFacts(name, len(mine), len(done), len(compared), better, min(complete) if complete else None)
        )
    return sorted(facts, key=lambda f: (-(f.better + 1) / (f.compared + 2), -f.tuned, f.operator))


def settings(prompts: Iterable[TunedPrompt]) -> list[SettingFacts]:
    """The losses by value of each setting that varied."""
    losses: dict[str, dict[Any, list[float]]] = {}
    for prompt in prompts:
        for name, value in prompt.settings.items():
            if prompt.loss is not None:
                losses.setdefault(name, {}).setdefault(value, []).append(prompt.loss)
    return [
        SettingFacts(name, value, sorted(found))
        for name, values in losses.items()
        if len(values) > 1
        for value, found in sorted(values.items(), key=lambda item: (str(type(item[0])), item[0]))
    ]


def ancestors(entry: str, prompts: Iterable[TunedPrompt], origins: Iterable[Origin]) -> list[Ancestor]:
    """The line of fine-tuned ancestors (by first parent), oldest first, up to the entry itself."""
    by_entry = {p.entry: p for p in prompts}
    source = {origin.entry: origin for origin in origins}
    chain: list[Ancestor] = []
    while entry in by_entry and all(a.prompt.entry != entry for a in chain):
        prompt, origin = by_entry[entry], source.get(entry)
        parent = origin.parents[0] if origin is not None and origin.parents else ""
        changed = changes(by_entry[parent], prompt) if parent in by_entry else []
        chain.append(Ancestor(prompt, origin.operator if origin else prompt.role, changed))
        entry = parent
    return chain[::-1]


def changes(before: TunedPrompt, after: TunedPrompt) -> list[str]:
    """The changes in words: the template, the label words, or settings with both values."""
    changed = ["template"] if before.template != after.template else []
    changed += ["label words"] if before.label_words != after.label_words else []
    names = dict.fromkeys((*before.settings, *after.settings))
    return changed + [_change(name, before.settings, after.settings) for name in names
                      if before.settings.get(name) != after.settings.get(name)]  # fmt: skip


def _change(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    return f"{name} {before.get(name)} → {after.get(name)}"


def _is_tuned(summary: Summary) -> bool:
    return summary.rung == SHORT_RUNG and summary.split == "validation" and summary.role not in ("finalist", "manual")


def _tuned_prompt(summary: Summary) -> TunedPrompt:
    prompt = summary.plain
    return TunedPrompt(
        entry=summary.entry,
        role=summary.role,
        status=summary.status,
        template=prompt.template,
        label_words=prompt.label_words,
        settings=prompt.settings,
        loss=summary.loss if summary.status == "complete" else None,
        length=summary.length,
        readability=summary.readability,
    )


def _objectives(prompt: TunedPrompt) -> tuple[float, float, float]:
    readability = float("inf") if prompt.readability is None else prompt.readability
    return float("inf") if prompt.loss is None else prompt.loss, float(prompt.length), readability
