"""Short fine-tunes of one loaded model: insert what a candidate changes, train it, remove it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from autoprompt.candidate import Settings
from autoprompt.errors import InputError
from autoprompt.models.acceleration.micro_batches import none_if_out_of_memory
from autoprompt.models.adaptation.lora import Adapters, adapter_name
from autoprompt.models.adaptation.methods import Method, ModelParts, method_of
from autoprompt.models.adaptation.soft_prompts import SoftVectors
from autoprompt.models.types import CandidateFailedError, Delta

MAX_GRADIENT_NORM = 1.0
NEW_PART_RATE = 2e-2
"""Minimum learning rate of newly initialised parts (a fresh head, trainable vectors): learning rates that suit
pretrained weights hardly change such parts in some thirty steps. A mode can be excepted (``Method.fast_head``,
``Method.fast_vectors``)."""
FRESH_DEVIATION = 0.02
SOFT_PARAMETER = "soft_vectors"

Inputs = Callable[[Sequence[nn.Module]], Mapping[nn.Module, Tensor]]
"""Function that returns the inputs of some layers: [places, width] each."""


class Tuner:
    """Fine-tunes one model repeatedly; outside ``fit`` and ``applied`` it is bit for bit the base model."""

    def __init__(self, model: nn.Module, parts: ModelParts, vectors: SoftVectors) -> None:
        self.model = model
        self.parts = parts
        self.vectors = vectors
        model.requires_grad_(False)
        self.busy = False
        """Whether a fine-tune is running or its result is applied."""
        self.micro_batch = 0
        """Rows per training pass in the last fine-tune."""
        self.adapters = Adapters(model)

    def can_train(self, tuning: str) -> bool:
        """Whether a tuning mode has anything to train in this model."""
        base = self._base_parameters().items()
        return method_of(tuning).can_train((name, values) for name, values in base if name not in self.parts.head)

    def fit(
        self,
        settings: Settings,
        loss: Callable[[Sequence[int]], Tensor],
        rows: int,
        seed: int,
        *,
        soft: int = 0,
        inputs: Inputs,
        done: Callable[[int, float], bool] = lambda *_: False,
        start: Delta | None = None,
    ) -> Delta:
        """Train with AdamW and linear decay over ``settings.epochs`` passes; return the trained values.

        ``loss(row_indices)``: the batch's mean loss; the row order is seeded. ``soft``: number of trainable vectors of
        the template. ``inputs``: returns layer inputs, to initialise the adapters of ``tail``. ``done``: called after
        each pass with the number of passes and the mean loss of the last one; True ends the fine-tune. ``start``:
        values of everything trained, to continue from.

        Dropout stays off, so that it adds no random differences between candidates. Raises CandidateFailedError when a
        loss, a layer input or a trained value is not finite, and for a ``start`` with other parameters.
        """
        method = method_of(settings.tuning)
        with self._trainable(settings, seed, soft) as parameters:
            if start is not None:
                _copy_start(parameters, start)
            elif method.from_closing_words:
                name = adapter_name(settings)
                self.adapters.initialise_from_inputs(name, inputs(self.adapters.layers(name)))
            rates = {name: self._rate(name, settings, method) for name in parameters}
            groups = [{"params": [p for n, p in parameters.items() if rates[n] == rate], "lr": rate}
                      for rate in sorted(set(rates.values()))]  # fmt: skip
            optimizer = torch.optim.AdamW(groups, weight_decay=0.0, fused=True)
            steps = settings.steps(rows)
            an_epoch = -(-rows // settings.batch_size)
            self.micro_batch = min(rows, settings.batch_size)
            seen = 0.0
            for step, batch in enumerate(row_order(rows, settings, seed)):
                for group, rate in zip(optimizer.param_groups, sorted(set(rates.values())), strict=True):
                    group["lr"] = rate * (1 - step / steps)
                value = self._gradients(loss, batch, optimizer)
                if not math.isfinite(value):
                    raise CandidateFailedError(f"the training loss is {value} at step {step + 1} of {steps}")
                nn.utils.clip_grad_norm_(parameters.values(), MAX_GRADIENT_NORM)
                optimizer.step()
                optimizer.zero_grad()
                seen += value * len(batch) / rows
                passes, rest = divmod(step + 1, an_epoch)
                if not rest:
                    if done(passes, seen):
                        break
                    seen = 0.0
            delta = {name: parameter.detach().cpu().clone() for name, parameter in parameters.items()}
        if not all(bool(torch.isfinite(values).all()) for values in delta.values()):
            raise CandidateFailedError("the trained weights are not finite after the last step")
        return delta

    @torch.enable_grad()
    def _gradients(
        self, loss: Callable[[Sequence[int]], Tensor], batch: list[int], optimizer: torch.optim.Optimizer
    ) -> float:
        """Compute the gradients of a batch's mean loss, and return the loss.

        If memory is short, the batch is split into parts and their gradients are summed.
        """

        def run(_: Sequence[int]) -> float:
            value = 0.0
            for start in range(0, len(batch), self.micro_batch):
                part = batch[start : start + self.micro_batch]
                own = loss(part) * (len(part) / len(batch))
                value += own.item()
                own.backward()  # type: ignore[no-untyped-call]
            return value

        while (value := none_if_out_of_memory(run, batch)) is None:
            optimizer.zero_grad()
            if self.micro_batch == 1:
                raise CandidateFailedError("there is not enough memory to train on one row at a time")
            self.micro_batch = -(-min(self.micro_batch, len(batch)) // 2)
        return value

    def _rate(self, name: str, settings: Settings, method: Method) -> float:
        new = (name == SOFT_PARAMETER and method.fast_vectors) or (name in self.parts.fresh and method.fast_head)
        return max(settings.learning_rate, NEW_PART_RATE) if new else settings.learning_rate

    @contextmanager
    def applied(self, settings: Settings, delta: Delta) -> Iterator[None]:
        """Inside the context the model has the weights ``delta`` of a fine-tune.

        Raises InputError for a ``delta`` with other parameters or shapes.
        """
        if settings.tuning == "none":
            yield
            return
        soft = len(delta[SOFT_PARAMETER]) if SOFT_PARAMETER in delta and delta[SOFT_PARAMETER].ndim else 0
        with ExitStack() as stack:
            parameters = none_if_out_of_memory(lambda _: stack.enter_context(self._trainable(settings, 0, soft)), ())
            if parameters is None:
                raise CandidateFailedError("there is not enough memory to apply the fine-tuned weights")
            stack.enter_context(torch.no_grad())
            _check_fits(parameters, delta)
            for name, parameter in parameters.items():
                parameter.copy_(delta[name])
            yield

    @contextmanager
    def _trainable(self, settings: Settings, seed: int, soft: int) -> Iterator[dict[str, nn.Parameter]]:
        with ExitStack() as stack:
            parameters: dict[str, nn.Parameter] = {}
            method = method_of(settings.tuning)
            layers = method.layers(self.parts)
            if layers is not None:
                adapters = self.adapters.initialised(adapter_name(settings), layers, settings.rank, seed)
                parameters |= stack.enter_context(adapters)
            parameters |= stack.enter_context(self._copied(self._trained_parameters(method), seed))
            if soft:
                parameters[SOFT_PARAMETER] = stack.enter_context(self.vectors.initialised(soft, seed))
            if not parameters:
                raise CandidateFailedError(
                    f"there is nothing to train with {settings.tuning!r} in this model and template"
                )
            for parameter in parameters.values():
                parameter.requires_grad_(True)
            self.busy = True
            try:
                yield parameters
            finally:
                self.busy = False
                for parameter in parameters.values():
                    parameter.requires_grad_(False)
                    parameter.grad = None

    def _trained_parameters(self, method: Method) -> Mapping[str, nn.Parameter]:
        """The model's own parameters that a tuning mode trains; a classifier's head is trained in all modes."""
        base = self._base_parameters()
        chosen = [name for name, values in base.items() if method.trains(name, values)]
        return {name: base[name] for name in dict.fromkeys([*chosen, *self.parts.head])}

    @contextmanager
    def _copied(self, own: Mapping[str, nn.Parameter], seed: int) -> Iterator[dict[str, nn.Parameter]]:
        """Inside the context own parameters have copies of their values; the weights of a fresh head are drawn anew."""
        base = {name: parameter.data for name, parameter in own.items()}
        generator = torch.Generator().manual_seed(seed)
        try:
            for name, parameter in own.items():
                parameter.data = parameter.data.clone()
                if name in self.parts.fresh and parameter.dim() > 1:
                    drawn = torch.randn(parameter.shape, generator=generator) * FRESH_DEVIATION
                    parameter.data.copy_(drawn)
            yield dict(own)
        finally:
            for name, parameter in own.items():
                parameter.data = base[name]

    def _base_parameters(self) -> dict[str, nn.Parameter]:
        """The model's own parameters under their original names, with or without adapters inserted."""
        return {
            name.replace(".base_layer.", "."): parameter
            for name, parameter in self.model.named_parameters()
            if ".lora_" not in name
        }


@torch.no_grad()
def _copy_start(parameters: Mapping[str, nn.Parameter], start: Delta) -> None:
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    if shapes != {name: tuple(values.shape) for name, values in start.items()}:
        raise CandidateFailedError("the weights to continue from belong to another model, mode or rank")
    for name, parameter in parameters.items():
        parameter.copy_(start[name])


def row_order(rows: int, settings: Settings, seed: int) -> Iterator[list[int]]:
    """Batches of row indices for all epochs, shuffled anew in each epoch from one seeded generator."""
    generator = random.Random(seed)  # noqa: S311
    for _ in range(settings.epochs):
        order = list(range(rows))
        generator.shuffle(order)
        for start in range(0, rows, settings.batch_size):
            yield order[start : start + settings.batch_size]


def _check_fits(parameters: Mapping[str, Tensor], delta: Delta) -> None:
    """Raise InputError for a ``delta`` that does not fit, since a file may contain the weights of another model."""
    wrong = next(iter(sorted(parameters.keys() ^ delta.keys())), None)
    for name, parameter in parameters.items():
        if wrong is None and (delta[name].shape != parameter.shape or not delta[name].is_floating_point()):
            wrong = name
    if wrong is not None:
        raise InputError(
            f"The weights of a fine-tune do not fit the model and the settings (see {wrong[:120]!r}); export the "
            "prompt again."
        )
