"""Detection of a checkpoint's model family from its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def family_of(config: Mapping[str, Any]) -> str | None:
    """The family that the checkpoint was saved as, or None for a model of no family.

    The model class in the config decides if transformers lists it for a family. A bare encoder counts as a classifier,
    because it has no output layer. For an older config without a class, the model type decides.
    """
    from transformers.models.auto import modeling_auto as auto

    kind = str(config.get("model_type"))
    mappings = {
        "classifier": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        "masked": auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        "seq2seq": auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        "causal": auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    }
    names = config.get("architectures") or []
    saved = [family for family, mapping in mappings.items() if names and names[0] in _classes(mapping, kind)]
    # BART is listed for several tasks: an encoder-decoder counts as seq2seq unless its class is only a classifier's.
    if config.get("is_encoder_decoder"):
        return "classifier" if saved == ["classifier"] else "seq2seq" if kind in mappings["seq2seq"] else None
    if saved:
        return saved[0]
    encoder = kind in mappings["masked"] and not config.get("is_decoder")
    if encoder:
        return "classifier" if names and kind in mappings["classifier"] else "masked"
    return "causal" if kind in mappings["causal"] else None


def _classes(mapping: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    found = mapping.get(kind, ())
    return (found,) if isinstance(found, str) else tuple(found)
