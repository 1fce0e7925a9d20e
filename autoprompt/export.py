"""The winner as a file: ``best.json`` to load here, ``best.py`` to import anywhere without a dependency."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from autoprompt.candidate import Candidate
from autoprompt.errors import InputError, UsageError
from autoprompt.files import write_whole

FORMAT = "autoprompt-prompt"
VERSION = 2
_READ = (1, VERSION)
"""Version 1 says nothing of how the model was loaded: those fields have defaults."""


class Prompt(BaseModel):
    """A template with its label words and settings, and where they come from. Immutable.

    The template holds its solved examples as literal text. ``label_words`` are empty for a classifier and for target
    texts. ``family``, ``max_length`` (tokens that a field was cut to) and ``model_revision`` are how the model was
    loaded; ``chat``: text of its chat format before and after what the user says, special tokens spelled out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    version: int
    template: str
    label_words: dict[str, str]
    settings: dict[str, Any]
    model: str
    corpus: str
    fingerprint: str
    entry: str
    run: str
    scores: dict[str, dict[str, Any]]
    family: str | None = None
    max_length: int | None = None
    model_revision: str = ""
    chat: tuple[str, str] | None = None

    @property
    def candidate(self) -> Candidate:
        """Template, label words and settings as objects, checked again."""
        return Candidate.from_dict(
            {"template": self.template, "label_words": self.label_words, "settings": self.settings}
        )

    def render(self, *, label: str | None = None, **fields: Any) -> str:
        """The prompt up to the label, or all of it with a label's word; where there are no label words ``label`` stands
        for itself. In a chat format the answer's turn begins before the label, and blanks before it are left out.

        Raises InputError for a missing field and an unknown label.
        """
        asked, answer = self._asked(label, fields)
        if self.chat is not None:
            asked = self.chat[0] + asked.rstrip() + self.chat[1]
        return asked + answer

    def messages(self, *, label: str | None = None, **fields: Any) -> list[dict[str, str]]:
        """The prompt as the turns of a chat: what the user says, and with a ``label`` what the assistant answers.

        In the form of ``apply_chat_template`` and of chat services; raises as ``render`` does.
        """
        asked, answer = self._asked(label, fields)
        turns = [{"role": "user", "content": asked.rstrip()}]
        return turns if label is None else [*turns, {"role": "assistant", "content": answer.lstrip()}]

    def _asked(self, label: str | None, fields: Mapping[str, Any]) -> tuple[str, str]:
        """The text up to the label, and what follows with one."""
        if label is not None and self.label_words:
            if label not in self.label_words:
                raise InputError(f"The label {label!r} is unknown; use one of {list(self.label_words)}.")
            label = self.label_words[label]
        template = self.candidate.template
        asked = template.render(fields)
        return asked, "" if label is None else template.render(fields, label)[len(asked) :]


def written_out(candidate: Candidate, demos: str | None = None) -> Candidate:
    """The candidate with its solved examples as literal text, for programs that have no training rows.

    ``demos``: the examples as a model was shown them; without it their fields stand whole, as ``render`` writes all
    fields. Raises InputError for trainable vectors.
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
    """Write ``.json`` or ``.py``, all or nothing.

    Raises UsageError for another ending and for a template that is not written out, StorageError.
    """
    prompt.candidate.template.parts()
    if path.suffix == ".json":
        text = json.dumps(prompt.model_dump(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    elif path.suffix == ".py":
        text = _module(prompt)
    else:
        raise UsageError(f"{path} ends in neither .json nor .py; name the file best.json or best.py.")
    write_whole(path, text)


def load(path: str | Path) -> Prompt:
    """Read a ``best.json``. Raises InputError for anything that is no prompt file of a version known here."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The prompt file {path} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"The prompt file {path} is not JSON ({error}); export it again.") from error
    if not isinstance(values, Mapping) or values.get("format") != FORMAT:
        raise InputError(f"{path} is no prompt file; write one with `autoprompt export`.")
    if values.get("version") not in _READ:
        raise InputError(f"{path} has version {values.get('version')!r}, not {VERSION}; export it again.")
    try:
        prompt = Prompt.model_validate({**values, "version": VERSION})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(
            f"The prompt file {path} is damaged at {place!r} ({first['msg']}); export it again."
        ) from error
    # A template from elsewhere is checked before it is used.
    if prompt.candidate.template.slots.count("label") != 1:
        raise InputError(f"The template in {path} does not have exactly one {{label}} slot; export it again.")
    if prompt.candidate.template.demos or prompt.candidate.template.soft:
        raise InputError(f"The template in {path} has {{demos}} or {{soft}}, which are no text; export it again.")
    return prompt


def _module(prompt: Prompt) -> str:
    """A module of literals and one function, standard library only."""
    values = prompt.model_dump()
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
