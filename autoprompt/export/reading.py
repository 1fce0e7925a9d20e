"""A prompt file read, and checked as what a stranger may have written."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from autoprompt.errors import InputError
from autoprompt.export.prompt import FORMAT, LABELS_SINCE, VERSION, VERSIONS, Prompt


def load(path: str | os.PathLike[str], *, model: str | None = None, device: str = "auto") -> Prompt:
    """Read a ``best.json``.

    ``model``: where the prompt's model is, if not where it was (an embedded model, a folder, a Hub name). Neither it
    nor torch is loaded before the prompt predicts. Raises InputError for anything that is no prompt file of a version
    known here.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The prompt file {path} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"The prompt file {path} is not JSON ({error}); export it again.") from error
    if not isinstance(values, Mapping) or values.get("format") != FORMAT:
        raise InputError(f"{path} is no prompt file; write one with `autoprompt export`.")
    if values.get("version") not in VERSIONS:
        raise InputError(f"{path} has version {values.get('version')!r}, not {VERSION}; export it again.")
    if values["version"] < LABELS_SINCE and isinstance(values.get("label_words"), Mapping):
        values = {**values, "labels": list(values["label_words"])}
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
    return prompt.found_at(Path(path).parent, model, device)
