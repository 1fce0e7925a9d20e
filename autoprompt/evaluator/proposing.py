"""Worker tasks that propose token edits of a template and label words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from autoprompt.candidate import Candidate
from autoprompt.corpus import Example
from autoprompt.evaluator.proxy import calibrated
from autoprompt.evaluator.worker import FROZEN, Worker
from autoprompt.models import CandidateFailedError, TokenProposals, propose_tokens
from autoprompt.template import LabelWords


@dataclass(frozen=True)
class ProposeTask:
    """Propose token edits of a candidate's template: replacements from gradients of the loss that ranks frozen
    candidates, and infills from the model. There are none where memory is too small."""

    candidate: Candidate
    replacements: int
    infills: int

    def __call__(self, worker: Worker) -> TokenProposals:
        rows = worker.without_demos(self.candidate, worker.splits[0])
        frozen = replace(self.candidate, settings=FROZEN)
        try:
            loss = self._loss(worker, frozen, rows)
        except CandidateFailedError:
            return TokenProposals([], [])
        return propose_tokens(worker.model, frozen, rows, loss, replacements=self.replacements, infills=self.infills)

    def lost(self, _reason: str) -> TokenProposals:
        """Return no proposals."""
        return TokenProposals([], [])

    def _loss(self, worker: Worker, frozen: Candidate, rows: Sequence[Example]) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the loss as a function of hidden states and label scores."""
        if not worker.labels:
            return lambda _, scores: -scores.mean().cpu()
        if self.candidate.settings.tuning == "none" and self.candidate.label_words.pairs:
            gold = torch.tensor(worker.gold(rows))
            return lambda _, scores: torch.nn.functional.cross_entropy(scores.cpu(), gold)
        return worker.proxy(frozen).training_loss(slice(0, len(rows)))


@dataclass(frozen=True)
class WordsTask:
    """Rank label words for a template on its cached logits: no further pass through the model.

    The short list of each label holds words that are likelier under it than under the other labels (a likelihood
    ratio); combinations are ordered by the calibrated loss of the label scores. Both steps use the training rows
    alone: words that fit these few rows by chance must not look good on the rows that score a fine-tune. Empty where
    memory is too small.
    """

    candidate: Candidate
    count: int
    per_label: int = 4
    plausible: int = 400

    def __call__(self, worker: Worker) -> list[LabelWords]:
        if not self.candidate.label_words.pairs:
            return []
        try:
            features = worker.features(self.candidate)
        except CandidateFailedError:
            return []
        if not torch.isfinite(features.vocabulary).all():
            return []
        texts = worker.model.word_tokens()
        if not texts:  # a vocabulary in another script, or an empty one
            return []
        gold = worker.gold(worker.without_demos(self.candidate, worker.splits[0]))
        vocabulary = features.vocabulary[: len(gold)]
        log_probs = vocabulary.log_softmax(-1)
        ids = torch.tensor(sorted(texts))
        shortlists = []
        for label in range(len(worker.labels)):
            member = torch.tensor(gold) == label
            inside = log_probs[member][:, ids].mean(0)
            outside = log_probs[~member][:, ids].mean(0)
            likely = inside.argsort(descending=True, stable=True)[: self.plausible]
            ratio = (inside - outside)[likely].argsort(descending=True, stable=True)
            best = [int(ids[likely[i]]) for i in ratio[: self.per_label]]
            shortlists.append([(texts[token], token) for token in best])
        return self._combine(worker.labels, vocabulary, gold, shortlists)

    def lost(self, _reason: str) -> list[LabelWords]:
        """Return no label words."""
        return []

    def _combine(
        self,
        labels: Sequence[str],
        vocabulary: Tensor,
        gold: Sequence[int],
        shortlists: Sequence[Sequence[tuple[str, int]]],
    ) -> list[LabelWords]:
        target = torch.tensor(gold)
        ranked = []
        combinations = product(*shortlists) if len(labels) <= 3 else zip(*shortlists, strict=False)
        for combination in combinations:
            if len({word.lower() for word, _ in combination}) < len(labels):
                continue
            scores = vocabulary[:, [token for _, token in combination]]
            loss = float(torch.nn.functional.nll_loss(calibrated(scores), target))
            ranked.append((loss, tuple(word for word, _ in combination)))
        return [LabelWords(tuple(zip(labels, words, strict=True))) for _, words in sorted(ranked)[: self.count]]
