"""Fine-tuned weights as files: what comes back is what was trained, and peft reads what is its own."""

from pathlib import Path
from typing import Any

import pytest
import torch

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Corpus
from autoprompt.errors import InputError
from autoprompt.models import load_model
from autoprompt.models.adaptation.peft_io import ADAPTERS, OTHERS, read_delta, write_delta
from autoprompt.template import LabelWords, Template

CHANGES: dict[str, dict[str, Any]] = {
    "lora": {"rank": 4}, "tail": {"rank": 4}, "bias": {}, "soft": {}, "full": {},
}  # fmt: skip


def tuned(folder: Path, corpus: Corpus, mode: str, template: str = "{text}\nMood: {label}") -> Any:
    model = load_model(folder)
    settings = Settings.default(mode, 32).change(epochs=1, **CHANGES[mode])
    words = LabelWords(tuple((label, label) for label in corpus.labels))
    candidate = Candidate(Template.parse(template), words, settings)
    gold = [corpus.labels.index(row.label) for row in corpus.train]
    with model.temporary_prefixes():
        delta = model.tune(model.prompt(candidate, corpus.train), gold, settings, 0)
    return model, candidate, delta


@pytest.mark.parametrize(
    ("family", "mode"), [("llama", "lora"), ("llama", "tail"), ("gpt2", "bias"), ("llama", "full")]
)
def test_what_comes_back_is_what_was_trained(model_folders, corpus, tmp_path, family, mode):
    _, candidate, delta = tuned(model_folders[family], corpus, mode)
    files = write_delta(delta, candidate.settings, "tiny", "", tmp_path)
    assert set(files) == set(tmp_path.iterdir()) - {tmp_path / "README.md"}
    again = read_delta(files, candidate.settings)
    assert again.keys() == delta.keys()
    assert all(torch.equal(again[name], delta[name]) for name in delta)


def test_trainable_vectors_lie_beside_the_adapters(model_folders, corpus, tmp_path):
    _, candidate, delta = tuned(model_folders["llama"], corpus, "lora", "{text}{soft:3} it is {label}")
    files = write_delta(delta, candidate.settings, "tiny", "", tmp_path)
    assert {ADAPTERS, OTHERS} <= {path.name for path in files}
    assert read_delta(files, candidate.settings).keys() == delta.keys()


def test_peft_reads_the_adapters(model_folders, corpus, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model, candidate, delta = tuned(model_folders["llama"], corpus, "lora")
    write_delta(delta, candidate.settings, str(model_folders["llama"]), "", tmp_path)
    base = AutoModelForCausalLM.from_pretrained(model_folders["llama"])
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        before = base(ids).logits
        theirs = PeftModel.from_pretrained(base, tmp_path).eval()(ids).logits
        with model.adapted(candidate.settings, delta):
            ours = model.model(ids).logits
    assert not torch.allclose(theirs, before, atol=1e-3)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-4)


def test_nothing_or_a_damaged_file_is_refused(tmp_path):
    settings = Settings.default("tail", 32)
    with pytest.raises(InputError, match="is empty"):
        read_delta([tmp_path / "adapter_config.json"], settings)
    (tmp_path / ADAPTERS).write_bytes(b"damaged")
    with pytest.raises(InputError, match="export them again"):
        read_delta([tmp_path / ADAPTERS], settings)
