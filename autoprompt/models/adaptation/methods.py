"""What each tuning mode trains: a class for each, which the mode's row in ``autoprompt.tuning_modes`` names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from torch import Tensor

from autoprompt.tuning_modes import TUNING_MODES


@dataclass(frozen=True)
class ModelParts:
    """Full names of a model's layers and parameters, by their role in fine-tuning.

    ``linear``: layers that get adapters in mode ``lora``. ``upper``: layers that get them in mode ``tail``. ``head``:
    parameters of a classifier's head. ``fresh``: those of them that are not taken from the checkpoint.
    """

    linear: Sequence[str]
    upper: Sequence[str] = ()
    head: Sequence[str] = ()
    fresh: Sequence[str] = ()


class Method:
    """A mode that trains no more than every mode does: a classifier's head, and the vectors of a template."""

    fast_head = True
    """Whether a fresh head learns at ``tuning.NEW_PART_RATE`` at least, instead of the mode's own rate."""
    fast_vectors = True
    """The same of the template's vectors."""
    from_closing_words = False
    """Whether the adapters start with the layers' inputs at the template's closing words."""

    def layers(self, parts: ModelParts) -> Sequence[str] | None:
        """The layers that get adapters; None for a mode without adapters."""
        del parts
        return None

    def trains(self, name: str, values: Tensor) -> bool:
        """Whether it trains this parameter of the model itself, called ``name`` in the checkpoint."""
        del name, values
        return False

    def can_train(self, parameters: Iterable[tuple[str, Tensor]]) -> bool:
        """Whether a model with these parameters (those of a head aside) has anything for it to train."""
        del parameters
        return True


class Weights(Method):
    """A mode that trains weights of the model itself; a subclass says which in ``trains``."""

    def can_train(self, parameters: Iterable[tuple[str, Tensor]]) -> bool:
        """Whether it trains any of them."""
        return any(self.trains(name, values) for name, values in parameters)


class Lora(Method):
    """Adapters in all layers."""

    def layers(self, parts: ModelParts) -> Sequence[str]:
        """All linear layers."""
        return parts.linear


class Tail(Method):
    """Adapters in the upper layers."""

    from_closing_words = True

    def layers(self, parts: ModelParts) -> Sequence[str]:
        """The upper linear layers."""
        return parts.upper


class Soft(Method):
    """The template's vectors alone."""

    fast_vectors = False


class Head(Method):
    """A classifier's head alone."""

    fast_head = False


class Bias(Weights):
    """The biases."""

    def trains(self, name: str, values: Tensor) -> bool:
        """Whether it is a bias."""
        del values
        return name.endswith(".bias")


class Full(Weights):
    """All weights."""

    def trains(self, name: str, values: Tensor) -> bool:
        """True."""
        del name, values
        return True


@cache
def method_of(tuning: str) -> Method:
    """What the mode trains."""
    module, _, name = TUNING_MODES[tuning].home.partition(":")
    method: Method = getattr(import_module(module), name)()
    return method
