"""The numbered faults of models and of what they are given, in every family."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import contract
import pytest
import tiny
import tiny_families
import torch
from contract import CLASSIFIERS, FAMILY, SETTINGS, WORDS
from plain import AUTO
from torch import Tensor, nn
from transformers import AutoTokenizer

from autoprompt.candidate import Settings
from autoprompt.corpus import Corpus, Example
from autoprompt.errors import InputError
from autoprompt.models import CandidateFailedError, load_model, locate_model, propose_tokens
from autoprompt.models.acceleration.micro_batches import is_short_memory
from autoprompt.template import LabelWords

names = pytest.mark.parametrize("name", sorted(FAMILY))
HOSTILE = ("[MASK]", "<mask>", "{text}", "{label}", "{}", "</s>", "<s>", "<extra_id_0>", "[SEP]", "[CLS] <pad>", "{{}")


def _message(error: pytest.ExceptionInfo[InputError]) -> str:
    """The refusal, which is one line and ends with exit code 3."""
    assert error.value.exit_code == 3
    assert "\n" not in str(error.value)
    return str(error.value)


def _copy(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to, dirs_exist_ok=True)
    return to


@names
@pytest.mark.parametrize("mode", ["none", "soft"])
def test_fault_09_data_is_literal_in_every_family(shared: Callable[[str], Any], name: str, mode: str) -> None:
    """One place is predicted whatever the data spells, also where signs for vectors are put into the text."""
    model = shared(name)
    if mode not in model.tuning_modes and mode == "soft":
        pytest.skip("no vectors in this model")
    source = "It was {label} : {text} !" if mode == "none" else "{text}{soft:1} {label}"
    candidate = contract.candidate(name, mode, source)
    special = set(model.encoder.tokenizer.all_special_ids) - {model.encoder.tokenizer.unk_token_id}
    counts = set()
    for hostile in HOSTILE:
        text = f"the soup {hostile} was bad"
        prompted = model.prompt(candidate, tiny.examples(text))
        (row,) = prompted.rows
        ids = [token for own in (row.context, *row.inputs) for token in own]
        counts.add(sum(token in special for token in ids))
        if name not in CLASSIFIERS:
            assert [len(target.places) for target in row.targets] == [len(target.ids) for target in row.targets]
            masks = sum(token == model.encoder.tokenizer.mask_token_id for token in row.inputs[0])
            assert masks == (len(row.targets[0].places) if FAMILY[name] == "masked" else 0)
        written = row.context or (
            *model.encoder.heads(candidate, tiny.examples(text))[0][: row.cached_tokens],
            *row.inputs[0],
        )
        shown = model.encoder.tokenizer.decode([token for token in written if token >= 0 and token not in special])
        assert "".join(text.lower().split()) in "".join(shown.lower().split())
        assert torch.isfinite(model.score(prompted)).all()
    assert len(counts) == 1  # whatever the data spells


@names
def test_fault_15_label_words_that_a_tokenizer_makes_the_same(shared: Callable[[str], Any], name: str) -> None:
    same = {
        "bert": ("Good", "good"),
        "t5": ("good bad", "good  bad"),
        "deberta": ("good bad", "good  bad"),
    }
    model = shared(name)
    if name in CLASSIFIERS:
        assert contract.candidate(name).label_words.pairs == ()  # a classifier has none
        return
    if name in same:
        words = LabelWords(tuple(zip(tiny.LABELS, same[name], strict=True)))
        with pytest.raises(InputError) as caught:
            model.check(contract.candidate(name, words=words))
        assert "cannot be told apart" in _message(caught)
    else:  # byte-level tokenizers tell all texts apart
        words = LabelWords((("positive", "good bad"), ("negative", "good  bad")))
        model.check(contract.candidate(name, words=words))


@pytest.mark.parametrize("name", sorted(set(FAMILY) - set(CLASSIFIERS)))
@pytest.mark.parametrize("word", ["日本", "good 日", "\u200d"])
def test_fault_15_label_words_unknown_to_the_tokenizer(shared: Callable[[str], Any], name: str, word: str) -> None:
    candidate = contract.candidate(name, words=WORDS.replace("negative", word))
    if name in ("bert", "t5", "deberta"):
        with pytest.raises(InputError) as caught:
            shared(name).check(candidate)
        assert f"{word!r} of 'negative'" in _message(caught)
    else:
        shared(name).check(candidate)
    with pytest.raises(InputError, match="is empty"):
        WORDS.replace("negative", " \t")


@names
def test_fault_17_pickled_weights(family_folder: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    folder = _copy(family_folder(name), tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError) as caught:
        locate_model(str(folder))
    assert "convert them to safetensors" in _message(caught)
    with pytest.raises(InputError):
        load_model(folder, labels=tiny.LABELS)


@names
def test_fault_18_code_of_its_own_is_never_run(family_folder: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    folder = _copy(family_folder(name), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {"AutoModel": "code.Model", "AutoConfig": "code.Config"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    marker = tmp_path / "ran"
    (folder / "code.py").write_text(f"open({str(marker)!r}, 'w')\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        locate_model(str(folder))
    assert "auto_map in config.json" in _message(caught)
    assert not marker.exists()


@pytest.mark.parametrize("file", ["tokenizer_config.json", "processor_config.json", "preprocessor_config.json"])
def test_fault_18_code_of_a_tokenizer_or_processor_is_never_run(
    family_folder: Callable[[str], Path], tmp_path: Path, file: str
) -> None:
    folder = _copy(family_folder("bert"), tmp_path / "model")
    path = folder / file
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps(config | {"auto_map": {"AutoTokenizer": ["code.Own", None]}}), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        locate_model(str(folder))
    assert f"auto_map in {file}" in _message(caught)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        locate_model(str(folder))
    assert f"{file} holds no JSON object" in _message(caught)


def test_other_programs_files_beside_a_model_are_none_of_ours(
    family_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """Models of sentence-transformers bring a list of their training data."""
    folder = _copy(family_folder("bert"), tmp_path / "model")
    (folder / "data_config.json").write_text('[{"name": "pairs"}]', encoding="utf-8")
    assert locate_model(str(folder)).family == "masked"


@names
def test_fault_18_nothing_is_loaded_with_trust_in_remote_code(
    family_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked = []
    for kind in (AutoTokenizer, AUTO[FAMILY[name]]):

        def load(*place: Any, _load: Any = kind.from_pretrained, **how: Any) -> Any:
            asked.append(how.get("trust_remote_code"))
            return _load(*place, **how)

        monkeypatch.setattr(kind, "from_pretrained", load)
    load_model(family_folder(name), labels=tiny.LABELS)
    assert asked == [False, False]


def test_fault_20_a_folder_that_shadows_a_hub_name(
    family_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _copy(family_folder("bert"), tmp_path / "google" / "bert")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        locate_model("google/bert")
    assert "./google/bert" in _message(caught)
    assert locate_model("./google/bert").family == "masked"


@names
def test_fault_21_truncated_weights(family_folder: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    folder = _copy(family_folder(name), tmp_path / "model")
    weights = folder / "model.safetensors"
    for content in (weights.read_bytes()[:-64], b""):
        weights.write_bytes(content)
        with pytest.raises(InputError) as caught:
            load_model(folder, labels=tiny.LABELS)
        assert "cannot be loaded" in _message(caught)


def test_fault_21_a_masked_model_without_a_mask_token(family_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = _copy(family_folder("roberta"), tmp_path / "model")
    tokenizer = tiny_families.roberta()
    tokenizer.mask_token = None
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["mask_token"] = None
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_model(folder)
    assert "no mask token" in _message(caught)


@names
def test_fault_23_scores_that_are_not_finite(fresh: Callable[..., Any], name: str) -> None:
    """One weight is enough."""
    model = fresh(name)
    mode = "full"
    candidate = contract.candidate(name, mode)
    prompted = model.prompt(candidate, contract.rows())
    delta = {n: p.detach().clone() for n, p in model.model.named_parameters()}
    before = model.score(prompted)
    for value in (float("nan"), float("inf")):
        spoilt = delta | {n: torch.full_like(v, value) for n, v in delta.items() if v is next(reversed(delta.values()))}
        with model.adapted(SETTINGS[mode], spoilt), pytest.raises(CandidateFailedError, match="a score is not finite"):
            model.score(prompted)
    assert torch.equal(before, model.score(prompted))


# Fault 24: out of memory


_SHORT = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "64000000 bytes. Error code 12 (Cannot allocate memory)"
)
"""As torch 2.13 says it on Linux."""

_UNDER_A_LIMIT = """
import json, resource
from pathlib import Path

import numpy
import torch

from autoprompt.models.acceleration.micro_batches import run_in_parts

torch.ones(8, 8) @ torch.ones(8, 8)
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (96 << 20),) * 2)
making = {  # 4 MiB a row
    "torch": lambda rows: torch.ones(len(rows), 1 << 20).sum().item(),
    "numpy": lambda rows: numpy.ones((len(rows), 1 << 20), "float32").sum(),
    "python": lambda rows: len(bytearray(len(rows) << 22)),
}
found = {name: [len(part) for part, _ in run_in_parts(range(64), run)] for name, run in making.items()}
try:
    list(run_in_parts(range(1), lambda rows: torch.ones(1 << 28)))
except Exception as error:
    found["one row"] = str(error)
print(json.dumps(found))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space of a process on Linux")
def test_fault_24_a_real_allocation_beyond_a_limit_is_made_in_parts() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _UNDER_A_LIMIT],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("one row") == "there is not enough memory for a pass of one row"
    for name, parts in found.items():
        assert sum(parts) == 64, name
        assert 1 < len(parts) < 64, f"{name}: {parts}"


def test_fault_24_all_that_says_so_is_recognised() -> None:
    from accelerate.utils.memory import should_reduce_batch_size

    known = [
        _SHORT,
        "CUDA out of memory. Tried to allocate 2.00 GiB.",
        "MPS backend out of memory (MPS allocated: 9.00 GB)",
        "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED.",
        "FATAL ERROR :: MODULE:PT_DEVMEM Allocation failed for size::1 (0)MB",
    ]
    more = [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.",
        "std::bad_alloc",
    ]
    assert all(should_reduce_batch_size(RuntimeError(text)) for text in known)
    assert all(is_short_memory(RuntimeError(text)) for text in (*known, *more))
    assert all(map(is_short_memory, (torch.OutOfMemoryError(""), MemoryError())))
    for other in (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError(_SHORT), RuntimeError()):
        assert not is_short_memory(other)


class _FirstGradientsError(Exception):
    """Holds what the first step's gradients were."""


def _short_of_memory(model: Any, rows: int, error: type[Exception], message: str = "") -> Any:
    """A hook on the network that lets the sequences of no more than so many rows pass."""
    sample = model.prompt(contract.candidate("encoder" if model.family == "classifier" else "bert"), contract.rows())
    each = len(sample.rows[0].inputs)

    def refuse(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        del args
        if kwargs["input_ids"].shape[0] > rows * each:
            raise error(message)

    return model.model.register_forward_pre_hook(refuse, with_kwargs=True)


def _first_gradients(
    model: Any, candidate: Any, rows: Sequence[Example], monkeypatch: pytest.MonkeyPatch
) -> list[Tensor]:
    def stop(parameters: Any, *_: Any) -> None:
        raise _FirstGradientsError([p.grad.clone() for p in parameters])

    prompted = model.prompt(candidate, rows)
    with monkeypatch.context() as patched:
        patched.setattr(nn.utils, "clip_grad_norm_", stop)
        with pytest.raises(_FirstGradientsError) as caught:
            model.tune(prompted, tiny.gold(tuple(rows)), candidate.settings, 1)
    gradients: list[Tensor] = caught.value.args[0]
    return gradients


@pytest.mark.parametrize("name", ["llama", "bert", "bart", "bert-head"])
@pytest.mark.parametrize("mode", ["lora", "full"])
def test_fault_24_parts_of_a_batch_add_up_to_its_gradients(
    fresh: Callable[..., Any], corpus: Corpus, monkeypatch: pytest.MonkeyPatch, name: str, mode: str
) -> None:
    model, rows = fresh(name), corpus.train[:12]
    candidate = contract.candidate(name, mode)
    whole = _first_gradients(model, candidate, rows, monkeypatch)
    assert model.micro_batch is None
    for error, message in ((torch.OutOfMemoryError, ""), (MemoryError, ""), (RuntimeError, _SHORT)):
        model.micro_batch = None
        hook = _short_of_memory(model, 2, error, message)
        parts = _first_gradients(model, candidate, rows, monkeypatch)
        hook.remove()
        assert model.micro_batch == 2  # 6, 3, 2
        for a, b in zip(whole, parts, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


@names
def test_fault_24_a_fine_tune_goes_on_in_smaller_parts(fresh: Callable[..., Any], corpus: Corpus, name: str) -> None:
    model, rows = fresh(name), corpus.train[:7]
    candidate = contract.candidate(name, "full")
    prompted = model.prompt(candidate, rows)
    settings = SETTINGS["full"].change(epochs=2)
    weights = contract.weights(model)
    whole = model.tune(prompted, tiny.gold(rows), settings, 1)
    assert model.micro_batch is None
    hook = _short_of_memory(model, 3, torch.OutOfMemoryError)
    parts = model.tune(prompted, tiny.gold(rows), settings, 1)
    assert model.micro_batch == 3
    with model.adapted(settings, parts):
        scores = model.score(prompted)  # scoring passes are halved, too
    hook.remove()
    assert model.micro_batch == 2  # 7, 4, 2
    with model.adapted(settings, whole):
        assert torch.allclose(model.score(prompted), scores, atol=0.05)
    hook = _short_of_memory(model, 0, torch.OutOfMemoryError)
    with pytest.raises(CandidateFailedError, match="one row at a time"):
        model.tune(prompted, tiny.gold(rows), settings, 1)
    with pytest.raises(CandidateFailedError, match="a pass of one row"):
        model.score(prompted)
    hook.remove()
    assert contract.same(weights, contract.weights(model))
    assert contract.same(whole, model.tune(prompted, tiny.gold(rows), settings, 1))


def test_fault_24_prefixes_and_lower_layers_are_computed_in_smaller_parts(
    fresh: Callable[..., Any], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoprompt.models.acceleration.layer_replay.LOWER_SHARE", 0.5)  # one layer of two
    rows = corpus.train[:8]
    candidate = contract.candidate("llama", "tail")
    plenty, short = fresh("llama"), fresh("llama")
    whole = plenty.prompt(candidate, rows)
    hook = _short_of_memory(short, 3, torch.OutOfMemoryError)
    parts = short.prompt(candidate, rows)
    assert short.micro_batch == 2  # 8, 4, 2
    for a, b in zip(whole.states, parts.states, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    ready, less = plenty.before_tuning(whole, SETTINGS["tail"]), short.before_tuning(parts, SETTINGS["tail"])
    for a, b in zip(ready.lower, less.lower, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert plenty.micro_batch is None
    hook.remove()


def test_fault_24_no_memory_for_one_row_fails_a_candidate_and_no_run(
    fresh: Callable[..., Any], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoprompt.models.acceleration.layer_replay.LOWER_SHARE", 0.5)
    model, rows = fresh("llama"), corpus.train[:4]
    candidate = contract.candidate("llama", "tail")
    prompted = fresh("llama").prompt(candidate, rows)
    weights = contract.weights(model)
    hook = _short_of_memory(model, 0, torch.OutOfMemoryError)
    for refused in (
        lambda: model.prompt(candidate, rows),
        lambda: model.before_tuning(prompted, SETTINGS["tail"]),
        lambda: model.generate(model.answer_prompt(contract.candidate("llama", "full"), rows), 4),
    ):
        with pytest.raises(CandidateFailedError, match="a pass of one row"):
            refused()
    # What belongs to no candidate's score goes without.
    assert model.prepare_prefix(candidate, rows, 0, 1) >= 0
    hook.remove()
    assert contract.same(weights, contract.weights(model))
    assert not model.tuner.busy


@pytest.mark.parametrize("name", ["llama", "bert", "t5", "encoder"])
def test_fault_24_no_memory_for_gradients_and_perplexity(fresh: Callable[..., Any], corpus: Corpus, name: str) -> None:
    model, rows = fresh(name), corpus.train[:4]
    candidate = contract.candidate(name, "full", "Review: {text} It was {label}")
    hook = _short_of_memory(model, 0, torch.OutOfMemoryError)
    proposals = propose_tokens(model, candidate, rows, lambda h, s: h.sum() + s.sum(), replacements=2, infills=2)
    assert (proposals.replacements, proposals.infills) == ([], [])
    assert model.perplexity("It was") is None
    hook.remove()
    assert propose_tokens(
        model, candidate, rows, lambda h, s: h.sum() + s.sum(), replacements=2, infills=2
    ).replacements


@pytest.mark.parametrize("name", contract.WRITERS)
def test_fault_24_texts_are_written_in_smaller_parts(fresh: Callable[..., Any], corpus: Corpus, name: str) -> None:
    model, rows = fresh(name), corpus.train[:5]
    prompted = model.answer_prompt(contract.candidate(name, "none", words=LabelWords(())), rows)
    whole = model.generate(prompted, 6)
    assert model.micro_batch is None

    def refuse(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        read = kwargs.get("input_ids", args[0] if args else None)
        if read is not None and read.shape[0] > 2:
            raise torch.OutOfMemoryError

    reads = model.model.get_encoder() if model.family == "seq2seq" else model.model
    hook = reads.register_forward_pre_hook(refuse, with_kwargs=True)
    assert model.generate(prompted, 6) == whole
    hook.remove()
    assert model.micro_batch == 1  # 5, 3, 2 and 1


def test_fault_24_no_memory_to_put_a_fine_tune_in_its_place(
    fresh: Callable[..., Any], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a head that is drawn anew is changed by the attempt."""
    model, rows = fresh("encoder"), corpus.train[:4]
    candidate = contract.candidate("encoder", "full")
    delta = model.tune(model.prompt(candidate, rows), tiny.gold(rows), SETTINGS["full"], 1)
    weights = contract.weights(model)
    left, clone = [8], Tensor.clone

    def short(tensor: Tensor, *arguments: Any, **how: Any) -> Tensor:
        left[0] -= 1
        if left[0] < 0:
            raise torch.OutOfMemoryError
        return clone(tensor, *arguments, **how)

    with monkeypatch.context() as patched:
        patched.setattr(Tensor, "clone", short)
        with (
            pytest.raises(CandidateFailedError, match="apply the fine-tuned weights"),
            model.adapted(SETTINGS["full"], delta),
        ):
            pass
    assert contract.same(weights, contract.weights(model))


def test_fault_24_other_errors_are_no_lack_of_memory(fresh: Callable[..., Any], corpus: Corpus) -> None:
    model, rows = fresh("bert"), corpus.train[:4]
    prompted = model.prompt(contract.candidate("bert", "full"), rows)
    hook = _short_of_memory(model, 1, RuntimeError, "shapes do not match")
    with pytest.raises(RuntimeError, match="shapes do not match"):
        model.tune(prompted, tiny.gold(rows), SETTINGS["full"], 1)
    hook.remove()


@names
def test_fault_27_constant_predictions_are_scored(shared: Callable[[str], Any], name: str) -> None:
    """Rows that are all alike, before and after a fine-tune towards one label."""
    model = shared(name)
    rows = [Example(f"r{n}", {"text": "the soup"}, tiny.LABELS[n % 2]) for n in range(6)]
    candidate = contract.candidate(name, "full")
    prompted = model.prompt(candidate, rows)
    settings = Settings("full", 1e-3, 6, 20)
    delta = model.tune(prompted, [0] * 6, settings, 1)
    with model.adapted(settings, delta):
        scores = model.score(prompted)
    assert torch.isfinite(scores).all()
    assert scores.argmax(1).tolist() == [0] * 6
    assert model.score(prompted).std(0).max() < 1e-5


def test_fault_24_adapters_that_found_no_room_are_put_in_whole_the_next_time(
    fresh: Callable[..., Any], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft.tuners.lora import LoraModel

    rows, model = corpus.train[:8], fresh("llama")
    prompted = model.prompt(contract.candidate("llama", "lora"), rows)
    small = SETTINGS["lora"].change(rank=2)
    model.tune(prompted, tiny.gold(rows), SETTINGS["lora"], 1)
    weights = contract.weights(model)
    put, calls = LoraModel._create_and_replace, []

    def short(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise torch.OutOfMemoryError("no room")
        return put(self, *args, **kwargs)

    monkeypatch.setattr(LoraModel, "_create_and_replace", short)
    with pytest.raises(CandidateFailedError):
        model.tune(prompted, tiny.gold(rows), small, 1)
    monkeypatch.undo()
    assert len(calls) == 4
    other = fresh("llama")
    expected = other.tune(other.prompt(contract.candidate("llama", "lora"), rows), tiny.gold(rows), small, 1)
    assert contract.same(model.tune(prompted, tiny.gold(rows), small, 1), expected)
    assert contract.same(weights, contract.weights(model))
