"""Tuning modes and kinds of tasks that each model family supports; the README's table is printed from here."""

from __future__ import annotations

from collections.abc import Mapping

TUNING: Mapping[str, tuple[str, ...]] = {
    "causal": ("none", "tail", "lora", "soft", "bias", "full"),
    "masked": ("none", "lora", "soft", "bias", "full"),
    "seq2seq": ("none", "lora", "soft", "bias", "full"),
    "classifier": ("none", "lora", "soft", "bias", "head", "full"),
}
"""Tuning modes of each family; a single model may lack what a mode needs (see ``CONDITIONS``)."""
CONDITIONS = {
    ("classifier", "none"): "where the checkpoint's head knows the data's labels",
    ("causal", "tail"): "where every layer keeps keys and values",
    ("*", "bias"): "where the model has biases",
    ("classifier", "soft"): "where the model is no encoder-decoder",
}
TASKS: Mapping[str, tuple[str, ...]] = {
    "causal": ("classification", "generation"),
    "masked": ("classification",),
    "seq2seq": ("classification", "generation"),
    "classifier": ("classification",),
}
KEEPS_PREFIX = ("none", "tail", "soft")
"""Tuning modes that do not change what a causal model computes up to the end of the text."""
DEFAULT_TUNING = {"causal": "tail", "masked": "lora", "seq2seq": "lora", "classifier": "lora"}
FAMILIES = tuple(TUNING)
_ALL = ("none", "tail", "lora", "soft", "bias", "head", "full")


def table() -> str:
    """Family x tuning mode x kind of task, as Markdown: c for classification, g for generation."""
    notes: list[str] = []
    lines = ["| | " + " | ".join(f"`{mode}`" for mode in _ALL) + " |", "| --- " * (len(_ALL) + 1) + "|"]
    for family in FAMILIES:
        cells = [_cell(family, mode, notes) for mode in _ALL]
        lines.append(f"| {family} | " + " | ".join(cells) + " |")
    found = "; ".join(f"{number} {note}" for number, note in enumerate(notes, 1))
    return "\n".join([*lines, "", f"c: classification, g: generation; {found}."])


def condition(family: str, mode: str) -> str | None:
    """The condition under which a model of the family supports the mode; None if every model does."""
    return CONDITIONS.get((family, mode)) or CONDITIONS.get(("*", mode))


def _cell(family: str, mode: str, notes: list[str]) -> str:
    if mode not in TUNING[family]:
        return "-"
    note = condition(family, mode)
    mark = ""
    if note:
        if note not in notes:
            notes.append(note)
        mark = f" ({notes.index(note) + 1})"
    return " ".join(task[0] for task in TASKS[family]) + mark
