"""Entries compare on common rows only: groups of the list, refined entries under their parents, and what is best."""

import json
from dataclasses import replace

import commands
import pytest
import synthetic

from autoprompt.candidate import Candidate, Demo, Settings
from autoprompt.leaderboard import EntryEstimate, EvaluationRecord, Groups, Leaderboard, RunConfig, RunRecord
from autoprompt.metrics import Score
from autoprompt.report.facts import facts_of
from autoprompt.results import RunResult, refinement_verdict
from autoprompt.template import LabelWords, Template

WORDS = LabelWords((("neg", "bad"), ("pos", "good")))
DATA, GROWN = "f" * 64, "a" * 64


def a_run(name: str, **changes: object) -> RunRecord:
    run = RunRecord(
        id=name.ljust(12, "0"), name=name, corpus="reviews", fingerprint=DATA, model="tiny", seed=0, strategy="hybrid",
        config=RunConfig.from_dict(synthetic.CONFIG), started="2026-01-01T00:00:00+00:00", status="finished",
        environment={"device": "cpu"},
    )  # fmt: skip
    return replace(run, **synthetic.typed(changes))


def candidate(text: str, demos: tuple[Demo, ...] = ()) -> Candidate:
    return Candidate(Template.parse(text), WORDS, Settings("tail", 5e-4, 8, 8, 8), demos)


def scored(
    run: RunRecord, text: str, rung: int, loss: float, *, fold: int = 0, n: int = 32, demos: tuple[Demo, ...] = (),
    **changes: object,
) -> EvaluationRecord:  # fmt: skip
    made = candidate(text, demos)
    rows = [f"{fold}.{row}" for row in range(n)]
    record = EvaluationRecord(
        run=run.id, key=f"{text} {rung} {fold} {changes.get('repeat', 0)}",
        entry=made.entry(run.fingerprint, run.model, run.seed), candidate=made, role="search", split="validation",
        rung=rung, fold=fold, repeat=0, status="complete", reason=None, score=Score(loss, 0.5, "accuracy", 0.5, n),
        log_probs=[[-0.7, -0.7]] * n, predictions=["pos"] * n, row_ids=rows, readability=None, seconds=1.0, tokens=10,
        losses=[loss] * n,
    )  # fmt: skip
    return replace(record, **changes)  # type: ignore[arg-type]


def scores(before: float, after: float, n: int, **more: object) -> dict:
    both = {"before": before, "after": after}
    return {name: Score(loss, 0.5, "accuracy", 0.5, n).to_dict() for name, loss in both.items()} | more


def refined_run(parent: EvaluationRecord, name: str, new: dict | None = None, old: dict | None = None) -> RunRecord:
    told = {
        "entry": parent.entry, "run": parent.run, "kept": True, "rows": {"old": 32, "new": 4, "judged": 36},
        "new": new or scores(0.9, 0.1, 4), "validation": old or scores(0.179, 0.302, 32),
        "difference": {"loss": 0.0, "low": -0.1, "high": 0.1},
    }  # fmt: skip
    config = synthetic.CONFIG | {"refine": {"entry": parent.entry, "run": parent.run}}
    best = parent.candidate.to_dict() | {"entry": "0" * 64, "validation": told["validation"]["after"], "test": None}
    result = {"refine": told, "best": best, "baselines": {}, "evaluations": 3, "frozen": 0, "seconds": 1.0}
    return a_run(name, fingerprint=GROWN, corpus=name, strategy="refine", config=config, result=result)


def refined(run: RunRecord, text: str = "W {text}{label}", new: float = 0.05) -> list[EvaluationRecord]:
    """What refining stores: the old validation rows, and the new ones in two halves of two."""
    return [
        scored(run, text, 1, 0.302),
        *(scored(run, text, 2, new, fold=fold, n=2) for fold in (1, 2)),
    ]


@pytest.fixture
def path(tmp_path):
    """A search with two finalists and a short fine-tune, a refined winner, one refined twice, and other data."""
    file = tmp_path / "lb.sqlite"
    search, other = a_run("first"), a_run("other", fingerprint="0" * 64, corpus="letters")
    winner = [scored(search, "W {text}{label}", 2, 0.2, fold=fold) for fold in (0, 1)]
    second = [scored(search, "S {text}{label}", 2, 0.4, fold=fold) for fold in (0, 1)]
    monday = refined_run(winner[0], "monday")
    first = refined(monday)
    tuesday = refined_run(first[0], "tuesday", new=scores(0.5, 0.4, 2, clear=False), old=scores(0.3, 0.3, 32))
    with Leaderboard.open(file) as board:
        for run, records in (
            (search, [*winner, *second, scored(search, "Q {text}{label}", 1, 0.01),
                      scored(search, "Z {text}{label}", 0, 0.001, split="frozen", n=64),
                      scored(search, "W {text}{label}", 1, 0.2, split="test", n=400)]),
            (other, [scored(other, "O {text}{label}", 2, 0.9, fold=fold) for fold in (0, 1)]),
            (monday, first),
            (tuesday, refined(tuesday, new=0.01)),
        ):  # fmt: skip
            board.start_run(run)
            board.add(records)
    return file


def entries(capsys, path, *arguments: str) -> dict:
    done = commands.call(capsys, "leaderboard", "list", "--leaderboard", path, "--json", *arguments)
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_a_refined_entry_of_four_rows_is_not_the_best_but_stands_under_its_parent(capsys, path):
    found = entries(capsys, path)["entries"]
    names = [(entry["template"][0], entry["run"].rstrip("0")) for entry in found]
    assert names == [("O", "other"), ("W", "first"), ("W", "monday"), ("W", "tuesday"), ("S", "first"), ("Q", "first"),
                     ("Z", "first")]  # fmt: skip
    monday = found[2]
    assert monday["parent"] == found[1]["entry"]
    assert monday["verdict"] == (
        f"refined from {found[1]['entry'][:8]}: better on new rows (loss 0.900 to 0.100, n=4), "
        "worse on old (loss 0.179 to 0.302, n=32)"
    )
    assert (monday["rung"], monday["validation"]["n"], monday["validation"]["loss"]) == (1, 32, 0.302)
    assert found[3]["parent"] == monday["entry"]
    assert "no more than noise), no worse on old" in found[3]["verdict"]
    assert [entry["parent"] for entry in found if entry["run"].startswith(("first", "other"))] == [None] * 5


def test_the_best_stands_first_within_each_group_alone(capsys, path):
    found = entries(capsys, path)
    groups = {group["group"]: group for group in found["groups"]}
    assert len(groups) == len(found["groups"])
    members = [[entry for entry in found["entries"] if entry["group"] == name] for name in groups]
    for group, inside in zip(groups.values(), members, strict=True):
        losses = [entry["validation"]["loss"] for entry in inside]
        assert losses == sorted(losses)
        assert len(inside) == group["entries"]
        assert {(entry["rung"], entry["validation"]["n"]) for entry in inside} == {(group["rung"], group["n"])}
    facts = [(g["corpora"], g["rung"], g["n"], g["refined"], g["test_evaluations"]) for g in groups.values()]
    assert facts == [
        (["letters"], 2, 64, False, 0), (["reviews"], 2, 64, False, 1), (["monday", "tuesday"], 1, 32, True, 0),
        (["reviews"], 1, 32, False, 1), (["reviews"], 0, 64, False, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("width", ["80", "120"])
def test_the_terminal_separates_groups_and_says_the_verdict(capsys, monkeypatch, path, width):
    monkeypatch.setenv("COLUMNS", width)
    done = commands.call(capsys, "leaderboard", "list", "--leaderboard", path)
    shown = " ".join(done.out.split())
    assert (
        "reviews (data ffffffff), rung 2: evaluated on 64 rows; test rows of this data used by 1 evaluation " in shown
    )
    assert (
        "letters (data 00000000), rung 2: evaluated on 64 rows; test rows of this data used by 0 evaluations" in shown
    )
    assert "Compare losses only within a group" in shown
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= int(width)
    first = next(place for place, line in enumerate(lines) if " first " in line)
    assert lines[first + 1].startswith("└ ")
    assert " monday " in lines[first + 1]
    assert "worse on old" in shown
    assert "0.050" not in shown, "the mean of four new rows ranks nothing"


def test_one_run_is_listed_as_before_and_a_refined_one_by_itself(capsys, path):
    assert [entry["template"][0] for entry in entries(capsys, path, "--run", "first")["entries"]] == list("WSQZ")
    found = entries(capsys, path, "--run", "monday")
    (alone,) = found["entries"]
    assert alone["validation"]["n"] == 32
    assert found["groups"][0]["refined"]


def test_models_compare_but_other_rows_folds_and_shown_examples_do_not(tmp_path):
    one, other = a_run("one"), a_run("other", model="big")
    parts = a_run("parts", config={"folds": 2})  # whose folds are numbered from 1
    demos = tuple(Demo.of(f"1.{n}", {"text": "so"}, "pos") for n in range(2))
    shown = ("{demos:2}{text}{label}", 2, 0.3)
    with Leaderboard.open(tmp_path / "lb.sqlite") as board:
        for run in (one, other, parts):
            board.start_run(run)
        board.add([scored(run, "A {text}{label}", 2, 0.2, fold=fold) for run in (one, other) for fold in (0, 1)])
        board.add(
            [scored(one, "R {text}{label}", 2, 0.2, fold=fold, repeat=repeat) for fold in (0, 1) for repeat in (0, 1)]
        )
        board.add([scored(parts, "A {text}{label}", 2, 0.2, fold=fold) for fold in (1, 2)])
        board.add([scored(one, "H {text}{label}", 2, 0.1)])
        board.add([scored(one, *shown, demos=demos, fold=fold, n=n) for fold, n in ((0, 32), (1, 30))])
        board.add([scored(other, *shown, demos=demos[:1] * 2, fold=fold, n=n) for fold, n in ((0, 32), (1, 31))])
        rows = board.entries()
    groups = {}
    for row in rows:
        groups.setdefault(row.group, set()).add((row.template[0], row.run.rstrip("0")))
    assert sorted(map(sorted, groups.values())) == [
        [("A", "one"), ("A", "other"), ("R", "one")], [("A", "parts")], [("H", "one")],
        [("{", "one")], [("{", "other")],
    ]  # fmt: skip


def test_the_estimated_error_orders_entries_before_the_loss_does(capsys, tmp_path):
    path, run, other = tmp_path / "lb.sqlite", a_run("run"), a_run("other")
    texts = {"A {text}{label}": 0.3, "B {text}{label}": 0.2, "C {text}{label}": 0.1, "D {text}{label}": None}
    with Leaderboard.open(path) as board:
        for each in (run, other):
            board.start_run(each)
        board.add([scored(run, text, 1, place / 10) for place, text in enumerate(texts)])
        board.add([scored(other, "E {text}{label}", 1, 0.9)])
        made = {text: scored(run, text, 1, 0.5).entry for text in texts}
        board.attach([EntryEstimate(run.id, made[text], e, 0.05, 0.25) for text, e in texts.items() if e is not None])
        board.attach([EntryEstimate(other.id, scored(other, "E {text}{label}", 1, 0.5).entry, 0.15, 0.05, 0.0)])
        rows = board.entries()
        assert [entry.row for entry in board.listed_entries()] == rows
        assert [entry.row for entry in board.listed_entries(run.id, 2)] == board.entries(run.id)[:2]
    assert [row.template[0] for row in rows] == ["C", "E", "B", "A", "D"]
    assert len({row.group for row in rows}) == 1
    assert rows[0].to_dict()["estimate"] == {"error": 0.1, "deviation": 0.05, "unlabeled_weight": 0.25}
    assert rows[-1].to_dict()["estimate"] is None
    shown = commands.call(capsys, "leaderboard", "list", "--leaderboard", path)
    assert "0.100" in shown.out
    assert "error: the estimated share of wrong answers" in shown.out


def test_pruned_and_failed_entries_are_groups_of_their_own_at_the_end(tmp_path):
    run = a_run("run")
    with Leaderboard.open(tmp_path / "lb.sqlite") as board:
        board.start_run(run)
        board.add([
            scored(run, "F {text}{label}", 2, 0.0, status="failed", reason="OOM", score=None),
            scored(run, "P {text}{label}", 2, 0.0, status="pruned"),
            scored(run, "C {text}{label}", 0, 0.9, split="frozen"),
        ])  # fmt: skip
        groups = Groups()
        rows = list(groups.counting(board.listed_entries()))
    assert [entry.row.template[0] for entry in rows] == ["C", "P", "F"]
    assert [(group.status, group.n) for group in groups.all(lambda _: 0)] == [
        ("complete", 32), ("pruned", 32), ("failed", 0),
    ]  # fmt: skip


def test_parents_that_descend_from_their_children_are_listed_once(capsys, tmp_path):
    path, text = tmp_path / "lb.sqlite", "W {text}{label}"
    runs = [a_run(name, fingerprint=GROWN, strategy="refine") for name in ("monday", "tuesday", "itself")]
    names = {run.id: scored(run, text, 1, 0.3).entry for run in runs}
    above = {runs[0].id: runs[1].id, runs[1].id: runs[0].id, runs[2].id: runs[2].id}
    with Leaderboard.open(path) as board:
        for run in runs:
            told = {"entry": names[above[run.id]], "run": above[run.id]}
            board.start_run(replace(run, config=RunConfig.from_dict({"refine": told})))
            board.add(refined(run, text))
    found = entries(capsys, path)["entries"]
    assert sorted(entry["run"] for entry in found) == sorted(run.id for run in runs)


@pytest.mark.parametrize(
    ("new", "old", "said"),
    [
        (scores(0.5, 0.4, 4), scores(0.3, 0.3001, 32),
         "better on new rows (loss 0.500 to 0.400, n=4), no worse on old (loss 0.300 to 0.300, n=32)"),
        (scores(0.5, 0.6, 4, clear=False), scores(0.3, 0.2, 32, clear=True),
         "worse on new rows (loss 0.500 to 0.600, n=4, no more than noise), better on old (loss 0.300 to 0.200, n=32)"),
        ({"before": None, "after": None}, scores(0.3, 0.4, 32), "new rows not judged, worse on old"),
    ],
)  # fmt: skip
def test_a_verdict_says_better_and_worse_with_both_losses(new, old, said):
    found = RunResult.from_dict({"refine": {"entry": "1f2e3d4c" * 8, "new": new, "validation": old}})
    assert said in str(refinement_verdict(found.refine))
    assert refinement_verdict(None) is None


def test_the_report_and_show_take_the_old_rows_of_a_refined_entry(capsys, path):
    with Leaderboard.open(path) as board:
        monday = board.run("monday")
        entry = board.entries(monday.id)[0].entry
        board.finish_run(monday.id, "finished", replace(monday.result, best=replace(monday.result.best, entry=entry)))
    with Leaderboard.open(path, read_only=True) as board:
        facts = facts_of(board, "monday")
    assert facts.lines[0].entry.validation.n == 32
    assert facts.refined is not None
    assert "worse on old" in facts.refined
    shown = commands.call(capsys, "leaderboard", "show", facts.lines[0].entry.entry, "--leaderboard", path)
    assert "worse on old" in " ".join(shown.out.split())


def test_two_refined_entries_compare_on_old_and_new_rows(capsys, path):
    with Leaderboard.open(path) as board:
        monday = next(run for run in board.runs() if run.name == "monday")
        rival = replace(monday, id="rival0000000", name="rival")
        board.start_run(rival)
        board.add(refined(rival, "V {text}{label}", new=0.9))
        names = {row.run: row.entry for row in board.entries()}
    done = commands.call(
        capsys, "leaderboard", "compare", names[monday.id], names[rival.id], "--leaderboard", path, "--json"
    )
    assert json.loads(done.out)["n"] == 36


def test_test_evaluations_are_counted_by_data(tmp_path):
    for run in ("a" * 12, "b" * 12):
        synthetic.write(tmp_path / "lb.sqlite", 4, run=run)
    with Leaderboard.open(tmp_path / "lb.sqlite", read_only=True) as board:
        tests = sum(evaluation.split == "test" for evaluation in board.evaluations())
        assert tests > 0
        assert board.count_test_evaluations(DATA) == tests
        assert board.count_test_evaluations("0" * 64) == 0
