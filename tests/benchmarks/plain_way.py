"""The plain way, with transformers alone: whole prompts padded to a batch, all weights trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from autoprompt.candidate import Settings
from autoprompt.corpus import Example
from autoprompt.models.adaptation.tuning import row_order
from autoprompt.template import LabelWords, Template

BLOCK = 32
"""Sequences of a scoring pass."""


class Plain:
    """A causal model; texts are cut to ``max_length`` tokens, as the engine cuts them."""

    def __init__(self, folder: Path, words: LabelWords, max_length: int) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.tokenizer.padding_side = "right"
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.base = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.words = words.words
        self.max_length = max_length
        found = [self.tokenizer(" " + word)["input_ids"] for word in self.words]
        first = [ids[0] for ids in found]
        self.single = first if all(len(ids) == 1 for ids in found) and len(set(first)) == len(first) else None

    def reset(self) -> None:
        """Back to the pretrained weights."""
        self.model.load_state_dict(self.base)

    def scores(self, template: Template, rows: Sequence[Example]) -> Tensor:
        """Mean log-probability of each label's word and what follows it [rows, labels]."""
        fields = [self.cut(row) for row in rows]
        if self.single is not None and template.format().endswith(" {label}"):
            return self._last(template, fields)
        return self._whole(template, fields)

    def cut(self, row: Example) -> dict[str, str]:
        """A row's fields as the engine cuts them."""
        out = {}
        for name, text in row.fields.items():
            offsets = self.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
            out[name] = text[: offsets[self.max_length - 1][1]] if len(offsets) > self.max_length else text
        return out

    def _last(self, template: Template, fields: Sequence[dict[str, str]]) -> Tensor:
        """Words of one token at the end: one sequence a row, and only their logits."""
        prompts = [template.render(row).rstrip(" ") for row in fields]
        batch = self.tokenizer(prompts, return_tensors="pt", padding=True)
        last = batch["attention_mask"].sum(1) - 1
        hidden = self.model.model(**batch).last_hidden_state[torch.arange(len(prompts)), last]
        return hidden @ self.model.lm_head.weight[self.single].T

    def _whole(self, template: Template, fields: Sequence[dict[str, str]]) -> Tensor:
        """One sequence a row and label."""
        texts, starts = [], []
        for row in fields:
            for word in self.words:
                texts.append(template.render(row, word))
                starts.append(len(template.render(row)))
        batch = self.tokenizer(texts, return_tensors="pt", padding=True, return_offsets_mapping=True)
        offsets = batch.pop("offset_mapping")
        wanted = (offsets[..., 1] > torch.tensor(starts)[:, None]) & batch["attention_mask"].bool()
        wanted[:, 0] = False  # nothing foretells the first token
        log_probs = self.model(**batch).logits[:, :-1].log_softmax(-1)
        picked = log_probs.gather(-1, batch["input_ids"][:, 1:, None])[..., 0]
        mask = wanted[:, 1:]
        means = (picked * mask).sum(1) / mask.sum(1)
        return means.view(len(fields), len(self.words))

    def fine_tune(
        self, template: Template, rows: Sequence[Example], gold: Sequence[int], settings: Settings, seed: int
    ) -> None:
        """AdamW with linear decay on all weights, in the engine's row order."""
        self.reset()
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=settings.learning_rate, weight_decay=0.0, fused=True)
        steps = settings.steps(len(rows))
        for step, batch in enumerate(row_order(len(rows), settings, seed)):
            optimizer.param_groups[0]["lr"] = settings.learning_rate * (1 - step / steps)
            scores = self.scores(template, [rows[row] for row in batch])
            torch.nn.functional.cross_entropy(scores, torch.tensor([gold[row] for row in batch])).backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    @torch.no_grad()
    def predict(self, template: Template, rows: Sequence[Example]) -> list[int]:
        """Label indices, rows of similar length in a batch."""
        order = sorted(range(len(rows)), key=lambda row: len(str(rows[row].fields)))
        per_pass = BLOCK if self.single is not None else max(1, BLOCK // len(self.words))
        out = [0] * len(rows)
        for start in range(0, len(order), per_pass):
            part = order[start : start + per_pass]
            for row, place in zip(part, self.scores(template, [rows[i] for i in part]).argmax(1).tolist(), strict=True):
                out[row] = place
        return out
