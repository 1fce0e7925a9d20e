"""The command line as users and scripts meet it."""

import dataclasses
import json
import runpy
import subprocess
import sys
from pathlib import Path

import commands
import pytest
import runs
import synthetic
import tiny

import autoprompt
from autoprompt import run
from autoprompt.candidate import Candidate, Demo, Settings
from autoprompt.cli import cli
from autoprompt.leaderboard import EvaluationRecord, Leaderboard, RunConfig, RunRecord
from autoprompt.metrics import Score
from autoprompt.report.escaping import markdown
from autoprompt.results import RunResult
from autoprompt.template import LabelWords, Template

KEYS = {"estimate", "entry", "template", "label_words", "settings", "validation", "test"}
SCORE = {"loss", "accuracy", "metric", "value", "n"}
COMMANDS = (
    (), ("search",), ("evaluate",), ("leaderboard",), ("leaderboard", "list"), ("leaderboard", "runs"),
    ("leaderboard", "show"), ("leaderboard", "compare"), ("export",), ("models",), ("models", "list"),
    ("models", "pull"), ("corpora",), ("corpora", "list"), ("corpora", "show"), ("corpora", "pull"),
)  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Options of a search among few candidates of one pass each."""
    config = tmp_path_factory.mktemp("small") / "small.toml"
    config.write_text(runs.SMALL)
    return ("--config", config, "--fix", "epochs=1")


@pytest.fixture(scope="module")
def searched(model_folders, corpus_folder, small, tmp_path_factory):
    """A leaderboard with one named run, and what the search printed."""
    board = tmp_path_factory.mktemp("searched") / "lb.sqlite"
    result = commands.call_for_module(
        "search", corpus_folder, "--model", model_folders["llama"], "--max-evaluations", 4, "--workers", 1,
        *small, "--leaderboard", board, "--name", "[red]first[/]", "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    return board, result


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_help(capsys, names):
    result = commands.call(capsys, *names, "--help")
    assert result.code == 0
    assert result.out.startswith("Usage: ")


def test_help_imports_nothing_heavy():
    code = (
        "import sys, autoprompt; from autoprompt.cli import cli; "
        "cli.main(['search', '--help'], standalone_mode=False); "
        "print([m for m in ('torch', 'transformers', 'numpy', 'datasets', 'rich.live') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_list_loads_no_model_library(searched):
    board, _ = searched
    code = (
        "import sys; from autoprompt.cli import cli; "
        f"cli.main(['leaderboard', 'list', '--leaderboard', {str(board)!r}], standalone_mode=False); "
        "print([m for m in ('torch', 'transformers', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_names_and_defaults_are_the_library_s():
    shared = dataclasses.asdict(run.DataOptions()) | dataclasses.asdict(run.ModelOptions())
    del shared["rows"]  # in memory: no command's business
    wanted = run.SearchOptions("corpus")
    own = {name: getattr(wanted, name) for name in ("strategy", "budget", "max_evaluations", "metric", "folds",
                                                    "repeats", "seed", "name", "label_words", "config")}  # fmt: skip
    searching = cli.commands["search"].make_context("search", ["corpus"]).params
    evaluating = cli.commands["evaluate"].make_context("evaluate", ["corpus", "--template", "{text}{label}"]).params
    assert shared.items() <= evaluating.items()
    assert (shared | own | {"leaderboard_file": wanted.leaderboard}).items() <= searching.items()


def test_search_prints_one_json_object(searched):
    _, result = searched
    values = json.loads(result.out)
    assert result.out.count("\n") == 1
    assert {"run", "corpus", "model", "evaluations", "seconds", "best", "baselines"} <= set(values)
    assert values["evaluations"] == 4
    assert set(values["baselines"]) == {"manual", "manual_tuned", "null", "random"}
    for row in (values["best"], values["baselines"]["manual"], values["baselines"]["manual_tuned"]):
        assert set(row) == KEYS
        assert set(row["validation"]) == SCORE
        assert set(row["test"]) == SCORE
        assert row["test"]["n"] == 24
        assert 0 <= row["test"]["accuracy"] <= 1
    assert "generation 0" in result.err
    assert "\x1b" not in result.err


def test_a_search_says_first_what_it_read(searched, capsys, tmp_path):
    board, result = searched
    values = json.loads(result.out)
    data = values["data"]
    (line,) = [line for line in result.err.splitlines() if line.startswith("note: data: ")]
    assert line == f"note: data: {data['summary']}"
    assert result.err.index(line) < result.err.index("stage: model")
    assert data["splits"]["test"] == values["best"]["test"]["n"]
    assert data["rows"] == sum(data["splits"].values())
    assert {
        label: sum(counts.get(split, 0) for split in data["splits"]) for label, counts in data["classes"].items()
    } == {label: counts["all"] for label, counts in data["classes"].items()}
    with Leaderboard.open(board, read_only=True) as opened:
        assert opened.run(values["run"]).config.manifest.reading.to_dict() == data
    out = commands.call(capsys, "report", values["run"], "--leaderboard", board, "--out", tmp_path / "report")
    assert out.code == 0, out.err
    begins = f"{data['source']}: {data['rows']} rows read"
    for name, shown in (("report.md", markdown(begins)), ("report.html", begins)):
        assert f"Data: {shown}" in (tmp_path / "report" / name).read_text("utf-8")


def test_evaluate(capsys, model_folders, corpus_folder):
    words = '{"positive": "good", "negative": "bad"}'
    arguments = ("evaluate", corpus_folder, "--model", model_folders["llama"], "--workers", 1, "--epochs", 2,
                 "--template", r"{text}\nSentiment: {label}", "--label-words", words)  # fmt: skip
    values = {}
    for split in ("validation", "test"):
        result = commands.call(capsys, *arguments, "--split", split, "--json")
        assert result.code == 0, result.err
        values[split] = json.loads(result.out)
        assert {"template", "label_words", "tuning", "split", "metrics", "n", "seconds"} <= set(values[split])
        assert values[split]["split"] == split
        assert values[split]["template"] == "{text}\nSentiment: {label}"  # what a shell passes on is a line break
        assert {"accuracy", "log_loss"} & set(values[split]["metrics"])
        assert values[split]["n"] == 24
        assert values[split]["settings"]["epochs"] == 2
    assert values["test"]["metrics"] != values["validation"]["metrics"]
    shown = commands.call(capsys, *arguments)
    assert shown.code == 0
    assert "accuracy" in shown.out


def test_leaderboard_list(capsys, searched, monkeypatch):
    board, result = searched
    best = json.loads(result.out)["best"]
    monkeypatch.setenv("AUTOPROMPT_LEADERBOARD", str(board))
    entries = json.loads(commands.call(capsys, "leaderboard", "list", "--json").out)["entries"]
    assert {"entry", "run", "rung", "status", "template", "label_words", "settings", "validation"} <= set(entries[0])
    assert [e["rung"] for e in entries] == sorted((e["rung"] for e in entries), reverse=True)
    finalists = [e["validation"]["loss"] for e in entries if e["rung"] == 2]
    assert finalists == sorted(finalists)
    assert best["entry"] in {e["entry"] for e in entries if e["rung"] == 2}
    assert [e["entry"] for e in entries if e["winner"]] == [best["entry"]]
    named = commands.call(capsys, "leaderboard", "list", "--json", "--run", "[red]first[/]")
    assert json.loads(named.out)["entries"] == entries
    assert json.loads(commands.call(capsys, "leaderboard", "--json").out)["entries"] == entries
    shown = commands.call(capsys, "leaderboard", "--help")
    assert shown.code == 0
    for arguments in ((), ("list",), ("--leaderboard", board), ("list", "--limit", "2"), ("--limit=2",)):
        table = commands.call(capsys, "leaderboard", *arguments)
        assert table.code == 0, table.err
        assert entries[0]["entry"][:8] in table.out
    assert f"{len(entries) - 2} more" in table.out


def test_the_metric_of_a_run_is_shown_to_people(capsys, model_folders, corpus_folder, small, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    where = ("--leaderboard", tmp_path / "lb.sqlite")
    searching = ("search", corpus_folder, "--model", model_folders["llama"], "--max-evaluations", 2, "--workers", 1,
                 "--metric", "f1_macro", *small, *where)  # fmt: skip
    shown = [commands.call(capsys, *searching)]
    (run,) = json.loads(commands.call(capsys, "leaderboard", "runs", "--json", *where).out)["runs"]
    best, manual = run["result"]["best"], run["result"]["baselines"]["manual"]
    assert best["test"]["metric"] == "f1_macro"
    for arguments in (("list",), ("runs",), ("show", best["entry"]), ("compare", best["entry"], manual["entry"])):
        split = ("--split", "test") if arguments[0] == "compare" else ()
        shown.append(commands.call(capsys, "leaderboard", *arguments, *split, *where))
    for result in shown:
        assert result.code == 0, result.err
        assert "f1_macro" in result.out
    value = f"{best['test']['value']:.3f}"
    assert all(value in result.out for result in (shown[0], *shown[2:]))
    entries = json.loads(commands.call(capsys, "leaderboard", "--json", *where).out)["entries"]
    assert f"{entries[0]['validation']['value']:.3f}" in shown[1].out
    marked = [line.split()[1] for line in shown[1].out.splitlines() if line.startswith("* ") and "winner" not in line]
    assert marked == [best["entry"][:8]]


def test_leaderboard_runs_and_show(capsys, searched, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    board, result = searched
    values = json.loads(result.out)
    (record,) = json.loads(commands.call(capsys, "leaderboard", "runs", "--leaderboard", board, "--json").out)["runs"]
    assert record["id"] == values["run"]
    assert record["status"] == "finished"
    assert record["result"] == values
    assert "[red]first[/]" in commands.call(capsys, "leaderboard", "runs", "--leaderboard", board).out
    entry = values["best"]["entry"]
    shown = json.loads(commands.call(capsys, "leaderboard", "show", entry[:8], "--leaderboard", board, "--json").out)
    assert shown["entry"] == entry
    assert {e["split"] for e in shown["evaluations"]} >= {"validation", "test"}
    plain = commands.call(capsys, "leaderboard", "show", entry, "--leaderboard", board)
    assert plain.code == 0
    assert entry in plain.out


def test_leaderboard_compare(capsys, searched):
    board, result = searched
    values = json.loads(result.out)
    entries = [values["best"]["entry"], values["baselines"]["manual"]["entry"]]
    arguments = ("leaderboard", "compare", *entries, "--leaderboard", board, "--split", "test")
    found = json.loads(commands.call(capsys, *arguments, "--json").out)
    assert found["entries"] == entries
    assert (found["split"], found["n"], found["metric"]) == ("test", 24, "accuracy")
    rows = (values["best"]["test"], values["baselines"]["manual"]["test"])
    assert found["loss"] == [pytest.approx(row["loss"]) for row in rows]
    assert [value["mean"] for value in found["values"]] == [row["accuracy"] for row in rows]
    shown = commands.call(capsys, *arguments)
    assert shown.code == 0
    assert "95 % interval" in shown.out.replace("\n", " ")
    tuned = values["baselines"]["manual_tuned"]["entry"]
    arguments = ("leaderboard", "compare", entries[0], tuned, "--leaderboard", board, "--json")
    finalists = json.loads(commands.call(capsys, *arguments).out)
    assert (finalists["rung"], finalists["n"]) == (2, 48)
    assert [value["folds"] for value in finalists["values"]] == [2, 2]


def test_export(capsys, searched, tmp_path):
    board, result = searched
    best = json.loads(result.out)["best"]
    for name in ("best.json", "best.py"):
        done = commands.call(capsys, "export", best["entry"][:10], "--out", tmp_path / name, "--leaderboard", board)
        assert done.code == 0, done.err
        assert done.out == ""
    values = json.loads((tmp_path / "best.json").read_text(encoding="utf-8"))
    assert {name: values[name] for name in ("template", "label_words", "settings", "entry")} == {
        name: best[name] for name in ("template", "label_words", "settings", "entry")
    }
    commands.refused(
        commands.call(capsys, "export", best["entry"], "--out", tmp_path / "x.txt", "--leaderboard", board),
        2,
        "best.json",
    )
    commands.refused(
        commands.call(capsys, "export", best["entry"], "--out", tmp_path / "no" / "x.py", "--leaderboard", board), 4
    )


def stored(board, template, score, model="tiny", **changes):
    """A leaderboard with one entry of a text task, which has one solved example; the entry's id."""
    demo = Demo.of("r1", {"talk": 'a {talk} \\ "b"'}, "{label}'s")
    words, settings = LabelWords(()), Settings("none")
    candidate = Candidate(Template.parse(template), words, settings, **({"demos": (demo,)} | changes))
    config = RunConfig.from_dict(synthetic.CONFIG | {"labels": [], "target_length": 8})
    run = RunRecord("a" * 12, None, "talks", "f" * 64, model, 0, "grid", config, "2026-01-01T00:00:00+00:00")
    record = EvaluationRecord(
        run=run.id, key="k", entry=candidate.entry(run.fingerprint, run.model, run.seed), candidate=candidate,
        role="search", split="validation", rung=2, fold=0, repeat=0, status="complete", reason=None, score=score,
        log_probs=[[-0.5]], predictions=["so"], row_ids=["r2"], readability=None, seconds=1.0, tokens=9, losses=[0.5],
    )  # fmt: skip
    with Leaderboard.open(board) as opened:
        opened.start_run(run)
        opened.add([record])
        best = candidate.to_dict() | {"test": score.to_dict()}
        opened.finish_run(run.id, "finished", RunResult.from_dict({"best": best}))
    return record.entry


@pytest.mark.parametrize("score", [Score(0.5, None, "loss", 0.5, 1), Score(0.5, 0.0, "rougeL", 0.5, 1)])
def test_an_entry_with_solved_examples_and_no_label_words(capsys, tmp_path, monkeypatch, model_folders, score):
    monkeypatch.setenv("COLUMNS", "160")
    where = ("--leaderboard", tmp_path / "lb.sqlite")
    entry = stored(tmp_path / "lb.sqlite", "{demos:1}{talk}\nGist: {label}", score, str(model_folders["llama"]))
    shown = {}
    for arguments in (("list",), ("runs",), ("show", entry)):
        for as_json in ((), ("--json",)):
            result = commands.call(capsys, "leaderboard", *arguments, *where, *as_json)
            assert result.code == 0, result.err
        shown[arguments[0]] = json.loads(result.out)
    assert shown["list"]["entries"][0]["demos"] == shown["show"]["demos"]
    assert shown["show"]["evaluations"][0]["losses"] == [0.5]
    result = commands.call(capsys, "leaderboard", "show", entry, *where)
    assert "example 1 (r1): {'talk': 'a {talk} \\\\ \"b\"'}" in result.out
    asked = 'a {talk} \\ "b"\nGist: {label}\'s\n\nx\nGist: '
    for name in ("best.json", "best.py"):
        result = commands.call(capsys, "export", entry, "--out", tmp_path / name, *where)
        assert result.code == 0, result.err
    assert autoprompt.load(tmp_path / "best.json").render(talk="x", label="so") == f"{asked}so"
    assert runpy.run_path(str(tmp_path / "best.py"))["render"](talk="x") == asked


def test_trainable_vectors_are_not_exported(capsys, tmp_path):
    board, score = tmp_path / "lb.sqlite", Score(0.5, None, "loss", 0.5, 1)
    entry = stored(board, "{soft:4}{talk}{label}", score, demos=())
    result = commands.call(capsys, "export", entry, "--out", tmp_path / "best.json", "--leaderboard", board)
    commands.refused(result, 3, "the model and its weights")
    assert not (tmp_path / "best.json").exists()


def test_lists_of_models_and_corpora(capsys):
    models = json.loads(commands.call(capsys, "models", "list", "--json").out)["models"]
    assert {"smollm2-135m", "minilm-l6"} <= {row["name"] for row in models}
    corpora = json.loads(commands.call(capsys, "corpora", "list", "--json").out)["corpora"]
    assert {"rotten-tomatoes", "bbc-news"} <= {row["name"] for row in corpora}
    assert json.loads(commands.call(capsys, "models", "--json").out)["models"] == models
    assert json.loads(commands.call(capsys, "corpora", "--json").out)["corpora"] == corpora
    assert "smollm2-135m" in commands.call(capsys, "models").out
    assert "rotten-tomatoes" in commands.call(capsys, "corpora").out
    card = json.loads(commands.call(capsys, "corpora", "show", "rotten-tomatoes", "--json").out)
    assert {"name", "source", "licence", "fields", "labels", "metric", "template"} <= set(card)
    assert "rotten" in commands.call(capsys, "corpora", "show", "rotten-tomatoes").out


def test_own_corpora_need_no_pull(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOPROMPT_CACHE", str(tmp_path))
    own = {"tickets", "pairs", "records", "headlines"}
    rows = json.loads(commands.call(capsys, "corpora", "list", "--json").out)["corpora"]
    assert {row["name"] for row in rows if row["pulled"]} == own
    assert {row["licence"] for row in rows if row["pulled"]} == {"CC0-1.0"}
    for name in own:
        card = json.loads(commands.call(capsys, "corpora", "show", name, "--json").out)
        assert card["files"] == [f"{name}.jsonl"]
        assert name in commands.call(capsys, "corpora", "show", name).out
        pulled = commands.call(capsys, "corpora", "pull", name)
        assert (pulled.code, pulled.out) == (0, "")
        assert "nothing to pull" in pulled.err
    assert not list(tmp_path.iterdir())


def test_a_target_column(capsys, tmp_path):
    path = tmp_path / "talks.jsonl"
    path.write_text("".join(json.dumps({"talk": f"t {n}", "gist": f"g {n}"}) + "\n" for n in range(90)))
    # Said before a model is looked for, which may take minutes: this one is found nowhere.
    where = ("--leaderboard", tmp_path / "lb.sqlite", "--model", tmp_path / "nowhere")
    both = commands.call(capsys, "search", path, "--target-column", "gist", "--label-column", "gist", *where)
    commands.refused(both, 2, "--label-column and --target-column")
    commands.refused(commands.call(capsys, "search", path, "--target-column", "summary", *where), 3, "'summary'")
    words = ("--label-words", '{"a": "b"}')
    refused = commands.call(capsys, "search", path, "--target-column", "gist", *words, *where)
    commands.refused(refused, 2, "no label words")
    refused = commands.call(capsys, "search", path, "--target-column", "gist", "--metric", "accuracy", *where)
    commands.refused(refused, 2, "rougeL")


def test_a_search_for_texts_writes_them_at_the_end(capsys, model_folders, small, tmp_path):
    path = tmp_path / "talks.jsonl"
    rows = [{"talk": f"The {thing} was good.", "gist": thing} for thing in tiny.THINGS] * 3
    path.write_text("".join(json.dumps(row | {"talk": f"{row['talk']} {n}"}) + "\n" for n, row in enumerate(rows)))
    where = ("--leaderboard", tmp_path / "lb.sqlite", "--model", model_folders["llama"], "--target-column", "gist")
    result = commands.call(capsys, "search", path, *where, *small, "--max-evaluations", 5, "--test-rows", 6, "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    for row in (found["best"], found["baselines"]["manual"], found["baselines"]["manual_tuned"]):
        assert row["label_words"] == {}
        assert row["test"]["metric"] == "rougeL"
        assert row["test"]["loss"] == pytest.approx(1 - row["test"]["value"])
        assert row["test"]["n"] == 6
    assert found["best"]["validation"]["metric"] == "rougeL"
    assert found["difference"]["metric"] == "rougeL"
    assert len(found["spread"]["values"]) == 2
    shown = commands.call(
        capsys, "leaderboard", "show", found["best"]["entry"], "--leaderboard", tmp_path / "lb.sqlite"
    )
    assert shown.code == 0
    assert commands.call(capsys, "leaderboard", "list", "--leaderboard", tmp_path / "lb.sqlite").code == 0
    judged = commands.call(
        capsys, "evaluate", path, *where[2:], "--template", "{talk} Gist: {label}", "--tuning", "none", "--json"
    )
    assert {"rougeL", "bleu", "loss"} <= set(json.loads(judged.out)["metrics"])


def test_what_is_unknown(capsys, searched, corpus_folder):
    board, _ = searched
    commands.refused(commands.call(capsys, "search", "no-such-corpus"), 3, "no-such-corpus")
    commands.refused(commands.call(capsys, "search", "./no.csv"), 3, "no.csv")
    commands.refused(commands.call(capsys, "corpora", "show", "nothing"), 3, "nothing")
    commands.refused(commands.call(capsys, "models", "pull", "nothing"), 3, "nothing")
    commands.refused(commands.call(capsys, "models", "pull", "rotten-tomatoes"), 2, "rotten-tomatoes")
    where = ("--leaderboard", board)
    commands.refused(commands.call(capsys, "leaderboard", "list", "--run", "unknown", *where), 3, "unknown")
    commands.refused(commands.call(capsys, "leaderboard", "show", "f" * 12, *where), 3, "f" * 12)
    commands.refused(commands.call(capsys, "leaderboard", "show", "abc", *where), 3, "abc")
    commands.refused(commands.call(capsys, "export", "f" * 12, "--out", "x.py", *where), 3)
    commands.refused(commands.call(capsys, "search", corpus_folder, "--model", "./no-model", *where), 3, "no-model")


def test_a_used_name(capsys, searched, model_folders, corpus_folder):
    board, result = searched
    again = commands.call(
        capsys, "search", corpus_folder, "--model", model_folders["llama"], "--max-evaluations", 1,
        "--name", "[red]first[/]", "--leaderboard", board,
    )  # fmt: skip
    commands.refused(again, 2, "[red]first[/]", "resume", json.loads(result.out)["run"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("search",), ("nonsense",), ("search", "x", "--nonsense"), ("search", "x", "--strategy", "magic"),
        ("search", "x", "--max-evaluations", "0"), ("search", "x", "--budget", "5m", "--max-evaluations", "3"),
        ("search", "x", "--label-words", "{"), ("search", "x", "--label-words", '["a"]'), ("evaluate", "x"),
        ("search", "x", "--shots", "0"), ("search", "x", "--tuning", "magic"), ("export", "x"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_usage_errors(capsys, arguments):
    result = commands.call(capsys, *arguments)
    assert result.code == 2
    assert result.out == ""
    assert "Error: " in result.err
    assert "Traceback" not in result.err


def test_fault_51_nobody_reading_is_no_error(searched):
    board, _ = searched
    for arguments in (("leaderboard", "list", "--json"), ("leaderboard", "list")):
        process = commands.start(*arguments, "--leaderboard", board)
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(60) in (0, 1)
        process.stderr.close()
        assert "Traceback" not in err
        assert "BrokenPipe" not in err


@pytest.mark.parametrize("encoding", [{}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}], ids=["coerced", "ascii"])
def test_fault_51_a_plain_locale_and_a_narrow_terminal(searched, encoding):
    board, _ = searched
    env = {"LANG": "C", "LC_ALL": "C", "COLUMNS": "40"} | encoding
    for arguments in (("leaderboard", "list"), ("leaderboard", "runs")):
        result = commands.spawn(*arguments, "--leaderboard", board, env=env)
        assert result.code == 0, result.err
        assert max(map(len, result.out.splitlines())) <= 40


def test_fault_51_a_terminal_without_the_letters_of_a_template(tmp_path):
    board = tmp_path / "lb.sqlite"
    entry = stored(board, "Größe \u2028 {talk}{label}", Score(0.5, None, "loss", 0.5, 1), demos=())
    for arguments in (("list",), ("show", entry)):
        result = commands.spawn(
            "leaderboard", *arguments, "--leaderboard", board,
            env={"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        )  # fmt: skip
        assert result.code == 0, result.err
        assert r"Gr\xf6\xdfe" in result.out


def test_a_missing_leaderboard_is_not_made_by_reading(capsys, tmp_path):
    place = tmp_path / "none.sqlite"
    commands.refused(commands.call(capsys, "leaderboard", "list", "--leaderboard", place), 4, str(place))
    assert not place.exists()
    assert not list(Path(tmp_path).iterdir())


def test_a_search_for_people_shows_the_winner_and_what_to_do_next(
    capsys, model_folders, corpus_folder, small, tmp_path
):
    board = tmp_path / "lb [red].sqlite"
    result = commands.call(
        capsys, "search", corpus_folder, "--model", model_folders["llama"], "--max-evaluations", 2, "--workers", 1,
        *small, "--leaderboard", board,
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "winner" in result.out
    assert "manual_tuned" in result.out
    assert "autoprompt export" in result.out
    assert "lb [red].sqlite" in result.out.replace("\n", "")
