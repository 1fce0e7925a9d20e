"""Short fine-tuning with resident weights: what a candidate changes is put in, trained, taken out."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from autoprompt.candidate import Settings
from autoprompt.models.base import Delta, FitFailedError

MAX_GRADIENT_NORM = 1.0


class Tuner:
    """Fine-tunes one model again and again; outside ``fit`` and ``applied`` it is the base model, bit by bit."""

    def __init__(self, model: nn.Module, linear_names: Sequence[str]) -> None:
        """``linear_names``: the layers that get adapters, by full name."""
        self.model = model
        self.linear_names = list(linear_names)
        model.requires_grad_(False)
        self._lora: Any = None

    def fit(self, settings: Settings, loss: Callable[[Sequence[int]], Tensor], rows: int, seed: int) -> Delta:
        """AdamW with linear decay over ``settings.epochs`` passes in seeded row order.

        ``loss(row_indices)`` is the batch's mean loss. Dropout stays off, so that candidates differ by nothing
        but themselves. Raises FitFailedError when a loss is not finite.
        """
        with self._trainable(settings, seed) as parameters:
            optimizer = torch.optim.AdamW(parameters.values(), lr=settings.learning_rate, weight_decay=0.0, fused=True)
            steps = settings.steps(rows)
            for step, batch in enumerate(row_order(rows, settings, seed)):
                for group in optimizer.param_groups:
                    group["lr"] = settings.learning_rate * (1 - step / steps)
                value = loss(batch)
                if not torch.isfinite(value):
                    raise FitFailedError(f"the training loss is {value.item()} at step {step + 1} of {steps}")
                value.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(parameters.values(), MAX_GRADIENT_NORM)
                optimizer.step()
                optimizer.zero_grad()
            return {name: parameter.detach().cpu().clone() for name, parameter in parameters.items()}

    @contextmanager
    def applied(self, settings: Settings, delta: Delta) -> Iterator[None]:
        """The model with a fine-tune's result in place."""
        if settings.tuning == "none":
            yield
            return
        with self._trainable(settings, seed=0) as parameters, torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(delta[name])
            yield

    @contextmanager
    def _trainable(self, settings: Settings, seed: int) -> Iterator[dict[str, nn.Parameter]]:
        mode = self._lora_parameters if settings.tuning == "tail" else self._full_parameters
        with mode(settings, seed) as parameters:
            for parameter in parameters.values():
                parameter.requires_grad_(True)
            try:
                yield parameters
            finally:
                for parameter in parameters.values():
                    parameter.requires_grad_(False)
                    parameter.grad = None

    @contextmanager
    def _full_parameters(self, _settings: Settings, _seed: int) -> Iterator[dict[str, nn.Parameter]]:
        parameters = self._base_parameters()
        base = {name: parameter.data for name, parameter in parameters.items()}
        for parameter in parameters.values():
            parameter.data = parameter.data.clone()
        try:
            yield parameters
        finally:
            for name, parameter in parameters.items():
                parameter.data = base[name]

    def _base_parameters(self) -> dict[str, nn.Parameter]:
        """The model's own weights under their own names, whether or not adapters have been put in."""
        return {
            name.replace(".base_layer.", "."): parameter
            for name, parameter in self.model.named_parameters()
            if ".lora_" not in name
        }

    @contextmanager
    def _lora_parameters(self, settings: Settings, seed: int) -> Iterator[dict[str, nn.Parameter]]:
        """Low-rank adapters on linear layers (Hu et al. 2021), from peft."""
        name = self._adapter(settings.rank)
        lora = self._lora
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            for module in lora.modules():
                if hasattr(module, "reset_lora_parameters"):
                    module.reset_lora_parameters(name, True)
        lora.enable_adapter_layers()
        lora.set_adapter(name)
        try:
            yield {key: value for key, value in self.model.named_parameters() if f".{name}." in key}
        finally:
            self.model.requires_grad_(False)
            lora.disable_adapter_layers()

    def _adapter(self, rank: int) -> str:
        from peft import LoraConfig
        from peft.tuners.lora import LoraModel

        name = f"rank{rank}"
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=self.linear_names, task_type="CAUSAL_LM")
        with warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore")  # peft asks transformers for an attribute that it renamed
            if self._lora is None:
                self._lora = LoraModel(self.model, {name: config}, name)
            elif name not in self._lora.peft_config:
                self._lora.peft_config[name] = config
                self._lora.inject_adapter(self.model, name)
        return name


def row_order(rows: int, settings: Settings, seed: int) -> Iterator[list[int]]:
    """Batches of all epochs, shuffled anew in each by a generator of their own."""
    generator = random.Random(seed)  # noqa: S311
    for _ in range(settings.epochs):
        order = list(range(rows))
        generator.shuffle(order)
        for start in range(0, rows, settings.batch_size):
            yield order[start : start + settings.batch_size]
