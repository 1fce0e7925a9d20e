"""Short fine-tuning with resident weights: what a candidate changes is put in, trained, taken out."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoprompt.candidate import Settings
from autoprompt.errors import InputError
from autoprompt.models.acceleration.micro_batches import attempt
from autoprompt.models.adaptation.lora import Adapters, adapter_name
from autoprompt.models.adaptation.soft_prompts import SoftVectors
from autoprompt.models.types import Delta, FitFailedError

MAX_GRADIENT_NORM = 1.0
NEW_PART_RATE = 2e-2
"""Least learning rate of what starts from nothing, a fresh head or trainable vectors, in every mode: the rates that
pretrained weights bear hardly move it in some thirty steps."""
FRESH_DEVIATION = 0.02
LEARNT = 0.3
"""Mean training loss of a pass over rows with labels below which a fine-tune ends: what follows makes the model surer
of what it knows, and no better."""
SOFT = "soft_vectors"

Inputs = Callable[[Sequence[nn.Module]], Mapping[nn.Module, Tensor]]
"""What some layers are given: [places, width] each."""


@dataclass(frozen=True)
class Parts:
    """A model's parts by full name of layer or parameter.

    ``linear``: layers that ``lora`` gives adapters, ``upper``: those that ``tail`` does. ``head``: parameters of a
    classifier's head; ``fresh``: those of them that the checkpoint does not hold.
    """

    linear: Sequence[str]
    upper: Sequence[str] = ()
    head: Sequence[str] = ()
    fresh: Sequence[str] = ()


class Tuner:
    """Fine-tunes one model again and again; outside ``fit`` and ``applied`` it is the base model, bit by bit."""

    def __init__(self, model: nn.Module, parts: Parts, vectors: SoftVectors) -> None:
        self.model = model
        self.parts = parts
        self.vectors = vectors
        model.requires_grad_(False)
        self.busy = False
        """Whether a fine-tune is in place or under way."""
        self.micro_batch = 0
        """Rows of a pass in the last fine-tune."""
        self.adapters = Adapters(model)

    @property
    def has_biases(self) -> bool:
        """Whether ``bias`` has anything to train."""
        return any(name.endswith(".bias") for name in self._base_parameters() if name not in self.parts.head)

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
        """AdamW with linear decay over ``settings.epochs`` passes in seeded row order; ``done`` ends them early: it is
        asked after each pass with the number of passes and the mean loss of the last.

        ``loss(row_indices)`` is the batch's mean loss; ``soft``: the template's trainable vectors; ``inputs``: what
        layers are given, for the adapters of ``tail`` to begin with. Dropout stays off, so that candidates differ by
        nothing but themselves. ``start``: values of all that is trained, to go on from. Raises FitFailedError when a
        loss, or what layers are given, is not finite, and for a ``start`` of other parts.
        """
        with self._trainable(settings, seed, soft) as parameters:
            if start is not None:
                _begin_with(parameters, start)
            elif settings.tuning == "tail":
                name = adapter_name(settings)
                self.adapters.begin_with(name, inputs(self.adapters.layers(name)))
            rates = {name: self._rate(name, settings) for name in parameters}
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
                    raise FitFailedError(f"the training loss is {value} at step {step + 1} of {steps}")
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
            raise FitFailedError("what was trained is not finite after the last step")
        return delta

    @torch.enable_grad()
    def _gradients(
        self, loss: Callable[[Sequence[int]], Tensor], batch: list[int], optimizer: torch.optim.Optimizer
    ) -> float:
        """Gradients of a batch's mean loss, summed over parts of it where memory is short; returns the loss."""

        def whole(_: Sequence[int]) -> float:
            value = 0.0
            for start in range(0, len(batch), self.micro_batch):
                part = batch[start : start + self.micro_batch]
                own = loss(part) * (len(part) / len(batch))
                value += own.item()
                own.backward()  # type: ignore[no-untyped-call]
            return value

        while (value := attempt(whole, batch)) is None:
            optimizer.zero_grad()
            if self.micro_batch == 1:
                raise FitFailedError("the memory is too short to train on one row at a time")
            self.micro_batch = -(-min(self.micro_batch, len(batch)) // 2)
        return value

    def _rate(self, name: str, settings: Settings) -> float:
        new = (name == SOFT and settings.tuning != "soft") or (name in self.parts.fresh and settings.tuning != "head")
        return max(settings.learning_rate, NEW_PART_RATE) if new else settings.learning_rate

    @contextmanager
    def applied(self, settings: Settings, delta: Delta) -> Iterator[None]:
        """The model with a fine-tune's result in place. Raises InputError for a result of other parts or shapes."""
        if settings.tuning == "none":
            yield
            return
        soft = len(delta[SOFT]) if SOFT in delta and delta[SOFT].ndim else 0
        with ExitStack() as stack:
            parameters = attempt(lambda _: stack.enter_context(self._trainable(settings, 0, soft)), ())
            if parameters is None:
                raise FitFailedError("the memory is too short to put a fine-tune in its place")
            stack.enter_context(torch.no_grad())
            _check_fits(parameters, delta)
            for name, parameter in parameters.items():
                parameter.copy_(delta[name])
            yield

    @contextmanager
    def _trainable(self, settings: Settings, seed: int, soft: int) -> Iterator[dict[str, nn.Parameter]]:
        with ExitStack() as stack:
            parameters: dict[str, nn.Parameter] = {}
            if settings.tuning in ("tail", "lora"):
                parameters |= stack.enter_context(self._drawn(settings, seed))
            parameters |= stack.enter_context(self._copied(self._own(settings.tuning), seed))
            if soft:
                parameters[SOFT] = stack.enter_context(self.vectors.drawn(soft, seed))
            if not parameters:
                raise FitFailedError(f"there is nothing to train with {settings.tuning!r} in this model and template")
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

    def _own(self, tuning: str) -> Mapping[str, nn.Parameter]:
        """The model's own parameters that a mode trains: a classifier's head in all modes."""
        base = self._base_parameters()
        if tuning == "full":
            return base
        biases = [name for name in base if name.endswith(".bias")] if tuning == "bias" else []
        return {name: base[name] for name in dict.fromkeys([*biases, *self.parts.head])}

    @contextmanager
    def _copied(self, own: Mapping[str, nn.Parameter], seed: int) -> Iterator[dict[str, nn.Parameter]]:
        """Own parameters with copies of their values, those of a fresh head drawn anew."""
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
        """The model's own weights under their own names, whether or not adapters have been put in."""
        return {
            name.replace(".base_layer.", "."): parameter
            for name, parameter in self.model.named_parameters()
            if ".lora_" not in name
        }

    def _drawn(self, settings: Settings, seed: int) -> AbstractContextManager[dict[str, nn.Parameter]]:
        layers = self.parts.upper if settings.tuning == "tail" else self.parts.linear
        return self.adapters.drawn(adapter_name(settings), layers, settings.rank, seed)


@torch.no_grad()
def _begin_with(parameters: Mapping[str, nn.Parameter], start: Delta) -> None:
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    if shapes != {name: tuple(values.shape) for name, values in start.items()}:
        raise FitFailedError("the weights to go on from are those of another model, mode or rank")
    for name, parameter in parameters.items():
        parameter.copy_(start[name])


def row_order(rows: int, settings: Settings, seed: int) -> Iterator[list[int]]:
    """Batches of all epochs, shuffled anew in each by a generator of their own."""
    generator = random.Random(seed)  # noqa: S311
    for _ in range(settings.epochs):
        order = list(range(rows))
        generator.shuffle(order)
        for start in range(0, rows, settings.batch_size):
            yield order[start : start + settings.batch_size]


def _check_fits(parameters: Mapping[str, Tensor], delta: Delta) -> None:
    """Weights from a file may be of another model, or of nobody's."""
    wrong = next(iter(sorted(parameters.keys() ^ delta.keys())), None)
    for name, parameter in parameters.items():
        if wrong is None and (delta[name].shape != parameter.shape or not delta[name].is_floating_point()):
            wrong = name
    if wrong is not None:
        raise InputError(
            f"The weights of a fine-tune do not fit the model and the settings (see {wrong[:120]!r}); export the "
            "prompt again."
        )
