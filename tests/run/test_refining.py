"""An entry is trained on with new labelled rows, kept unless it got worse, and can be verified, exported and refined
again."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pytest
import runs
import tiny
import torch

import autoprompt
from autoprompt import run
from autoprompt.candidate import Settings
from autoprompt.corpus import Corpus, Example
from autoprompt.errors import InputError, StorageError, WorkerLostError
from autoprompt.evaluator import WorkerSpec, refining
from autoprompt.evaluator.refining import REPLAYED, refined
from autoprompt.evaluator.worker import Worker
from autoprompt.leaderboard import DataRow, Leaderboard, Origin
from autoprompt.models import CandidateFailedError, LanguageModel
from autoprompt.progress import Silent
from autoprompt.run import DataOptions
from autoprompt.run.refine_inputs import Parent, add_new_rows, new_rows
from autoprompt.template import LabelWords, Template

PROMPT = tiny.prompt_of(Template.parse("{text}\nSentiment: {label}"), LabelWords.of(tiny.WORDS, tiny.LABELS), "tail")
NEW = [
    ("the train was a joy", "positive"),
    ("the train was awful and dull", "negative"),
    ("one good warm stew", "positive"),
    ("one bad cold stew", "negative"),
]


pytestmark = pytest.mark.usefixtures("inline")


@pytest.fixture(scope="module")
def searched(finished: tuple[run.SearchOptions, dict[str, Any]]) -> dict[str, Any]:
    """A finished search's result, and its leaderboard."""
    return finished[1] | {"board": finished[0].leaderboard}


@pytest.fixture
def board(searched: dict[str, Any], tmp_path: Path) -> Path:
    """A copy of its leaderboard, with the weights."""
    return runs.copied(searched["board"], tmp_path)


@pytest.fixture
def monday(tmp_path: Path) -> Path:
    return write(tmp_path / "monday.csv", NEW)


def write(path: Path, rows: list[tuple[str, str]], head: str = "text,label") -> Path:
    path.write_text("\n".join([head, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
    return path


def refine(searched: dict[str, Any], source: Path, board: Path, **options: Any) -> dict[str, Any]:
    entry = options.pop("entry", searched["best"]["entry"])
    return run.refine(entry, str(source), board, Silent(), device="cpu", **options).to_dict()


def succeed(capsys: pytest.CaptureFixture[str], *arguments: object, board: Path) -> str:
    done = commands.call(capsys, *arguments, "--leaderboard", board)
    assert done.code == 0, done.err
    return done.out


# Going on from weights


@pytest.mark.parametrize("mode", ["tail", "lora", "soft", "full"])
def test_a_fine_tune_goes_on_from_what_an_earlier_one_learnt(model: LanguageModel, corpus: Corpus, mode: str) -> None:
    rows = corpus.train[:8]
    settings = {"soft": Settings("soft", 0.02, 4, 3)}.get(mode, Settings(mode, 3e-3, 4, 3, 4 if mode != "full" else 0))
    prompted, gold = model.prompt(replace(PROMPT, settings=settings), rows), tiny.gold(rows)
    first = model.tune(prompted, gold, settings, 1)
    still = model.tune(prompted, gold, settings.change(learning_rate=1e-12), 2, start=first)
    assert still.keys() == first.keys()
    assert all(torch.allclose(still[name], first[name], atol=1e-6) for name in first)
    assert not all(torch.equal(first[name], other) for name, other in model.tune(prompted, gold, settings, 2).items())
    with pytest.raises(CandidateFailedError, match="another model, mode or rank"):
        model.tune(prompted, gold, settings, 1, start={"odd": torch.zeros(1)})


def test_nobody_is_judged_by_rows_that_taught_it(
    model_folders: dict[str, Path], corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = WorkerSpec(model_folders["llama"], corpus.without_test(), 0, "cpu", 64, tmp_path, tmp_path)
    worker = Worker(spec)
    candidate = replace(PROMPT, settings=Settings("tail", 3e-3, 4, 8, 4))
    weights = worker.model.tune(worker.model.prompt(candidate, corpus.train[:6]), tiny.gold(corpus.train[:6]),
                                candidate.settings, 0)  # fmt: skip
    taught: list[set[str]] = []
    owner: dict[int, str] = {}
    kept = []
    prompt, tune = worker.model.prompt, worker.model.tune

    def watched(given: Any, rows: Sequence[Example]) -> Any:
        kept.append(made := prompt(given, rows))
        owner.update({id(own): row.row_id for own, row in zip(made.rows, rows, strict=True)})
        return made

    def noted(prompted: Any, *rest: Any, **more: Any) -> Any:
        taught.append({owner[id(own)] for own in prompted.rows})
        return tune(prompted, *rest, **more)

    monkeypatch.setattr(worker.model, "prompt", watched)
    monkeypatch.setattr(worker.model, "tune", noted)
    new = {row.row_id for row in corpus.train[6:11]}
    done = refined(worker, candidate, weights, new)
    judged = [set(evaluation.row_ids) for evaluation in done.after]
    assert [evaluation.fold for evaluation in done.after] == [0, 1, 2]
    assert judged[0] == {row.row_id for row in corpus.validation}
    assert judged[1] | judged[2] == new
    assert {len(judged[1]), len(judged[2])} == {2, 3}
    assert not judged[1] & judged[2]
    everything = taught[0]
    assert new < everything <= {row.row_id for row in corpus.train}
    old = [row.label for row in corpus.train if row.row_id in everything - new]
    assert len(old) == min(REPLAYED, len(corpus.train) - len(new))
    assert taught == [everything, everything - judged[1], everything - judged[2]]
    assert [evaluation.row_ids for evaluation in done.before] == [evaluation.row_ids for evaluation in done.after]
    assert done.weights.keys() == weights.keys()
    assert not all(torch.equal(done.weights[name], weights[name]) for name in weights)
    assert [e.fold for e in refined(worker, candidate, weights, {corpus.train[6].row_id}).after] == [0]
    taught.clear()
    done = refined(worker, candidate, weights, new, validation_learnt=True)
    assert [evaluation.fold for evaluation in (*done.after, *done.before)] == [1, 2, 1, 2]
    assert judged[1:] == [set(evaluation.row_ids) for evaluation in done.after]
    known = {row.row_id for row in (*corpus.train, *corpus.validation)}
    assert new < taught[0] <= known
    assert len(taught[0] - new) == min(REPLAYED, len(known) - len(new))
    assert taught[0] & judged[0], "validation rows are shown again like other rows that it has learnt"
    assert taught[1:] == [taught[0] - judged[1], taught[0] - judged[2]]


def test_no_more_old_rows_are_shown_again_for_all_that_came_before(
    model_folders: dict[str, Path], corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = replace(corpus.without_test(), train=tuple(
        replace(row, row_id=f"{row.row_id} {time}", fields={"text": f"{row.fields['text']} {time}"})
        for time in range(REPLAYED) for row in corpus.train[:4]
    ))  # fmt: skip
    worker = Worker(WorkerSpec(model_folders["llama"], grown, 0, "cpu", 64, tmp_path, tmp_path))
    candidate = replace(PROMPT, settings=Settings("tail", 3e-3, 4, 1, 4))
    new = [row.row_id for row in grown.train[-5:]]
    taught: list[Sequence[Example]] = []
    prompt = worker.model.prompt
    monkeypatch.setattr(worker.model, "prompt", lambda given, rows: taught.append(rows) or prompt(given, rows))
    weights = worker.model.tune(prompt(candidate, grown.train[:6]), tiny.gold(grown.train[:6]), candidate.settings, 0)
    refined(worker, candidate, weights, new)
    shown = [row.row_id for row in taught[0]]
    assert shown[REPLAYED:] == new
    labels = [row.label for row in taught[0][:REPLAYED]]
    assert {labels.count(label) for label in corpus.labels} == {REPLAYED // len(corpus.labels)}


# The command


def test_a_new_entry_has_its_parent_its_rows_and_weights(searched, board, monday):
    result = refine(searched, monday, board, name="monday")
    told = result["refine"]
    assert told["kept"]
    assert told["entry"] == searched["best"]["entry"]
    assert told["rows"]["new"] == 4
    assert result["best"]["entry"] != told["entry"]
    assert told["validation"]["after"]["n"] == told["validation"]["before"]["n"]
    assert told["new"]["after"]["n"] == 4
    assert told["rows"]["judged"] == 4 + told["validation"]["after"]["n"]
    with Leaderboard.open(board, read_only=True) as opened:
        stored = opened.run("monday")
        assert (stored.status, stored.strategy, stored.winner) == ("finished", "refine", result["best"]["entry"])
        assert opened.attached(Origin, stored.id) == [
            Origin(stored.id, result["best"]["entry"], "refine", [searched["best"]["entry"]])
        ]
        rows, old = (opened.attached(DataRow, run_id) for run_id in (stored.id, searched["run"]))
        assert {r.row_id for r in old} < {r.row_id for r in rows}
        assert [r.fields["text"] for r in rows if r.row_id not in {o.row_id for o in old}] == [text for text, _ in NEW]
        assert [e.fold for e in opened.evaluations(stored.id)] == [0, 1, 2]


def test_it_is_verified_to_the_last_bit_exported_with_weights_and_reported(capsys, searched, board, monday, tmp_path):
    result = refine(searched, monday, board)
    for which in ([result["best"]["entry"]], ["--run", result["run"]]):
        checked = json.loads(succeed(capsys, "verify", *which, "--json", board=board))
        assert (checked["verdict"], checked["flipped"]) == ("exact", 0)
    answers = []
    for name, entry in (("then", searched["best"]["entry"]), ("now", result["best"]["entry"])):
        succeed(capsys, "export", entry, "--out", tmp_path / f"{name}.json", "--with-weights", board=board)
        answers.append(autoprompt.load(tmp_path / f"{name}.json").predict_proba([text for text, _ in NEW]))
    assert not np.array_equal(*answers)
    succeed(capsys, "report", result["run"], "--out", tmp_path / "page", board=board)
    assert result["best"]["entry"][:12] in (tmp_path / "page" / "report.md").read_text(encoding="utf-8")


def test_verify_names_other_rules_of_refining(capsys, searched, board, monday, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr("autoprompt.run.refining.REFINING_VERSION", 1)
        result = refine(searched, monday, board)
    checked = json.loads(succeed(capsys, "verify", result["best"]["entry"], "--json", board=board))
    assert checked["changed"] == ["code.refining is now 2, was 1"]


def test_it_is_refined_again(searched, board, monday, tmp_path):
    first = refine(searched, monday, board)
    tuesday = write(tmp_path / "tuesday.csv", [("a lovely bridge", "positive"), NEW[0]])
    second = refine(searched, tuesday, board, entry=first["best"]["entry"])
    assert second["refine"]["rows"]["old"] == first["refine"]["rows"]["old"] + 4
    assert second["refine"]["rows"]["new"] == 1
    assert second["refine"]["new"]["after"] is None
    assert len(second["warnings"]) == 1
    with pytest.raises(InputError, match="No row of 'monday' is new"):
        refine(searched, monday, board, entry=second["best"]["entry"])


@pytest.fixture(scope="module")
def refitted(
    finished: tuple[run.SearchOptions, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The same search, whose winner was trained once more, on the validation rows too."""
    board = tmp_path_factory.mktemp("refitted") / "board.sqlite"
    return run.search(replace(finished[0], refit=True, leaderboard=board), Silent()).to_dict() | {"board": board}


def test_new_rows_alone_judge_what_has_learnt_the_validation_rows(capsys, refitted, tmp_path, monday):
    board = runs.copied(refitted["board"], tmp_path)
    first = refine(refitted, monday, board)
    told = first["refine"]
    assert told["kept"]
    assert told["validation"] == {"before": None, "after": None, "clear": None}
    with Leaderboard.open(board, read_only=True) as opened:
        splits = [row.split for row in opened.attached(DataRow, refitted["run"])]
    learnt = splits.count("train") + splits.count("validation")
    assert told["rows"] == {"old": learnt, "new": 4, "judged": 4}
    assert first["best"]["validation"] == told["new"]["after"]
    shown = succeed(capsys, "leaderboard", "list", board=board)
    assert "new rows (loss" in shown
    assert "on old" not in shown
    checked = json.loads(succeed(capsys, "verify", "--run", first["run"], "--json", board=board))
    assert (checked["verdict"], checked["flipped"]) == ("exact", 0)
    tuesday = [("a lovely bridge", "positive"), ("a dull bridge", "negative")]
    second = refine(refitted, write(tmp_path / "2.csv", tuesday), board, entry=first["best"]["entry"])
    assert (second["refine"]["rows"]["judged"], second["refine"]["validation"]["after"]) == (2, None)
    with pytest.raises(InputError, match=r"One new row of '1' cannot be judged: .*; give two or more\."):
        refine(refitted, write(tmp_path / "1.csv", [("a warm rug", "positive")]), board)


def test_a_rise_on_the_new_rows_is_enough_where_only_they_judge(capsys, refitted, tmp_path, monday, monkeypatch):
    def worse(*given: Any, **more: Any) -> Any:
        done = real(*given, **more)
        return replace(done, after=[
            replace(one, losses=tuple(loss + 0.01 + 0.5 * (-1) ** row for row, loss in enumerate(one.losses)))
            for one in done.before
        ])  # fmt: skip

    real = refining.refined
    monkeypatch.setattr(refining, "refined", worse)
    board = runs.copied(refitted["board"], tmp_path)
    told = refine(refitted, monday, board)["refine"]
    assert told["difference"]["low"] < 0 < told["difference"]["high"]
    assert not told["kept"]
    shown = " ".join(succeed(capsys, "refine", refitted["best"]["entry"], monday, board=board).split())
    assert "with 4 more its loss rose on the new rows, so it stays as it is" in shown


def test_what_got_worse_is_not_kept(capsys, searched, board, monday, monkeypatch):
    def worse(*given: Any, **more: Any) -> Any:
        done = real(*given, **more)
        return replace(done, after=[replace(one, losses=tuple(x + 1 for x in one.losses)) for one in done.before])

    real = refining.refined
    monkeypatch.setattr(refining, "refined", worse)
    result = refine(searched, monday, board)
    told = result["refine"]
    assert not told["kept"]
    assert told["difference"] == {"loss": pytest.approx(1), "low": pytest.approx(1), "high": pytest.approx(1)}
    assert result["run"] is result["best"] is result["weights"] is None
    assert "Not kept" in succeed(capsys, "refine", searched["best"]["entry"], monday, board=board)
    with Leaderboard.open(board, read_only=True) as opened:
        assert [stored.id for stored in opened.runs()] == [searched["run"]]


def moved(monkeypatch: pytest.MonkeyPatch, new: float, old: float, spread: float) -> None:
    """Refining changes the mean loss by so much on new and old rows, and single losses up and down by ``spread``."""

    def changed(*given: Any, **more: Any) -> Any:
        done = real(*given, **more)
        after = [
            replace(one, losses=tuple(loss + change + spread * (-1) ** row for row, loss in enumerate(one.losses)))
            for one, change in zip(done.before, (old, new, new), strict=False)
        ]
        return replace(done, after=after)

    real = refining.refined
    monkeypatch.setattr(refining, "refined", changed)


@pytest.mark.parametrize(
    ("new", "old", "spread", "kept"),
    [
        (0.01, 0.01, 0.5, False),  # no more than noise, but on both
        pytest.param(0.01, -0.01, 0.5, True, marks=pytest.mark.slow),
        (-0.01, 0.01, 0.5, True),
        (-0.01, 0.2, 0.1, False),  # the paired test
        pytest.param(-0.01, -0.01, 0.5, True, marks=pytest.mark.slow),
    ],
)
def test_nothing_is_kept_whose_loss_rose_on_both_old_and_new_rows(
    capsys, searched, board, monday, monkeypatch, new, old, spread, kept
):
    moved(monkeypatch, new, old, spread)
    told = refine(searched, monday, board)["refine"]
    assert told["kept"] is kept
    assert [told[part]["after"]["loss"] - told[part]["before"]["loss"] for part in ("new", "validation")] == [
        pytest.approx(new), pytest.approx(old)
    ]  # fmt: skip
    shown = " ".join(succeed(capsys, "refine", searched["best"]["entry"], monday, board=board).split())
    assert f"{'better' if new < 0 else 'worse'} on new rows (loss" in shown
    assert f"{'better' if old < 0 else 'worse'} on old (loss" in shown
    if not kept:
        assert ("its loss rose on both old and new rows" in shown) is (min(new, old) > 0)


def test_the_terminal_says_what_came_of_it(capsys, searched, board, monday):
    shown = succeed(capsys, "refine", searched["best"]["entry"][:10], monday, board=board)
    assert "new, unseen (4)" in shown
    assert "New entry" in shown
    assert f"refined from {searched['best']['entry'][:8]}: " in shown
    listed = json.loads(succeed(capsys, "leaderboard", "list", "--json", board=board))["entries"]
    above = next(place for place, row in enumerate(listed) if row["entry"] == searched["best"]["entry"])
    assert listed[above + 1]["parent"] == searched["best"]["entry"]
    assert listed[above + 1]["validation"]["n"] == len(tiny.rows(1))


@pytest.mark.parametrize(
    ("rows", "head", "said"),
    [
        ([("x", "odd")], "text,label", r"labels odd, which the entry"),
        ([("x", "positive")], "review,label", r"text"),
        ([], "text,label", r"no rows"),
    ],
)
def test_rows_that_do_not_fit_are_refused(searched, board, tmp_path, rows, head, said):
    with pytest.raises(InputError, match=said):
        refine(searched, write(tmp_path / "bad.csv", rows, head), board)


def test_test_rows_stay_unseen(searched, board, tmp_path):
    with Leaderboard.open(board, read_only=True) as opened:
        tested = next(row for row in opened.attached(DataRow, searched["run"]) if row.split == "test")
    result = refine(searched, write(tmp_path / "new.csv", [(tested.fields["text"], "positive"), NEW[0]]), board)
    assert result["refine"]["rows"]["new"] == 1
    assert "test rows" in result["warnings"][0]


def test_a_text_that_has_a_label_now_is_no_longer_among_those_without(searched, board, tmp_path):
    with Leaderboard.open(board, read_only=True) as opened:
        parent = Parent.of(opened, searched["best"]["entry"])
    texts = [row.fields["text"] for row in parent.rows["unlabeled"]]
    assert len(texts) == 12
    found = new_rows(
        parent, str(write(tmp_path / "known.csv", [(texts[3], "positive"), *NEW])), DataOptions(), Silent()
    )
    corpus, added, _ = add_new_rows(parent, found)
    assert len(added) == 1 + len(NEW)
    assert [row.fields["text"] for row in corpus.unlabeled] == [text for text in texts if text != texts[3]]


def test_only_a_winner_has_weights_to_go_on_from(searched, board, monday):
    with pytest.raises(InputError, match="refine the winner of a run"):
        refine(searched, monday, board, entry=searched["baselines"]["manual"]["entry"])


def test_a_lost_worker_ends_the_command_and_stores_nothing(searched, board, monday, monkeypatch):
    class Dying(commands.Inline):
        """Its worker dies with every task."""

        def map(self, _function: Any, items: Sequence[Any], *_: Any, lost: Any, **_more: Any) -> Iterator[Any]:
            yield from (lost(item, "its process ended unexpectedly") for item in items)

    monkeypatch.setattr("autoprompt.run.backends.local.LocalExecutor", Dying)
    with pytest.raises(WorkerLostError, match=r"lost with its worker process .its process ended.*; refine again"):
        refine(searched, monday, board)
    with Leaderboard.open(board, read_only=True) as opened:
        assert [stored.id for stored in opened.runs()] == [searched["run"]]


def test_a_run_that_was_stored_in_part_cannot_be_resumed(searched, board, monday):
    result = refine(searched, monday, board)
    with Leaderboard.open(board) as opened:
        opened.finish_run(result["run"], "running")
    with pytest.raises(StorageError, match="refine it again"):
        run.resume(result["run"], board, Silent()).to_dict()


def test_other_commands_take_a_refined_entry_like_any_other(capsys, searched, board, monday, tmp_path):
    result = refine(searched, monday, board, name="monday")
    entry = result["best"]["entry"]
    assert "monday" in succeed(capsys, "leaderboard", "runs", board=board)
    for words in (["list"], ["show", entry]):
        assert entry[:8] in succeed(capsys, "leaderboard", *words, board=board)
    succeed(capsys, "export", "--bundle", "--out", tmp_path / "bundle.json", board=board)
    assert len(json.loads((tmp_path / "bundle.json").read_text())["sources"]) == 1, "a refined entry teaches nothing"
    page = tmp_path / "both"
    succeed(capsys, "report", searched["run"], result["run"], "--out", page, board=board)
    assert "monday" in (page / "report.md").read_text(encoding="utf-8")
    other = tmp_path / "other.sqlite"
    succeed(capsys, "leaderboard", "merge", board, board=other)
    assert json.loads(succeed(capsys, "verify", entry, "--json", board=other))["verdict"] == "exact"
    assert (
        autoprompt.refine(entry, [{"text": "a warm rug", "label": "positive"}], leaderboard=other).to_dict()[
            "evaluations"
        ]
        == 1
    )
