"""Fine-tune on the rows of a prompt: its loss, when it ends, and the untrained layers' output for all its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from autoprompt.candidate import Settings
from autoprompt.models.acceleration.layer_replay import LayerStack
from autoprompt.models.acceleration.micro_batches import none_if_out_of_memory
from autoprompt.models.adaptation.lora_init import mean_inputs
from autoprompt.models.adaptation.tuning import Tuner
from autoprompt.models.passes import Passes
from autoprompt.models.prompts.batching import Batch, EncodedPrompt
from autoprompt.models.types import CandidateFailedError, Delta, Label

STOP_LOSS = 0.3
"""Mean training loss of a pass over labelled rows below which a fine-tune ends: further passes make the model more
confident, but not better."""


@dataclass(frozen=True)
class FineTune:
    """A fine-tune on the rows of one prompt.

    ``scores``: the label scores of a batch [rows, labels], with gradients. ``gold``: label indices, or probabilities of
    the labels; 0 for target texts.
    """

    tuner: Tuner
    passes: Passes
    scores: Callable[[Batch], Tensor]
    prompted: EncodedPrompt
    gold: Sequence[Label]

    def run(self, settings: Settings, seed: int, ended: Callable[[int], bool], start: Delta | None) -> Delta:
        """Fine-tune and return what changed; the arguments are those of ``LanguageModel.tune``."""
        rows = len(self.prompted)
        whole = min(rows, settings.batch_size)

        def done(passes: int, loss: float) -> bool:
            texts = len(self.prompted.rows[0].targets) == 1  # the loss of target texts does not show when to stop
            return (not texts and loss < STOP_LOSS) or ended(passes)

        def fit(_: Sequence[int]) -> Delta:
            return self.tuner.fit(
                settings,
                self.loss,
                rows,
                seed,
                soft=self.prompted.soft,
                inputs=self.mean_inputs,
                done=done,
                start=start,
            )

        self.tuner.micro_batch = whole
        try:
            delta = none_if_out_of_memory(fit, range(rows))
        finally:
            if self.tuner.micro_batch < whole:
                self.passes.record(self.tuner.micro_batch)
        if delta is None:
            raise CandidateFailedError("there is not enough memory for this tuning mode")
        return delta

    def loss(self, rows: Sequence[int]) -> Tensor:
        """Mean loss of some rows: cross-entropy over the labels, or minus the score of a target text."""
        scores = self.scores(self.passes.batch(self.prompted, rows)).float()
        if scores.shape[1] == 1:
            return -scores.mean()
        labels = torch.tensor([self.gold[row] for row in rows], device=self.passes.device)
        return torch.nn.functional.cross_entropy(scores, labels)

    def mean_inputs(self, layers: Sequence[torch.nn.Module]) -> dict[torch.nn.Module, Tensor]:
        """See ``lora_init.mean_inputs``."""
        return mean_inputs(layers, self.prompted, self.passes, self.scores)


@torch.no_grad()
def with_lower_layers(
    prompted: EncodedPrompt, layers: LayerStack, count: int, passes: Passes, scores: Callable[[Batch], Tensor]
) -> EncodedPrompt:
    """The prompts with the output of the first ``count`` layers.

    If these are the layers below everything that is trained, one pass through them serves all training steps.
    """
    lower: list[list[Tensor]] = [[] for _ in prompted.rows]

    def run(batch: Batch) -> Tensor:
        with layers.recording(count) as outputs:
            scores(batch)
        return outputs[0]

    for rows, found in passes.over(prompted, run):
        sequences = iter(found)
        for row in rows:
            inputs = prompted.rows[row].inputs
            lower[row] = [passes.without_padding(next(sequences), len(ids)) for ids in inputs]
    return replace(prompted, lower=lower, lower_layers=count)
