"""The file of ``--config`` and ``--fix``: what is read, what is refused, and what a fixed gene means for a run."""

import json
from pathlib import Path
from typing import Any

import commands
import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autoprompt
from autoprompt.errors import InputError, UsageError
from autoprompt.leaderboard import Leaderboard
from autoprompt.optimizer import SearchConfig, parse_fix
from autoprompt.optimizer.config import GENES
from autoprompt.optimizer.operators import all_operators

NUMBERS = st.lists(st.integers(1, 4096), min_size=1, max_size=4, unique=True)
RATES = st.lists(st.floats(1e-9, 1, exclude_min=True), min_size=1, max_size=4, unique=True)
SIZES = st.integers(1, 1000)
SECTIONS = {
    "settings": {
        "learning_rate": RATES,
        "batch_size": NUMBERS,
        "epochs": NUMBERS,
        "rank": NUMBERS,
        "calibration": st.sampled_from([[False], [True], [True, False]]),
    },
    "template": {
        "max_length": SIZES,
        "positions": st.booleans(),
        "soft": st.lists(st.integers(0, 64), min_size=1, max_size=4, unique=True),
        "demos": st.lists(st.integers(0, 32), min_size=1, max_size=4, unique=True),
    },
    "search": {
        **dict.fromkeys(("pool", "survivors", "population", "finalists"), SIZES),
        **dict.fromkeys(("immigrants", "ladder", "halving", "surrogate", "racing"), st.booleans()),
        "operators": st.lists(
            st.sampled_from([o.name for o in all_operators(gradients=True)]), min_size=1, unique=True
        ),
    },
}
FILES = st.fixed_dictionaries({}, optional={s: st.fixed_dictionaries({}, optional=k) for s, k in SECTIONS.items()})


def toml(values: dict[str, dict[str, Any]]) -> str:
    """Numbers, flags and lists of them are written alike in JSON and TOML."""
    lines = [
        f"[{section}]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in keys.items())
        for section, keys in values.items()
    ]
    return "".join(lines)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "search.toml"


@hypothesis.settings(deadline=None)
@given(values=FILES)
def test_what_is_written_is_read(place: Path, values: dict[str, dict[str, Any]]) -> None:
    place.write_text(toml(values), encoding="utf-8")
    config = SearchConfig.load(place)
    for section, keys in SECTIONS.items():
        for name in keys:
            expected = values.get(section, {}).get(name, getattr(getattr(SearchConfig(), section), name))
            assert getattr(getattr(config, section), name) == (
                tuple(expected) if isinstance(expected, list) else expected
            )
    place.write_text(toml(config.model_dump(mode="json", exclude_unset=True)), encoding="utf-8")
    assert SearchConfig.load(place) == config


def test_an_empty_file_is_the_default(place: Path) -> None:
    place.write_text("")
    assert SearchConfig.load(place) == SearchConfig()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("pool = 3", ["'pool'", "[settings], [template], [search]"]),
        ("[magic]", ["'magic'", "[settings], [template], [search]"]),
        ("settings = 3", ["settings = 3", "[settings]", "batch_size"]),
        ("[[settings]]\nrank = [4]", ["[settings]"]),
        ("[settings]\nlearning_rates = [1e-4]", ["'learning_rates'", "[settings]", "learning_rate, batch_size"]),
        ("[template]\nlabel_words = {neg = \"bad\"}", ["label_words", "[template]", "true or false"]),
        ("[template]\nlength = 3", ["'length'", "max_length, positions, label_words, soft, demos"]),
        ("[search]\npools = 3", ["'pools'", "pool, survivors, population, finalists"]),
        *((f"[settings]\nlearning_rate = {v}", ["learning_rate", "a number above 0"]) for v in (
            "[]", "1e-4", "[0]", "[-1.0]", "[inf]", "[nan]", '["1e-4"]', "[true]", "[1e-4, 1e-4]", "{a = 1}")),
        *((f"[settings]\n{name} = {v}", [name, "a whole number above 0"])
          for name in ("batch_size", "epochs", "rank") for v in ("[]", "8", "[0]", "[2.5]", "[true]", "[4, 8, 4]")),
        *((f"[settings]\ncalibration = {v}", ["calibration", "true or false"]) for v in ("true", "[1]", "[]")),
        *((f"[template]\ndemos = {v}", ["demos", "from 0 to 32"]) for v in ("[33]", "[-1]", "4", "[]", "[2, 2]")),
        *((f"[template]\nsoft = {v}", ["soft", "from 0 to 64"]) for v in ("[65]", '["8"]', "[]")),
        ("[template]\npositions = [true]", ["positions", "true or false"]),
        ("[template]\nmax_length = 0", ["max_length", "from 1 to 1000"]),
        ("[search]\npool = 10000000", ["pool", "from 1 to 1000"]),
        ("[search]\nsurvivors = true", ["survivors", "from 1 to 1000"]),
        ("[search]\nladder = 1", ["ladder", "true or false"]),
        ('[search]\noperators = ["mutate"]', ["operators", "one of gradient, phrase"]),
        ("[settings", ["not valid TOML"]),
        ("[settings]\nrank = [4]\nrank = [8]", ["not valid TOML"]),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_file_and_key(place: Path, text: str, parts: list[str]) -> None:
    place.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        SearchConfig.load(place)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    for part in [str(place), *parts]:
        assert part in message


def test_files_that_are_none(place: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            SearchConfig.load(path)
    place.write_bytes(b"[settings]\nrank = [4] # \xff\n")
    with pytest.raises(InputError, match="not valid TOML"):
        SearchConfig.load(place)


def test_values_by_gene() -> None:
    texts = ("learning_rate=1e-4", "batch_size=8", "epochs=2", "rank=4", "calibration=True", "demos=0", "soft=8",
             r"template=A\n{text} = {label}", 'label_words={"a": "x"}')  # fmt: skip
    assert parse_fix(texts) == {
        "learning_rate": 1e-4, "batch_size": 8, "epochs": 2, "rank": 4, "calibration": True, "demos": 0, "soft": 8,
        "template": "A\n{text} = {label}", "label_words": {"a": "x"},
    }  # fmt: skip
    assert len(texts) == len(GENES)


@pytest.mark.parametrize(
    ("texts", "part"),
    [
        (["magic=3"], "learning_rate, batch_size"), (["epochs"], "learning_rate"), (["=2"], "learning_rate"),
        ([" epochs=2"], "learning_rate"), (["epochs="], "a whole number above 0"), (["epochs=0"], "a whole number"),
        (["epochs=2.5"], "a whole number"), (["epochs=[2]"], "a whole number"), (["epochs=true"], "a whole number"),
        (["learning_rate=fast"], "a number above 0"), (["learning_rate=NaN"], "a number above 0"),
        (["calibration=1"], "true or false"), (["calibration=yes"], "true or false"), (["demos=33"], "from 0 to 32"),
        (["soft=65"], "from 0 to 64"), (["label_words=good"], "JSON"), (['label_words=["a"]'], "JSON"),
        (['label_words={"a": 1}'], "JSON"), (["epochs=2", "epochs=2"], "twice"), (["rank=" + "9" * 5000], "above 0"),
    ],
    ids=str,
)  # fmt: skip
def test_fixes_that_are_none(texts: list[str], part: str) -> None:
    with pytest.raises(UsageError, match=r"^fix ") as caught:
        parse_fix(texts)
    assert part in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_fixed_gene_is_a_range_of_one_value_and_all_others_stay(place: Path) -> None:
    place.write_text("[settings]\nrank = [2, 4]\nepochs = [1, 2]\n[template]\nsoft = [0, 4]\n", encoding="utf-8")
    config = SearchConfig.load(place).fixed({"epochs": 3, "demos": 2, "template": "{text} {label}"})
    assert config.settings.epochs == (3,)
    assert config.settings.rank == (2, 4)
    assert (config.template.demos, config.template.soft) == ((2,), (0, 4))
    for genes in ({"magic": 1}, {"epochs": "2"}, {"template": 3}, {"label_words": "good"}):
        with pytest.raises(UsageError):
            SearchConfig().fixed(genes)


@pytest.fixture
def search(capsys, tmp_path, model_folders, corpus_folder):
    """A short search through the command line, with what it stored."""

    def run(*options: str, code: int = 0, parts: tuple[str, ...] = ()) -> tuple[dict[str, Any], Any, Any]:
        board = tmp_path / "lb.sqlite"
        result = commands.call(
            capsys, "search", corpus_folder, "--model", model_folders["llama"], "--max-evaluations", 6, "--workers", 1,
            "--leaderboard", board, "--json", *options,
        )  # fmt: skip
        if code:
            commands.refused(result, code, *parts)
            assert not board.exists()
            return {}, None, None
        assert result.code == 0, result.err
        values = json.loads(result.out)
        with Leaderboard.open(board, read_only=True) as opened:
            return values, opened.run(values["run"]), opened.evaluations(values["run"])

    return run


@pytest.mark.parametrize(
    ("options", "code", "parts"),
    [
        (("--fix", "magic=1"), 2, ("magic", "learning_rate")),
        (("--fix", "epochs=none"), 2, ("epochs", "whole number")),
        (("--fix", "rank=4", "--tuning", "full"), 2, ("rank", "--tuning full")),
        (("--fix", "soft=4", "--tuning", "none"), 2, ("soft", "--tuning none")),
        (("--fix", "template={text} {label}", "--strategy", "gradient"), 2, ("gradient", "template")),
        (("--fix", "template={text} {label}", "--template", "{text}{label}", "--template", "{text}: {label}"), 2,
         ("--template",)),
        (("--fix", "template={text"), 3, ("never closed",)),
        (("--fix", "template={words} {label}"), 3, ("{text}",)),
        (("--fix", 'label_words={"positive": "x"}'), 3, ("negative",)),
        (("--fix", "demos=32"), 3, ("24 training rows", "demos")),
        (("--template", "{demos:30}{text} {label}"), 3, ("30", "24 training rows")),
        (("--config", "no-such.toml"), 3, ("no-such.toml",)),
    ],
    ids=str,
)  # fmt: skip
def test_the_command_line_refuses_what_cannot_be_fixed(search, options, code, parts) -> None:
    search(*options, code=code, parts=parts)


def test_fixed_settings_and_words_hold_for_all_but_the_manual_baseline(search, place: Path) -> None:
    place.write_text("[settings]\nbatch_size = [4, 12]\n[search]\npool = 4\nsurvivors = 2\n", encoding="utf-8")
    words = {"positive": "soup", "negative": "lamp"}
    values, record, stored = search(
        "--config", str(place), "--fix", "epochs=2", "--fix", "learning_rate=1e-3",
        "--fix", f"label_words={json.dumps(words)}",
    )  # fmt: skip
    assert record.config.fix == {"epochs": 2, "learning_rate": 1e-3, "label_words": words}
    assert record.config.search["settings"]["batch_size"] == [4, 12]
    assert values["baselines"]["manual"]["label_words"] != words
    assert values["baselines"]["manual_tuned"]["label_words"] == words
    tuned = [e.candidate for e in stored if e.role != "manual" and e.candidate.settings.tuning != "none"]
    assert len(tuned) > 6
    assert {(c.settings.epochs, c.settings.learning_rate) for c in tuned} == {(2, 1e-3)}
    assert {c.settings.batch_size for c in tuned} <= {4, 12}
    assert all(c.label_words.mapping() == words for c in tuned)


def test_a_fixed_template_leaves_the_manual_one_as_the_baseline(search) -> None:
    values, _, stored = search("--fix", r"template=Review: {text}\nMood: {label}", "--fix", "epochs=1")
    manual = values["baselines"]["manual"]["template"]
    assert values["baselines"]["manual_tuned"]["template"] == manual
    assert values["baselines"]["null"] is None
    others = {e.candidate.template.format() for e in stored if e.role == "search"}
    assert others == {"Review: {text}\nMood: {label}"}


def test_the_api_takes_values(corpus_folder, model_folders, tmp_path, place: Path) -> None:
    place.write_text("[settings]\nrank = [2]\n", encoding="utf-8")
    with commands.inline():
        result = autoprompt.search(
            str(corpus_folder), model=str(model_folders["llama"]), max_evaluations=2, workers=1, strategy="grid",
            leaderboard=tmp_path / "lb.sqlite", config=place, fix={"epochs": 1},
        ).to_dict()  # fmt: skip
    settings = result["baselines"]["manual_tuned"]["settings"]
    assert (settings["rank"], settings["epochs"]) == (2, 1)
    with pytest.raises(UsageError, match="epochs"):
        autoprompt.search(str(corpus_folder), fix={"epochs": "2"}).to_dict()
