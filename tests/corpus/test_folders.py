"""Folders of data files: splits by their names, shards, what datasets and Spark write, and what is not used."""

import json
import os
import random
from pathlib import Path
from typing import Any

import datasets
import pytest

from autoprompt.corpus import load
from autoprompt.errors import InputError

FEATURES = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})


def _rows(count: int, mark: str) -> list[dict[str, Any]]:
    return [{"text": f"film {n} {mark}", "label": n % 2} for n in range(count)]


def _dataset(count: int, mark: str) -> Any:
    return datasets.Dataset.from_list(_rows(count, mark), features=FEATURES)


def _jsonl(path: Path, count: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in _rows(count, str(path))), encoding="utf-8")


def _sizes(folder: Path) -> tuple[int, int, int]:
    corpus = load(str(folder))
    return len(corpus.train), len(corpus.validation), len(corpus.test)


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("train", "dev", "test"), ("Train", "VALID", "Test"), ("training", "val", "testing"), ("TRAIN", "Dev", "eval"),
     ("my_train", "my_val", "my_test"), ("train.v2", "dev-v2", "evaluation")],
)  # fmt: skip
def test_splits_by_the_words_of_datasets_in_any_case(tmp_path: Path, train: str, validation: str, test: str) -> None:
    for name, count in ((train, 40), (validation, 20), (test, 30)):
        _jsonl(tmp_path / f"{name}.jsonl", count)
    assert _sizes(tmp_path) == (40, 20, 30)


def test_what_is_not_used_is_named(tmp_path: Path) -> None:
    for name in ("train.jsonl", "dev.jsonl", "unlabeled_old.jsonl", "extra/more.jsonl", "dev_matched.jsonl"):
        _jsonl(tmp_path / name)
    (tmp_path / "README.txt").write_text("about", encoding="utf-8")
    (tmp_path / "dataset_infos.json").write_text("{}", encoding="utf-8")
    (tmp_path / "test.pkl").write_text("x", encoding="utf-8")
    (note,) = load(str(tmp_path)).warnings
    assert note == (
        f"Not used of the folder {tmp_path}: dev_matched.jsonl, extra, test.pkl, which no split is called after."
    )


def test_a_folder_without_training_rows_says_what_it_has(tmp_path: Path) -> None:
    _jsonl(tmp_path / "reviews.jsonl")
    _jsonl(tmp_path / "test.jsonl")
    with pytest.raises(InputError, match=r"no file called train, but reviews\.jsonl, test\.jsonl; give one file"):
        load(str(tmp_path))
    _jsonl(tmp_path / "train_a.jsonl")
    _jsonl(tmp_path / "train_b.jsonl")
    with pytest.raises(InputError, match=r"train_a\.jsonl and train_b\.jsonl for the train split; keep one"):
        load(str(tmp_path))


def test_shards_are_joined_in_their_order_and_none_may_be_missing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows = _dataset(60, "a")
    for number in range(3):
        rows.select(range(20 * number, 20 * number + 20)).to_parquet(data / f"train-0000{number}-of-00003.parquet")
    _dataset(30, "b").to_parquet(data / "test-00000-of-00001.parquet")
    (tmp_path / "README.md").write_text("about", encoding="utf-8")
    for folder in (tmp_path, data):
        corpus = load(str(folder))
        assert (len(corpus.train) + len(corpus.validation), len(corpus.test)) == (60, 30)
        assert corpus.labels == ("neg", "pos")
        assert corpus.warnings == ()
    (data / "train-00001-of-00003.parquet").unlink()
    with pytest.raises(InputError, match="2 of the 3 shards of the train split"):
        load(str(tmp_path))


def test_class_names_of_shards_must_be_the_same(tmp_path: Path) -> None:
    _dataset(20, "a").to_parquet(tmp_path / "train-00000-of-00002.parquet")
    other = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg"])})
    datasets.Dataset.from_list(_rows(20, "b"), features=other).to_parquet(tmp_path / "train-00001-of-00002.parquet")
    with pytest.raises(InputError, match="name their classes differently"):
        load(str(tmp_path))


def test_folders_of_splits_and_of_parts(tmp_path: Path) -> None:
    _jsonl(tmp_path / "a" / "train" / "part-00000.jsonl", 20)
    _jsonl(tmp_path / "a" / "train" / "part-00001.jsonl", 20)
    _jsonl(tmp_path / "a" / "Test" / "rows.jsonl", 30)
    corpus = load(str(tmp_path / "a"))
    assert (len(corpus.train) + len(corpus.validation), len(corpus.test)) == (40, 30)
    _jsonl(tmp_path / "spark" / "part-00000-abc.jsonl", 20)
    _jsonl(tmp_path / "spark" / "part-00001-abc.jsonl", 20)
    (tmp_path / "spark" / "_SUCCESS").touch()
    assert sum(_sizes(tmp_path / "spark")) == 40
    _jsonl(tmp_path / "b" / "en" / "train.jsonl", 20)
    _jsonl(tmp_path / "b" / "de" / "train.jsonl", 20)
    with pytest.raises(InputError, match="training rows in de, en; name one"):
        load(str(tmp_path / "b"))


def test_folders_of_save_to_disk(tmp_path: Path) -> None:
    _dataset(80, "a").save_to_disk(tmp_path / "one", num_shards=2)
    corpus = load(str(tmp_path / "one"), shots=8)
    assert (len(corpus.train), len(corpus.validation), len(corpus.test)) == (16, 16, 48)
    assert corpus.labels == ("neg", "pos")
    splits = {"train": _dataset(40, "a"), "test": _dataset(30, "b"), "unsupervised": _dataset(20, "c")}
    splits["other"] = _dataset(10, "d")
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "all")
    corpus = load(str(tmp_path / "all"))
    assert (len(corpus.train) + len(corpus.validation), len(corpus.test)) == (40, 30)
    assert len(corpus.unlabeled) == 20
    assert corpus.warnings == (f"Not used of the folder {tmp_path / 'all'}: the split 'other'.",)


@pytest.mark.parametrize("state", ["", "{}", "[]", '{"_data_files": [{"filename": "../x.arrow"}]}', "[" * 5000,
                                   '{"_data_files": [{"filename": ""}]}', '{"_data_files": 1}'])  # fmt: skip
def test_a_stranger_state_file_is_refused(tmp_path: Path, state: str) -> None:
    (tmp_path / "state.json").write_text(state, encoding="utf-8")
    with pytest.raises(InputError, match="save the dataset again"):
        load(str(tmp_path))


@pytest.mark.parametrize("name", ["state.json", "dataset_dict.json"])
def test_a_description_that_is_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="Is no regular file"):
        load(str(tmp_path))


def test_names_at_random_lose_no_file(tmp_path: Path) -> None:
    """Each data file of a folder is a split, or named in the note."""
    rng = random.Random(0)  # noqa: S311
    words = ["train", "Dev", "test", "rows", "old", "matched", "unlabelled", "2"]
    for number in range(60):
        folder = tmp_path / str(number)
        names = {"_".join(rng.sample(words, rng.randint(1, 2))) for _ in range(rng.randint(0, 3))} | {"train"}
        for name in names:
            _jsonl(folder / f"{name}.jsonl")
        try:
            corpus = load(str(folder))
        except InputError as error:
            said, used = str(error), 0
        else:
            said = " ".join(corpus.warnings)
            used = len(
                {
                    row.fields["text"].split()[-1]
                    for row in corpus.train + corpus.validation + corpus.test + corpus.unlabeled
                }
            )
        named = sum(f"{name}.jsonl" in said for name in names)
        assert used + named >= (len(names) if used else 2)
