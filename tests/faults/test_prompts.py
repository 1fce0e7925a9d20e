"""The numbered faults of data in prompts, templates, label words and models: what must happen."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from transformers import AutoTokenizer

from autoprompt.candidate import Settings
from autoprompt.corpus import Example
from autoprompt.errors import InputError, NotFoundError
from autoprompt.models import LanguageModel, load_model, locate_model
from autoprompt.models.prompts.encoding import Encoder
from autoprompt.template import LabelWords, Template

WORDS = LabelWords.of(tiny.WORDS, tiny.LABELS)
TEMPLATE = Template.parse("{text}\nSentiment: {label}")


def _message(error: pytest.ExceptionInfo[InputError]) -> str:
    """The refusal, which is one line and ends with exit code 3."""
    assert error.value.exit_code == 3
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("hostile", ["[MASK]", "{text}", "{label}", "{}", "</s>", "<s>", "{{", "}", "good", "%s {0}"])
def test_fault_09_data_is_literal_and_one_place_is_predicted(model: LanguageModel, hostile: str) -> None:
    text = f"The soup {hostile} was bad"
    assert [p.slot for p in TEMPLATE.pieces({"text": text}, "good")] == ["text", None, "label"]
    assert TEMPLATE.render({"text": text}) == f"{text}\nSentiment: "
    prompted = model.prompt(tiny.prompt_of(TEMPLATE, WORDS, "full"), tiny.examples(text))
    (row,) = prompted.rows  # type: ignore[attr-defined]
    assert len(row.inputs) == 1  # both words after one and the same context
    assert [len(target.ids) for target in row.targets] == [1, 1]
    tokenizer = model.encoder.tokenizer  # type: ignore[attr-defined]
    ids = [token for token in row.inputs[0][1:] if token in tokenizer.all_special_ids]
    assert ids == []
    written = tokenizer.decode([*row.inputs[0], *row.targets[0].ids], clean_up_tokenization_spaces=False)
    assert written.removeprefix("<s>") == f"{text}\nSentiment: good"
    assert torch.isfinite(model.score(prompted)).all()


def test_fault_10_only_the_field_is_cut_and_the_cut_is_counted(
    family: str, model_folders: dict[str, Path], device: str
) -> None:
    model = load_model(model_folders[family], device=device, max_length=16)
    long = "The soup was lovely and well made. " * 40
    rows = tiny.examples(long, "short", long + "x")
    assert model.cut_rows(["text"], rows) == 2
    template = Template.parse("Read this film review: {text}\nIn one word, the Sentiment of this is {label} , all day")
    prompted = model.prompt(tiny.prompt_of(template, WORDS, "full"), rows)
    tokenizer = AutoTokenizer.from_pretrained(model_folders[family])
    for row, encoded in zip(rows, prompted.rows, strict=True):  # type: ignore[attr-defined]
        for target, word in zip(encoded.targets, WORDS.words, strict=True):
            ids = [*encoded.inputs[target.input], target.ids[-1]]
            text = tokenizer.decode(ids, clean_up_tokenization_spaces=False).removeprefix("<s>")
            assert text.startswith("Read this film review: ")
            assert text.endswith(f"\nIn one word, the Sentiment of this is {word} , all day")
            field = text.removeprefix("Read this film review: ").split("\nIn one word")[0]
            assert row.fields["text"].startswith(field)
            assert len(tokenizer(field, add_special_tokens=False)["input_ids"]) <= 16
            assert len(tokenizer(field, add_special_tokens=False)["input_ids"]) >= 15 or row.fields["text"] == field
    scores = model.score(prompted)
    assert torch.isfinite(scores).all()
    assert scores[0].tolist() == pytest.approx(scores[2].tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("source", "column"),
    [
        ("{text.__class__} {label}", 1),
        ("{label} {0}", 9),
        ("é {text!r} {label}", 3),
        ("{label}{text:>50000000}", 8),
        ("{label} {text[0]}", 9),
        ("{label} {}", 9),
        ("{label} { text }", 9),
        ("{label} {text\n}", 9),
        ("{label} {*text}", 9),
    ],
)
def test_fault_12_a_slot_is_a_plain_name(source: str, column: int) -> None:
    with pytest.raises(InputError) as caught:
        Template.parse(source)
    assert f"column {column} " in _message(caught)


@pytest.mark.parametrize(
    ("source", "column"),
    [
        ("{text", 1),
        ("ab {text", 4),
        ("{text} }", 8),
        ("}", 1),
        ("{{text}", 7),
        ("{text}}", 7),
        ("{{{", 3),
        ("{text} is {mood} or {label}", 11),
        ("{text} is {mood} or {tone}", 11),
        ("{{text}} {text} {txt} {label}", 17),
        ("{text} is {label} or {label}", 22),
        ("{text} is {sentiment} or {sentiment}", 26),
        ("{text} is", 9),
    ],
)
def test_fault_13_braces_fields_and_label_slots_are_named_with_their_column(source: str, column: int) -> None:
    with pytest.raises(InputError) as caught:
        Template.parse(source).bind(["text"], "sentiment")
    assert f"column {column} " in _message(caught).replace(";", " ").replace(",", " ").replace(".", " ")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ({"positive": "good", "negative": "good"}, "share the word"),
        ({"positive": "good", "negative": " good "}, "share the word"),
        ({"positive": "good", "negative": ""}, "'negative' is empty"),
        ({"positive": " \t", "negative": "bad"}, "'positive' is empty"),
        ({"positive": "good"}, "['negative']"),
        ({"positive": "good", "negative": "bad", "neutral": "so"}, "['neutral']"),
    ],
)
def test_fault_15_label_words_that_collide_or_are_empty(words: dict[str, str], part: str) -> None:
    with pytest.raises(InputError) as caught:
        LabelWords.of(words, tiny.LABELS)
    assert part in _message(caught)


def test_fault_15_label_words_unknown_to_the_tokenizer(shared_models: dict[str, LanguageModel]) -> None:
    template = Template.parse("{text} {label}")
    for name, word in (("words", "splendid"), ("words", "good splendid"), ("dropping", "日本"), ("dropping", "bad日")):
        with pytest.raises(InputError) as caught:
            shared_models[name].check(tiny.prompt_of(template, WORDS.replace("positive", word)))
        assert f"{word!r} of 'positive'" in _message(caught)
    with pytest.raises(InputError) as caught:
        shared_models["words"].check(tiny.prompt_of(template, LabelWords((("a", "good bad"), ("b", "good  bad")))))
    assert "cannot be told apart" in _message(caught)


_LOCATE = """
import sys
from autoprompt.errors import AutopromptError
from autoprompt.models import locate_model
try:
    locate_model(sys.argv[1])
except AutopromptError as error:
    print(type(error).__name__, error.exit_code, error)
"""


def _locate_elsewhere(name: str, folder: Path, **environment: str) -> str:
    """What another process with an empty Hub cache and this environment says."""
    kept = {key: value for key, value in os.environ.items() if not key.lower().startswith(("hf_", "huggingface_"))}
    done = subprocess.run(
        [sys.executable, "-c", _LOCATE, name],
        env=kept | {"HF_HOME": str(folder / "hub")} | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert done.stdout.count("\n") == 1
    return done.stdout


@pytest.mark.timeout(30)
def test_fault_19_a_hub_name_while_offline(tmp_path: Path) -> None:
    said = _locate_elsewhere("someone/some-model", tmp_path, HF_HUB_OFFLINE="1")
    assert said.startswith("InputError 3 ")
    assert "'someone/some-model'" in said
    assert "embedded model" in said


@pytest.mark.timeout(30)
def test_fault_19_a_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    # A port of this machine where nothing listens.
    said = _locate_elsewhere("someone/some-model", tmp_path, HF_ENDPOINT="http://127.0.0.1:9", NO_PROXY="127.0.0.1")
    assert said.startswith("InputError 3 ")
    assert "cannot be reached" in said


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", ["no model at all", "a/b/c/d", "-", "über/model", "x" * 200])
def test_fault_19_a_name_that_no_model_can_have(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError) as caught:
        locate_model(name)
    assert name in _message(caught)


@pytest.mark.timeout(30)
def test_fault_19_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_folders: dict[str, Path]) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("./absent", str(tmp_path / "absent"), "../absent"):
        with pytest.raises(NotFoundError) as caught:
            locate_model(name)
        assert "absent" in _message(caught)
    (tmp_path / "here").mkdir()
    with pytest.raises(InputError) as caught:
        locate_model("./here")
    assert "config.json" in _message(caught)
    with pytest.raises(InputError) as caught:
        locate_model("here")
    assert "./here" in _message(caught)
    assert locate_model(str(model_folders["llama"])).config["model_type"] == "llama"


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"auto_map": {"AutoModelForCausalLM": "code.Model"}}, "auto_map"),
        ({"model_type": "vit", "architectures": ["ViTModel"]}, "'vit'"),
        ({"is_encoder_decoder": True}, "neither a causal"),
    ],
)
def test_fault_18_a_config_that_is_not_safe_or_of_no_family(
    change: dict[str, object], part: str, tmp_path: Path, model_folders: dict[str, Path]
) -> None:
    config = json.loads((model_folders["llama"] / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | change), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(InputError) as caught:
        locate_model(str(tmp_path))
    assert part in _message(caught) or "safetensors" in _message(caught)
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(InputError) as caught:
        locate_model(str(tmp_path))
    assert part in _message(caught)


def test_a_frozen_prompt_scores_rows_with_structured_fields(shared_models: dict[str, LanguageModel]) -> None:
    row = Example("r", {"text": {"title": "{label}", "tags": ["</s>", "x"]}}, "positive")
    model = shared_models["llama"]
    scores = model.score(model.prompt(tiny.prompt_of(TEMPLATE, WORDS), [row]))
    plain = model.score(model.prompt(tiny.prompt_of(TEMPLATE, WORDS), tiny.examples("title: {label}\ntags: </s>, x")))
    assert scores.tolist()[0] == pytest.approx(plain.tolist()[0], abs=1e-5)
    with model.adapted(Settings("none"), {}):
        assert torch.equal(scores, model.score(model.prompt(tiny.prompt_of(TEMPLATE, WORDS), [row])))
    assert isinstance(model.encoder, Encoder)  # type: ignore[attr-defined]
