"""Reports as Markdown, for repositories and issues: the content of the HTML page without its charts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autoprompt.report.comparing import ComparedRun, Comparison
from autoprompt.report.escaping import markdown, markdown_code
from autoprompt.report.facts import Facts
from autoprompt.report.formatting import (
    accuracy,
    clock,
    common_to_all,
    gain,
    interval,
    manifest_items,
    moment,
    number,
    other_settings,
    points,
    settings_text,
    shortened,
    test_metric,
)
from autoprompt.terminal import visible


def run_text(facts: Facts) -> str:
    """The report of one run."""
    parts = [
        _head(facts),
        _winner(facts),
        _leaderboard(facts),
        _table("Progress", ["fine-tunes", "seconds", "tokens", "lowest loss"],
               [[p.evaluations, f"{p.seconds:.1f}", p.tokens, _real(p.loss)] for p in facts.progress]),
        _table("Loss, length and readability", ["entry", "loss", "characters", "perplexity", "prompt"],
               [[markdown(p.entry[:8]), _real(p.loss), p.length, _real(p.readability, 1), markdown_code(p.template)]
                for p in facts.front]),
        _confusion(facts),
        _mistakes(facts),
        _table("Which operators paid off",
               ["operator", "proposed", "fine-tuned", "better than a fine-tuned parent", "lowest loss"],
               [[markdown(o.operator), o.proposed, o.tuned, f"{o.better} of {o.compared}" if o.compared else "",
                 _real(o.best)] for o in facts.operators]),
        _table("Settings and loss", ["setting", "value", "fine-tunes", "median loss", "lowest loss"],
               [[markdown(s.name.replace("_", " ")), markdown(number(s.value)), len(s.losses), _real(s.median),
                 _real(s.losses[0])] for s in facts.settings]),
        _ancestors(facts),
        _reproduction(facts),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def comparison_text(comparison: Comparison) -> str:
    """The report of several runs."""
    rows = [[markdown(row.name), markdown(row.run.corpus), markdown(row.run.model), markdown(row.run.strategy),
             row.run.seed, *_result_cells(row)] for row in comparison.runs]  # fmt: skip
    head = ["run", "corpus", "model", "strategy", "seed", "fine-tunes", "time", "test accuracy", "95 % interval",
            "metric", "n", "manual_tuned", "winner"]  # fmt: skip
    pairs = [[markdown(p.first), markdown(p.second), p.n, f"{100 * p.value:+.1f}",
              points(p.ends), p.verdict] for p in comparison.pairs]  # fmt: skip
    transferred = [[markdown(t.entry[:8]), markdown(t.origin), *map(gain, t.gains), markdown_code(t.template)]
                  for t in comparison.transferred]  # fmt: skip
    parts = [
        f"# {len(comparison.runs)} runs compared",
        _table("What each found", head, rows),
        _table("Winners on the same test rows", ["first", "second", "n", "points", "95 % interval", "verdict"], pairs),
        _table(
            "Transferred prompts: each minus the tuned manual template on the same corpus and model",
            ["entry", "found on", *map(markdown, comparison.places), "prompt"],
            transferred,
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _result_cells(row: ComparedRun) -> list[Any]:
    if row.winner is None:
        return [""] * 7 + [f"{markdown(row.run.status)}: no winner"]
    test, result = row.winner.test, row.run.result
    value = f"{test.value:.3f} {markdown(test.metric)}" if test else ""
    spent = [result.evaluations, clock(result.seconds)] if result else ["", ""]
    return [*spent, accuracy(row.winner), interval(row.winner.interval), value, test.n if test else "",
            accuracy(row.manual) if row.manual else "", markdown_code(row.winner.prompt.template)]  # fmt: skip


def _head(facts: Facts) -> str:
    run, result = facts.run, facts.result
    name = f" “{markdown(run.name)}”" if run.name else ""
    spent = (
        f": {result.evaluations} fine-tunes and {result.frozen} frozen scores in {clock(result.seconds)}"
        if result
        else ""
    )
    lines = [
        f"# {markdown(facts.title)}",
        f"Run {markdown(run.id)}{name}, {markdown(run.status)}{spent}; strategy {markdown(run.strategy)}, "
        f"seed {run.seed}, started {markdown(moment(run.started))}.",
    ]
    lines += [f"Data: {markdown(facts.data)}."] if facts.data else []
    lines += map(markdown, facts.warm_start)
    return "\n\n".join([*lines, *(f"Note: {markdown(text)}" for text in run.warnings)])


def _winner(facts: Facts) -> str:
    best = facts.result.best if facts.result else None
    if best is None:
        leading = markdown_code(facts.lines[0].entry.template) if facts.lines else ""
        so_far = f" Its leading prompt so far (validation, provisional): {leading}" if facts.lines else ""
        return f"## The answer\n\nThis run has not finished: no winner has been named.{so_far}"
    words = "; ".join(f"{markdown(label)}: {markdown_code(word)}" for label, word in best.label_words.items())
    lines = [f"- Template: {markdown_code(best.template)}"]
    lines += [f"- Label words: {words}"] if words else []
    lines += [f"- Settings: {markdown(settings_text(best.settings))}", f"- Entry: {markdown_code(best.entry)}"]
    lines += [f"- Estimated error: {best.estimate}"] if best.estimate else []
    lines += [f"- Refined: {markdown(facts.refined)}"] if facts.refined else []
    rows = []
    for row in facts.tested_prompts:
        test, validation = row.test, row.prompt.validation
        rows.append([markdown(row.name), accuracy(row), interval(row.interval),
                     _real(test.value) if test else "", test.n if test else "",
                     _real(validation.loss) if validation else "", validation.n if validation else "",
                     markdown_code(row.prompt.template)])  # fmt: skip
    head = ["", "test accuracy", "95 % interval", markdown(test_metric(facts)), "n", "validation loss", "n", "prompt"]
    table = _table("", head, rows)
    note = (
        f"The test rows were scored once, at the end; this leaderboard holds {facts.test_evaluations} evaluations on "
        "test rows of this data."
    )
    return "\n\n".join(["## The answer", "\n".join(lines), f"**{markdown(facts.verdict)}**", table, note])


def _leaderboard(facts: Facts) -> str:
    settings, words = common_to_all([line.entry for line in facts.lines])
    rows = []
    for line in facts.lines:
        entry, score = line.entry, line.entry.validation
        role = "" if entry.role in ("search", "finalist") else f" ({markdown(entry.role)})"
        rows.append(["★" if line.winner else "≈" if line.tied else "", markdown_code(entry.template) + role,
                     *([_real(entry.estimate.error) if entry.estimate else ""] if facts.estimated else []),
                     _real(score.loss) if score else markdown(entry.status), _real(score.accuracy) if score else "",
                     score.n if score else "", entry.rung, *([] if words else [_words(entry.label_words)]),
                     markdown(other_settings(entry, settings)), markdown(entry.entry[:8])])  # fmt: skip
    estimated = ["est. error"] if facts.estimated else []
    label_words = [] if words else ["label words"]
    head = ["", "prompt", *estimated, "loss", "accuracy", "n", "rung", *label_words, "settings", "entry"]
    notes = [
        "★ the winner; ≈ what a paired test (95 %) on their validation rows cannot tell from it.",
        *(["The estimated error orders them and chose the winner."] if estimated else []),
        "Losses of the same rung and n compare, others do not.",
    ]
    if settings or words:
        said = [markdown(settings_text(settings))] if settings else []
        said += [f"label words {_words(words)}"] if words else []
        notes.append(f"Unless said otherwise: {'; '.join(said)}.")
    if facts.total > len(facts.lines):
        notes.append(f"The first {len(facts.lines)} of {facts.total}.")
    return f"{_table('Leaderboard', head, rows)}\n\n{' '.join(notes)}" if rows else ""


def _words(words: Mapping[str, str]) -> str:
    return " / ".join(markdown(word) for word in words.values())


def _confusion(facts: Facts) -> str:
    found = facts.confusion
    if found is None:
        return ""
    labels = [markdown(label) for label in found.labels]
    rows = [[label, *counts] for label, counts in zip(labels, found.counts, strict=True)]
    return _table("The winner on the test rows", ["label \\ predicted", *labels], rows)


def _mistakes(facts: Facts) -> str:
    rows = []
    for mistake in facts.worst_mistakes:
        several = len(mistake.fields) > 1
        cells = [(markdown(name), markdown(shortened(value))) for name, value in mistake.fields.items()]
        text = " ".join(f"{name}: {value}" if several else value for name, value in cells)
        rows.append(
            [
                text,
                markdown(shortened(mistake.label)),
                markdown(shortened(mistake.predicted)),
                _real(mistake.probability),
            ]
        )
    return _table("Its worst mistakes", ["row", "label", "predicted", "chance of the label"], rows)


def _ancestors(facts: Facts) -> str:
    if not facts.ancestors:
        return ""
    lines = ["## Where the winner came from", ""]
    for number_, step in enumerate(facts.ancestors, 1):
        changed = f" ({markdown('; '.join(step.changed))})" if step.changed else ""
        loss = markdown(step.prompt.status) if step.prompt.loss is None else f"loss {step.prompt.loss:.3f}"
        lines.append(f"{number_}. {markdown(step.operator)}{changed}: {loss}, {markdown_code(step.prompt.template)}")
    return "\n".join(lines)


def _reproduction(facts: Facts) -> str:
    commands = [facts.repeat, *facts.verify, facts.export]
    shown = "\n".join(f"    {visible(command)}" for command in commands if command)
    counts = facts.rows
    lines = [
        f"- Rows: {counts['train']} training, {counts['validation']} validation, {counts['test']} test",
        f"- Data fingerprint: {markdown_code(facts.run.fingerprint)}",
        *(f"- {markdown(name)}: {markdown_code(value)}" for name, value in manifest_items(facts.run).items()),
    ]
    return "\n\n".join(["## What it depended on, and how to do it again", shown, "\n".join(lines)])


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; empty without rows. Head and cells are Markdown already."""
    lines = [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    if not lines:
        return ""
    table = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *lines]
    return "\n".join([f"## {title}", "", *table] if title else table)


def _real(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"
