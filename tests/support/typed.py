"""Printed tables fed from plain dicts: each becomes the type that the program prints, with what it lacks left empty."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from autoprompt.cli import listing, tables
from autoprompt.corpus import Card
from autoprompt.leaderboard import (
    Entry,
    EntryComparison,
    EntryRow,
    EvaluationRecord,
    Group,
    MeanMetric,
    RunConfig,
    RunRecord,
)
from autoprompt.leaderboard.comparing import RequestedMetric
from autoprompt.metrics import Score
from autoprompt.results import (
    Change,
    Difference,
    EntryCheck,
    ErrorEstimate,
    EvaluationResult,
    LossDifference,
    Refinement,
    RepeatedEvaluation,
    RunResult,
    RunVerification,
    ScoredPrompt,
    Spread,
    Transferred,
    Verification,
)

Values = Mapping[str, Any]


def _made(kind: Any, values: Values, /, **more: Any) -> Any:
    names = {one.name for one in fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in names} | more)


def score(values: Values | None) -> Score | None:
    return None if values is None else Score(**values)


def scored(values: Values | None) -> ScoredPrompt | None:
    if values is None:
        return None
    scores = {name: score(values.get(name)) for name in ("validation", "test")}
    estimate = values.get("estimate")
    return _made(ScoredPrompt, values, **scores, estimate=None if estimate is None else ErrorEstimate(**estimate))


def refinement(values: Values | None) -> Refinement | None:
    if values is None:
        return None
    parts = {
        name: Change(score(values[name]["before"]), score(values[name]["after"]), values[name].get("clear"))
        for name in ("validation", "new")
    }
    return _made(Refinement, values, **parts, difference=LossDifference(**values.get("difference", {})))


def result(values: Values) -> RunResult:
    """Whatever its texts are: a schema would refuse some of them."""
    parts = {name: values.get(name) for name in ("spread", "difference", "transfer", "refine")}
    kinds: dict[str, Any] = {"spread": Spread, "difference": Difference, "transfer": Transferred}
    made = {name: parts[name] and kind(**parts[name]) for name, kind in kinds.items()}
    baselines = {name: scored(row) for name, row in values.get("baselines", {}).items()}
    found = _made(RunResult, values, **made, best=scored(values.get("best")), baselines=baselines)
    return _made(RunResult, vars(found), refine=refinement(parts["refine"]))


def run(values: Values) -> RunRecord:
    missing = {"id": "", "name": None, "corpus": "", "fingerprint": "", "model": "", "seed": 0, "strategy": "",
               "config": RunConfig.from_dict({}), "started": ""}  # fmt: skip
    won = values.get("result")
    record: RunRecord = _made(RunRecord, missing | dict(values) | {"result": won and result(won)})
    return record


def entry(values: Values, runs: Sequence[Values] = ()) -> Entry:
    missing = {"entry": "", "run": "", "rung": 0, "status": "", "reason": None, "role": "", "template": "",
               "label_words": {}, "settings": {}, "demos": [], "readability": None, "evaluations": 0, "seconds": 0.0,
               "tokens": 0, "group": ""}  # fmt: skip
    given = missing | dict(values)
    row = _made(EntryRow, given, validation=score(given.get("validation")))
    known = next((one for one in runs if one["id"] == row.run), {"id": row.run})
    won = {"best": {"entry": row.entry}} if values.get("winner") else None
    of = run({**known, "result": won})
    return Entry(row, of, values.get("depth", 0), None, values.get("verdict"))


def show_entries(
    entries: Sequence[Values], limit: int, runs: Sequence[Values] = (), groups: Sequence[Values] = (), total: int = 0
) -> None:
    listing.show_entries([entry(one, runs) for one in entries], limit, [Group(**one) for one in groups], total)


def show_runs(runs: Sequence[Values]) -> None:
    tables.show_runs([run(one) for one in runs])


def show_entry(values: Values) -> None:
    words = values["label_words"]
    candidate = SimpleNamespace(
        template=SimpleNamespace(format=lambda: values["template"]),
        label_words=SimpleNamespace(pairs=tuple(words.items()), mapping=lambda: words),
        settings=SimpleNamespace(to_dict=lambda: values["settings"]),
        demos=[SimpleNamespace(**demo) for demo in values.get("demos", ())],
    )
    missing = {"key": "", "role": "", "reason": None, "log_probs": [], "predictions": [], "row_ids": [],
               "readability": None, "tokens": 0, "entry": values["entry"], "candidate": candidate}  # fmt: skip
    rows = [
        _made(EvaluationRecord, missing | dict(one) | {"score": score(one["score"])}) for one in values["evaluations"]
    ]
    tables.show_entry(rows, values.get("verdicts", ()))


def comparison(values: Values) -> EntryComparison:
    found, reported = values["difference"], values.get("reported")
    ends = None if found["low"] is None else (found["low"], found["high"])
    means = tuple(MeanMetric(**one) for one in values["values"])
    more = reported and RequestedMetric(reported["metric"], tuple(MeanMetric(**one) for one in reported["values"]))
    changed = {"difference": found["mean"], "interval": ends, "values": means, "reported": more}
    return _made(EntryComparison, values, **changed)


def show_comparison(values: Values) -> None:
    tables.show_comparison(comparison(values))


def show_result(values: Values, leaderboard: Path) -> None:
    tables.show_result(result(values), leaderboard)


def show_transfer(values: Values) -> None:
    tables.show_transfer(result(values))


def show_refinement(values: Values) -> None:
    tables.show_refinement(result(values))


def show_evaluation(values: Values) -> None:
    missing = {"template": "", "label_words": {}, "settings": {}}
    tables.show_evaluation(_made(EvaluationResult, missing | dict(values)))


def show_verification(values: Values) -> None:
    rows = [RepeatedEvaluation(**{"exact": False} | one) for one in values["evaluations"]]
    tables.show_verification(_made(Verification, values, evaluations=rows))


def show_artifacts(rows: Sequence[Values]) -> None:
    tables.show_artifacts([tables.ListedArtifact(**row) for row in rows])


def show_card(values: Values) -> None:
    tables.show_card(_made(Card, {**dict.fromkeys((one.name for one in fields(Card)), ""), **values}))


def show_run_verification(values: Values) -> None:
    tables.show_run_verification(
        _made(RunVerification, values, entries=[EntryCheck(**one) for one in values["entries"]])
    )
