"""Loading, splitting and fingerprinting corpora, through ``load`` and the cards."""

import csv
import importlib
import importlib.resources
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hub
import pytest
from paths import ROOT

from autoprompt.corpus import Corpus, Example, cards, from_rows, load, normalised
from autoprompt.errors import InputError, NotFoundError, UsageError

ALL = ["bbc-news", "headlines", "pairs", "records", "rotten-tomatoes", "tickets"]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache for both embedded corpora, filled by the first load."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOPROMPT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def _table(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerow(header)
        writer.writerows(rows)
    return str(path)


def _reviews(path: Path, each: int, labels: Sequence[str] = ("neg", "pos"), mark: str = "") -> str:
    rows = [[f"{label} review {n}{mark}", label] for n in range(each) for label in labels]
    return _table(path, ["text", "label"], rows)


def _sizes(rows: Sequence[Example]) -> dict[str, int]:
    return dict(sorted(Counter(row.label for row in rows).items()))


def _texts(corpus: Corpus) -> list[str]:
    return [row.fields["text"] for row in corpus.train + corpus.validation + corpus.test]


# --- cards and the embedded corpora ---------------------------------------------------------------------


@pytest.mark.usefixtures("embedded")
def test_rotten_tomatoes() -> None:
    corpus = load("rotten-tomatoes", shots=8, test_rows=100, validation_rows=128)
    assert corpus.labels == ("rotten", "fresh")
    assert _sizes(corpus.train) == {"fresh": 8, "rotten": 8}
    assert _sizes(corpus.validation) == {"fresh": 64, "rotten": 64}
    assert len(corpus.test) == 100
    assert corpus.manual_template == "{text}\nSentiment: {label}"
    assert corpus.label_words == {"rotten": "negative", "fresh": "positive"}
    assert (corpus.name, corpus.fields, corpus.metric) == ("rotten-tomatoes", ("text",), "accuracy")
    assert corpus.warnings == ()


def test_the_first_use_reports_its_pull_and_later_ones_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOPROMPT_CACHE", str(tmp_path))
    seen: list[tuple[str, float | None]] = []
    first = load("bbc-news", progress=lambda stage, fraction: seen.append((stage, fraction)))
    assert seen[0] == ("downloading", 0.0)
    assert [stage for stage, fraction in seen if fraction in (None, 1.0)][-3:] == [
        "downloading",
        "extracting",
        "checking",
    ]
    seen.clear()
    again = load("bbc-news", progress=lambda stage, fraction: seen.append((stage, fraction)))
    assert again.fingerprint == first.fingerprint
    assert seen == []


@pytest.mark.usefixtures("embedded")
def test_bbc_news_merges_its_repeated_articles() -> None:
    corpus = load("bbc-news", test_rows=10_000)
    assert corpus.labels == ("business", "entertainment", "politics", "sports", "tech")
    assert len(_texts(corpus)) == 2124
    assert _sizes(corpus.train) == dict.fromkeys(corpus.labels, 16)
    assert corpus.label_words["sports"] == "sport"


@pytest.mark.usefixtures("embedded")
def test_a_card_leaves_no_choice_of_columns() -> None:
    with pytest.raises(UsageError, match="text_column"):
        load("bbc-news", text_column="label")


def test_cards_are_found_and_unknown_names_are_not() -> None:
    assert [card.name for card in cards.list_cards()] == ALL
    assert cards.card("bbc-news").artifact == "bbc-news"
    with pytest.raises(NotFoundError, match=r"did you mean 'rotten-tomatoes'.*bbc-news"):
        load("rotten")


def test_cards_of_the_package_come_first_and_the_source_tree_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = tmp_path / "cards"
    packaged.mkdir()
    text = (ROOT / "corpora" / "bbc-news.toml").read_text(encoding="utf-8")
    (packaged / "mine.toml").write_text(text.replace('name = "bbc-news"', 'name = "mine"'), encoding="utf-8")
    places = {"autoprompt.cards": packaged}
    monkeypatch.setattr(importlib.resources, "files", places.__getitem__)
    assert [card.name for card in cards.list_cards()] == ["mine"]

    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib.resources, "files", absent)
    assert [card.name for card in cards.list_cards()] == ALL


_WHERE_FROM = """
from autoprompt import corpus
from autoprompt.corpus import cards
with cards.card_files(cards.card("tickets")) as paths:
    print(corpus.__file__, *paths)
print([card.name for card in corpus.list_cards()], len(corpus.load("tickets").train))
"""


def _loads_its_own(site: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _WHERE_FROM], cwd=site, capture_output=True, text=True, check=True)
    places, found = done.stdout.splitlines()
    assert [Path(place).is_relative_to(site) for place in places.split()] == [True, True]
    assert found == f"{ALL} 72"


def test_cards_and_rows_travel_with_a_copied_package(tmp_path: Path) -> None:
    """As setuptools lays them out: autoprompt/cards, and no source tree beside it."""
    shutil.copytree(ROOT / "autoprompt", tmp_path / "autoprompt")
    shutil.copytree(ROOT / "corpora", tmp_path / "autoprompt" / "cards")
    _loads_its_own(tmp_path)


def test_cards_and_rows_are_in_the_wheel(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("autoprompt", "corpora"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    code = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    wheel = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    with zipfile.ZipFile(tmp_path / wheel) as archive:
        archive.extractall(tmp_path / "site")
    rows = {path.name for path in (tmp_path / "site" / "autoprompt" / "cards").glob("*.jsonl")}
    assert rows == {path.name for path in (ROOT / "corpora").glob("*.jsonl")} != set()
    assert (tmp_path / "site" / "autoprompt" / "cards" / "LICENSE").is_file()
    _loads_its_own(tmp_path / "site")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('metric = "accuracy"\n', "", "lacks metric"),
        ('metric = "accuracy"', 'metric = "accuracy"\nmetrics = 1', "unknown metrics"),
        ('metric = "accuracy"', "metric = 1", "wrong kind"),
        ('name = "bbc-news"', 'name = "other"', "another name"),
        ('tech = "technology"', 'technology = "technology"', "other labels"),
        ('fields = ["text"]', 'fields = "text"', "wrong kind"),
        ('title = "', 'title = ""', "not valid TOML"),
    ],
)
def test_a_faulty_card_is_named(old: str, new: str, said: str) -> None:
    text = (ROOT / "corpora" / "bbc-news.toml").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(InputError, match=f"'bbc-news'.*{said}"):
        cards.parse_card("bbc-news", text.replace(old, new))


_OWN = (ROOT / "corpora" / "tickets.toml").read_text(encoding="utf-8")
_HEADLINES = (ROOT / "corpora" / "headlines.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "old", "new", "said"),
    [
        (_OWN, "split = { train = 12, validation = 12 }\n", "", "lacks split"),
        (_OWN, "validation = 12", "validation = 0", "wrong kind"),
        (_OWN, ", validation = 12", "", "wrong kind"),
        (_OWN, "train = 12", "train = true", "wrong kind"),
        (_OWN, 'files = ["tickets.jsonl"]', "files = []", "wrong kind"),
        (_OWN, "files", 'artifact = "x"\nfiles', "unknown artifact"),
        (_OWN, "fields", 'target_column = "x"\nfields', "unknown target_column"),
        (_OWN, "fields", 'task = "generation"\nfields', "lacks target_column"),
        (_OWN, "fields", 'task = "parsing"\nfields', "wrong kind"),
        (_OWN, "fields", "task = []\nfields", "wrong kind"),
        (_HEADLINES, "fields", 'labels = ["x"]\nfields', "unknown labels"),
        (_HEADLINES, 'target_column = "headline"', "", "lacks target_column"),
    ],
)
def test_a_faulty_card_with_rows_is_named(text: str, old: str, new: str, said: str) -> None:
    name = "tickets" if text == _OWN else "headlines"
    assert text.count(old) >= 1
    with pytest.raises(InputError, match=f"{name!r}.*{said}"):
        cards.parse_card(name, text.replace(old, new, 1))


def test_a_card_of_several_files_and_one_whose_rows_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (ROOT / "corpora" / "tickets.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "tickets.toml").write_text(_OWN.replace("tickets.jsonl", 'a.jsonl", "b.jsonl'), encoding="utf-8")
    (tmp_path / "a.jsonl").write_text("".join(lines[:100]), encoding="utf-8")
    (tmp_path / "b.jsonl").write_text("".join(lines[100:]), encoding="utf-8")
    whole = load("tickets")
    monkeypatch.setattr(importlib.resources, "files", {"autoprompt.cards": tmp_path}.__getitem__)
    assert load("tickets").fingerprint == whole.fingerprint
    (tmp_path / "b.jsonl").unlink()
    with pytest.raises(InputError, match=r"The rows b\.jsonl of corpus 'tickets' are missing"):
        load("tickets")


# --- splits ------------------------------------------------------------------------------------------------


def test_a_file_is_sampled_by_shots(tmp_path: Path) -> None:
    source = _reviews(tmp_path / "reviews.csv", 100)
    corpus = load(source, shots=10, test_rows=50)
    assert _sizes(corpus.train) == _sizes(corpus.validation) == {"neg": 10, "pos": 10}
    assert len(corpus.test) == corpus.test_count == 50
    assert len(set(_texts(corpus))) == 90
    assert corpus.train[0].label != corpus.train[-1].label or len({row.label for row in corpus.train[:8]}) == 2
    assert len(load(source, shots=10).test) == 160
    assert load(source, test_rows=0).test == ()


@pytest.mark.parametrize(
    ("each", "sizes"), [(10, (4, 4, 2)), (32, (13, 13, 6)), (33, (16, 16, 1)), (3, (1, 1, 1)), (2, (1, 1, 0))]
)
def test_too_few_rows_are_split_40_40_20(tmp_path: Path, each: int, sizes: tuple[int, int, int]) -> None:
    corpus = load(_reviews(tmp_path / "reviews.csv", each))
    for rows, size in zip((corpus.train, corpus.validation, corpus.test), sizes, strict=True):
        assert _sizes(rows) == ({"neg": size, "pos": size} if size else {})


def test_the_seed_alone_moves_the_sample(tmp_path: Path) -> None:
    source = _reviews(tmp_path / "reviews.csv", 60)
    first = load(source, seed=1)
    assert first == load(source, seed=1)
    assert first.fingerprint != load(source, seed=2).fingerprint
    lines = Path(source).read_text(encoding="utf-8").splitlines(keepends=True)
    turned = tmp_path / "turned.csv"
    turned.write_text("".join([lines[0], *reversed(lines[1:])]), encoding="utf-8")
    assert load(str(turned), seed=1).fingerprint == first.fingerprint


def test_the_sample_does_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    source = _reviews(tmp_path / "reviews.csv", 50, labels=["a", "b", "c"])
    code = f"from autoprompt.corpus import load; print(load({source!r}, test_rows=20).fingerprint)"
    prints = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert prints == {load(source, test_rows=20).fingerprint}


def test_equal_texts_of_a_file_are_merged(tmp_path: Path) -> None:
    rows = [[f"review {n}", "ab"[n % 2]] for n in range(20)]
    source = _table(tmp_path / "r.csv", ["text", "label"], [*rows, ["REVIEW  3 ", "b"], ["review 3", "b"]])
    assert len(_texts(load(source))) == 20


def test_a_folders_files_are_used_whole(tmp_path: Path) -> None:
    _reviews(tmp_path / "train.csv", 50)
    _reviews(tmp_path / "dev.tsv", 40, mark=" dev")
    _reviews(tmp_path / "test.csv", 300, mark=" test")
    corpus = load(str(tmp_path), shots=2, test_rows=5)
    assert (len(corpus.train), len(corpus.validation), len(corpus.test)) == (100, 80, 600)
    assert corpus.train[0].fields == {"text": "neg review 0"}
    assert corpus.name == tmp_path.name
    _reviews(tmp_path / "validation.csv", 40)
    with pytest.raises(InputError, match=r"dev\.tsv and validation\.csv"):
        load(str(tmp_path))


@pytest.mark.parametrize(("each", "taken"), [(8, 4), (40, 16), (200, 40)])
def test_a_folder_without_validation_carves_it_from_train(tmp_path: Path, each: int, taken: int) -> None:
    _reviews(tmp_path / "train.csv", each)
    corpus = load(str(tmp_path))
    assert _sizes(corpus.validation) == {"neg": taken, "pos": taken}
    assert _sizes(corpus.train) == {"neg": each - taken, "pos": each - taken}
    assert corpus.test == ()


def test_a_split_without_the_columns_of_train(tmp_path: Path) -> None:
    _reviews(tmp_path / "train.csv", 5)
    _table(tmp_path / "validation.csv", ["review", "label"], [["a", "neg"], ["b", "pos"]])
    with pytest.raises(InputError, match=r"validation\.csv has no column 'text'"):
        load(str(tmp_path))


# --- columns and labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "fields", "label"),
    [
        (["text", "label"], ("text",), "label"),
        (["id", "text", "title", "label"], ("text",), "label"),
        (["premise", "hypothesis", "label", "genre"], ("premise", "hypothesis"), "label"),
        (["title", "body", "label"], ("title", "body"), "label"),
        (["text", "stars"], ("text",), "stars"),
        (["", "review", "sentiment"], ("review",), "sentiment"),
        (["Text", "Label"], ("Text",), "Label"),
    ],
)
def test_columns_are_found(tmp_path: Path, header: list[str], fields: tuple[str, ...], label: str) -> None:
    marks: dict[str, Callable[[int], str]] = {"id": str, "": str, label: lambda n: "ab"[n % 2]}
    rows = [[marks.get(name, lambda n, name=name: f"{name} words {n}")(n) for name in header] for n in range(20)]
    corpus = load(_table(tmp_path / "data.csv", header, rows))
    assert corpus.fields == fields
    assert corpus.label_column == label
    assert corpus.labels == ("a", "b")


def test_columns_can_be_named(tmp_path: Path) -> None:
    rows = [[f"t {n}", f"b {n}", "ab"[n % 2], "xy"[n // 2 % 2]] for n in range(20)]
    source = _table(tmp_path / "data.tsv", ["title", "body", "kind", "origin"], rows)
    with pytest.raises(InputError, match=r"label_column.*text_column.*'title', 'body', 'kind', 'origin'"):
        load(source)
    corpus = load(source, text_column="body, title", label_column="kind")
    assert corpus.fields == ("body", "title")
    assert corpus.manual_template == "body: {body}\ntitle: {title}\nKind: {label}"
    with pytest.raises(InputError, match=r"no column 'knd'.*label_column.*'kind'"):
        load(source, label_column="knd")
    with pytest.raises(InputError, match="both text and label"):
        load(source, text_column="kind", label_column="kind")


def test_defaults_without_a_card(tmp_path: Path) -> None:
    rows = [[f"t {n}", ("Very_Good", "BAD")[n % 2]] for n in range(20)]
    corpus = load(_table(tmp_path / "d.csv", ["text", "sentiment"], rows))
    assert corpus.manual_template == "{text}\nSentiment: {label}"
    assert corpus.label_words == {"Very_Good": "very good", "BAD": "bad"}
    assert corpus.labels == ("BAD", "Very_Good")


def test_integer_labels_become_text_in_order_of_value(tmp_path: Path) -> None:
    rows = [{"text": f"t {n}", "label": (10, 9, -2)[n % 3]} for n in range(30)]
    path = tmp_path / "d.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n\n", encoding="utf-8")
    assert load(str(path)).labels == ("-2", "9", "10")


def test_structured_fields_are_kept(tmp_path: Path) -> None:
    rows = [{"item": {"name": f"n {n}", "tags": ["x", n]}, "label": "ab"[n % 2]} for n in range(10)]
    path = tmp_path / "d.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    corpus = load(str(path))
    assert corpus.fields == ("item",)
    assert all(row.fields["item"]["tags"][0] == "x" for row in corpus.train)


def test_parquet_with_class_labels(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features(
        {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )
    columns = {"sentence": [f"s {n}" for n in range(20)], "label": [n % 2 for n in range(20)]}
    table = datasets.Dataset.from_dict(columns, features=features)
    table.to_parquet(str(tmp_path / "d.parquet"))
    corpus = load(str(tmp_path / "d.parquet"))
    assert corpus.labels == ("neg", "pos")
    assert all(row.label == ("neg", "pos")[int(row.fields["sentence"][2:]) % 2] for row in corpus.train)


def test_all_formats_give_one_fingerprint(tmp_path: Path) -> None:
    pyarrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")

    rows = [[f'say "{n}", twice', "ab"[n % 2]] for n in range(30)]
    sources = [_table(tmp_path / f"d.{suffix}", ["text", "label"], rows) for suffix in ("csv", "tsv")]
    objects = [{"text": text, "label": label} for text, label in rows]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, objects)), encoding="utf-8")
    parquet.write_table(pyarrow.Table.from_pylist(objects), tmp_path / "d.parquet")
    sources += [str(tmp_path / "d.jsonl"), str(tmp_path / "d.parquet")]
    assert len({load(source).fingerprint for source in sources}) == 1


# --- the Hub ---------------------------------------------------------------------------------------------------

_MORE_CARD = """---
configs:
- config_name: default
  data_files: [{split: train, path: train.jsonl}, {split: unsupervised, path: test.jsonl},
    {split: more, path: validation.jsonl}]
---
"""
_GLUE_CARD = """---
configs:
- config_name: cola
  data_files: [{split: train, path: cola.jsonl}]
- config_name: sst2
  data_files:
  - {split: train, path: sst2/train.jsonl}
  - {split: validation, path: sst2/validation.jsonl}
  - {split: test, path: sst2/test.jsonl}
dataset_info:
- config_name: cola
  features: [{name: sentence, dtype: string}, {name: label, dtype: int32}, {name: idx, dtype: int32}]
- config_name: sst2
  features:
  - {name: sentence, dtype: string}
  - name: label
    dtype: {class_label: {names: {'0': negative, '1': positive}}}
  - {name: idx, dtype: int32}
---
"""


def _sentences(split: str, labels: Sequence[int], field: str = "sentence") -> str:
    rows = [{field: f"{split} sentence {n}", "label": label, "idx": n} for n, label in enumerate(labels)]
    return "".join(json.dumps(row) + "\n" for row in rows)


_ROWS = "".join(f'{{"text": "film {n}", "label": {n % 2}}}\n' for n in range(90))
_BROKEN = {  # each fails in another library below datasets
    "bad/yaml": {"README.md": "---\nconfigs: [a: {b\n---\n", "train.jsonl": _ROWS},
    "bad/configs": {"README.md": "---\nconfigs:\n- 5\n---\n", "train.jsonl": _ROWS},
    "bad/features": {"README.md": "---\ndataset_info:\n  features:\n  - nme: text\n---\n", "train.jsonl": _ROWS},
    "bad/json": {"train.jsonl": "{broken"},
    "bad/empty": {"train.jsonl": ""},
    "bad/parquet": {"train.parquet": "no parquet"},
    "bad/zip": {"train.zip": "no zip"},
    "bad/gz": {"train.csv.gz": "no gz"},
    "bad/xz": {"train.jsonl.xz": "no xz"},
    "bad/tar": {"train.tar": "no tar"},
    "bad/none": {"README.md": "Nothing."},
}


@pytest.fixture(scope="module")
def hubs_answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What ``load`` says to each name, the Hub reachable, and in "... offline" without it."""
    glue = {
        "README.md": _GLUE_CARD,
        "cola.jsonl": _sentences("cola", [0, 1] * 40),
        "sst2/train.jsonl": _sentences("train", [0, 1] * 100),
        "sst2/validation.jsonl": _sentences("validation", [0, 1] * 30),
        "sst2/test.jsonl": _sentences("test", [-1] * 20),
    }
    old, new = ({"train.jsonl": _sentences(mark, [0, 1] * 50, "text")} for mark in ("old", "new"))
    splits = {f"{name}.jsonl": _sentences(name, [0, 1] * 300, "text") for name in ("train", "validation", "test")}
    talks = [{"talk": f"talk {n}", "gist": f"gist {n}", "id": n} for n in range(90)]
    repositories = {
        "nyu-mll/glue": hub.repository(glue),
        "me/reviews": hub.repository(old, new, v1=0),
        "me/splits": hub.repository(splits),
        "me/more": hub.repository({"README.md": _MORE_CARD, **splits}),
        "me/talks": hub.repository({"train.jsonl": "".join(json.dumps(row) + "\n" for row in talks)}),
        "me/tests": hub.repository({"test.jsonl": _sentences("test", [0, 1], "text")}),
        "me/script": hub.repository({"README.md": "A script.", "script.py": "raise SystemExit"}),
        "me/gated": hub.repository({"README.md": "Ask.", "train.jsonl": splits["train.jsonl"]}, gated=True),
        **{name: hub.repository(files) for name, files in _BROKEN.items()},
    }
    names = ["glue/sst2", "glue:sst2", "glue", "glue/qqp", "me/reviews", "me/reviews@v1", "me/reviews@v2"]
    names += ["me/splits", "me/more", "me/tests", "me/script", "me/gated", "me/nothing", "a//b", "me/splits:x:y@z@w"]
    names += _BROKEN
    calls: list[tuple[str, dict[str, Any]]] = [(f"hub:{name}", {"shots": 4}) for name in names]
    calls.append(("hub:me/talks", {"target_column": "gist", "shots": 4}))
    home = tmp_path_factory.mktemp("hub")
    (home / "me" / "reviews").mkdir(parents=True)  # what lies in the working folder hides nothing
    with hub.serve(repositories, {"glue": "nyu-mll/glue"}) as address:
        answers = dict(zip([*names, "talks"], hub.load(home, *calls, HF_ENDPOINT=address), strict=True))
    for name in ("me/reviews", "me/splits"):  # which of two cached commits is the newer one is up to the file system
        commit = answers[name]["revision"]
        calls = [(f"hub:{name}{mark}", {"shots": 4}) for mark in ("", "@" + "0" * 40, f"@{commit}")]
        for mark, answer in zip(("", " other", " same"), hub.load(home, *calls, HF_HUB_OFFLINE="1"), strict=True):
            answers[f"{name} offline{mark}"] = answer
    calls = [("hub:glue/sst2", {"shots": 4}), ("hub:glue/cola", {}), ("hub:me/nothing", {})]
    for (name, _), answer in zip(calls, hub.load(home, *calls, HF_ENDPOINT="http://127.0.0.1:9"), strict=True):
        answers[f"{name.removeprefix('hub:')} offline"] = answer
    return answers


@pytest.mark.parametrize("name", _BROKEN)
def test_a_dataset_of_the_hub_that_cannot_be_read_is_refused_in_a_sentence(
    hubs_answers: dict[str, dict[str, Any]], name: str
) -> None:
    refused = hubs_answers[name]
    assert refused["code"] == 3
    assert refused["error"].startswith(f"hub:{name} cannot be loaded: ")
    assert "\n" not in refused["error"]


def test_a_hub_dataset_whose_test_has_no_labels(hubs_answers: dict[str, dict[str, Any]]) -> None:
    corpus = hubs_answers["glue/sst2"]
    assert corpus["labels"] == ["negative", "positive"]
    assert corpus["fields"] == ["sentence"]
    assert (len(corpus["train"]), len(corpus["validation"]), len(corpus["test"])) == (8, 8, 60)
    assert all(fields["sentence"].startswith("train") for fields, _ in corpus["validation"])
    assert all(fields["sentence"].startswith("validation") for fields, _ in corpus["test"])
    numbers = [(int(fields["sentence"].split()[-1]), label) for fields, label in corpus["train"]]
    assert all(label == ("negative", "positive")[number % 2] for number, label in numbers)
    same = [
        {key: corpus[key] for key in ("train", "test", "revision")} for corpus in (corpus, hubs_answers["glue:sst2"])
    ]
    assert same[0] == same[1]


def test_a_hub_dataset_with_three_labelled_splits(hubs_answers: dict[str, dict[str, Any]]) -> None:
    corpus = hubs_answers["me/splits"]
    assert {fields["text"].split()[0] for fields, _ in corpus["validation"]} == {"validation"}
    assert (len(corpus["train"]), len(corpus["validation"]), len(corpus["test"])) == (8, 8, 400)


def test_splits_of_a_hub_dataset_that_are_not_used_are_named(hubs_answers: dict[str, dict[str, Any]]) -> None:
    assert hubs_answers["me/more"]["warnings"] == ["Not used of hub:me/more: the splits 'more'."]
    assert hubs_answers["me/splits"]["warnings"] == []


def test_a_hub_dataset_for_generation(hubs_answers: dict[str, dict[str, Any]]) -> None:
    corpus = hubs_answers["talks"]
    assert (corpus["task"], corpus["fields"], corpus["labels"]) == ("generation", ["talk"], [])
    assert (len(corpus["train"]), len(corpus["validation"]), len(corpus["test"])) == (8, 8, 74)
    assert all(fields["talk"].split()[1] == target.split()[1] for fields, target in corpus["train"])


def test_a_pinned_revision_is_loaded_and_the_commit_recorded(hubs_answers: dict[str, dict[str, Any]]) -> None:
    newest, first = hubs_answers["me/reviews"], hubs_answers["me/reviews@v1"]
    assert len(newest["revision"]) == len(first["revision"]) == 40
    assert newest["revision"] != first["revision"]
    assert {fields["text"].split()[0] for fields, _ in newest["train"]} == {"new"}
    assert {fields["text"].split()[0] for fields, _ in first["train"]} == {"old"}
    assert newest["warnings"] == []


def test_what_is_cached_serves_offline_and_no_other_revision_does(hubs_answers: dict[str, dict[str, Any]]) -> None:
    online, offline = hubs_answers["me/splits"], hubs_answers["me/splits offline"]
    assert hubs_answers["glue/sst2 offline"]["train"] == hubs_answers["glue/sst2"]["train"]
    assert offline["train"] == online["train"] == hubs_answers["me/splits offline same"]["train"]
    assert offline["revision"] == online["revision"]
    assert any(online["revision"] in warning and "cached" in warning for warning in offline["warnings"])
    known = {hubs_answers[name]["revision"] for name in ("me/reviews", "me/reviews@v1")}
    assert hubs_answers["me/reviews offline"]["revision"] in known
    for name in ("me/splits", "me/reviews"):
        assert "the cached copy is of revision" in hubs_answers[f"{name} offline other"]["error"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("glue", "Config name is missing"),
        ("glue/qqp", "'qqp' not found"),
        ("me/reviews@v2", "no revision 'v2'"),
        ("me/tests", "no train split but test"),
        ("me/script", "has a loading script, and code of a dataset is never run"),
        ("me/gated", "is gated; ask for access"),
        ("me/nothing", "does not exist on the Hub"),
        ("a//b", "is not the name of a dataset"),
        ("me/splits:x:y@z@w", "is not the name of a dataset"),
        ("me/nothing offline", "not reachable and no copy is cached; go online"),
        ("glue/cola offline", "not reachable and the cached copy does not serve (Couldn't find cache for"),
        ("me/splits offline other", "not reachable and the cached copy is of revision"),
    ],
)
def test_fault_19_a_dataset_of_the_hub_that_cannot_be_had(
    hubs_answers: dict[str, dict[str, Any]], name: str, said: str
) -> None:
    refused = hubs_answers[name]
    assert refused["code"] == 3
    assert said in refused["error"]
    assert refused["error"].startswith(f"hub:{name.split()[0]}")
    assert "\n" not in refused["error"]
    assert refused["seconds"] < 10


# --- rows in memory --------------------------------------------------------------------------------------------


def _dicts(each: int = 50, mark: str = "") -> list[dict[str, Any]]:
    return [{"text": f"film {n}{mark}", "label": n % 2} for n in range(2 * each)]


def test_all_kinds_of_rows_give_the_fingerprint_of_a_file(tmp_path: Path) -> None:
    import datasets
    import numpy
    import pandas

    rows = _dicts()
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    numpys = [{"text": numpy.str_(row["text"]), "label": numpy.int64(row["label"])} for row in rows]
    table = datasets.Dataset.from_list(rows)
    kinds: list[Any] = [rows, tuple(rows), numpys, pandas.DataFrame(rows), table, table.with_format("numpy")]
    assert {from_rows(kind, shots=4).fingerprint for kind in kinds} == {load(str(path), shots=4).fingerprint}
    assert from_rows(rows, name="films").name == "films"


def test_text_and_class_label_just_work() -> None:
    """The columns and features of imdb."""
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    train, test = (datasets.Dataset.from_list(_dicts(mark=mark), features=features) for mark in ("", " test"))
    corpus = from_rows(train, test=test)
    assert corpus.labels == ("neg", "pos")
    assert corpus.label_words == {"neg": "neg", "pos": "pos"}
    assert (len(corpus.train), len(corpus.validation), len(corpus.test)) == (68, 32, 100)
    assert _sizes(corpus.validation) == {"neg": 16, "pos": 16}
    assert [row.fields["text"] for row in corpus.test] == test["text"]


def test_splits_in_memory_are_used_whole() -> None:
    corpus = from_rows(_dicts(30), _dicts(20, " v"), _dicts(300, " t"), shots=2, test_rows=5)
    assert (len(corpus.train), len(corpus.validation), len(corpus.test)) == (60, 40, 600)
    with pytest.raises(InputError, match=r"100 rows have a text .* in train and validation"):
        from_rows(_dicts(), _dicts())


def test_missing_cells_of_a_frame_are_blank_and_arrays_are_lists() -> None:
    import numpy
    import pandas

    rows = [{"item": numpy.array([n, 2]), "note": f"note {n}", "label": n % 2} for n in range(20)]
    corpus = from_rows(pandas.DataFrame(rows))
    assert corpus.fields == ("item", "note")
    assert {tuple(row.fields["item"]) for row in corpus.train} <= {(n, 2) for n in range(20)}
    frame = pandas.DataFrame(_dicts(10))
    frame["text"] = frame["text"].astype("string")
    frame["label"] = frame["label"].astype("Int64")
    frame.loc[3, "text"], frame.loc[4, "label"] = None, None
    with pytest.raises(InputError, match=r"rows \(train\): 1 of 20 rows .* \(row 4\)"):
        from_rows(frame)
    kept = from_rows(frame, drop_empty=True)
    assert "1 of 20 rows of rows (train) have no label (blank)." in kept.warnings
    assert kept.labels == ("0", "1")
    assert len(kept.train + kept.validation + kept.test) == 18


def test_rows_that_are_no_rows() -> None:
    import datasets
    import pandas

    table = datasets.Dataset.from_list(_dicts())
    for rows, said in [
        (table.to_iterable_dataset(), r"an IterableDataset; take as many rows as you need: list\(dataset\.take"),
        ("rows.csv", r"a str; load\(path\) reads a file"),
        (3, "an int; give each split as a datasets.Dataset, a pandas frame, a list of dicts or a dict of lists"),
    ]:
        with pytest.raises(UsageError, match=rf"rows \(train\) is {said}"):
            from_rows(rows)
    assert from_rows(datasets.DatasetDict(train=table)).fingerprint == from_rows(table).fingerprint
    for rows, said in [
        ([], r"rows \(train\) holds no rows"),
        ([{"text": "a", "label": "b"}, ["a", "b"]], r"rows \(train\): row 2 is not a dict"),
        ([{"text": "a\0", "label": "b"}], r"row 1 holds a NUL"),
        (pandas.DataFrame([["a", "b"]], columns=["text", "text"]), "'text' twice"),
    ]:
        with pytest.raises(InputError, match=said):
            from_rows(rows)


# --- generation ------------------------------------------------------------------------------------------------


def _talks(count: int, mark: str = "") -> list[dict[str, Any]]:
    return [{"id": n, "talk": f"talk {n}{mark}", "gist": f" gist {n}{mark} "} for n in range(count)]


def _jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_target_column_makes_a_corpus_for_generation(tmp_path: Path) -> None:
    corpus = load(_jsonl(tmp_path / "talks.jsonl", _talks(100)), target_column="gist", test_rows=30)
    assert (corpus.task, corpus.metric, corpus.labels, corpus.label_words) == ("generation", "rougeL", (), {})
    assert (corpus.fields, corpus.label_column) == (("talk",), "gist")
    assert corpus.manual_template == "{talk}\nGist: {label}"
    assert (len(corpus.train), len(corpus.validation), len(corpus.test)) == (32, 32, 30)
    assert all(row.label == f"gist {row.fields['talk'].split()[1]}" for row in corpus.train)


@pytest.mark.parametrize(("count", "sizes"), [(65, (32, 32, 1)), (64, (26, 26, 12)), (10, (4, 4, 2)), (2, (1, 1, 0))])
def test_too_few_rows_for_generation_are_split_40_40_20(count: int, sizes: tuple[int, int, int]) -> None:
    corpus = from_rows(_talks(count), target_column="gist")
    assert (len(corpus.train), len(corpus.validation), len(corpus.test)) == sizes


def test_the_fingerprint_names_the_targets() -> None:
    rows = _talks(70)
    first = from_rows(rows, target_column="gist")
    assert from_rows(list(reversed(rows)), target_column="gist").fingerprint == first.fingerprint
    assert from_rows([*rows[:-1], rows[-1] | {"gist": "other"}], target_column="gist").fingerprint != first.fingerprint


def test_equal_texts_keep_their_first_target() -> None:
    rows = [*_talks(20), {"talk": "TALK  3", "gist": "gist 3"}, {"talk": "talk 4", "gist": "another gist"}]
    corpus = from_rows(rows, target_column="gist", text_column="talk")
    found = {row.fields["talk"]: row.label for row in corpus.train + corpus.validation + corpus.test}
    assert len(found) == 20
    assert found["talk 4"] == "gist 4"
    assert corpus.warnings == ("1 rows were dropped: an earlier row has another target for their text.",)


def test_a_folder_for_generation(tmp_path: Path) -> None:
    _jsonl(tmp_path / "train.jsonl", _talks(80))
    _jsonl(tmp_path / "test.jsonl", _talks(500, " test"))
    corpus = load(str(tmp_path), target_column="gist", test_rows=5)
    assert (len(corpus.train), len(corpus.validation), len(corpus.test)) == (48, 32, 500)
    _jsonl(tmp_path / "validation.jsonl", _talks(40, " dev"))
    corpus = load(str(tmp_path), target_column="gist")
    assert (len(corpus.train), len(corpus.validation), len(corpus.test)) == (80, 40, 500)
    _jsonl(tmp_path / "validation.jsonl", _talks(3))
    with pytest.raises(InputError, match=r"3 rows have a text that is also in another split"):
        load(str(tmp_path), target_column="gist")
    with pytest.raises(InputError, match=r"The validation split of .* has no rows left"):
        load(str(tmp_path), target_column="gist", drop_duplicates=True)


def test_options_that_do_not_go_with_a_target() -> None:
    rows = _talks(10)
    with pytest.raises(UsageError, match=r"^label_column and target_column exclude each other"):
        from_rows(rows, label_column="id", target_column="gist")
    with pytest.raises(UsageError, match="leave text_column, label_column and target_column out"):
        load("headlines", target_column="headline")
    with pytest.raises(InputError, match=r"no column 'summary'; choose target_column of its columns: 'id', 'talk'"):
        from_rows(rows, target_column="summary")
    with pytest.raises(InputError, match=r"'gist' cannot be both text and target; .* target_column"):
        from_rows(rows, text_column="gist", target_column="gist")
    with pytest.raises(InputError, match=r"row 1 has a list or record as its target"):
        from_rows([{"talk": "a", "gist": ["b"]}], target_column="gist")
    with pytest.raises(InputError, match="one row only"):
        from_rows(rows[:1], target_column="gist")


# --- the corpus itself -----------------------------------------------------------------------------------------


def test_without_test_keeps_the_fingerprint_and_the_count(tmp_path: Path) -> None:
    corpus = load(_reviews(tmp_path / "reviews.csv", 50))
    blind = corpus.without_test()
    assert blind.test == ()
    assert blind.fingerprint == corpus.fingerprint
    assert blind.test_count == len(corpus.test) > 0
    assert pickle.loads(pickle.dumps(blind)) == blind  # noqa: S301


def test_row_ids_name_the_content(tmp_path: Path) -> None:
    rows = [["same", "a"], ["same", "a"], ["other", "b"], ["third", "b"]]
    _table(tmp_path / "train.csv", ["text", "label"], rows)
    _table(tmp_path / "validation.csv", ["text", "label"], [["x", "a"], ["y", "b"]])
    corpus = load(str(tmp_path))
    ids = [row.row_id for row in corpus.train + corpus.validation]
    assert len(set(ids)) == 6
    assert ids[1] == f"{ids[0]}-1"
    assert len(ids[0]) == 16
    _table(tmp_path / "train.csv", ["text", "label"], [*rows[:3], ["changed", "b"]])
    assert [row.row_id for row in load(str(tmp_path)).train][:3] == ids[:3]
    assert load(str(tmp_path)).fingerprint != corpus.fingerprint


def test_normalised_text() -> None:
    assert normalised({"text": " Cafe\u0301\n ABC"}) == normalised({"text": "caf\u00e9 abc"})
    assert normalised({"a": "x", "b": "y"}) != normalised({"a": "x y", "b": ""})


@pytest.mark.parametrize("options", [{"shots": 0}, {"test_rows": -1}])
def test_impossible_options(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        load(_reviews(tmp_path / "r.csv", 10), **options)  # type: ignore[arg-type]


def test_importing_the_corpus_imports_nothing_heavy(tmp_path: Path) -> None:
    source = _reviews(tmp_path / "reviews.csv", 10)
    code = (
        f"import sys; from autoprompt.corpus import load; load({source!r}); "
        "print([name for name in ('torch', 'transformers', 'datasets', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
