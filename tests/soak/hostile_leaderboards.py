"""Leaderboards from somebody who wishes us ill: rows with valid checksums, foreign SQL objects, truncated and flipped
files, each under all commands that read one.

``python tests/soak/hostile_leaderboards.py --variants 1200``. Anybody can compute a checksum, so every value of every
column and every path of the JSON in them is replaced by what it must not be. No command may end in a traceback, take
ten seconds, need a gigabyte, or act on what it reads: a canary file must not appear. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from memory import peak
from synthetic import write

from autoprompt.leaderboard import DataRow, EntryEstimate, Leaderboard, Origin, Step, records
from autoprompt.results import RunResult

FINISHED, STOPPED = "0123456789ab", "ba9876543210"
SECONDS, MEGABYTES = 10.0, 1024
CANARY = "canary"
_CANDIDATE = {
    "template": "{demos:1}{text}\nMood: {label}", "label_words": {"negative": "bad", "positive": "good"},
    "settings": {"tuning": "tail", "learning_rate": 5e-4, "batch_size": 8, "epochs": 8, "rank": 8},
    "demos": [{"row_id": "train1", "fields": {"text": "so"}, "label": "positive"}],
}  # fmt: skip
_SCORE = {"loss": 0.5, "accuracy": 0.75, "metric": "accuracy", "value": 0.75, "n": 4}
CONFIG: dict[str, Any] = {
    "budget": 60.0, "max_evaluations": None, "family": "causal", "model_revision": "c" * 40, "corpus_revision": "",
    "tuning": "tail", "chat": False, "folds": 2, "repeats": 1, "workers": 1, "shots": 16, "max_length": 64,
    "test_rows": 40, "metric": "accuracy", "templates": ["{text} {label}"], "label_words": _CANDIDATE["label_words"],
    "search": {"settings": {"epochs": [1]}}, "fix": {"epochs": 1},
    "warm_start": {"prompts": [_CANDIDATE], "operators": {"words": [1.0, 1.0]},
                   "sources": [{"run": "a" * 12, "corpus": "other", "model": "tiny", "similarity": 0.5,
                                "parts": {"labels": 1.0}, "prompts": 1}]},
    "transfer": {"entry": "e" * 64, "run": "a" * 12, "corpus": "other", "model": "tiny", "split": "test",
                 "candidate": _CANDIDATE,
                 "profile": {"task": "classification", "label_column": "label", "labels": ["negative", "positive"],
                             "fields": ["text"], "texts": ["so"]}},
    "labels": ["negative", "positive"], "label_column": "label", "target_length": 0, "warnings": ["few rows"],
    "manifest": {"data": {"fingerprint": "f" * 64, "revision": "", "rows": {"train": {"n": 32, "sha256": "a" * 64}}},
                 "model": {"revision": "c" * 40, "files": {"model.safetensors": "b" * 64}},
                 "code": {"scoring": 10, "source": "d" * 64, "commit": ""}},
    "request": {"corpus": "/nowhere/at/all", "in_memory": False,
                "data": {"text_column": None, "label_column": None, "target_column": None, "drop_empty": False,
                         "drop_duplicates": False, "max_length": 64, "test_rows": 40, "shots": 16},
                "model": {"model": "/nowhere/tiny", "device": "auto", "workers": 1, "tuning": None, "family": None,
                          "chat": False, "executor": "local", "ray_address": None, "workers_per_gpu": None},
                "config": {"settings": {"epochs": [1]}}, "templates": [], "label_words": None, "strategy": "hybrid",
                "budget": 60.0, "max_evaluations": None, "metric": None, "folds": None, "repeats": 1, "seed": 0,
                "name": None, "fix": {"epochs": 1}},
    "refine": {"entry": "e" * 64, "run": "a" * 12, "weights": "1" * 64, "candidate": _CANDIDATE, "new": ["train2"]},
}  # fmt: skip
RESULT: dict[str, Any] = {
    "run": FINISHED, "corpus": "reviews", "model": "tiny", "evaluations": 2, "frozen": 4, "generations": 1,
    "finalists": 1, "seconds": 9.5, "weights": "2" * 64,
    "spread": {"metric": "accuracy", "values": [0.7, 0.8], "mean": 0.75, "deviation": 0.05},
    "difference": {"metric": "accuracy", "value": 0.05, "low": 0.01, "high": 0.09},
    "transfer": {"entry": "e" * 64, "run": "a" * 12, "corpus": "other", "model": "tiny", "split": "test"},
    "warm_start": [{"run": "a" * 12, "corpus": "other", "model": "tiny", "similarity": 0.5, "prompts": 1}],
    "warnings": ["few rows"], "history": [{"generation": 0, "best": 0.5}],
    "refine": {"entry": "e" * 64, "run": "a" * 12, "kept": True, "rows": {"old": 32, "new": 2, "judged": 34},
               "validation": {"before": _SCORE, "after": _SCORE}, "new": {"before": _SCORE, "after": _SCORE},
               "difference": {"loss": 0.1, "low": -0.1, "high": 0.3}},
}  # fmt: skip
_DEEP = "[" * 100_000 + "]" * 100_000
SCALARS: tuple[Any, ...] = (
    *(None, b"\xff\x00", "", "x" * 100_000, -1, 0, 2**63 - 1, 1.5, 9e999, -1e308, "NaN", "../../../etc/passwd"),
    *("\x1b]52;c;YQ==\x07\u202e", "[]", "{}", "null", _DEEP, "1" * 5000, '{"a": 1e999}', '"\\ud800"', "[[[0]]]"),
)
"""Values of a column."""
_ABSENT = object()
VALUES: tuple[Any, ...] = (
    *(_ABSENT, None, True, -1, 10**18, 10**30, 1e308, "", "x\x1b[2J\u202e", "../../x", "x" * 2_000_000, [], {}, [[]]),
    *([None], {"a": {"b": [1, "c"]}}, [1, "a", None], {"": None}, "{text.__class__}", "\ud800"),
)
"""Values within JSON."""
_JSON = {
    "runs": ("config", "result", "environment"), "evaluations": ("candidate",), "losses": ("losses",),
    "examples": ("log_probs", "predictions", "row_ids"), "steps": ("value",), "origins": ("parents",),
    "data_rows": ("fields",), "estimates": (),
}  # fmt: skip
_KEYS = {"examples": "evaluation", "losses": "evaluation"}
OBJECTS = (
    "CREATE VIEW v AS SELECT 1",
    "CREATE TABLE extra (a)",
    "CREATE TABLE extra AS SELECT * FROM runs",
    "CREATE INDEX more ON runs (corpus)",
    "CREATE INDEX odd ON runs (lower(corpus))",
    "CREATE INDEX part ON runs (corpus) WHERE corpus > 'a'",
    "CREATE TRIGGER t AFTER INSERT ON runs BEGIN SELECT load_extension('/tmp/x.so'); END",
    f"CREATE TRIGGER t AFTER INSERT ON evaluations BEGIN SELECT writefile('{CANARY}', 'x'); END",
    "CREATE TRIGGER t AFTER UPDATE ON runs BEGIN DELETE FROM evaluations; END",
    "CREATE TRIGGER t AFTER INSERT ON evaluations BEGIN INSERT INTO evaluations SELECT * FROM evaluations; END",
    "CREATE VIRTUAL TABLE f USING fts5(a)",
    "CREATE VIRTUAL TABLE r USING rtree(a, b, c)",
    "ALTER TABLE runs ADD COLUMN g TEXT GENERATED ALWAYS AS (upper(corpus)) VIRTUAL",
    "ALTER TABLE runs ADD COLUMN more TEXT",
    "ALTER TABLE runs RENAME COLUMN corpus TO corpora",
    "ALTER TABLE losses RENAME TO losings",
    "DROP TABLE origins",
    "DROP TABLE counts",
    "DROP INDEX evaluations_ranked",
    "ANALYZE",
    "PRAGMA user_version = 0",
    "PRAGMA user_version = 2",
    "PRAGMA user_version = -7",
    "PRAGMA application_id = 7",
    *(
        f"PRAGMA writable_schema = ON; {edit}"
        for edit in (
            "UPDATE sqlite_master SET sql = replace(sql, 'TEXT', 'BLOB') WHERE name = 'runs'",
            "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'examples') "
            "WHERE name = 'evaluations'",
            "UPDATE sqlite_master SET rootpage = 1 WHERE name = 'runs'",
            "UPDATE sqlite_master SET rootpage = 999999 WHERE name = 'data_rows'",
            "UPDATE sqlite_master SET sql = 'CREATE TABLE runs (id)' WHERE name = 'runs'",
            "UPDATE sqlite_master SET sql = 'nonsense' WHERE name = 'runs'",
            "UPDATE sqlite_master SET type = 'view' WHERE name = 'runs'",
            "UPDATE sqlite_master SET sql = 'CREATE VIEW runs AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x "
            "+ 1 FROM c) SELECT x AS id FROM c', type = 'view', rootpage = 0 WHERE name = 'runs'",
            "INSERT INTO sqlite_master SELECT 'view', 'v' || value, 'v' || value, 0, 'CREATE VIEW v' || value || ' AS "
            "SELECT 1' FROM json_each('[1,2,3]')",
            "DELETE FROM sqlite_master WHERE name = 'evaluations_key'",
        )
    ),
)


class Variant(NamedTuple):
    """A way to spoil a leaderboard. ``spoil`` does it to the file at a path."""

    name: str
    spoil: Callable[[Path], None]


def build(path: Path) -> str:
    """An honest leaderboard: a finished run with all that a run may have, and one that can be resumed. Returns an entry
    of the first."""
    write(path, 3, run=FINISHED, config=copy.deepcopy(CONFIG))
    with Leaderboard.open(path) as board:
        run = board.run(FINISHED)
        entry = run.winner or ""
        stored = run.result.to_dict() if run.result else {}
        board.finish_run(FINISHED, "finished", RunResult.from_dict({**stored, **copy.deepcopy(RESULT)}))
        write_stopped(board)
    return entry


def write_stopped(board: Leaderboard) -> None:
    """A run with steps."""
    record = board.run(FINISHED)
    changes = {"id": STOPPED, "status": "stopped", "finished": None, "result": None, "name": "stopped"}
    board.start_run(records.RunRecord(**{**vars(record), **changes}), [
        Step(STOPPED, "task", "FitTask 1", {"status": "complete", "losses": [0.5]}, 1.5),
        Step(STOPPED, "decision", "go", {"more": True}, 2.0),
        Origin(STOPPED, "e" * 64, "words", ["d" * 64]),
        EntryEstimate(STOPPED, "e" * 64, 0.25, 0.05, 0.5),
        DataRow(STOPPED, "train", "train1", {"text": "so"}, "positive"),
    ])  # fmt: skip
    board.add([records.EvaluationRecord(**{**vars(board.evaluations(FINISHED)[0]), "run": STOPPED})])


class _Changed(NamedTuple):
    """JSON with another value at a path."""

    whole: Any
    path: tuple[Any, ...]
    new: Any

    def text(self) -> str:
        return json.dumps(changed(self.whole, self.path, self.new))


def forged(table: str, column: str, value: Any, row: int) -> Callable[[Path], None]:
    """Sets one value and makes the checksum fit."""

    def spoil(path: Path) -> None:
        new = value.text() if isinstance(value, _Changed) else value
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            key = _KEYS.get(table, "number")
            numbers = [number for (number,) in connection.execute(f"SELECT {key} FROM {table} ORDER BY 1")]  # noqa: S608
            number = numbers[row % len(numbers)]
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (new, number))  # noqa: S608
            _sign(connection, table, number)

    return spoil


def _sign(connection: sqlite3.Connection, table: str, number: int) -> None:
    key = _KEYS.get(table, "number")
    cursor = connection.execute(f"SELECT * FROM {table} WHERE {key} = ?", (number,))  # noqa: S608
    names = [name for name, *_ in cursor.description]
    row = dict(zip(names, cursor.fetchone(), strict=True))
    values = [value for name, value in row.items() if name not in (key, "checksum")]
    if table in _KEYS:
        of = connection.execute("SELECT run, key FROM evaluations WHERE number = ?", (number,)).fetchone()
        values = [*of, *values]
    check = records.checksum(values)
    connection.execute(f"UPDATE {table} SET checksum = ? WHERE {key} = ?", (check, number))  # noqa: S608


def paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of everything in a JSON value; of a list the first item."""
    yield above
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*above, key))
    elif isinstance(value, list) and value:
        yield from paths(value[0], (*above, 0))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value at a path."""
    if not path:
        return None if new is _ABSENT else new
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    if new is _ABSENT:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return value


def variants(board: Path, rng: random.Random) -> list[Variant]:
    """All of them, in a drawn order."""
    found = [Variant(f"object: {sql[:90]}", executed(sql)) for sql in OBJECTS]
    with closing(sqlite3.connect(board)) as connection:
        for table, columns in _JSON.items():
            rows = connection.execute(f"SELECT * FROM {table}")  # noqa: S608
            names = [name for name, *_ in rows.description]
            values = rows.fetchall()
            row = values.index(max(values, key=lambda row: len(str(row))))
            for column in (name for name in names if name not in ("number", "evaluation", "checksum")):
                found += [
                    Variant(f"{table}.{column} = {value!r:.60}", forged(table, column, value, row)) for value in SCALARS
                ]
            for column in columns:
                whole = json.loads(values[row][names.index(column)])
                for path in paths(whole):
                    for new in VALUES:
                        shown = "absent" if new is _ABSENT else f"{new!r:.40}"
                        name = f"{table}.{column}.{'.'.join(map(str, path))} = {shown}"
                        found.append(Variant(name, forged(table, column, _Changed(whole, path, new), row)))
    size = board.stat().st_size
    for _ in range(len(found) // 20):
        place = rng.randrange(size)
        found += [Variant(f"byte {place} flipped", flipped(place, rng.randrange(1, 256)))]
        found += [Variant(f"truncated to {place}", truncated(place))]
    rng.shuffle(found)
    return found


def executed(sql: str) -> Callable[[Path], None]:
    """Runs SQL on it, as far as this SQLite can."""

    def spoil(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.executescript(sql)

    return spoil


def flipped(place: int, mask: int) -> Callable[[Path], None]:
    """Changes one byte."""

    def spoil(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[place] ^= mask
        path.write_bytes(content)

    return spoil


def truncated(size: int) -> Callable[[Path], None]:
    """Cuts it off."""
    return lambda path: path.write_bytes(path.read_bytes()[:size])


def commands_on(board: Path, other: Path, entry: str, folder: Path) -> list[tuple[str, ...]]:
    """Every command that reads a leaderboard."""
    to = ("--leaderboard", str(board))
    return [
        ("leaderboard", "list", *to),
        ("leaderboard", "list", "--json", *to),
        ("leaderboard", "runs", *to),
        ("leaderboard", "runs", "--json", *to),
        ("leaderboard", "show", entry[:12], *to),
        ("leaderboard", "check", *to),
        ("leaderboard", "merge", str(board), "--leaderboard", str(other)),
        ("leaderboard", "list", "--leaderboard", str(other)),
        ("report", FINISHED, "--out", str(folder / "report"), *to),
        ("resume", STOPPED, *to),
        ("resume", FINISHED, *to),
        ("export", "--run", FINISHED, "--out", str(folder / "best.json"), *to),
        ("export", "--bundle", "--out", str(folder / "bundle.json"), *to),
        ("verify", entry[:12], *to),
        ("verify", "--run", STOPPED, *to),
        ("leaderboard", "compare", entry[:12], entry[:12], *to),
        ("leaderboard", "backup", str(folder / "copy.sqlite"), *to),
        ("leaderboard", "remove", "@1", "--yes", *to),
        ("leaderboard", "list", *to),
    ]


class Outcome(NamedTuple):
    """What a command did. ``fault``: what must not be."""

    code: int
    err: str
    fault: str | None


def run(arguments: tuple[str, ...]) -> Outcome:
    """A command in this process."""
    from autoprompt.cli import main

    out, err = io.StringIO(), io.StringIO()
    code, fault, argv = -1, None, sys.argv
    sys.argv = ["autoprompt", *arguments]
    started = time.perf_counter()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else -1
    except BaseException as error:  # this is what is looked for
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
        fault = f"{type(error).__name__}: {str(error)[:100]} at {where}"
    finally:
        sys.argv = argv
    seconds = time.perf_counter() - started
    if "Traceback" in err.getvalue():
        fault = "Traceback"
    elif fault is None and seconds > SECONDS:
        fault = f"{seconds:.0f} s"
    elif fault is None and code not in (0, 2, 3, 4, 6):
        fault = f"exit code {code}"
    return Outcome(code, err.getvalue(), fault)


def spawned(arguments: tuple[str, ...], folder: Path) -> Outcome:
    """The same in a process of its own."""
    code = "from autoprompt.cli import main; main()"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            cwd=folder,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(-1, "", "60 s")
    fault = "Traceback" if "Traceback" in done.stderr else None
    return Outcome(done.returncode, done.stderr, fault)


def attack(variant: Variant, board: Path, entry: str, some: Callable[[int], bool] = lambda _: True) -> list[str]:
    """The faults that the commands show on a spoiled copy. ``some``: which of the commands, by their number."""
    faults = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = Path(shutil.copy(board, folder / "lb.sqlite"))
        other = folder / "other.sqlite"
        Leaderboard.open(other).close()
        try:
            variant.spoil(path)
        except sqlite3.Error:
            return []  # this SQLite refuses it
        for number, arguments in enumerate(commands_on(path, other, entry, folder)):
            if some(number):
                outcome = run(arguments)
                if outcome.fault:
                    faults.append(f"{' '.join(arguments[:2])}: {outcome.fault}")
        if (folder / CANARY).exists() or Path(CANARY).exists():
            faults.append("something was executed")
    return faults


def soak(count: int, seed: int) -> dict[str, Any]:
    """Try so many variants, a few of them in processes of their own.

    Raises AssertionError when this process ever took more memory than a command may: run it in one of its own."""
    from autoprompt import run as loaded  # as long as it takes, it is not the file's fault

    del loaded
    rng = random.Random(seed)  # noqa: S311
    started = time.perf_counter()
    faults: Counter[str] = Counter()
    examples: dict[str, str] = {}
    codes: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as name:
        board = Path(name, "honest.sqlite")
        entry = build(board)
        everything = variants(board, rng)
        tried = everything[:count]
        for number, variant in enumerate(tried):
            for fault in attack(variant, board, entry):
                faults[fault] += 1
                examples.setdefault(fault, variant.name)
            if number % 100 == 0:
                print(f"{number} of {len(tried)}, {len(faults)} kinds of faults, {peak()} MB", flush=True)
        for variant in tried[:: max(1, len(tried) // 12)]:
            path = Path(shutil.copy(board, Path(name, "spawned.sqlite")))
            try:
                variant.spoil(path)
            except sqlite3.Error:
                continue
            outcome = spawned(("leaderboard", "list", "--leaderboard", str(path)), Path(name))
            codes[outcome.code] += 1
            if outcome.fault:
                faults[f"spawned list: {outcome.fault}"] += 1
                examples.setdefault(f"spawned list: {outcome.fault}", variant.name)
    for fault, times in faults.most_common():
        print(f"{times} x {fault} (as with {examples[fault]})", flush=True)
    found = {"variants": len(tried), "of": len(everything), "faults": sum(faults.values()), "kinds": len(faults),
             "mb": peak(), "seconds": round(time.perf_counter() - started)}  # fmt: skip
    assert peak() < MEGABYTES, f"{peak()} MB"
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", type=int, default=1_200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    result = soak(given.variants, given.seed)
    print(json.dumps(result))
    sys.exit(1 if result["faults"] else 0)
