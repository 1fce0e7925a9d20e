"""Reading a prompt file, and checking it as untrusted input."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autoprompt.errors import InputError
from autoprompt.export.prompt import Prompt
from autoprompt.export.schema import FORMAT, MAX_FILE, VERSION
from autoprompt.untrusted import read_json, schema_error_text


def load(path: str | os.PathLike[str], *, model: str | None = None, device: str = "auto") -> Prompt:
    """Read a ``best.json``.

    ``model``: the place of the prompt's model if it has moved (an embedded model, a folder, a Hub name). Neither model
    nor torch is loaded before the prompt predicts. Raises InputError for anything that is no prompt file of this
    version, and for one whose weights were trained with other labels, another template or other settings.
    """
    place = Path(path)
    prompt = checked(read_json(place, "The prompt file", MAX_FILE), str(place))
    return prompt.found_at(_home(place, prompt), model, device)


def checked(values: Any, where: str) -> Prompt:
    """Return the prompt from a file's values. Raises InputError, see ``load``."""
    if not isinstance(values, Mapping) or values.get("format") != FORMAT:
        raise InputError(f"{where} is not a prompt file; write one with `autoprompt export`.")
    version = values.get("version")
    if type(version) is not int or version != VERSION:
        raise InputError(
            f"The prompt file {where} has version {version!r:.40}, not {VERSION}; upgrade autoprompt, or export it "
            "again."
        )
    try:
        prompt = Prompt.from_dict(values)
    except ValidationError as error:
        raise InputError(f"The prompt file {where} is damaged {schema_error_text(error)}; export it again.") from error
    if prompt.ensemble and not prompt.labels:
        raise InputError(f"{where} has several prompts but no labels to average probabilities of; export it again.")
    for one in prompt.members:
        _check_parts(one, where)
        if one.weights is not None and one.weights.binding != one.binding(one.weights.files):
            raise InputError(
                f"In {where} the labels, the template, the settings or the model are not those that its weights were "
                "trained with; export it again, or remove its weights."
            )
    return prompt


def _check_parts(prompt: Prompt, where: str) -> None:
    """Check what the schema cannot: the template's slots, and labels against label words. Raises InputError."""
    template = prompt.candidate.template
    if template.slots.count("label") != 1:
        raise InputError(f"The template in {where} does not have exactly one {{label}} slot; export it again.")
    if template.demos or template.soft:
        raise InputError(f"The template in {where} has {{demos}} or {{soft}}, which are not text; export it again.")
    if prompt.label_words and list(prompt.label_words) != list(prompt.labels):
        raise InputError(f"In {where} the labels and those of the label words are not the same; export it again.")
    if len(set(prompt.labels)) < len(prompt.labels):
        raise InputError(f"In {where} a label occurs twice; export it again.")


def _home(place: Path, prompt: Prompt) -> Path:
    """Return the folder to look for weights in: the prompt file's, or that of a symbolic link's target."""
    if prompt.weights is None or (place.parent / prompt.weights.folder).exists():
        return place.parent
    return Path(os.path.realpath(place)).parent
