"""Writing a prompt as JSON, or as a Python module that needs the standard library alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from autoprompt.candidate import Candidate
from autoprompt.errors import InputError, UsageError
from autoprompt.export.prompt import Prompt
from autoprompt.export.reading import checked
from autoprompt.files import write_atomically
from autoprompt.untrusted import parse_json


def written_out(candidate: Candidate, demos: str | None = None) -> Candidate:
    """Return the candidate with its demonstrations as literal text, for programs that have no training rows.

    ``demos``: the demonstrations as the model saw them; without it their fields are not cut, as in ``render``. Raises
    InputError for a soft prompt (trainable vectors).
    """
    template = candidate.template
    if template.soft:
        raise InputError(
            f"The template {template.format()!r} has trainable vectors, which need the model and its weights and stand "
            "in no exported file; export an entry without {soft}."
        )
    if demos is None:
        words = candidate.label_words.mapping()
        demos = template.render_demos([(demo.fields, words.get(demo.label, demo.label)) for demo in candidate.demos])
    return replace(candidate, template=template.with_demos(demos), demos=())


def save(prompt: Prompt, path: Path) -> None:
    """Write a ``.json`` or ``.py`` file, all or nothing.

    Raises UsageError for another ending and for a template that is not ``written_out``, InputError for what ``load``
    would refuse, StorageError.
    """
    prompt.candidate.template.parts()
    if path.suffix == ".json":
        text = json.dumps(prompt.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        checked(parse_json(text.encode(), str(path)), str(path))  # a file that ``load`` refuses is not written
    elif path.suffix == ".py":
        text = _module(prompt)
    else:
        raise UsageError(f"{path} ends in neither .json nor .py; name the file best.json or best.py.")
    write_atomically(path, text)


def _module(prompt: Prompt) -> str:
    """Return the source of a module with literals and ``render``, standard library only."""
    values = prompt.to_dict()
    names = ("entry", "run", "model", "model_revision", "family", "max_length", "corpus", "fingerprint", "scores")
    facts = {name: values[name] for name in names}
    return _MODULE.format(
        template=prompt.template,
        segments=prompt.candidate.template.parts(),
        words=prompt.label_words,
        settings=prompt.settings,
        facts=facts,
        chat=prompt.chat,
    )


_MODULE = '''"""A prompt found by autoprompt; standard library only. render(text=...) gives the text up to the label."""

TEMPLATE = {template!r}
LABEL_WORDS = {words!r}
SETTINGS = {settings!r}
PROVENANCE = {facts!r}

_SEGMENTS = {segments!r}
_CHAT = {chat!r}


def render(*, label=None, **fields):
    """The prompt's text up to the label; with label (a key of LABEL_WORDS, or any text where there are none), all of
    it."""
    text = ""
    for slot, literal in _SEGMENTS:
        if slot is None:
            text += literal
        elif slot != "label":
            text += _text(fields[slot])
        else:
            if _CHAT:
                text = _CHAT[0] + text.rstrip() + _CHAT[1]
            if label is None:
                break
            text += LABEL_WORDS[label] if LABEL_WORDS else label
    return text


def _text(value):
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "\\n".join(f"{{key}}: {{_inline(item)}}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return "\\n".join(f"{{number}}: {{_inline(item)}}" for number, item in enumerate(value, 1))
    return str(value)


def _inline(value):
    if isinstance(value, dict):
        return "; ".join(f"{{key}}: {{_inline(item)}}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_inline(item) for item in value)
    return str(value)
'''
