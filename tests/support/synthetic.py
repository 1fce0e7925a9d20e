"""Leaderboards of any size without a model: drawn numbers in the form of a real run."""

import random
from dataclasses import replace
from pathlib import Path

from autoprompt.candidate import Candidate, Settings
from autoprompt.leaderboard import DataRow, EvaluationRecord, Leaderboard, Origin, RunConfig, RunRecord
from autoprompt.metrics import Score
from autoprompt.results import RunResult
from autoprompt.template import LabelWords, Template

LABELS = ("negative", "positive")
OPERATORS = ("draw", "phrase", "gradient", "words", "infill", "crossover", "label_words", "settings")
CONFIG = {
    "warnings": [], "labels": list(LABELS), "label_column": "label", "target_length": 0, "family": "causal",
    "chat": False, "max_length": 128, "model_revision": "", "corpus_revision": "", "metric": "accuracy",
    "warm_start": None, "transfer": None, "request": None,
    "manifest": {"data": {"revision": ""}, "model": {"revision": "", "files": {}},
                 "code": {"scoring": 10, "source": "", "commit": ""}},
}  # fmt: skip
FINALISTS = 6
ROWS, TESTED = 32, 400
_WORDS = ("review", "film", "comment", "in", "short", "it", "is", "all", "summary", "mood", "text", "opinion", "this")
_SPLITS = (("train", ROWS), ("validation", ROWS), ("test", TESTED))


def write(path: Path, entries: int, *, run: str = "0123456789ab", seed: int = 0, **changes: object) -> str:
    """A finished run of so many entries: all have a frozen score, half a fine-tune, a few are finalists. Its id."""
    rng = random.Random(seed)  # noqa: S311
    record = RunRecord(
        id=run, name=None, corpus="reviews", fingerprint="f" * 64, model="tiny", seed=seed, strategy="hybrid",
        config=RunConfig.from_dict(CONFIG), started="2026-01-01T00:00:00+00:00", status="finished",
        finished="2026-01-01T10:00:00+00:00",
        environment={"device": "cpu", "torch": "2.13.0"},
    )  # fmt: skip
    record = replace(record, **typed(changes))
    gold = [LABELS[row % 2] for row in range(TESTED)]
    data = [DataRow(run, split, f"{split}{n}", {"text": f"{rng.choice(_WORDS)} {n}"}, gold[n])
            for split, count in _SPLITS for n in range(count)]  # fmt: skip
    candidates = list(_candidates(rng, entries))
    records, origins = [], []
    for place, candidate in enumerate(candidates):
        records += _evaluations(rng, record, candidate, place, gold)
        parents = [candidates[rng.randrange(place)].entry("f" * 64, "tiny", seed)] if place else []
        origins.append(Origin(run, candidate.entry("f" * 64, "tiny", seed), rng.choice(OPERATORS), parents))
    winner = candidates[0]
    shown = {"entry": winner.entry("f" * 64, "tiny", seed), **winner.to_dict(),
             "validation": _score(rng, ROWS).to_dict(), "test": _score(rng, TESTED).to_dict()}  # fmt: skip
    result = {
        "best": shown, "baselines": {"manual": shown, "manual_tuned": shown}, "evaluations": entries // 2,
        "frozen": entries, "seconds": 36000.0,
        "difference": {"metric": "accuracy", "value": 0.05, "low": 0.01, "high": 0.09},
    }  # fmt: skip
    with Leaderboard.open(path) as board:
        board.start_run(record, data)
        board.add(records, origins)
        board.finish_run(run, "finished", RunResult.from_dict(result))
    return run


def typed(changes):
    """Changes of a run, whose config and result may be plain dicts here, as in a file."""
    kinds = {"config": RunConfig, "result": RunResult}
    return {
        name: kinds[name].from_dict(value) if name in kinds and isinstance(value, dict) else value
        for name, value in changes.items()
    }


def _candidates(rng: random.Random, count: int):
    seen = set()
    while len(seen) < count:
        opening = " ".join(rng.choices(_WORDS, k=rng.randint(1, 5)))
        closing = " ".join(rng.choices(_WORDS, k=rng.randint(1, 6)))
        settings = Settings("tail", rng.choice((2e-4, 5e-4, 1e-3)), rng.choice((4, 8)), 8, rng.choice((4, 8, 16)))
        words = LabelWords(tuple(zip(LABELS, rng.choice((LABELS, ("bad", "good"))), strict=True)))
        candidate = Candidate(Template.parse(f"{opening}: {{text}}\n{closing} {{label}}"), words, settings)
        if candidate.id not in seen:
            seen.add(candidate.id)
            yield candidate


def _score(rng: random.Random, n: int) -> Score:
    right = rng.uniform(0.5, 0.95)
    return Score(rng.uniform(0.2, 0.8), right, "accuracy", right, n)


def _evaluations(rng, run, candidate, place, gold):
    """(rung, fold, split) of one candidate."""
    kinds = [(0, 0, "frozen")] + ([(1, 0, "validation")] if place % 2 == 0 else [])
    kinds += (
        [(2, 0, "validation"), (2, 1, "validation"), (1, 0, "test")] if place < 2 * FINALISTS and place % 2 == 0 else []
    )
    for rung, fold, split in kinds:
        n = TESTED if split == "test" else ROWS
        losses = [round(rng.expovariate(2.0) + 0.01, 6) for _ in range(n)]
        labels = [LABELS[rng.random() < 0.5] if loss > 0.7 else gold[row] for row, loss in enumerate(losses)]
        right = sum(a == b for a, b in zip(labels, gold, strict=False)) / n
        finalist = rung == 2 or split == "test"
        yield EvaluationRecord(
            run=run.id, key=f"{place}-{rung}-{fold}-{split}",
            entry=candidate.entry(run.fingerprint, run.model, run.seed), candidate=candidate,
            role="finalist" if finalist else "search", split=split, rung=rung, fold=fold, repeat=0,
            status="complete", reason=None, score=Score(sum(losses) / n, right, "accuracy", right, n),
            log_probs=[[-0.1, -2.3]] * n, predictions=labels,
            row_ids=[f"{'test' if split == 'test' else 'validation'}{row}" for row in range(n)],
            readability=rng.uniform(20, 400), seconds=rng.uniform(1, 8), tokens=rng.randint(2000, 9000), losses=losses,
        )  # fmt: skip
