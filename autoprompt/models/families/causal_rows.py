"""Rows of causal models: which tokens a cached prefix holds, and where the answer's tokens are predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autoprompt.candidate import Candidate
from autoprompt.models.prompts.tokenized import EncodedRow, Rendered, encoded_row

MIN_TAIL = 4
"""Minimum number of positions that ``tail`` tunes, because a fine-tune needs some positions to learn at. Where the
template has fewer after the text, the last positions of the text are included."""


def continuation_row(rendered: Sequence[Rendered], head: Sequence[int], candidate: Candidate) -> EncodedRow:
    """The row whose answers continue its prompt.

    ``rendered``: the prompt with each answer. ``head``: the ids that can be cached; empty without a cached prefix.
    """
    context = min(r.answer[0] for r in rendered)
    shared = _common_prefix([head, *(r.ids for r in rendered)])
    cached = max(0, min(shared, context - (MIN_TAIL if candidate.settings.tuning == "tail" else 1)))
    answers = []
    for r in rendered:
        # A prompt that begins with the label has nothing to predict its first token from.
        first = max(r.answer[0], 1)
        own = r.ids[cached:-1]
        answers.append((own, tuple(range(first - 1 - cached, len(own))), r.ids[first:]))
    return encoded_row(answers, candidate.label_words, cached_tokens=cached)


def with_end_token(rendered: Rendered, end: int) -> Rendered:
    """The prompt of a target text with the model's end-of-text token."""
    at = rendered.starts[-1]
    return replace(rendered, ids=(*rendered.ids, end), spans=(*rendered.spans, (at, at)), blanks=True)


def one_token_earlier(row: EncodedRow, ids: tuple[int, ...]) -> EncodedRow:
    """The row with one token less in its cached prefix. ``ids``: those of its prompt."""
    if not row.cached_tokens:
        return row
    cached = row.cached_tokens - 1
    inputs = tuple((ids[cached], *own) for own in row.inputs)
    targets = tuple(replace(t, places=tuple(place + 1 for place in t.places)) for t in row.targets)
    return replace(row, cached_tokens=cached, inputs=inputs, targets=targets)


def up_to_answer(row: EncodedRow) -> EncodedRow:
    """The row with its first input alone, cut before the answer."""
    return replace(row, inputs=(row.inputs[0][: row.targets[0].places[0] + 1],), targets=())


def _common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """Length of the common prefix."""
    shortest = min(len(s) for s in sequences)
    first = sequences[0]
    return next((i for i in range(shortest) if any(s[i] != first[i] for s in sequences)), shortest)
