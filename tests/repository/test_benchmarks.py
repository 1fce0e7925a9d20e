"""What the benchmarks share: stored cells, intervals, tasks."""

import json
from pathlib import Path

import bench
import pytest
import tasks


def cells(folder: Path, *, fresh: bool = False) -> bench.Cells:
    return bench.Cells("some", bench.Options(None, quick=False, fresh=fresh), folder=folder)


def test_a_later_run_goes_on_with_the_stored_cells(tmp_path: Path) -> None:
    asked: list[int] = []

    def measure() -> bench.Cell:
        asked.append(1)
        return {"seconds": 1.5 + len(asked)}

    first = cells(tmp_path)
    assert first.get({"rows": 8}, measure) == {"seconds": 2.5}
    assert first.get({"rows": 8}, measure) == cells(tmp_path).get({"rows": 8}, measure) == {"seconds": 2.5}
    assert cells(tmp_path).get({"rows": 16}, measure) == {"seconds": 3.5}
    assert len(asked) == 2


def test_fresh_measures_again_but_once(tmp_path: Path) -> None:
    values = iter((1, 2, 3))
    cells(tmp_path).get({"rows": 8}, lambda: {"value": next(values)})
    again = cells(tmp_path, fresh=True)
    assert [again.get({"rows": 8}, lambda: {"value": next(values)}) for _ in range(2)] == [{"value": 2}] * 2
    assert cells(tmp_path).get({"rows": 8}, lambda: {"value": next(values)}) == {"value": 2}


def test_other_code_or_another_machine_is_another_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells(tmp_path).get({"rows": 8}, lambda: {"value": "here"})
    cells(tmp_path).get({"rows": 9}, lambda: {"value": "here"}, of_engine=False, of_machine=False)
    monkeypatch.setattr(bench, "machine", lambda: "elsewhere")
    assert cells(tmp_path).get({"rows": 8}, lambda: {"value": "there"}) == {"value": "there"}
    monkeypatch.setattr(bench, "engine", lambda _: "other code")
    assert cells(tmp_path).get({"rows": 8}, lambda: {"value": "anew"}) == {"value": "anew"}
    kept = cells(tmp_path).get({"rows": 9}, lambda: {"value": "anew"}, of_engine=False, of_machine=False)
    assert kept == {"value": "here"}


def test_only_the_code_that_a_benchmark_uses_makes_other_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    for name in ("autoprompt/models/families/causal.py", "autoprompt/candidate.py", "autoprompt/optimizer/loop.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one", encoding="utf-8")
    before = [bench.engine(), bench.engine(bench.MODELS)]
    (tmp_path / "autoprompt/optimizer/loop.py").write_text("two", encoding="utf-8")
    assert [a == b for a, b in zip(before, [bench.engine(), bench.engine(bench.MODELS)], strict=True)] == [False, True]
    (tmp_path / "autoprompt/models/families/causal.py").write_text("two", encoding="utf-8")
    assert bench.engine(bench.MODELS) != before[1]


def test_a_measurement_that_fails_stores_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        cells(tmp_path).get({"rows": 8}, lambda: {"value": 1 / 0})
    assert cells(tmp_path).get({"rows": 8}, lambda: {"value": 1}) == {"value": 1}


def test_intervals_hold_what_differs_between_tasks() -> None:
    same = bench.interval([[0.1] * 50, [0.1] * 50])
    assert (same.mean, same.low, same.high) == pytest.approx((0.1, 0.1, 0.1))
    apart = bench.interval([[0.0] * 50, [1.0] * 50, [0.0] * 50, [1.0] * 50])
    assert apart.mean == pytest.approx(0.5)
    assert apart.low < 0.2
    assert apart.high > 0.8
    rows = bench.interval([[0.0, 1.0] * 200])
    assert 0.44 < rows.low < 0.48 < 0.52 < rows.high < 0.56


def folder(root: Path, name: str, *, fields: int = 1) -> None:
    (root / name).mkdir(parents=True)
    for split in ("train", "validation", "test"):
        rows = [
            {"label": label} | {f"text{f}": f"{split} {label} {number} {f}" for f in range(fields)}
            for number in range(3)
            for label in ("bad", "good")
        ]
        (root / name / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_samples_of_one_data_set_are_one_group() -> None:
    values = {"a/seed-1": [1.0, 0.0], "b/seed-1": [0.5], "a/seed-2": [0.0, 0.0]}
    assert tasks.by_group(values) == [[0.5, 0.0], [0.5]]


def test_few_shot_folders_are_taken_in_turn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a/seed-1", "a/seed-2", "b/seed-1", "b/seed-2"):
        folder(tmp_path, name)
    folder(tmp_path, "pairs", fields=2)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "train.jsonl").write_text("no json\n")
    found = tasks.few_shot(bench.Options(tmp_path, quick=False, fresh=False))
    assert [task.name for task in found] == ["a/seed-1", "b/seed-1", "a/seed-2", "b/seed-2"]
    assert [task.name for task in tasks.first_of_each(found)] == ["a/seed-1", "b/seed-1"]
    assert "broken is left out" in capsys.readouterr().out


def test_a_cut_task_is_read_back_by_a_command(tmp_path: Path) -> None:
    folder(tmp_path, "a/seed-1")
    (task,) = tasks.few_shot(bench.Options(tmp_path, quick=False, fresh=False))
    for unlabelled in (0, 3):
        if unlabelled:
            rows = "".join(
                json.dumps({task.load().fields[0]: f"without a label {n}"}) + "\n" for n in range(unlabelled)
            )
            (tmp_path / "a/seed-1/unlabeled.jsonl").write_text(rows, encoding="utf-8")
        corpus = task.load(4)
        source, _ = task.options(corpus, tmp_path / f"cut {unlabelled}")
        again = tasks.Task("again", source).load()
        assert len(again.test) == 4
        assert (again.train, again.validation, again.test) == (corpus.train, corpus.validation, corpus.test)
        assert [row.fields for row in again.unlabeled] == [row.fields for row in corpus.unlabeled]
        assert len(again.unlabeled) == unlabelled


def test_a_folder_without_tasks_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no folder"):
        tasks.few_shot(bench.Options(tmp_path, quick=False, fresh=False))
