"""Classifiers: a head on an encoder (or decoder) gives the labels' logits; there are no label words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Example
from autoprompt.errors import InputError
from autoprompt.models.acceleration.layer_replay import LayerStack
from autoprompt.models.acceleration.lm_head import OutputLayer
from autoprompt.models.adaptation.methods import ModelParts
from autoprompt.models.families.base import LanguageModel
from autoprompt.models.introspection import padding_id
from autoprompt.models.library_errors import as_input_error
from autoprompt.models.loading import auto_class, load_safely
from autoprompt.models.prompts.batching import Batch
from autoprompt.models.prompts.tokenized import EncodedRow, LiteralToken
from autoprompt.models.types import LoadOptions


@dataclass(frozen=True)
class Head:
    """A classifier's head.

    ``names``: its parameters. ``fresh``: those of them that are not taken from the checkpoint. ``columns``: for each
    label of the data, the column of its logit.
    """

    names: tuple[str, ...]
    fresh: tuple[str, ...]
    columns: tuple[int, ...]


class ClassifierModel(LanguageModel):
    """Any ``AutoModelForSequenceClassification``; the model reads the template without its ``{label}``."""

    family = "classifier"
    label_anywhere = True
    layers: LayerStack

    def __init__(self, network: Any, tokenizer: Any, options: LoadOptions, fresh: Sequence[str]) -> None:
        self.head = _head(network, fresh, options.labels)
        # Decoders classify at the last token that is not padding.
        network.config.get_text_config().pad_token_id = padding_id(network, tokenizer)
        super().__init__(network, tokenizer, options)

    @classmethod
    def load(cls, folder: Path, tokenizer: Any, options: LoadOptions) -> Self:
        if not options.labels:
            raise InputError("A classifier needs labels, and the data has none; use a causal or encoder-decoder model.")
        load = partial(network_with_head, options.labels, auto_class(cls.family).from_pretrained)
        network, missing = load_safely(folder, load, dtype=torch.float32)
        if mostly_missing(network, missing):
            raise InputError(
                f"The weights in {folder} are not those of its config ({min(missing)} and most others are missing); "
                "save the model again."
            )
        with as_input_error(f"The model in {folder} cannot be used"):
            return cls(network, tokenizer, options, missing)

    def _output_layer(self) -> OutputLayer | None:
        return None

    def _model_parts(self) -> ModelParts:
        from transformers.pytorch_utils import Conv1D

        inside = tuple(name.rpartition(".")[0] for name in self.head.names)
        linear = [n for n, m in self.model.named_modules() if isinstance(m, nn.Linear | Conv1D) and n not in inside]
        adapted = self.layers.linear_names(linear, self.model, later=True)
        self._frozen = {
            "head": self.layers.layers_before(inside, self.model),
            "lora": self.layers.layers_before([*inside, *adapted], self.model),
        }
        return ModelParts(adapted, head=self.head.names, fresh=self.head.fresh)

    @torch.no_grad()
    def _layer_stack(self) -> LayerStack:
        ids = torch.tensor([list(chain(*self.encoder.with_special_tokens("a")))], device=self.device)
        return LayerStack(self.model, getattr(self.model.config.get_text_config(), "num_hidden_layers", 0), ids)

    def frozen_layers(self, settings: Settings) -> int:
        return self._frozen.get(settings.tuning, 0)

    def _supports(self, mode: str) -> bool:
        # The decoder of an encoder-decoder also reads the prompt, but cannot read trainable vectors in it.
        absent = {"none": bool(self.head.fresh), "soft": self.model.config.is_encoder_decoder}
        return super()._supports(mode) and not absent.get(mode, False)

    def check(self, candidate: Candidate) -> None:
        self.encode(candidate, [Example("", dict.fromkeys(candidate.template.slots, "x"), "x")])

    def encode(self, candidate: Candidate, rows: Sequence[Example]) -> list[EncodedRow]:
        rendered = self.encoder.render(candidate, rows, [[""]] * len(rows), closing_tokens=True)
        return [EncodedRow((own[0].ids,), ()) for own in rendered]

    def forward(self, batch: Batch, embeds: Tensor | None = None) -> Tensor:
        logits: Tensor = self._pass(batch, embeds, states=False).logits
        return logits[:, list(self.head.columns)]

    def _pass(self, batch: Batch, embeds: Tensor | None, *, states: bool) -> Any:
        self.tokens_processed += batch.tokens
        replaying = self.layers.replaying(batch.lower, batch.lower_layers)
        with self.on_device(), replaying, self.vectors.inserted(batch.ids, embeds) as ids:
            return self.model(input_ids=ids, attention_mask=batch.mask, output_hidden_states=states)

    def scores(self, batch: Batch) -> Tensor:
        return self.forward(batch)

    def frozen_features(self, batch: Batch, embeds: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        output = self._pass(batch, embeds, states=True)
        states = (output.decoder_hidden_states if "decoder_hidden_states" in output else output.hidden_states)[-1]
        mask = batch.mask[..., None].to(states.dtype)
        hidden = (states * mask).sum(1) / mask.sum(1)
        return hidden, hidden[:, :0], hidden[:, :0]

    def literal_places(
        self, candidate: Candidate, row: Example, encoded: EncodedRow
    ) -> list[list[tuple[int, LiteralToken]]]:
        del encoded
        ((rendered,),) = self.encoder.render(candidate, [row], [[""]], closing_tokens=True)
        return [[(t.index, t) for t in rendered.literals(after_answer=True)]]


def _head(network: Any, missing: Sequence[str], labels: Sequence[str]) -> Head:
    """The head: all parameters outside the base model, and those that the checkpoint lacks.

    A checkpoint's own head is used if it was trained for the data's labels; otherwise its output layer counts as fresh.
    """
    base = network.base_model_prefix + "."
    own = [name for name, _ in network.named_parameters()]
    names = tuple(name for name in own if not name.startswith(base) or name in set(missing))
    fresh = {name for name in names if name in set(missing)}
    known = {str(name).casefold(): int(column) for name, column in network.config.label2id.items()}
    wanted = [label.casefold() for label in labels]
    if not fresh and sorted(known) == sorted(wanted):
        return Head(names, (), tuple(known[label] for label in wanted))
    output = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)
              and not name.startswith(base)][-1]  # fmt: skip
    fresh |= {name for name in names if name.rpartition(".")[0] == output}
    if network.get_submodule(output).bias is not None:
        nn.init.zeros_(network.get_submodule(output).bias)
    return Head(names, tuple(name for name in names if name in fresh), tuple(range(len(labels))))


def network_with_head(
    labels: Sequence[str], load: Callable[..., Any], *place: Any, **how: Any
) -> tuple[Any, list[str]]:
    """The network with a head for ``labels``, and the names of the parameters that the checkpoint lacks.

    ``load``: ``from_pretrained`` of the auto class. A head for another number of labels is replaced by a fresh one.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, report = load(
            *place, **how, num_labels=len(labels), ignore_mismatched_sizes=True, output_loading_info=True
        )
    return network, [*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])]


def mostly_missing(network: Any, missing: Sequence[str]) -> bool:
    """Whether the checkpoint lacks most of the base model.

    A head or a pooler may be missing, but not the whole network.
    """
    base = network.base_model_prefix + "."
    own = [name for name, _ in network.named_parameters() if name.startswith(base)]
    return 2 * len(set(own) & set(missing)) > len(own)
