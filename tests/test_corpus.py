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
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from autoprompt.corpus import Corpus, Example, cards, load, normalised
from autoprompt.errors import InputError, NotFoundError, UsageError

ROOT = Path(__file__).resolve().parents[1]


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
    corpus = load("rotten-tomatoes", shots=8, test_rows=100)
    assert corpus.labels == ("rotten", "fresh")
    assert _sizes(corpus.train) == _sizes(corpus.validation) == {"fresh": 8, "rotten": 8}
    assert len(corpus.test) == 100
    assert corpus.manual_template == "{text}\nSentiment: {label}"
    assert corpus.label_words == {"rotten": "negative", "fresh": "positive"}
    assert (corpus.name, corpus.fields, corpus.metric) == ("rotten-tomatoes", ("text",), "accuracy")
    assert corpus.warnings == ()


@pytest.mark.usefixtures("embedded")
def test_bbc_news_merges_its_repeated_articles() -> None:
    corpus = load("bbc-news", test_rows=10_000)
    assert corpus.labels == ("business", "entertainment", "politics", "sports", "tech")
    assert len(_texts(corpus)) == 2124
    assert _sizes(corpus.train) == dict.fromkeys(corpus.labels, 16)
    assert corpus.label_words["sports"] == "sport"


@pytest.mark.usefixtures("embedded")
def test_a_card_leaves_no_choice_of_columns() -> None:
    with pytest.raises(UsageError, match="--text-column"):
        load("bbc-news", text_column="label")


def test_cards_are_found_and_unknown_names_are_not() -> None:
    assert [card.name for card in cards.list_cards()] == ["bbc-news", "rotten-tomatoes"]
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
    assert [card.name for card in cards.list_cards()] == ["bbc-news", "rotten-tomatoes"]


def test_cards_travel_with_a_copied_package(tmp_path: Path) -> None:
    """As setuptools lays them out: autoprompt/cards, and no source tree beside it."""
    shutil.copytree(ROOT / "autoprompt", tmp_path / "autoprompt")
    shutil.copytree(ROOT / "corpora", tmp_path / "autoprompt" / "cards")
    code = "from autoprompt import corpus; print(corpus.__file__, [c.name for c in corpus.list_cards()])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(tmp_path) in done.stdout
    assert "['bbc-news', 'rotten-tomatoes']" in done.stdout


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
    rows = [[f"t {n}", f"b {n}", "ab"[n % 2], "x"] for n in range(20)]
    source = _table(tmp_path / "data.tsv", ["title", "body", "kind", "origin"], rows)
    with pytest.raises(InputError, match=r"--label-column.*--text-column.*'title', 'body', 'kind', 'origin'"):
        load(source)
    corpus = load(source, text_column="body, title", label_column="kind")
    assert corpus.fields == ("body", "title")
    assert corpus.manual_template == "body: {body}\ntitle: {title}\nKind: {label}"
    with pytest.raises(InputError, match=r"no column 'knd'.*--label-column.*'kind'"):
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


def _hub(monkeypatch: pytest.MonkeyPatch, **splits: list[int]) -> None:
    """A Hub that has one dataset, ``glue`` with the configuration ``sst2``, of labels per split."""
    import datasets

    from autoprompt.corpus import hub

    features = datasets.Features(
        {
            "sentence": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["negative", "positive"]),
            "idx": datasets.Value("int32"),
        }
    )

    def split(name: str, labels: list[int]) -> Any:
        texts = [f"{name} sentence {n}" for n in range(len(labels))]
        columns = {"sentence": texts, "label": labels, "idx": list(range(len(labels)))}
        return datasets.Dataset.from_dict(columns, features=features)

    def load_dataset(path: str, name: str | None = None) -> Any:
        if (path, name) != ("glue", "sst2"):
            raise datasets.exceptions.DatasetNotFoundError(path)
        return datasets.DatasetDict({key: split(key, labels) for key, labels in splits.items()})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "_reachable", lambda _endpoint: True)


def test_a_hub_dataset_whose_test_has_no_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    _hub(monkeypatch, train=[0, 1] * 100, validation=[0, 1] * 30, test=[-1] * 20)
    corpus = load("hub:glue/sst2")
    assert corpus.labels == ("negative", "positive")
    assert corpus.fields == ("sentence",)
    assert _sizes(corpus.train) == _sizes(corpus.validation) == {"negative": 16, "positive": 16}
    assert all(row.fields["sentence"].startswith("train") for row in corpus.validation)
    assert len(corpus.test) == 60
    assert all(row.fields["sentence"].startswith("validation") for row in corpus.test)


def test_a_hub_dataset_with_three_labelled_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    _hub(monkeypatch, train=[0, 1] * 100, validation=[0, 1] * 30, test=[0, 1] * 300)
    corpus = load("hub:glue/sst2", shots=4)
    assert {row.fields["sentence"].split()[0] for row in corpus.validation} == {"validation"}
    assert (len(corpus.train), len(corpus.validation), len(corpus.test)) == (8, 8, 400)


def test_hub_names_that_lead_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    _hub(monkeypatch, test=[0, 1])
    for name, said in [("glue/cola", "does not exist"), ("glue/sst2", "no train split"), ("a//b", "no dataset")]:
        with pytest.raises(InputError, match=said):
            load(f"hub:{name}")


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
