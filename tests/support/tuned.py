"""What transformers alone computes with a fine-tune's result: weights merged or replaced, each row by itself."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from plain import Plain, parts_of
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from autoprompt.candidate import Candidate
from autoprompt.corpus import Example

SOFT = "soft_vectors"
SCALE = 2.0
"""How much an adapter's product counts."""
LEAST_TAIL = 4


@dataclass
class Tuned(Plain):
    """A plain network with a delta put into its weights. ``tail``: where, in a row, adapters begin to act."""

    tail: int = 0

    @classmethod
    @torch.no_grad()
    def of_delta(
        cls, made: Plain, mode: str, delta: Mapping[str, Tensor], dtype: torch.dtype = torch.float32
    ) -> "Tuned":
        """A copy of ``made`` with ``delta`` in it. LoRA is merged, but for the tail's, which acts in some places."""
        known = {field.name: getattr(made, field.name) for field in fields(made)}
        out = cls(**known | {"network": copy.deepcopy(made.network).to(dtype)})
        delta = {name: values.to(dtype) for name, values in delta.items()}
        out.vectors = delta.get(SOFT)
        own = dict(out.network.named_parameters())
        for name in delta:
            if ".lora_A." in name:
                layer = out.network.get_submodule(name.split(".lora_A.")[0])
                out._adapt(layer, delta[name], delta[name.replace(".lora_A.", ".lora_B.")], everywhere=mode == "lora")
            elif ".lora_B." not in name and name != SOFT:
                own[name].copy_(delta[name])
        return out

    def _adapt(self, layer: nn.Module, a: Tensor, b: Tensor, *, everywhere: bool) -> None:
        """W + scale B A in a layer's weight, or scale B A x beside it from the tail's first place on."""
        assert isinstance(layer, nn.Linear | Conv1D)
        change = SCALE * (b @ a)
        if everywhere:
            layer.weight += change.T if isinstance(layer, Conv1D) else change
            return

        def beside(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
            acting = torch.arange(given[0].shape[-2]) >= self.tail
            return output + given[0] @ change.T * acting[:, None]

        layer.register_forward_hook(beside)

    # Where a tail begins

    def _tail_of(self, candidate: Candidate, row: Example, answers: Sequence[str]) -> int:
        """After the last field, as far as both ways to tokenise agree, yet some places before the answer; 0 where no
        field precedes the answer, or vectors do so before one."""
        template, target = candidate.template, not candidate.label_words.pairs
        parts = parts_of(template, dict(row.fields))
        kinds = [type(segment).__name__ for segment in template.segments[: parts.index(None)]]
        last = max((i for i, kind in enumerate(kinds) if kind == "Slot"), default=-1)
        if last < 0 or "Soft" in kinds[:last]:
            return 0
        head = self.ids(parts[: last + 1], "")[0]
        found = [self.ids(parts, answer, blanks=target) for answer in answers]
        common = next(
            (i for i, token in enumerate(head) if any(ids[i] != token for ids, _ in found)),
            len(head),
        )
        answer = min(places[0] for _, places in found)
        return max(0, min(common, answer - LEAST_TAIL))

    # Scores, losses, texts

    def scores(self, candidate: Candidate, rows: Sequence[Example]) -> Tensor:
        """Log-probabilities of the labels [rows, labels], or of the rows' target texts [rows, 1]."""
        out = []
        words = candidate.label_words.words
        for row in rows:
            parts = parts_of(candidate.template, dict(row.fields))
            answers = words or (row.label,)
            if self.family == "causal":
                self.tail = self._tail_of(candidate, row, answers)
            if words or self.family == "classifier":
                out.append(self.row(parts, words)[0].log_softmax(-1))
            else:
                self.stand_in = "a"
                out.append(self.score(parts, row.label, end=True)[0][None])
        return torch.stack(out)

    def loss(self, candidate: Candidate, rows: Sequence[Example], labels: Sequence[str]) -> Tensor:
        """What training makes small: cross-entropy of the labels, or of the target texts."""
        scores = self.scores(candidate, rows)
        if scores.shape[1] == 1:
            return -scores.mean()
        return -torch.stack([own[labels.index(row.label)] for own, row in zip(scores, rows, strict=True)]).mean()

    def write(self, candidate: Candidate, row: Example, length: int) -> str:
        """The likeliest token after all that stands there, again and again: every step reads everything anew."""
        parts = parts_of(candidate.template, dict(row.fields))
        step, ends = self._writing(candidate, row, parts)
        written: list[int] = []
        while len(written) < length:
            token = int(step(written)[0, -1].argmax())
            if token in ends:
                break
            written.append(token)
        return str(self.tokenizer.decode(written, skip_special_tokens=True)).strip()

    def _writing(
        self, candidate: Candidate, row: Example, parts: Sequence[Any]
    ) -> tuple[Callable[[list[int]], Tensor], set[int]]:
        """A function from what is written so far to logits, and the ids that end a text."""
        if self.family == "causal":
            ids, places = self.ids(parts, "a", blanks=True)
            self.tail = self._tail_of(candidate, row, ["a"])
            asked = ids[: places[0]]
            return lambda written: self.network(**self.read([*asked, *written])).logits, {self.tokenizer.eos_token_id}
        context, marked = self.context(parts, "a")
        sentinel = self.tokenizer.get_vocab().get("<extra_id_0>")
        first = [self.network.config.decoder_start_token_id, *self._around()[0]]
        first += [sentinel] if marked and sentinel is not None else []
        return (
            lambda written: (
                self.network(**self.read(context), decoder_input_ids=torch.tensor([[*first, *written]])).logits
            ),
            set(self.tokenizer.all_special_ids),
        )
