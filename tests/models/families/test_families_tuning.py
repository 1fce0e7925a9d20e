"""The contract of every family in every tuning mode and kind of task: what is trained, its gradients, its scores, its
texts are those of transformers alone with the fine-tune's result in its weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import contract
import pytest
import tiny
import torch
from contract import FAMILY, LONG_WORDS, MODES, WORDS, WRITERS
from plain import Plain
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D
from tuned import SOFT, Tuned

from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Example
from autoprompt.models import FAMILIES, load_model
from autoprompt.template import LabelWords, Template

TASKS_OF = {name: ("classification", "generation") if name in WRITERS else ("classification",) for name in FAMILY}
GRID = [(name, mode, task) for name in FAMILY for mode in MODES[name] for task in TASKS_OF[name]]
TRAINED = [cell for cell in GRID if cell[1] != "none"]
WRITTEN = [cell for cell in GRID if cell[2] == "generation"]
TOPICS = ("wonderful walk", "soup", "a hotel and a lamp", "garden")
ROWS = len(TOPICS)
LENGTH = 7
COARSE = ("llama", "llama-head", "t5", "modernbert", "bloom")
"""Networks that compute some of it in float32 whatever the weights are: what a small step changes drowns in that."""


def grid(cells: Sequence[tuple[str, str, str]]) -> pytest.MarkDecorator:
    """Every cell with words of one token and of several, and with trainable vectors where the template may hold any."""
    cases = [(*cell, kind) for cell in cells for kind in ("text", "vectors") if kind == "text" or _takes_vectors(cell)]
    return pytest.mark.parametrize(("name", "mode", "task", "kind"), contract.models(cases))


def _takes_vectors(cell: tuple[str, str, str]) -> bool:
    name, mode, _ = cell
    return mode != "none" and "soft" in MODES[name]


def _source(name: str, mode: str, task: str, kind: str) -> str:
    closing = {"classification": "Sentiment", "generation": "Topic"}[task]
    if kind == "text":
        return ("{soft:8}" if mode == "soft" else "") + f"{{text}}\n{closing}: {{label}}"
    if FAMILY[name] == "causal":  # vectors can stand before the answer alone
        return f"{{text}}\n{closing}:{{soft:2}} {{label}}"
    return "It was {label} : {text}{soft:2}"


def _candidate(name: str, mode: str, task: str, kind: str) -> Candidate:
    words = {"text": WORDS, "vectors": LONG_WORDS}[kind] if task == "classification" else LabelWords(())
    settings = Settings("none")
    if mode != "none":
        settings = contract.SETTINGS[mode].change(batch_size=ROWS, epochs=4)
    source = _source(name, mode, task, kind)
    return Candidate(Template.parse(source), contract.words_of(name, words), settings)


def _examples(task: str) -> list[Example]:
    rows = [Example(f"r{n}", {"text": row["text"]}, row["label"]) for n, row in enumerate(tiny.rows(0)[:ROWS])]
    if task == "classification":
        return rows
    texts = [row.fields["text"] * (1 + number % 3) for number, row in enumerate(rows)]
    return [Example(f"t{n}", {"text": text}, topic) for n, (text, topic) in enumerate(zip(texts, TOPICS, strict=True))]


@dataclass(frozen=True)
class Run:
    """A fine-tune's result, and of its last step the values it began with and their gradients."""

    delta: Mapping[str, Tensor]
    values: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]


def _run(model: Any, candidate: Candidate, rows: Sequence[Example]) -> Run:
    """Each step holds all rows: what is seen before a step is the gradient of the loss over them."""
    if candidate.settings.tuning == "none":
        return Run({}, {}, {})
    steps: list[list[tuple[Tensor, Tensor]]] = []
    clip = nn.utils.clip_grad_norm_

    def watched(parameters: Any, *limits: Any) -> Any:
        own = list(parameters)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in own]
        steps.append([(p.detach().cpu().clone(), g.cpu().clone()) for p, g in zip(own, gradients, strict=True)])
        return clip(own, *limits)

    gold = tiny.gold(tuple(rows)) if candidate.label_words.pairs or model.family == "classifier" else [0] * len(rows)
    prompted = model.prompt(candidate, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.utils, "clip_grad_norm_", watched)
        patch.setattr("autoprompt.models.adaptation.fine_tuning.STOP_LOSS", 0.0)  # all passes, whatever is learnt
        delta = model.tune(prompted, gold, candidate.settings, 1)
    assert len(steps) == candidate.settings.epochs
    values, gradients = zip(*steps[-1], strict=True)
    return Run(delta, dict(zip(delta, values, strict=True)), dict(zip(delta, gradients, strict=True)))


@pytest.fixture(scope="module")
def runs(shared: Callable[[str], Any]) -> Callable[..., Run]:
    """The fine-tune of each cell, made on first use."""
    return cache(lambda *case: _run(shared(case[0]), _candidate(*case), _examples(case[2])))


def test_the_grid_holds_every_cell_of_the_table() -> None:
    table = {(name, mode, task) for name, family in FAMILIES.items() for mode in family.modes for task in family.tasks}
    assert {(FAMILY[name], mode, task) for name, mode, task in GRID} == table
    assert {(FAMILY[name], mode, task) for name, mode, task in TRAINED} == {c for c in table if c[1] != "none"}
    assert {(FAMILY[name], mode, task) for name, mode, task in WRITTEN} == {c for c in table if c[2] == "generation"}


# What is trained


def _expected_names(made: Plain, mode: str) -> set[str]:
    """The parameters that a mode trains, by the network's own structure; a classifier's head in every mode."""
    own = {name for name, _ in made.network.named_parameters()}
    head = {name for name in own if made.family == "classifier" and _in_head(made, name)}
    if mode in ("full", "bias"):
        return head | {name for name in own if mode == "full" or name.endswith(".bias")}
    if mode in ("soft", "head"):
        return head | ({SOFT} if mode == "soft" else set())
    output = made.network.get_output_embeddings() if made.family != "classifier" else None
    layers = [
        name
        for name, module in made.network.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and module is not output
        and not (made.family == "classifier" and _in_head(made, name))
    ]
    adapter = f"{mode}{contract.SETTINGS[mode].rank}"
    return head | {f"{layer}.lora_{side}.{adapter}.weight" for layer in layers for side in "AB"}


def _in_head(made: Plain, name: str) -> bool:
    return not name.startswith(made.network.base_model_prefix + ".")


@pytest.mark.parametrize(("name", "mode", "task"), contract.models(TRAINED))
def test_each_mode_trains_what_it_is_named_after(
    plain: Callable[[str], Plain], runs: Callable[..., Run], name: str, mode: str, task: str
) -> None:
    run = runs(name, mode, task, "text")
    assert set(run.delta) == _expected_names(plain(name), mode)
    for key, gradient in run.gradients.items():
        if gradient.any():
            assert not torch.equal(run.delta[key], run.values[key])


# Gradients


@grid(TRAINED)
def test_gradients_that_training_uses_are_those_of_a_plain_loss(
    plain: Callable[[str], Plain], runs: Callable[..., Run], name: str, mode: str, task: str, kind: str
) -> None:
    """Central differences in float64 along a random direction through all tensors, and along the gradient itself."""
    run = runs(name, mode, task, kind)
    _check_gradients(plain(name), _candidate(name, mode, task, kind), _examples(task), run, coarse=name in COARSE)


@torch.no_grad()
def _check_gradients(made: Plain, candidate: Candidate, rows: Sequence[Example], run: Run, *, coarse: bool) -> None:
    least, error = (2e-4, 5e-4) if coarse else (1e-6, 1e-5)
    generator = torch.Generator().manual_seed(0)
    gradients = {key: gradient.double() for key, gradient in run.gradients.items()}
    norm = float(torch.stack([gradient.square().sum() for gradient in gradients.values()]).sum().sqrt())
    assert norm > 10 * error
    random = {key: torch.randn(gradient.shape, generator=generator).double() for key, gradient in gradients.items()}
    uphill = {key: gradient / norm for key, gradient in gradients.items()}
    for direction, step in ((random, least), (uphill, 10 * least)):
        losses = []
        for sign in (step, -step):
            moved = {key: run.values[key].double() + sign * direction[key] for key in gradients}
            tuned = Tuned.of_delta(made, candidate.settings.tuning, moved, torch.float64)
            losses.append(float(tuned.loss(candidate, rows, tiny.LABELS)))
        promised = float(sum((gradients[key] * direction[key]).sum() for key in gradients))
        assert promised == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=5e-3 if coarse else 1e-3, abs=error)


# Scores


@grid(GRID)
def test_tuned_scores_are_those_of_plain_passes(
    shared: Callable[[str], Any],
    plain: Callable[[str], Plain],
    runs: Callable[..., Run],
    name: str,
    mode: str,
    task: str,
    kind: str,
) -> None:
    candidate, run = _candidate(name, mode, task, kind), runs(name, mode, task, kind)
    judged = contract.rows() if task == "classification" else _examples(task)
    frozen, tuned = _scores(shared(name), candidate, judged, run)
    expected = Tuned.of_delta(plain(name), mode, run.delta)
    with torch.no_grad():
        torch.testing.assert_close(tuned, expected.scores(candidate, judged), rtol=0, atol=1e-4)
    assert mode == "none" or float((tuned - frozen).abs().max()) > 1e-3


def _scores(model: Any, candidate: Candidate, rows: Sequence[Example], run: Run) -> tuple[Tensor, Tensor]:
    """The frozen model's and the tuned one's."""
    model.check(candidate)
    prompted = model.prompt(candidate, rows)
    frozen = model.score(prompted)
    with model.adapted(candidate.settings, run.delta):
        return frozen, model.score(prompted)


# Texts


@grid(WRITTEN)
@torch.no_grad()
def test_tuned_texts_are_those_of_a_plain_greedy_loop(
    shared: Callable[[str], Any],
    plain: Callable[[str], Plain],
    runs: Callable[..., Run],
    name: str,
    mode: str,
    task: str,
    kind: str,
) -> None:
    model, candidate, run = shared(name), _candidate(name, mode, task, kind), runs(name, mode, task, kind)
    rows = _examples(task)
    asking = model.answer_prompt(candidate, rows)
    with model.adapted(candidate.settings, run.delta):
        texts = model.generate(asking, LENGTH)
    expected = Tuned.of_delta(plain(name), mode, run.delta)
    assert texts == [expected.write(candidate, row, LENGTH) for row in rows]
    assert any(texts)


# Tail tuning, where some layers have no adapters

DEEP = {
    "llama": {"num_key_value_heads": 2, "intermediate_size": 64},
    "gpt2": {"n_positions": 256},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 16, "activation_function": "gelu"},
    "bloom": {},
}
"""Positions in the attention, in the input, in it from an offset on, and as a slope. All are smooth, which differences
need: a ReLU has kinks."""
TAILS = (
    "{text}\nIn one word, this is {label}",
    "{text}{label}",
    "{label} is what I say of {text}",
    "So: {text} It was{soft:2} {label}",
    "{soft:2}{text} It was {label}",
)
"""The tail is the words after the text, some places of the text, everything, ends in vectors, is everything again."""


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Plain]]:
    """A model of three layers, the lowest of which tail tuning leaves alone."""
    root = tmp_path_factory.mktemp("deep")
    return cache(lambda name: _deep(name, root / name))


def _deep(name: str, folder: Path) -> tuple[Any, Plain]:
    tokenizer = tiny.byte_level(None)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": len(tokenizer)}
    config = AutoConfig.for_model(name, **sizes, **DEEP[name], bos_token_id=1, eos_token_id=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = AutoModelForCausalLM.from_config(config)
        for parameter in network.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load_model(folder), Plain.of("causal", folder)


@pytest.mark.parametrize("source", TAILS)
@pytest.mark.parametrize("name", sorted(DEEP))
def test_a_tail_in_the_upper_layers_is_that_of_plain_passes(
    deep: Callable[[str], tuple[Any, Plain]], name: str, source: str
) -> None:
    (model, made), rows = deep(name), _examples("classification")
    settings = contract.SETTINGS["tail"].change(batch_size=ROWS, epochs=4)
    candidate = Candidate(Template.parse(source), LONG_WORDS, settings)
    run = _run(model, candidate, rows)
    adapters = {key for key in _expected_names(made, "tail") if ".1." in key or ".2." in key}
    assert set(run.delta) == adapters | ({SOFT} if candidate.template.soft else set())
    _check_gradients(made, candidate, rows, run, coarse=name in COARSE)
    frozen, tuned = _scores(model, candidate, contract.rows(), run)
    with torch.no_grad():
        expected = Tuned.of_delta(made, "tail", run.delta).scores(candidate, contract.rows())
    torch.testing.assert_close(tuned, expected, rtol=0, atol=1e-4)
    assert float((tuned - frozen).abs().max()) > 1e-3
