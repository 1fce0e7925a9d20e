"""Encoded rows and their collation into the tensors of one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

import torch
from torch import Tensor, nn

from autoprompt.models.acceleration.lm_head import LogitRequest
from autoprompt.models.acceleration.prefix_states import PrefixStates
from autoprompt.models.prompts.tokenized import EncodedRow


@dataclass
class EncodedPrompt:
    """Rows rendered with one template and its label words, tokenised, ready for the model.

    ``soft``: number of trainable vectors. ``states``: each row's cached prefix [layers * 2, heads, length, width], if
    prefixes are cached. ``lower``: for each input of each row, the output of the first ``lower_layers`` layers [length,
    hidden], if it is known.
    """

    rows: list[EncodedRow]
    soft: int = 0
    states: list[Tensor] | None = None
    lower: list[list[Tensor]] | None = None
    lower_layers: int = 0
    tokens: int = field(init=False)
    """Tokens that one pass over all rows processes."""

    def __post_init__(self) -> None:
        self.tokens = sum(len(ids) for row in self.rows for ids in (row.context, *row.inputs))

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, rows: Sequence[int]) -> EncodedPrompt:
        """The rows with these indices, with everything already computed for them."""
        return replace(
            self,
            rows=[self.rows[row] for row in rows],
            states=None if self.states is None else [self.states[row] for row in rows],
            lower=None if self.lower is None else [self.lower[row] for row in rows],
        )


@dataclass(frozen=True)
class Targets:
    """Which of the logits [1, places, ids] make up each label's score.

    ``sequence``, ``column``: the places. ``place``, ``token``, ``owner``, ``weight``: one value per target token;
    ``owner`` is row * labels + label, ``weight`` is 1 / tokens of the label. ``first``: for each row, the place that
    predicts the first token of its first label. ``one_softmax``: if each row has a single place, the only ids that
    count (``token`` indexes them), because the full softmax's normaliser cancels in the softmax over labels; else None.
    """

    sequence: Tensor
    column: Tensor
    place: Tensor
    token: Tensor
    owner: Tensor
    weight: Tensor
    first: Tensor
    rows: int
    labels: int
    one_softmax: Tensor | None

    def request(self, *, whole_vocabulary: bool) -> LogitRequest:
        """The request to the output layer for the logits of the targets' places."""
        return LogitRequest(self.sequence, self.column, None if whole_vocabulary else self.one_softmax)


@dataclass(frozen=True)
class Batch:
    """Sequences of one pass.

    ``ids``: [sequences, columns], below 0 for trainable vectors. ``mask``: [sequences, prefix + columns]. ``lower``:
    the output of the first ``lower_layers`` layers [sequences, columns, hidden], if it is known. ``context``: for an
    encoder-decoder, the encoder's ids and mask [sequences, columns]; ``ids`` are the decoder's.
    """

    ids: Tensor
    mask: Tensor
    positions: Tensor
    prefix: PrefixStates | None
    lower: Tensor | None
    lower_layers: int
    targets: Targets | None
    context: tuple[Tensor, Tensor] | None

    @property
    def tokens(self) -> int:
        """Number of tokens that the pass processes, without padding."""
        read = int(self.context[1].sum()) if self.context is not None else 0
        return int(self.mask[:, -self.ids.shape[1] :].sum()) + read


def collate(prompt: EncodedPrompt, rows: Sequence[int], device: torch.device, *, pad: int, left: bool) -> Batch:
    """Collate some rows for one pass: one sequence for each distinct input of a row.

    ``left``: pad on the left, so that all inputs end in the same column.
    """
    encoded = [prompt.rows[row] for row in rows]
    inputs = [list(ids) for row in encoded for ids in row.inputs]
    cached = [row.cached_tokens for row in encoded for _ in row.inputs]
    ids, mask, pads = padded(inputs, pad, left=left)
    positions = (torch.tensor(cached)[:, None] + mask.cumsum(1) - 1).clamp(min=0)
    prefix = None
    if prompt.states is not None and max(cached) > 0:
        states = [prompt.states[row] for row in rows for _ in prompt.rows[row].inputs]
        prefix = PrefixStates(states, cached, device)
        mask = torch.cat([prefix.mask(), mask], 1)
    lower = None
    if prompt.lower is not None:
        known = [hidden for row in rows for hidden in prompt.lower[row]]
        sides = [(n, 0) if left else (0, n) for n in pads]
        lower = torch.stack([nn.functional.pad(h, (0, 0, *side)) for side, h in zip(sides, known, strict=True)])
    context = None
    if encoded[0].context:
        read, read_mask, _ = padded([list(row.context) for row in encoded for _ in row.inputs], pad, left=False)
        context = (read.to(device), read_mask.to(device))
    targets = _targets(encoded, pads if left else [0] * len(pads), device) if encoded[0].targets else None
    return Batch(
        ids.to(device), mask.to(device), positions.to(device), prefix, lower, prompt.lower_layers, targets, context
    )


def padded(sequences: Sequence[Sequence[int]], pad: int, *, left: bool) -> tuple[Tensor, Tensor, list[int]]:
    """Ids and 0/1 mask [sequences, longest], and the number of padding tokens of each sequence."""
    longest = max(len(ids) for ids in sequences)
    pads = [longest - len(ids) for ids in sequences]
    rows = [[pad] * n + list(ids) if left else [*ids, *([pad] * n)] for n, ids in zip(pads, sequences, strict=True)]
    places = torch.arange(longest)
    counts = torch.tensor(pads)[:, None]
    mask = (places >= counts) if left else (places < longest - counts)
    return torch.tensor(rows), mask.long(), pads


def _targets(encoded: list[EncodedRow], shift: list[int], device: torch.device) -> Targets:
    starts = list(accumulate((len(row.inputs) for row in encoded), initial=0))
    found: dict[tuple[int, int], int] = {}
    entries: list[tuple[int, int, int]] = []
    weight: list[float] = []
    first: list[int] = []
    labels = len(encoded[0].targets)
    for number, row in enumerate(encoded):
        for label, target in enumerate(row.targets):
            sequence = starts[number] + target.input
            places = [found.setdefault((sequence, shift[sequence] + place), len(found)) for place in target.places]
            entries += [
                (place, token, number * labels + label) for place, token in zip(places, target.ids, strict=True)
            ]
            weight += [1 / len(places)] * len(places)
            if label == 0:
                first.append(places[0])
    place, token, owner = torch.tensor(entries, device=device).unbind(1)
    alone = len(found) == len(encoded) and len(entries) == len(encoded) * labels
    one_softmax = None
    if alone and labels > 1:
        one_softmax, token = torch.unique(token, return_inverse=True)
    sequences, columns = torch.tensor(list(found), device=device).unbind(1)
    return Targets(
        sequences, columns, place, token, owner, torch.tensor(weight, device=device),
        torch.tensor(first, device=device), len(encoded), labels, one_softmax,
    )  # fmt: skip


def label_scores(targets: Targets, logits: Tensor, *, whole_vocabulary: bool) -> Tensor:
    """Mean log-probability of each label's words [rows, labels]; up to a constant per row unless ``whole_vocabulary``.

    ``logits``: [1, places, vocabulary], or [1, places, ids] for ``targets.one_softmax``.
    """
    logits = logits[0].float()
    token = targets.token
    if targets.one_softmax is not None and whole_vocabulary:
        token = targets.one_softmax[token]
    picked = logits[targets.place, token]
    if whole_vocabulary or targets.one_softmax is None:
        picked = picked - logits.logsumexp(-1)[targets.place]
    flat = picked.new_zeros(targets.rows * targets.labels).index_add(0, targets.owner, picked * targets.weight)
    return flat.view(targets.rows, targets.labels)
