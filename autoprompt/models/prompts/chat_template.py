"""Rendering of a tokenizer's chat template, which is untrusted code, in a process that can be stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from autoprompt.errors import InputError, first_line, parameter
from autoprompt.model_folder import MAX_TEMPLATE

MOST_SECONDS = 1
"""Computing time; no template needs a hundredth of it."""
MOST_MEMORY = 512 << 20
MOST_TEXT = 1 << 20
"""Maximum characters of a rendered prompt."""
_WAIT_SECONDS = 60
"""Wall-clock time before the process is stopped; on a busy machine it may wait without computing."""
_PROGRAM = Path(__file__).with_name("chat_renderer.py")


def render_chat(template: str, messages: Sequence[Mapping[str, str]], tokens: Mapping[str, str]) -> str:
    """Render messages with a chat template, ready for an answer to follow. ``tokens``: special tokens by name.

    Renders as transformers does, in jinja2's sandbox. Raises InputError for a template that fails, or needs more time,
    memory or text than the limits allow.
    """
    if len(template) > MAX_TEMPLATE:
        raise InputError(
            f"The model's chat template has more than {MAX_TEMPLATE} characters; leave {parameter('chat')} out."
        )
    return _rendered(json.dumps([template, [dict(m) for m in messages], dict(tokens)], sort_keys=True))


@lru_cache(maxsize=16)
def _rendered(request: str) -> str:
    import jinja2
    import markupsafe

    places = dict.fromkeys(str(Path(str(package.__file__)).parent.parent) for package in (jinja2, markupsafe))
    limits: list[Any] = [MOST_SECONDS, MOST_MEMORY, MOST_TEXT]
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-I", "-S", str(_PROGRAM), json.dumps([*limits, list(places)])],
            input=request.encode(),
            capture_output=True,
            timeout=_WAIT_SECONDS,
            check=False,
            env={name: os.environ[name] for name in ("SYSTEMROOT", "TZ") if name in os.environ},
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"The model's chat template does not end; leave {parameter('chat')} out.") from error
    except OSError as error:
        raise InputError(f"The model's chat template cannot be rendered ({first_line(error)}).") from error
    try:
        kind, text = json.loads(done.stdout)
    except ValueError:
        kind, text = "failed", f"it takes more than {MOST_SECONDS} s or {MOST_MEMORY >> 20} MiB"
    if kind != "rendered":
        raise InputError(f"The model's chat template fails ({text}); leave {parameter('chat')} out.")
    return str(text)
