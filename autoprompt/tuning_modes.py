"""The tuning modes: one row each, read by candidates, search space, model families, help texts and documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_TRAINED = ("learning_rate", "batch_size", "epochs")


@dataclass(frozen=True)
class TuningMode:
    """What a fine-tune trains, and what it needs.

    ``trains``: in words. ``home``: module and name of the ``adaptation.methods.Method`` that says which parameters of a
    model these are. ``parameters``: the hyperparameters that it uses. ``rate``: the default learning rate;
    ``rates``: those that a search draws from. ``needs``: what a model family must have, one of the words in
    ``Family.has``; "" for nothing. ``condition``: what a single model must have, in words. ``caches_prefixes``: whether
    it leaves unchanged what a causal model computes up to the end of the text.
    """

    trains: str
    home: str
    parameters: tuple[str, ...] = _TRAINED
    rate: float = 0.0
    rates: tuple[float, ...] = ()
    needs: str = ""
    condition: str = ""
    caches_prefixes: bool = False


TUNING_MODES: Mapping[str, TuningMode] = {
    "none": TuningMode(
        "nothing: the frozen model", "autoprompt.models.adaptation.methods:Method", parameters=(), caches_prefixes=True
    ),
    "tail": TuningMode(
        "LoRA in a causal model's upper layers, acting on the tokens after the text",
        "autoprompt.models.adaptation.methods:Tail",
        (*_TRAINED, "rank"),
        rate=5e-4,
        rates=(2e-4, 3e-4, 5e-4, 8e-4, 1.2e-3),
        needs="prefixes",
        condition="where every layer keeps keys and values",
        caches_prefixes=True,
    ),
    "lora": TuningMode(
        "LoRA in all layers (of a classifier, the upper ones), acting on all tokens",
        "autoprompt.models.adaptation.methods:Lora",
        (*_TRAINED, "rank"),
        rate=1e-3,
        rates=(3e-4, 5e-4, 1e-3, 2e-3, 4e-3),
    ),
    "soft": TuningMode(
        "the trainable vectors of the template alone",
        "autoprompt.models.adaptation.methods:Soft",
        rate=5e-3,
        rates=(1e-3, 3e-3, 5e-3, 1e-2, 3e-2),
        caches_prefixes=True,
    ),
    "bias": TuningMode(
        "the biases (BitFit, Ben Zaken et al. 2022)",
        "autoprompt.models.adaptation.methods:Bias",
        rate=1e-3,
        rates=(3e-4, 1e-3, 3e-3),
        condition="where the model has biases",
    ),
    "head": TuningMode(
        "a classifier's head",
        "autoprompt.models.adaptation.methods:Head",
        rate=3e-2,
        rates=(1e-2, 3e-2, 1e-1),
        needs="head",
    ),
    "full": TuningMode(
        "all weights",
        "autoprompt.models.adaptation.methods:Full",
        rate=5e-5,
        rates=(1e-5, 2e-5, 5e-5, 1e-4),
    ),
}
