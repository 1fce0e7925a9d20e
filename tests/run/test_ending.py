"""The winner is trained once more on all rows: what is kept, tested, shown, repeated and exported."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import commands
import pytest
import runs
import tiny

import autoprompt
from autoprompt import run
from autoprompt.candidate import Demo, Settings
from autoprompt.corpus import Corpus
from autoprompt.evaluator import Evaluation, Rung
from autoprompt.evaluator.refitting import MOST_TIMES, RefitTask, limited
from autoprompt.evaluator.worker import Worker, WorkerSpec
from autoprompt.leaderboard import Leaderboard
from autoprompt.optimizer.loop import Search
from autoprompt.optimizer.time_budget import TimePlan
from autoprompt.progress import Silent
from autoprompt.template import LabelWords, Template


@pytest.fixture(autouse=True, scope="module")
def _in_this_process():
    with commands.inline():
        yield


@dataclass(frozen=True)
class Found:
    """A run, its result, and what it stored of the test rows."""

    options: run.SearchOptions
    result: dict[str, Any]
    tasks: int = 0

    def tests(self) -> dict[str, dict[int, Any]]:
        """Entry -> rung -> evaluation of the test rows."""
        with Leaderboard.open(self.options.leaderboard, read_only=True) as board:
            found: dict[str, dict[int, Any]] = {}
            for record in board.evaluations(self.result["run"]):
                if record.split == "test":
                    found.setdefault(record.entry, {})[record.rung] = record
        return found


def searched(options: run.SearchOptions) -> Found:
    with pytest.MonkeyPatch.context() as patch:
        count = runs.killing(patch, -1)
        result = run.search(options, Silent()).to_dict()
    return Found(options, result, count[0])


@pytest.fixture(scope="module")
def found(model_folders: dict[str, Path], corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    options = runs.small(model_folders["llama"], corpus_folder, tmp_path_factory.mktemp("refit"))
    return searched(replace(options, refit=True))


def test_the_winner_is_kept_as_the_last_of_its_versions(found: Found) -> None:
    versions, best = found.result["versions"], found.result["best"]
    assert list(versions) == ["single", "refit"]
    assert [one["rows"] for one in versions.values()] == [24, 60]
    assert versions["refit"]["test"] == best["test"]
    assert versions["single"]["difference"] is None
    assert versions["refit"]["difference"]["n"] == best["test"]["n"]
    of_winner, of_manual = (found.tests()[row["entry"]] for row in (best, found.result["baselines"]["manual_tuned"]))
    assert sorted(of_winner) == [Rung.TUNED, Rung.REFITTED]
    assert sorted(of_manual) == [Rung.TUNED]
    assert len({tuple(one.losses) for one in of_winner.values()}) == 2, "they are two fine-tunes"
    for name, rung in (("single", 1), ("refit", 3)):
        assert versions[name]["test"]["accuracy"] == of_winner[rung].score.accuracy
    assert found.result["baselines"]["manual_tuned"]["test"]["loss"] == of_manual[Rung.TUNED].score.loss
    gain = of_winner[Rung.REFITTED].score.accuracy - of_manual[Rung.TUNED].score.accuracy
    assert found.result["difference"]["value"] == pytest.approx(gain)


def test_the_weights_that_are_kept_give_its_scores(found: Found, corpus: Corpus, tmp_path: Path) -> None:
    with Leaderboard.open(found.options.leaderboard, read_only=True) as board:
        run.export(board, found.result["best"]["entry"], tmp_path / "best.json", with_weights=True)
    prompt = autoprompt.load(tmp_path / "best.json")
    refit = found.tests()[found.result["best"]["entry"]][Rung.REFITTED]
    texts = {row.row_id: row.fields["text"] for row in corpus.test}
    assert prompt.predict([texts[row] for row in refit.row_ids]) == refit.predictions
    assert json.loads((tmp_path / "best.json").read_text())["scores"]["test"]["accuracy"] == refit.score.accuracy


def test_all_is_verified_to_the_last_bit(found: Found) -> None:
    for row in (found.result["best"], found.result["baselines"]["manual_tuned"]):
        checked = run.verify(row["entry"], found.options.leaderboard, Silent())
        assert checked.verdict == "exact"
        again = {(one.split, one.rung) for one in checked.evaluations}
        assert {("test", rung) for rung in found.tests()[row["entry"]]} <= again


@pytest.mark.parametrize("left", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_killed_at_the_end_it_is_resumed_as_if_nothing_had_happened(found: Found, tmp_path: Path, left: int) -> None:
    """So many tasks before the end: while test rows are scored, and while the winner is trained."""
    options = replace(found.options, leaderboard=tmp_path / "lb.sqlite")
    reference = runs.started(options, found.tasks - left)
    ended = run.resume(reference, options.leaderboard, Silent()).to_dict()
    assert runs.facts(options.leaderboard, ended) == runs.facts(found.options.leaderboard, found.result)


def test_people_see_all_versions(found: Found, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    versions = found.result["versions"]
    said = "; ".join(f"{n} ({v['rows']} rows) {100 * v['test']['accuracy']:.1f} %" for n, v in versions.items())
    board = ("--leaderboard", found.options.leaderboard)
    shown = commands.call(capsys, "resume", found.result["run"], *board)
    assert f"winner by the rows that it was trained on: {said}" in " ".join(shown.out.split())
    assert commands.call(capsys, "report", found.result["run"], *board, "--out", tmp_path / "r").code == 0
    for page in ("report.md", "report.html"):
        text = (tmp_path / "r" / page).read_text(encoding="utf-8")
        assert "winner, single" in text
    ours, manual = found.result["best"], found.result["baselines"]["manual_tuned"]
    done = commands.call(
        capsys, "leaderboard", "compare", ours["entry"], manual["entry"], "--split", "test", "--json", *board
    )
    assert json.loads(done.out)["loss"] == [pytest.approx(row["test"]["loss"]) for row in (ours, manual)]


def test_without_a_refit_the_winner_stays_as_it_was_found(
    found: Found, finished: tuple[run.SearchOptions, dict[str, Any]]
) -> None:
    other = Found(*finished)
    assert other.result["versions"] == {}
    assert other.result["best"]["entry"] == found.result["best"]["entry"]
    assert other.result["best"]["test"] == found.result["versions"]["single"]["test"]
    assert all(list(rungs) == [Rung.TUNED] for rungs in other.tests().values())
    assert run.verify(other.result["best"]["entry"], other.options.leaderboard, Silent()).verdict == "exact"


def test_a_refit_that_was_left_out_for_time_is_said(
    finished: tuple[run.SearchOptions, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TimePlan, "may_refit", lambda *_: False)
    options = replace(finished[0], refit=True, leaderboard=tmp_path / "board.sqlite", max_evaluations=5)
    said = "The winner was not trained once more: no time was left for that."
    late = run.search(options, Silent()).to_dict()
    assert said in late["left_out"]
    assert late["versions"] == {}
    assert said not in finished[1]["left_out"], "it was not asked for"


def test_the_command_and_the_function_take_it(found: Found, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = found.options
    given = ("search", options.corpus, "--model", options.model.model, "--max-evaluations", 7, "--fix", "epochs=1",
             "--config", options.config, "--device", "cpu", "--workers", 1, "--json")  # fmt: skip
    theirs = commands.call(
        capsys, *given, "--unlabeled", options.data.unlabeled, "--leaderboard", tmp_path / "a.sqlite"
    )
    assert theirs.code == 0, theirs.err
    assert json.loads(theirs.out)["versions"] == found.result["versions"], "it is the default"
    ours = autoprompt.search(
        options.corpus, model=options.model.model, device="cpu", workers=1, max_evaluations=7, fix={"epochs": 1},
        config=options.config, unlabeled=options.data.unlabeled, refit=False, progress=False,
        leaderboard=tmp_path / "b.sqlite",
    )  # fmt: skip
    assert ours.to_dict()["versions"] == {}


def test_a_manual_template_that_wins_is_compared_with_itself_as_it_was_tuned(
    found: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Search, "_final", lambda self: next(e for e in self.tuned if e.candidate == self.space.manual_tuned)
    )
    other = searched(replace(found.options, leaderboard=tmp_path / "other.sqlite")).result
    best, manual = other["best"], other["baselines"]["manual_tuned"]
    assert best["entry"] == manual["entry"]
    assert best["test"] == other["versions"]["refit"]["test"] != manual["test"]
    assert manual["test"] == other["versions"]["single"]["test"] == found.result["baselines"]["manual_tuned"]["test"]
    assert other["difference"] == other["versions"]["refit"]["difference"]
    assert "which is the winner itself; trained once more it differs from that by " in other["verdict"]


@pytest.mark.parametrize("case", ["no rows without labels", "fewer than four votes"])
def test_where_nobody_can_teach_it_the_winner_stays_as_it_was_found(found: Found, tmp_path: Path, case: str) -> None:
    options = replace(found.options, max_evaluations=2, leaderboard=tmp_path / "other.sqlite")
    if case == "no rows without labels":
        data = replace(options.data, unlabeled=None, unlabeled_rows=0)
        options = replace(options, data=data, max_evaluations=5)
    other = searched(options)
    assert other.result["versions"] == {}
    assert all(list(rungs) == [Rung.TUNED] for rungs in other.tests().values())


def test_a_frozen_winner_has_nothing_to_refit(found: Found, tmp_path: Path) -> None:
    model = replace(found.options.model, tuning="none")
    other = searched(replace(found.options, model=model, fix={}, leaderboard=tmp_path / "other.sqlite"))
    assert other.result["versions"] == {}
    assert other.result["weights"] is None


# The task


def test_steps_are_limited_in_those_of_a_short_fine_tune() -> None:
    settings = Settings("tail", 5e-4, 12, 4, 8)
    assert limited(settings, 64, 2 * settings.steps(32)) == settings, "twice the rows and twice the steps"
    assert limited(settings, 192, 4 * settings.steps(32)).steps(192) == 4 * settings.steps(32)
    assert limited(settings, 10_000, 1).epochs == 1
    assert limited(settings, 64, MOST_TIMES * settings.steps(32)).steps(64) <= MOST_TIMES * settings.steps(32)


def test_a_prompt_whose_examples_are_all_rows_fails_in_a_sentence(
    model_folders: dict[str, Path], corpus: Corpus, tmp_path: Path
) -> None:
    shown = replace(corpus, train=corpus.train[:1], validation=corpus.validation[:1], test=())
    worker = Worker(WorkerSpec(model_folders["llama"], shown, 0, "cpu", 64, tmp_path, tmp_path))
    words = LabelWords(tuple(tiny.WORDS.items()))
    shots = tuple(Demo.of(row.row_id, row.fields, row.label) for row in (*shown.train, *shown.validation))
    candidate = replace(tiny.prompt_of(Template.parse(tiny.MANUAL), words, "tail"), demos=shots)
    done, content = RefitTask(Evaluation(candidate, Rung.REFITTED), ())(worker)
    assert (done.status, content) == ("failed", b"")
    assert done.reason == "the solved examples leave no rows to train on"
