"""Low-rank adapters on linear layers (Hu et al. 2021), from peft."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from autoprompt.candidate import Settings
from autoprompt.models.locks import PROCESS_LOCK
from autoprompt.models.types import CandidateFailedError

ROW_LENGTH = 1 / math.sqrt(3)
"""Length of a row of A in peft's own initialisation."""
NEGLIGIBLE = 1e-3
"""Share of the largest singular value; a direction with a smaller one is ignored."""


class Adapters:
    """A model's adapters by name: inserted once, initialised for each fine-tune, disabled outside ``initialised``."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._lora: Any = None

    @contextmanager
    def initialised(self, name: str, layers: Sequence[str], rank: int, seed: int) -> Iterator[dict[str, nn.Parameter]]:
        """Inside the context the layers have adapters of ``rank``: A random, B zero.

        A ``name`` must always be used with the same layers and rank.
        """
        self._insert(name, layers, rank)
        lora = self._lora
        with PROCESS_LOCK, torch.random.fork_rng():
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

    def layers(self, name: str) -> list[nn.Module]:
        """The layers that have an adapter of this name."""
        return [module for module in self._lora.modules() if name in getattr(module, "lora_A", ())]

    @torch.no_grad()
    def initialise_from_inputs(self, name: str, inputs: Mapping[nn.Module, Tensor]) -> None:
        """Initialise A with the main directions of each layer's inputs [places, width]; further rows stay random.

        The few steps of a short fine-tune hardly rotate A, and a random A passes on almost nothing of a layer's input.
        Based on EVA (Paischer et al. 2024), which takes the main directions of all inputs. Raises CandidateFailedError
        for inputs that are not finite.
        """
        for layer, given in inputs.items():
            if not bool(torch.isfinite(given).all()):
                raise CandidateFailedError("the inputs of a layer are not finite before the first step")
            a = layer.get_submodule("lora_A").get_submodule(name).get_parameter("weight")
            _, sizes, directions = torch.linalg.svd(given.float(), full_matrices=False)
            found = directions[sizes > NEGLIGIBLE * sizes[0]][: len(a)]
            a[: len(found)] = ROW_LENGTH * found.to(a)

    def _insert(self, name: str, layers: Sequence[str], rank: int) -> None:
        from peft import LoraConfig
        from peft.tuners.lora import LoraModel

        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(layers))
        with PROCESS_LOCK, warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore")  # peft reads an attribute that transformers has renamed
            if self._lora is None:
                self._lora = LoraModel(self.model, {name: config}, name)
            elif name not in self._lora.peft_config:
                self._lora.peft_config[name] = config
                try:
                    self._lora.inject_adapter(self.model, name)
                except BaseException:  # a partly inserted adapter must not count as a whole one
                    self._lora.delete_adapter(name)
                    raise


def adapter_name(settings: Settings) -> str:
    """Name of the adapters with these settings."""
    return f"{settings.tuning}{settings.rank}"
