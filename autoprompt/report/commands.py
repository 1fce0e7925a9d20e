"""Command lines that repeat a run, verify it and export its winner."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from autoprompt.leaderboard import RunRecord, pinned
from autoprompt.terminal import command_line

# Options of `autoprompt search` by their names in a stored run, with their defaults, which a command leaves out.
_DATA = {"text_column": None, "label_column": None, "target_column": None, "drop_empty": False,
         "drop_duplicates": False, "max_length": 128, "test_rows": 400, "shots": 16, "validation_rows": 0,
         "unlabeled": None, "unlabeled_rows": 128, "encoding": None, "delimiter": None, "no_header": False,
         "column_names": None}  # fmt: skip
_MODEL = {"model": "smollm2-135m", "family": None, "tuning": None, "chat": False, "device": "auto"}
_SEARCH = {"strategy": "hybrid", "metric": None, "folds": None, "repeats": 1, "seed": 0}


def repeat(run: RunRecord) -> str | None:
    """The command that repeats a run; for a time limit it gives the number of fine-tunes, where that is known.

    None where no command can express the run: a refined entry, rows in memory, ranges from a configuration file, a warm
    start.
    """
    asked = run.config.request
    if asked is None or asked.in_memory or run.config.warm_start:
        return None
    if any(name not in asked.fix for section in asked.config.values() for name in section):
        return None
    transfer = run.config.transfer
    corpus = pinned(asked.corpus, run.config.corpus_revision)
    words = _options(asked.data, _DATA)
    words += _options({**asked.model, "model": pinned(asked.model["model"], run.config.model_revision)}, _MODEL)
    if transfer:
        split = [] if transfer.split == "validation" else ["--split", transfer.split]
        words += ["--entry", transfer.entry[:12], *split, *_options(asked.to_dict(), {"seed": 0})]
        return command_line("evaluate", corpus, options=words)
    words += _options(asked.to_dict(), _SEARCH)
    # Where the clock left no time to train the winner once more, a number of fine-tunes would leave it.
    if not (asked.refit if run.result is None else run.result.versions):
        words.append("--no-refit")
    for template in asked.templates:
        words += ["--template", template.replace("\n", "\\n")]
    if asked.label_words:
        words += ["--label-words", json.dumps(asked.label_words, ensure_ascii=False)]
    for name, value in asked.fix.items():
        words += ["--fix", f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"]
    if run.result is not None:
        words += ["--max-evaluations", str(run.result.evaluations)]
    elif asked.max_evaluations is not None or asked.budget is not None:
        limit = ["--max-evaluations", str(asked.max_evaluations)]
        words += limit if asked.max_evaluations is not None else ["--budget", f"{asked.budget:g}s"]
    return command_line("search", corpus, options=words)


def verify(run: RunRecord) -> list[str]:
    """The commands that verify the winner, if there is one, and the whole run."""
    commands = [command_line("verify", run.winner[:12])] if run.winner else []
    return [*commands, command_line("verify", options=["--run", run.id])]


def export(run: RunRecord) -> str | None:
    """The command that exports the winner for other programs; None where there is no winner."""
    weights = ["--with-weights"] if run.result and run.result.weights else []
    return command_line("export", run.winner[:12], options=["--out", "best.json", *weights]) if run.winner else None


def _options(values: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for name, default in known.items():
        value = values.get(name, default)
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value != default:
            words += [option, str(value)]
    return words
