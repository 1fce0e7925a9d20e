"""A prompt that needs no fine-tune, and the check of an exported module."""

import ast
from pathlib import Path

from autoprompt.candidate import Settings
from autoprompt.export import Prompt
from autoprompt.export.schema import FORMAT, VERSION


def a_prompt(model: Path, **changes) -> Prompt:
    """One that needs no fine-tune."""
    values = {
        "format": FORMAT, "version": VERSION, "template": "{text}\nMood: {label}",
        "label_words": {"neg": "bad", "pos": "good"}, "labels": ("neg", "pos"), "settings": Settings("none").to_dict(),
        "model": str(model), "corpus": "rows", "fingerprint": "f" * 64, "entry": "e" * 64, "run": "r" * 12,
        "scores": {}, "family": "causal", "max_length": 64, "model_revision": "", "chat": None, "label_column": "label",
        "target_length": 0, "model_files": {},
    }  # fmt: skip
    return Prompt.model_validate(values | changes)


def inert_module(path: Path, saved: Prompt) -> None:
    """Literals and three functions, whatever the texts in them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assigned = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}
    values = {name: ast.literal_eval(value) for name, value in assigned.items()}
    assert values["TEMPLATE"] == saved.template
    assert values["LABEL_WORDS"] == saved.label_words
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert functions == {"render", "_text", "_inline"}
    assert len(tree.body) == 1 + len(assigned) + len(functions)
    assert ast.dump(ast.parse(ast.unparse(tree))) == ast.dump(tree)
