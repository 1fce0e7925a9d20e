"""The ladder: what is computed, what is kept, what fails, and the score of its cheapest rung."""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import tiny
import tiny_families
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoprompt.candidate import Candidate, Demo, Settings
from autoprompt.corpus import Corpus, Example
from autoprompt.errors import InputError, StorageError
from autoprompt.evaluator import (
    TEST_BLOCK,
    CostModel,
    Evaluation,
    Evaluator,
    ModelCheck,
    Rung,
    WorkerSpec,
    bar,
    halving,
    measuring,
    start_worker,
    worker,
)
from autoprompt.evaluator.proxy import FOLDS, fit_probe, proxy_of, stratified_folds
from autoprompt.models import CandidateFailedError, Features, load_model
from autoprompt.models.families.base import LanguageModel
from autoprompt.optimizer.racing import ranked
from autoprompt.template import LabelWords, Template

WORDS = LabelWords.of(tiny.WORDS, ("negative", "positive"))
TAIL = Settings("tail", 5e-3, 8, 2, 4)
FULL = Settings("full", 2e-3, 8, 2)


class InProcess:
    """An executor of one worker: this process."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.workers = 1
        self.tasks: list[Any] = []
        self.asked: list[int] = []
        """How many tasks each call was given."""
        self._spec: WorkerSpec | None = spec

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        gate: Callable[[], bool] | None = None,
        **_: Any,
    ) -> Iterator[Any]:
        self.asked.append(len(items))
        if self._spec is not None:
            start_worker(self._spec)
            self._spec = None
        for item in items:
            if gate is not None and not gate():
                return
            self.tasks.append(item)
            yield function(item)

    def carry(self, path: Path) -> Path:
        """It is here."""
        return path

    def close(self) -> None:
        """Nothing runs beside."""

    def count(self, kind: str) -> int:
        """Tasks of a kind so far."""
        return sum(type(task).__name__ == kind for task in self.tasks)


class Bench:
    """An evaluator with its executor, the check of its model, and what it reported.

    ``weights``: the driver's folder for them, as the worker knows it; ``driver``: as the driver does.
    """

    def __init__(
        self,
        corpus: Corpus,
        folder: Path,
        scratch: Path,
        seed: int = 0,
        weights: Path | None = None,
        driver: Path | None = None,
    ) -> None:
        rows = corpus.without_test()
        self.executor = InProcess(WorkerSpec(folder, rows, seed, "cpu", 128, scratch, weights or scratch))
        self.seen: list[Evaluation | None] = []
        costs = CostModel(corpus, self.executor.workers)
        self.check = ModelCheck(self.executor, costs)
        self.evaluator = Evaluator(
            self.executor, corpus, costs, weights=driver or scratch, observers=[lambda one, _: self.seen.append(one)]
        )
        self.corpus = corpus


@pytest.fixture
def bench(corpus: Corpus, model_folders: dict[str, Path], tmp_path: Path) -> Bench:
    return Bench(corpus, model_folders["llama"], tmp_path)


def _candidate(source: str = "{text}\nSentiment: {label}", settings: Settings = TAIL, words: Any = WORDS) -> Candidate:
    return Candidate(Template.parse(source), words, settings)


def _values(evaluation: Evaluation) -> tuple[Any, ...]:
    return evaluation.row_ids, evaluation.gold, evaluation.log_probs, evaluation.losses


def test_a_frozen_score_is_keyed_by_template_and_words_alone(bench: Bench) -> None:
    first = _candidate()
    other = _candidate(settings=TAIL.change(rank=2))
    a, b, c = bench.evaluator.frozen([first, other, _candidate("{text}{label}")])
    assert bench.executor.count("FrozenTask") == 2
    assert (a.candidate, b.candidate) == (first, other)
    assert _values(a) == _values(b) != _values(c)
    assert a.rung == Rung.FROZEN
    assert len(a.losses) == len(bench.corpus.train) + len(bench.corpus.validation)
    assert a.row_ids == tuple(row.row_id for row in bench.corpus.train + bench.corpus.validation)
    assert a.readability is not None
    assert a.readability > 1
    assert a.loss == pytest.approx(sum(a.losses) / len(a.losses))
    again = bench.evaluator.frozen([other])
    assert bench.executor.count("FrozenTask") == 2
    assert again == [b]
    assert bench.evaluator.fitted == 0


@pytest.mark.parametrize("settings", [TAIL, FULL, Settings("none")], ids=["tail", "full", "none"])
def test_a_fit_scores_the_validation_rows_once(bench: Bench, settings: Settings) -> None:
    candidate = _candidate(settings=settings)
    (done,) = bench.evaluator.fit([candidate])
    assert done.complete
    assert done.rung == Rung.TUNED
    assert done.row_ids == tuple(row.row_id for row in bench.corpus.validation)
    assert done.gold == tuple(bench.corpus.labels.index(row.label) for row in bench.corpus.validation)
    assert all(math.fsum(map(math.exp, row)) == pytest.approx(1, abs=1e-5) for row in done.log_probs)
    assert done.losses == tuple(-row[g] for row, g in zip(done.log_probs, done.gold, strict=True))
    assert set(done.predictions) <= set(bench.corpus.labels)
    assert done.seconds > 0
    assert done.tokens > 0
    assert bench.evaluator.fit([candidate, candidate]) == [done, done]
    assert bench.executor.count("FitTask") == bench.evaluator.fitted == 1
    assert done in bench.seen
    assert (done.weights is None) == (settings.tuning == "none")


def test_a_known_fit_is_carried_to_the_next_rung(bench: Bench) -> None:
    candidate = _candidate()
    (done,) = bench.evaluator.fit([candidate])
    (carried,) = bench.evaluator.fit([candidate], rung=Rung.REPEATED)
    assert bench.executor.count("FitTask") == 1
    assert carried == replace(done, rung=Rung.REPEATED, seconds=0.0, tokens=0)


def test_many_validation_rows_make_neither_the_other_fold_nor_frozen_scores_longer(
    corpus: Corpus, model_folders: dict[str, Path], tmp_path: Path
) -> None:
    few = replace(corpus, train=tuple(row for label in corpus.labels for row in of_label(corpus, label)[:4]))
    bench, candidate = Bench(few, model_folders["llama"], tmp_path), _candidate()
    (frozen,), (own,), (swapped,) = (
        bench.evaluator.frozen([candidate]),
        bench.evaluator.fit([candidate]),
        bench.evaluator.fit([candidate], rung=Rung.REPEATED, fold=1),
    )
    assert own.row_ids == tuple(row.row_id for row in few.validation)
    assert swapped.row_ids == tuple(row.row_id for row in few.train)
    assert len(few.validation) == 24
    (scored, labels) = frozen.row_ids[8:], frozen.gold[8:]
    assert set(scored) <= set(own.row_ids)
    assert sorted(labels) == [0] * 4 + [1] * 4
    assert bench.evaluator.costs.frozen_rows == 16


def of_label(corpus: Corpus, label: str) -> list[Example]:
    return [row for row in corpus.train if row.label == label]


def test_fold_one_swaps_the_rows_and_a_repeat_has_other_randomness(bench: Bench) -> None:
    candidate = _candidate()
    (zero,) = bench.evaluator.fit([candidate])
    (one,) = bench.evaluator.fit([candidate], rung=Rung.REPEATED, fold=1)
    (repeat,) = bench.evaluator.fit([candidate], rung=Rung.REPEATED, repeat=1)
    assert one.row_ids == tuple(row.row_id for row in bench.corpus.train)
    assert repeat.row_ids == zero.row_ids
    assert repeat.log_probs != zero.log_probs
    keys = {e.key(model="m", fingerprint="f", seed=0, device="cpu") for e in (zero, one, repeat)}
    assert len(keys) == 3
    swapped = replace(bench.corpus, train=bench.corpus.validation, validation=bench.corpus.train)
    assert len(one.losses) == len(swapped.validation)


def test_the_same_run_seed_gives_the_same_bits(
    bench: Bench, corpus: Corpus, model_folders: dict[str, Path], tmp_path: Path
) -> None:
    candidates = [_candidate(), _candidate("{text} It was {label}")]
    first = bench.evaluator.fit(candidates)
    again = Bench(corpus, model_folders["llama"], tmp_path / "again")
    again.evaluator.frozen(candidates)  # other work before, and the other order
    second = again.evaluator.fit(candidates[::-1])[::-1]
    assert [_values(e) for e in first] == [_values(e) for e in second]
    other = Bench(corpus, model_folders["llama"], tmp_path / "other", seed=1)
    assert [_values(e) for e in other.evaluator.fit(candidates)] != [_values(e) for e in first]


def test_a_gate_stops_at_a_beginning(bench: Bench) -> None:
    candidates = [_candidate(f"{{text}} {n} {{label}}", Settings("none")) for n in range(4)]
    done = bench.evaluator.fit(candidates, gate=lambda: bench.evaluator.fitted < 2)
    assert [e.candidate for e in done] == candidates[:2]
    assert [e.candidate for e in bench.evaluator.fit(candidates)] == candidates
    assert bench.executor.count("FitTask") == 4
    assert bench.evaluator.fit([_candidate("{text} no {label}")], gate=lambda: False) == []


def test_unusable_label_words_are_a_stored_failure(
    corpus: Corpus, model_folders: dict[str, Path], tmp_path: Path
) -> None:
    bench = Bench(corpus, model_folders["words"], tmp_path)
    bad = _candidate("{text} {label}", words=LabelWords((("negative", "bad"), ("positive", "splendid"))))
    good = _candidate("{text} {label}")
    for results in (bench.evaluator.frozen([bad, good]), bench.evaluator.fit([bad, good])):
        assert [e.status for e in results] == ["failed", "complete"]
        assert "'splendid' of 'positive'" in (results[0].reason or "")
        assert results[0].losses == ()
        assert [e.candidate for e in ranked(results)] == [good]
    with pytest.raises(ValueError, match="no loss"):
        _ = results[0].loss
    bench.evaluator.frozen([bad])
    bench.evaluator.fit([bad])
    assert bench.executor.count("FrozenTask") == bench.executor.count("FitTask") == 2
    with pytest.raises(InputError, match="splendid"):
        bench.check.check(bad)


@pytest.mark.parametrize("settings", [TAIL, FULL], ids=["tail", "full"])
def test_a_diverging_fit_fails_and_is_never_ranked(bench: Bench, settings: Settings) -> None:
    wild = _candidate(settings=settings.change(learning_rate=1e30))
    tame = _candidate(settings=settings)
    alone = bench.evaluator.fit([wild, tame])
    assert [e.status for e in alone] == ["failed", "complete"]
    assert "loss is nan" in (alone[0].reason or "")
    assert alone[0].log_probs == ()
    assert ranked(alone) == alone[1:]


def test_weights_that_are_no_numbers_fail(corpus: Corpus, model_folders: dict[str, Path], tmp_path: Path) -> None:
    model: Any = load_model(model_folders["gpt2"])
    with torch.no_grad():
        next(iter(model.model.parameters()))[:] = float("nan")
    broken = tmp_path / "broken"
    model.model.save_pretrained(broken)
    model.encoder.tokenizer.save_pretrained(broken)
    bench = Bench(corpus, broken, tmp_path / "scratch")
    candidates = [_candidate(settings=s) for s in (Settings("none"), TAIL, FULL)]
    results = [*bench.evaluator.fit(candidates), *bench.evaluator.frozen(candidates[:1])]
    assert [e.status for e in results] == ["failed"] * 4
    assert all(e.reason for e in results)
    assert ranked(results) == []


def test_test_rows_in_blocks_score_as_in_one_go(bench: Bench, model_folders: dict[str, Path]) -> None:
    candidates = [_candidate(), _candidate(settings=FULL), _candidate("{text} It was {label}", Settings("none"))]
    trained = bench.evaluator.fit(candidates)
    rows = [replace(row, row_id=f"{row.row_id}-{n}") for n in range(5) for row in bench.corpus.test]
    assert len(rows) > 2 * TEST_BLOCK
    done = bench.evaluator.test(trained, rows)
    assert bench.executor.count("TestTask") == -(-len(rows) // TEST_BLOCK)
    model = load_model(model_folders["llama"])
    from safetensors.torch import load_file

    for before, after in zip(trained, done, strict=True):
        assert after.split == "test"
        assert after.row_ids == tuple(row.row_id for row in rows)
        assert after.candidate == before.candidate
        settings = after.candidate.settings
        prompted = model.prompt(after.candidate, rows)
        with model.adapted(settings, load_file(before.weights) if before.weights else {}):
            whole = model.score(prompted)
        torch.testing.assert_close(torch.tensor(after.log_probs), whole, rtol=0, atol=1e-4)
    # Rows that are equal but for their id have equal scores, in whichever block they are.
    for before, after in zip(done[0].log_probs[:24], done[0].log_probs[96:], strict=True):
        assert before == pytest.approx(after, abs=1e-4)


def test_a_failed_part_fails_the_whole_test_score(bench: Bench) -> None:
    (trained,) = bench.evaluator.fit([_candidate()])
    assert trained.weights is not None
    from safetensors.torch import load_file, save_file

    save_file({n: v * float("nan") for n, v in load_file(trained.weights).items()}, trained.weights)
    (done,) = bench.evaluator.test([trained], list(bench.corpus.test) * 3)
    assert done.status == "failed"
    assert done.losses == ()


def test_weights_that_were_let_go_are_trained_again_for_the_test(bench: Bench) -> None:
    kept, dropped = bench.evaluator.fit([_candidate(), _candidate(settings=FULL)])
    rows = list(bench.corpus.test)
    expected = bench.evaluator.test([kept, dropped], rows)
    bench.evaluator.delete_other_weights([kept.candidate])
    assert [Path(str(e.weights)).exists() for e in (kept, dropped)] == [True, False]
    found = bench.evaluator.test([kept, dropped], rows)
    assert (bench.executor.count("FitTask"), bench.executor.count("WeightsTask")) == (2, 1)
    assert [e.log_probs for e in found] == [e.log_probs for e in expected]


def test_a_worker_on_another_machine_keeps_no_weights_and_sends_those_that_are_asked_for(
    corpus: Corpus, model_folders: dict[str, Path], tmp_path: Path
) -> None:
    """The driver's folder is not there: what is tested, and the winner, is trained once more."""
    driver = tmp_path / "driver"
    driver.mkdir()
    away = Bench(corpus, model_folders["llama"], tmp_path / "node", weights=tmp_path / "elsewhere", driver=driver)
    near = Bench(corpus, model_folders["llama"], driver)
    rows = list(corpus.test)
    there = away.evaluator.fit([_candidate(), _candidate(settings=FULL)])
    assert [e.weights for e in there] == [None, None]
    brought = away.evaluator.with_weights(there)
    assert [e.weights and Path(e.weights).parent for e in brought] == [driver] * 2
    assert [_values(e) for e in brought] == [_values(e) for e in there]
    tested = away.evaluator.test(there, rows)
    here = near.evaluator.fit([e.candidate for e in there])
    assert [_values(e) for e in tested] == [_values(e) for e in near.evaluator.test(here, rows)]
    assert near.executor.count("WeightsTask") == 0


def test_fault_32_weights_that_find_no_room_end_the_run_with_the_free_bytes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoprompt.models.saving.save_file", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(StorageError, match=r"No space left.*\d+ bytes are free") as caught:
        bench.evaluator.fit([_candidate()])
    assert caught.value.exit_code == 4


def test_fault_32_prefixes_that_find_no_room_end_the_run_and_leave_no_part(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.check.check(_candidate())
    folder = worker._WORKER.model.prefixes.store.folder  # type: ignore[union-attr]
    monkeypatch.setattr("autoprompt.models.saving.save_file", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(StorageError, match=r"cached prefixes cannot be written.*No space left.*\d+ bytes are free"):
        bench.evaluator.frozen([_candidate()])
    assert list(folder.iterdir()) == []


def test_a_candidate_that_cannot_be_tested_fails_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its test rows may be the first that do not fit, and a fine-tune done once more may fail."""
    good, other = bench.evaluator.fit([_candidate(), _candidate("{text} It was {label}")])
    gone = replace(other, weights=None)
    model, rows = worker._WORKER.model, list(bench.corpus.test)  # type: ignore[union-attr]
    prompt = model.prompt

    def refusing(candidate: Candidate, asked: Sequence[Any]) -> Any:
        if candidate == other.candidate and list(asked) == rows[: len(asked)]:
            raise InputError("The template alone takes too much.")
        return prompt(candidate, asked)

    monkeypatch.setattr(model, "prompt", refusing)
    fine, refused = bench.evaluator.test([good, other], rows)
    assert (fine.complete, refused.status, refused.reason) == (True, "failed", "The template alone takes too much.")
    monkeypatch.setattr(model, "prompt", prompt)
    monkeypatch.setattr(model, "tune", Mock(side_effect=CandidateFailedError("diverged")))
    fine, failed = bench.evaluator.test([good, gone], rows)
    assert (fine.complete, failed.status, failed.reason) == (True, "failed", "diverged")


def test_prefixes_are_kept_of_the_rows_that_are_asked(bench: Bench) -> None:
    """Those that a template shows as solved examples are not."""
    shown = tuple(Demo.of(row.row_id, row.fields, row.label) for row in bench.corpus.train[:2])
    candidate = replace(_candidate("{demos:2}{text}\nSentiment: {label}"), demos=shown)
    bench.evaluator.frozen([candidate])
    model = worker._WORKER.model  # type: ignore[union-attr]
    blocks = len(list(model.prefixes.store.folder.iterdir()))
    judged = len(bench.corpus.train) - 2, len(bench.corpus.validation)
    assert blocks == sum(-(-rows // 8) for rows in judged)


def test_fault_24_parts_of_a_batch_are_recorded_with_the_score(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (plenty,) = bench.evaluator.fit([_candidate(settings=FULL)])
    assert plenty.reason != "out of memory"

    class Short(type(worker._WORKER.model)):  # type: ignore[misc,union-attr]
        """Says that it went on in parts, as it does when memory runs out in the middle of a fine-tune."""

        def tune(self, *args: Any) -> Any:
            self.micro_batch = 2
            return super().tune(*args)

    monkeypatch.setattr(worker._WORKER.model, "__class__", Short)  # type: ignore[union-attr]
    (short,) = bench.evaluator.fit([_candidate(settings=FULL.change(learning_rate=1e-3))])
    assert "parts of 2 rows" in str(short.reason)
    monkeypatch.undo()
    (after,) = bench.evaluator.fit([_candidate(settings=FULL.change(learning_rate=3e-3))])
    assert "parts" not in str(after.reason), "each task records its own"


@pytest.mark.parametrize("settings", [TAIL, Settings("none")], ids=["tail", "none"])
def test_proposals_come_for_each_candidate(bench: Bench, settings: Settings) -> None:
    candidates = [_candidate(settings=settings), _candidate("{text}{label}", settings)]
    with_tail, bare = bench.evaluator.propose(candidates, replacements=4, infills=4)
    assert 0 < len(with_tail.replacements) <= 4
    assert 0 < len(with_tail.infills) <= 4
    assert (bare.replacements, bare.infills) == ([], [])
    for template, _ in with_tail.replacements:
        assert template.slots == ("text", "label")
    assert bench.evaluator.propose(candidates, replacements=4, infills=4) == [with_tail, bare]


def test_ranked_label_words_separate_the_labels(bench: Bench) -> None:
    template = Template.parse("{text} It was {label}")
    (found,) = bench.evaluator.rank_words([tiny.prompt_of(template, WORDS)], 5)
    assert 1 <= len(found) <= 5
    assert len(set(found)) == len(found)
    assert all(words.labels == WORDS.labels for words in found)
    scores = bench.evaluator.frozen([_candidate(template.format(), words=w) for w in found[:1]])
    assert all(e.complete for e in scores)


def test_a_fine_tune_behind_the_better_half_is_stopped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halving, "MILESTONE_ROWS", len(bench.corpus.train))
    candidate = _candidate(settings=TAIL.change(epochs=3))
    (whole,) = bench.evaluator.fit([candidate], repeat=1)
    (watched,) = bench.evaluator.fit([candidate], bar=math.inf)
    assert (whole.complete, whole.milestone) == (True, None)
    assert watched.complete
    assert watched.milestone is not None
    before = bench.evaluator.tokens
    (ahead,) = bench.evaluator.fit([candidate], repeat=2, bar=1e9)
    full = bench.evaluator.tokens - before
    (behind,) = bench.evaluator.fit([candidate], repeat=3, bar=0.0)
    assert ahead.complete
    assert (behind.status, behind.weights) == ("pruned", None)
    assert "better half" in str(behind.reason)
    assert behind.milestone == pytest.approx(sum(behind.losses) / len(behind.losses))
    assert bench.evaluator.tokens - before - full < 0.6 * full


def test_a_fine_tune_that_has_learnt_by_then_is_known_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoprompt.models.adaptation.fine_tuning.STOP_LOSS", math.inf)  # the first pass is enough
    (done,) = bench.evaluator.fit([_candidate()], bar=math.inf)
    assert done.milestone == pytest.approx(done.loss)


def test_a_calibrated_candidate_is_looked_at_as_it_is_judged(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halving, "MILESTONE_ROWS", len(bench.corpus.train))
    one = _candidate(settings=TAIL.change(epochs=3, calibration=True))
    other = _candidate(settings=TAIL.change(epochs=3))
    (behind,) = bench.evaluator.fit([one], bar=0.0)
    (plain,) = bench.evaluator.fit([other], bar=0.0)
    assert behind.milestone != plain.milestone
    assert behind.status == plain.status == "pruned"


def test_being_watched_changes_no_score(bench: Bench, tmp_path: Path, model_folders: dict[str, Path]) -> None:
    candidate = _candidate(settings=TAIL.change(epochs=3))
    (watched,) = bench.evaluator.fit([candidate], bar=math.inf)
    (alone,) = Bench(bench.corpus, model_folders["llama"], tmp_path).evaluator.fit([candidate])
    assert _values(watched) == _values(alone)


def test_the_bar_is_the_median_of_what_is_known() -> None:
    known = [replace(Evaluation(_candidate(), Rung.TUNED), milestone=float(n)) for n in range(halving.MIN_KNOWN)]
    assert bar(known[1:]) == math.inf
    assert bar([*known, Evaluation(_candidate(), Rung.TUNED)]) == (halving.MIN_KNOWN - 1) / 2


def test_validation_rows_have_no_say_in_label_words(
    bench: Bench, corpus: Corpus, model_folders: dict[str, Path], tmp_path: Path
) -> None:
    flipped = {"positive": "negative", "negative": "positive"}
    validation = tuple(replace(row, label=flipped[row.label]) for row in corpus.validation[:8])
    other = Bench(replace(corpus, validation=validation), model_folders["llama"], tmp_path)
    asked = [tiny.prompt_of(Template.parse("{text} It was {label}"), WORDS)]
    assert bench.evaluator.rank_words(asked, 5) == other.evaluator.rank_words(asked, 5)


def test_every_worker_is_asked_whether_the_data_fit_and_the_first_answers(bench: Bench) -> None:
    """So that none loads the model later, while others wait for it."""
    bench.executor.workers = 3
    bench.check.check(_candidate())
    assert bench.executor.asked == [3]
    assert bench.executor.count("CheckTask") == 1


def test_readiness_counts_what_the_model_can_do(bench: Bench) -> None:
    ready = bench.check.check(tiny.prompt_of(Template.parse("{text}\nSentiment: {label}"), WORDS))
    assert ready.cut_rows == 0
    assert ready.tuning_modes == ("tail", "lora", "soft", "full", "none")
    assert {"good", "bad"} <= set(ready.vocabulary)


def test_costs_are_counted(bench: Bench) -> None:
    assert bench.evaluator.costs.test_seconds([_candidate("{text}{label}")], 100) == 0.0
    bench.evaluator.fit([_candidate()])
    assert bench.evaluator.tokens > 0
    assert len(bench.evaluator.costs.fit_seconds) == 1
    few, many = (bench.evaluator.costs.test_seconds([_candidate("{text}{label}")], rows) for rows in (10, 1000))
    assert 0 < few < many


def test_where_no_prefix_is_kept_the_test_takes_what_scores_took(corpus: Corpus, tmp_path: Path) -> None:
    folder = tiny_families.save("bert", tmp_path / "bert")
    bench = Bench(corpus, folder, tmp_path)
    lora = Settings("lora", 5e-3, 8, 1, 4)
    bench.evaluator.frozen([_candidate(settings=lora)])
    one, two = (bench.evaluator.costs.test_seconds([_candidate(settings=lora)] * n, 100) for n in (1, 2))
    assert 0 < one == pytest.approx(two / 2)


# What scores frozen features


def _features(hidden: Any, scores: Any = None) -> Features:
    hidden = torch.tensor(hidden).float()
    scores = torch.zeros(len(hidden), 0) if scores is None else torch.tensor(scores).float()
    return Features(hidden, scores, torch.zeros(len(hidden), 1))


def _mean_loss(features: Features, gold: Sequence[int], labels: int) -> float:
    return float(proxy_of(features, gold, labels).losses(features.hidden, features.label_scores).mean())


@pytest.mark.parametrize("labels", [2, 3, 6])
def test_separable_states_have_a_low_loss_and_noise_has_not(labels: int) -> None:
    generator = np.random.default_rng(0)
    gold = [n % labels for n in range(96)]
    noise = generator.normal(size=(96, 20))
    clear = np.concatenate([np.eye(labels)[gold] * 10, noise[:, :5] * 0.1], 1)
    chance = math.log(labels)
    assert _mean_loss(_features(clear), gold, labels) < 0.25 * chance
    assert _mean_loss(_features(noise), gold, labels) == pytest.approx(chance, rel=0.35)


@given(bias=st.lists(st.floats(-50, 50), min_size=3, max_size=3), level=st.floats(-50, 50), seed=st.integers(0, 99))
def test_neither_a_label_s_prior_nor_a_row_s_level_counts(bias: list[float], level: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    gold = [n % 3 for n in range(12)]
    scores = generator.normal(size=(12, 3)) + np.eye(3)[gold]
    moved = scores + np.array(bias) + level * generator.normal(size=(12, 1))
    plain, other = (_mean_loss(_features(scores, values), gold, 3) for values in (scores, moved))
    assert other == pytest.approx(plain, abs=1e-4)
    assert plain < _mean_loss(_features(scores, -scores), gold, 3)


def test_a_probe_never_sees_the_row_it_judges() -> None:
    generator = np.random.default_rng(1)
    values = generator.normal(size=(40, 6))
    gold = np.array([n % 2 for n in range(40)])
    fold_of = stratified_folds(gold.tolist())
    before = fit_probe(values, gold, fold_of, 2)
    for row in range(0, 40, 7):
        changed = gold.copy()
        changed[row] = 1 - changed[row]
        after = fit_probe(values, changed, fold_of, 2)
        hidden, none = torch.from_numpy(values).float(), torch.zeros(40, 0)
        own = fold_of == fold_of[row]
        judged = [probe.log_probs(hidden, none) for probe in (before, after)]
        assert torch.equal(judged[0][own], judged[1][own])
        assert not torch.equal(judged[0][~own], judged[1][~own])


def test_folds_are_stratified() -> None:
    gold = [0] * 9 + [1] * 8 + [2]
    random.Random(0).shuffle(gold)  # noqa: S311
    fold_of = stratified_folds(gold)
    for label in (0, 1):
        counts = [sum(g == label and f == fold for g, f in zip(gold, fold_of, strict=True)) for fold in range(FOLDS)]
        assert max(counts) - min(counts) <= 1


def test_a_label_that_a_fold_never_saw_keeps_finite_scores() -> None:
    values = np.random.default_rng(0).normal(size=(17, 3))
    gold = [0, 1] * 8 + [2]
    features = _features(values)
    losses = proxy_of(features, gold, 3).losses(features.hidden, features.label_scores)
    assert torch.isfinite(losses).all()
    assert float(losses[-1]) > float(losses[:-1].max())


@pytest.mark.parametrize("worded", [True, False])
def test_the_training_loss_is_that_of_its_rows(worded: bool) -> None:
    values = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
    features = _features(values.tolist(), values[:, :2].tolist() if worded else None)
    proxy = proxy_of(features, [n % 2 for n in range(24)], 2)
    everything = proxy.losses(features.hidden, features.label_scores)
    part = proxy.training_loss(slice(0, 10))(features.hidden[:10], features.label_scores[:10])
    assert float(part) == pytest.approx(float(everything[:10].mean()), abs=1e-6)


@pytest.fixture
def writing(corpus: Corpus, model_folders: dict[str, Path], tmp_path: Path) -> Bench:
    """Labels as target texts."""
    texts = replace(corpus, task="generation", labels=(), label_words={}, metric="rougeL")
    bench = Bench(texts, model_folders["llama"], tmp_path)
    bench.check.check(_asked_to_write())
    return bench


def _asked_to_write(**changes: Any) -> Candidate:
    return replace(_candidate(settings=Settings("none"), words=LabelWords(())), **changes)


def test_writing_is_timed_before_it_is_planned(writing: Bench, bench: Bench) -> None:
    assert writing.evaluator.costs.write_seconds(10) == 0
    writing.evaluator.time_writing(_asked_to_write())
    assert writing.executor.count("TimeWriting") == writing.executor.workers
    assert writing.evaluator.costs.write_seconds(20) == pytest.approx(2 * writing.evaluator.costs.write_seconds(10))
    bench.evaluator.time_writing(_candidate())
    assert bench.executor.count("TimeWriting") == 0, "where there are labels nothing is written"


def test_no_writing_is_timed_where_all_training_rows_are_shown(writing: Bench) -> None:
    demos = tuple(Demo.of(row.row_id, row.fields, row.label) for row in writing.corpus.train)
    writing.evaluator.time_writing(_asked_to_write(demos=demos))
    assert writing.evaluator.costs.write_speed == 0


def test_no_writing_is_timed_where_memory_does_not_last(writing: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Mock(side_effect=CandidateFailedError("out of memory"))
    monkeypatch.setattr(worker._WORKER.model, "generate", short)  # type: ignore[union-attr]
    writing.evaluator.time_writing(_asked_to_write())
    assert writing.evaluator.costs.write_speed == 0
    assert short.called


def test_a_slow_epoch_is_measured_whole(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a slow epoch the fine-tune is stopped; what follows the stop is no epoch."""
    pause = 0.3
    tune = LanguageModel.tune

    def slow(model: Any, prompted: Any, gold: Any, settings: Settings, seed: int, ended: Callable[[int], bool]) -> Any:
        def later(passes: int) -> bool:
            time.sleep(pause)
            return ended(passes)

        return tune(model, prompted, gold, settings, seed, later)

    monkeypatch.setattr(measuring, "QUICK", 0.0)
    monkeypatch.setattr(LanguageModel, "tune", slow)
    speed = bench.check.measure(_candidate())
    assert speed.trained * measuring.MEASURED_ROWS >= pause


def test_a_first_epoch_is_slower_than_all_later_ones(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a model does once in its first passes is no part of an epoch."""
    first = 1.2
    tune = LanguageModel.tune

    def slow(model: Any, prompted: Any, gold: Any, settings: Settings, seed: int, ended: Callable[[int], bool]) -> Any:
        passed: list[int] = []

        def later(passes: int) -> bool:
            if not passed:
                time.sleep(first)
            passed.append(passes)
            return ended(passes)

        return tune(model, prompted, gold, settings, seed, later)

    monkeypatch.setattr(LanguageModel, "tune", slow)
    speed = bench.check.measure(_candidate())
    assert speed.trained * measuring.MEASURED_ROWS < first
