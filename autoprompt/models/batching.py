"""Collates encoded rows into the tensors of one pass of a causal model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from autoprompt.models.base import Prompted
from autoprompt.models.encoding import EncodedRow
from autoprompt.models.kept import Past


@dataclass
class CausalPrompted(Prompted):
    """Encoded rows and, where prefixes are kept, each row's states [layers * 2, heads, length, width].

    ``lower``: where it is known, the output of the lower layers for each tail of each row: [tail, hidden].
    """

    rows: list[EncodedRow]
    states: list[Tensor] | None
    lower: list[list[Tensor]] | None = None
    tokens: int = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = sum(len(tail) for row in self.rows for tail in row.tails)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Targets:
    """Which logits make which label's score; the first four have one value a target token."""

    sequence: Tensor
    column: Tensor
    """Among the last ``width`` columns."""
    token: Tensor
    owner: Tensor
    """row * labels + label"""
    weight: Tensor
    """1 / targets of its label"""
    first: tuple[Tensor, Tensor]
    """Of each row: the sequence and column that predict its first label's first token."""
    rows: int
    labels: int
    width: int
    vocabulary: Tensor | None
    """The only ids whose logits are needed, or None. Where the labels of a row are single tokens after the same
    context, the full softmax's normaliser cancels in the softmax over labels."""


@dataclass(frozen=True)
class Batch:
    """Sequences of one pass, tails right-aligned so that all predicted places end in the last column."""

    ids: Tensor
    """[sequences, tail]"""
    mask: Tensor
    """[sequences, prefix + tail]"""
    positions: Tensor
    """[sequences, tail]"""
    past: Past | None
    lower: Tensor | None
    """[sequences, tail, hidden]"""
    targets: Targets

    @property
    def tokens(self) -> int:
        """Tokens that the pass processes, padding left out."""
        return int(self.mask[:, -self.ids.shape[1] :].sum())

    @property
    def width(self) -> int:
        """Last columns whose logits are needed."""
        return self.targets.width


def collate(prompted: CausalPrompted, rows: Sequence[int], device: torch.device) -> Batch:
    """The pass of some rows: one sequence for each of a row's distinct tails."""
    encoded = [prompted.rows[row] for row in rows]
    tails = [list(tail) for row in encoded for tail in row.tails]
    keeps = [row.keep for row in encoded for _ in row.tails]
    longest = max(len(tail) for tail in tails)
    pads = [longest - len(tail) for tail in tails]
    ids = torch.tensor([[0] * pad + tail for pad, tail in zip(pads, tails, strict=True)])
    mask = torch.tensor([[0] * pad + [1] * (longest - pad) for pad in pads])
    positions = (torch.tensor(keeps)[:, None] + mask.cumsum(1) - 1).clamp(min=0)
    past = None
    if prompted.states is not None and max(keeps) > 0:
        states = [prompted.states[row] for row in rows for _ in prompted.rows[row].tails]
        past = Past(states, keeps, device)
        mask = torch.cat([past.mask(), mask], 1)
    lower = None
    if prompted.lower is not None:
        known = [hidden for row in rows for hidden in prompted.lower[row]]
        lower = torch.stack([nn.functional.pad(h, (0, 0, pad, 0)) for pad, h in zip(pads, known, strict=True)])
    return Batch(ids.to(device), mask.to(device), positions.to(device), past, lower, _targets(encoded, device))


def _targets(encoded: list[EncodedRow], device: torch.device) -> Targets:
    width = max(len(target) for row in encoded for _, target in row.targets)
    places: list[tuple[int, int, int, int]] = []
    weight: list[float] = []
    first: list[tuple[int, int]] = []
    offset = 0
    for number, row in enumerate(encoded):
        for label, (tail, target) in enumerate(row.targets):
            owner = number * len(row.targets) + label
            columns = range(width - len(target), width)
            places += [(offset + tail, column, token, owner) for column, token in zip(columns, target, strict=True)]
            weight += [1 / len(target)] * len(target)
        first.append((offset + row.targets[0][0], width - len(row.targets[0][1])))
        offset += len(row.tails)
    sequence, column, token, owners = torch.tensor(places, device=device).unbind(1)
    vocabulary = None
    if width == 1 and all(len(row.tails) == 1 for row in encoded):
        vocabulary, token = torch.unique(token, return_inverse=True)
    firsts = torch.tensor(first, device=device)
    return Targets(
        sequence, column, token, owners, torch.tensor(weight, device=device), (firsts[:, 0], firsts[:, 1]),
        len(encoded), len(encoded[0].targets), width, vocabulary,
    )  # fmt: skip


def label_scores(targets: Targets, logits: Tensor) -> Tensor:
    """Mean log-probability of each label's words, up to a constant of the row: [rows, labels].

    ``logits``: [sequences, width, vocabulary], or of ``targets.vocabulary`` alone.
    """
    logits = logits.float()
    picked = logits[targets.sequence, targets.column, targets.token]
    if targets.vocabulary is None:
        picked = picked - logits.logsumexp(-1)[targets.sequence, targets.column]
    flat = picked.new_zeros(targets.rows * targets.labels).index_add(0, targets.owner, picked * targets.weight)
    return flat.view(targets.rows, targets.labels)


def with_full_vocabulary(targets: Targets, logits: Tensor) -> Tensor:
    """Mean log-probabilities, nothing left out, from logits over the whole vocabulary: [rows, labels]."""
    if targets.vocabulary is None:
        return label_scores(targets, logits)
    scores = label_scores(targets, logits[..., targets.vocabulary])
    return scores - logits.float().logsumexp(-1)[targets.first][:, None]
