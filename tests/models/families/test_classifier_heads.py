"""Which head a classifier gets: the checkpoint's own where it knows the data's labels, otherwise a fresh one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import contract
import pytest
import tiny
import torch
from contract import CLASSIFIERS, MODES, SETTINGS
from plain import Plain

from autoprompt.corpus import Corpus
from autoprompt.errors import InputError
from autoprompt.models import load_model

FRESH = [name for name in CLASSIFIERS if "none" not in MODES[name]]
TRAINED = [name for name in CLASSIFIERS if "none" in MODES[name]]


@pytest.mark.parametrize("name", contract.models(TRAINED))
@torch.no_grad()
def test_a_trained_heads_columns_are_in_the_datas_order(
    fresh: Callable[..., Any], family_folder: Callable[[str], Path], name: str
) -> None:
    """The head was saved with Negative before positive."""
    made = Plain.of("classifier", family_folder(name))
    rows = contract.rows()
    for labels, columns in ((tiny.LABELS, (1, 0)), (("negative", "POSITIVE"), (0, 1))):
        model = fresh(name, labels=labels)
        assert "none" in model.tuning_modes
        made.columns = columns
        logits = [made.logits([row.fields["text"], "\nSentiment: ", None])[0] for row in rows]
        scores = model.score(model.prompt(contract.candidate(name), rows))
        torch.testing.assert_close(scores, torch.stack(logits).log_softmax(-1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", contract.models(CLASSIFIERS))
@pytest.mark.parametrize("labels", [("sport", "business"), ("sport", "business", "tech"), ("LABEL_0", "1", "2", "3")])
def test_a_head_for_other_labels_is_replaced(fresh: Callable[..., Any], name: str, labels: tuple[str, ...]) -> None:
    """Whether it had as many or not; a frozen model is then of no use."""
    model = fresh(name, labels=labels)
    assert "none" not in model.tuning_modes
    assert {"head", "full"} <= set(model.tuning_modes)
    candidate, rows = contract.candidate(name, "head"), contract.rows()
    prompted = model.prompt(candidate, rows)
    assert model.score(prompted).shape == (4, len(labels))
    settings = SETTINGS["head"].change(epochs=2)
    deltas = [model.tune(prompted, [0, 1, 0, 1], settings, seed) for seed in (1, 1, 2)]
    assert contract.same(deltas[0], deltas[1])
    assert not contract.same(deltas[0], deltas[2])
    output = next(value for value in reversed(list(deltas[0].values())) if value.dim() == 2)
    assert output.shape == (len(labels), 32)
    assert float(output.abs().max()) < 0.2  # drawn small, whatever the checkpoint held


@pytest.mark.parametrize("name", contract.models(FRESH))
def test_a_fresh_heads_start_is_drawn_from_the_seed(fresh: Callable[..., Any], name: str) -> None:
    """The same network is loaded every time; what the seed draws replaces it."""
    first, second = fresh(name), fresh(name)
    assert contract.same(contract.weights(first), contract.weights(second))
    starts = []
    for seed in (1, 1, 2):
        with first.tuner._trainable(SETTINGS["head"], seed, 0) as parameters:
            starts.append({n: p.detach().clone() for n, p in parameters.items()})
    assert contract.same(starts[0], starts[1])
    assert not contract.same(starts[0], starts[2])
    assert set(starts[0]) == set(first.head.names)


@pytest.mark.parametrize("name", contract.models(CLASSIFIERS))
def test_the_mode_head_trains_the_head_alone(shared: Callable[[str], Any], corpus: Corpus, name: str) -> None:
    model, rows = shared(name), contract.few(corpus)
    prompted = model.prompt(contract.candidate(name, "head"), rows)
    delta = model.tune(prompted, tiny.gold(rows), SETTINGS["head"], 1)
    assert set(delta) == set(model.head.names)
    base = model.model.base_model_prefix + "."
    assert not any(key.startswith(base) for key in delta)
    for mode in set(MODES[name]) - {"none", "head"}:
        prompted = model.prompt(contract.candidate(name, mode), rows[:2])
        other = model.tune(prompted, [0, 1], SETTINGS[mode].change(epochs=1), 1)
        assert set(model.head.names) < set(other)


def test_what_a_masked_checkpoint_lacks_belongs_to_the_head(fresh: Callable[..., Any], corpus: Corpus) -> None:
    """A BertForMaskedLM has no pooler: that is drawn and trained with the classifier."""
    model = fresh("bert", family="classifier")
    assert any("pooler" in name for name in model.head.names)
    assert "none" not in model.tuning_modes
    rows = contract.few(corpus)
    delta = model.tune(model.prompt(contract.candidate("encoder", "head"), rows), tiny.gold(rows), SETTINGS["head"], 1)
    assert set(delta) == set(model.head.names)


def test_a_classifier_needs_labels(family_folder: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match="needs labels"):
        load_model(family_folder("encoder"))


@pytest.mark.parametrize(("name", "family"), [("encoder", "masked"), ("bert-head", "masked"), ("llama-head", "causal")])
def test_a_checkpoint_without_an_output_layer_writes_nothing(
    family_folder: Callable[[str], Path], name: str, family: str
) -> None:
    """Its missing weights would be drawn by chance."""
    with pytest.raises(InputError, match=f"lacks weights that a {family} model needs"):
        load_model(family_folder(name), family=family)


@pytest.mark.parametrize(("name", "family"), [("t5", "causal"), ("gpt2", "masked"), ("bert", "seq2seq")])
def test_a_family_that_a_checkpoint_cannot_be_is_refused(
    family_folder: Callable[[str], Path], name: str, family: str
) -> None:
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(family_folder(name), family=family)
