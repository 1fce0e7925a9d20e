"""Scores and features of all rows of a prompt, put together from the passes over parts of them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from autoprompt.errors import InputError
from autoprompt.models.types import CandidateFailedError, Features


def gathered_scores(parts: Iterable[tuple[list[int], Tensor]], rows: int) -> Tensor:
    """Log-probabilities normalised over the labels [rows, labels], or the scores of target texts [rows, 1].

    ``parts``: row indices and their scores [some rows, labels]. Raises CandidateFailedError for a score that is not
    finite.
    """
    out: Tensor | None = None
    for some, scores in parts:
        out = scores.new_zeros((rows, scores.shape[1])) if out is None else out
        out[some] = scores.log_softmax(-1) if scores.shape[1] > 1 else scores
    if out is None:
        raise InputError("There are no rows to score.")
    if not torch.isfinite(out).all():
        raise CandidateFailedError("a score is not finite")
    return out


def gathered_features(parts: Iterable[tuple[list[int], tuple[Tensor, Tensor, Tensor]]], rows: int) -> Features:
    """Features in the order of the rows. ``parts``: row indices and their features."""
    found: dict[int, tuple[Tensor, ...]] = {}
    for some, tensors in parts:
        hidden, scores, words = (tensor.float().cpu() for tensor in tensors)
        found |= {row: (hidden[i], scores[i], words[i]) for i, row in enumerate(some)}
    columns = zip(*(found[row] for row in range(rows)), strict=True)
    return Features(*(torch.stack(column) for column in columns))
