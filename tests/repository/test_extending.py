"""Every example of docs/extending.md, as it stands there: it works, and touches as many files as the document says."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import commands
import fakes
import pytest
import runs
import tiny
from paths import ROOT, TESTS

import autoprompt
from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus.readers import format_names, read_table
from autoprompt.errors import UsageError
from autoprompt.metrics import metric_names, score
from autoprompt.optimizer import SearchConfig, Space
from autoprompt.registry import EXECUTORS, READERS, STRATEGIES, TRACKERS
from autoprompt.template import LabelWords, Template

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
HOUSE = {
    "metric": 1, "file format": 1, "operator": 1, "strategy": 1, "tracker": 1,
    "executor": 2, "tuning mode": 2, "model family": 2,
}  # fmt: skip
"""The most files of the package that one more of a kind may touch."""
MANUAL = Candidate(
    Template.parse("{text}\nMood: {label}"),
    LabelWords((("neg", "bad"), ("pos", "good"))),
    Settings("tail", 5e-4, 8, 4, 8),
)


def section(title: str) -> str:
    """The text below a heading, up to the next."""
    (found,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def blocks(text: str) -> dict[str, str]:
    """Title -> content of the titled blocks of code."""
    return dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', text, re.MULTILINE | re.DOTALL))


def documented() -> dict[str, int]:
    """Kind -> files of the package, by the page's table."""
    return {
        kind: int(count) for kind, count in re.findall(r"^\| \[([\w ]+)\]\(#[\w-]+\) \|[^|]+\| (\d) \|", PAGE, re.M)
    }


def applied(root: Path, kind: str) -> None:
    """Put the example of a kind into the package in ``root``, as the page shows it: new files and rows of tables; and
    where the page shows a package of its own, in the place and under the decorator that it names."""
    text = section(f"An? {kind}")
    for title, code in blocks(text).items():
        path, _, table = title.partition(": ")
        if path.startswith("autoprompt/"):
            put(root / path, code, table)
    for path, decorator in re.findall(r"In the package: `([^`]+)`, under `(@[^`]+)`", text):
        (code,) = (code for title, code in blocks(text).items() if not title.startswith("autoprompt/"))
        used = decorator.split(".")[0].removeprefix("@")
        marked = re.sub(r"^(?=(?:def|class) )", f"{decorator}\n", code, count=1, flags=re.MULTILINE)
        new = "" if (root / path).exists() else f"from autoprompt.registry import {used}\n\n"
        put(root / path, new + marked)
    for path in re.findall(r"In the package the first module is `([^`]+)`", text):
        put(root / path, next(iter(blocks(text).values())))


def put(path: Path, code: str, table: str = "") -> None:
    """Write a new file, add rows to the mapping ``table`` of a file, or code to its end."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if not table:
        path.write_text(f"{before}\n\n{code}" if before else code, encoding="utf-8")
        return
    head, found, rest = before.partition(f"\n{table}: ")
    rows, end, after = rest.partition("\n}\n")
    assert found
    assert end
    path.write_text(f"{head}{found}{rows}\n{code.rstrip()}{end}{after}", encoding="utf-8")


def changed(root: Path) -> list[str]:
    """Files of the package in ``root`` that are new, gone, or other than ours."""
    ours, theirs = (
        {path.relative_to(place): path.read_bytes() for path in (place / "autoprompt").rglob("*.py")}
        for place in (ROOT, root)
    )
    return sorted(str(path) for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with a copy of this package to change."""
    return copied(tmp_path)


def copied(folder: Path) -> Path:
    root = folder / "copy"
    shutil.copytree(ROOT / "autoprompt", root / "autoprompt", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "corpora").symlink_to(ROOT / "corpora")
    assert changed(root) == []
    return root


def run(package: Path, code: str, *arguments: object) -> str:
    """What the code prints, in a process that imports the copy; ``given`` holds the arguments."""
    path = os.pathsep.join((str(package), str(TESTS / "support")))
    head = (
        "import json, sys; from pathlib import Path; import autoprompt; given = sys.argv[1:]\n"
        f"assert autoprompt.__file__.startswith({str(package)!r}), autoprompt.__file__\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", head + code, *map(str, arguments)],
        capture_output=True, text=True, timeout=300, cwd=package.parent,
        env=os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


# Files of the package


def test_every_kind_is_documented_within_its_limit() -> None:
    assert documented() == HOUSE
    groups = {registry.group for registry in (EXECUTORS, READERS, STRATEGIES, TRACKERS)}
    assert groups | {
        "autoprompt.operators",
        "autoprompt.classification_metrics",
        "autoprompt.generation_metrics",
    } == set(re.findall(r"`(autoprompt\.\w+)`", PAGE[: PAGE.index("\n\n`tests/repository/test_extending.py`")]))


@pytest.mark.parametrize("kind", HOUSE)
def test_an_example_touches_as_many_files_as_documented(package: Path, kind: str) -> None:
    applied(package, kind)
    found = changed(package)
    assert len(found) == documented()[kind], found
    for path in found:
        compile((package / path).read_text(encoding="utf-8"), path, "exec")


def test_what_stands_in_the_package_is_known_to_everything(package: Path) -> None:
    """All examples side by side."""
    for kind in HOUSE:
        applied(package, kind)
    assert len(changed(package)) == sum(HOUSE.values())
    code = """
from autoprompt import registry
from autoprompt.cli import cli
cli.main(["search", "--help"], standalone_mode=False)
assert "torch" not in sys.modules
for kind, name in json.loads(given[0]).items():
    assert name in getattr(registry, kind) and getattr(registry, kind)[name], name
from autoprompt.optimizer.operators import all_operators
assert all_operators(gradients=True)[-1].name == "ask"
"""
    names = {
        "CLASSIFICATION_METRICS": "brier", "OPERATORS": "ask", "STRATEGIES": "library", "READERS": "fasttext",
        "TRACKERS": "jsonl", "EXECUTORS": "inline",
    }  # fmt: skip
    shown = " ".join(run(package, code, json.dumps(names)).split())
    assert "|library|" in shown
    assert "txt, fasttext, jsonl" in shown
    assert "[jsonl|tensorboard:]PLACE" in shown
    assert "processes here, or a Ray cluster (extra: ray), or the calling process" in shown
    assert "|norms]" in shown
    assert "|summed]" in shown


# From outside


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's package as an installer leaves it: its modules, and its entry points beside them."""
    site = tmp_path / "site"
    info = site / "my_autoprompt-0.1.0.dist-info"
    info.mkdir(parents=True)
    project = tomllib.loads(blocks(section("A package of your own"))["pyproject.toml"])
    modules = {t: code for t, code in blocks(PAGE).items() if t.endswith(".py") and "/" not in t}
    assert sorted(modules) == sorted(f"{name}.py" for name in project["tool"]["setuptools"]["py-modules"])
    for title, code in modules.items():
        (site / title).write_text(code, encoding="utf-8")
        monkeypatch.delitem(sys.modules, title.removesuffix(".py"), raising=False)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['project']['name']}\nVersion: 0.1.0\n")
    lines = [
        line
        for group, points in project["project"]["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(site)
    return site


@pytest.mark.usefixtures("installed")
def test_the_metric_from_outside_scores() -> None:
    assert metric_names("classification")[-1] == "brier"
    sure, torn = [-1e-9, -30.0], [-0.6931471805599453] * 2
    assert score([sure, sure], [0, 0], 2, "brier").value == pytest.approx(0)
    assert score([sure, torn], [1, 0], 2, "brier").value == pytest.approx((2 + 0.5) / 2)


@pytest.mark.usefixtures("installed")
def test_the_operator_from_outside_breeds() -> None:
    config = SearchConfig.model_validate({"search": {"operators": ["ask"], "immigrants": False}})
    _, found = fakes.run_search(Space(MANUAL, "mood", ("word",), config), "genetic", 30)
    assert "{text}\nMood? {label}" in {e.candidate.template.format() for _, e in found}


@pytest.mark.usefixtures("installed")
def test_the_strategy_from_outside_searches() -> None:
    outcome, found = fakes.run_search(Space(MANUAL, "mood", ("word",), SearchConfig()), "library", 12)
    assert 1 < outcome.fitted <= 12
    tried = [e.candidate for role, e in found if role == "search"]
    assert len({candidate.template for candidate in tried}) > 5
    assert {candidate.label_words for candidate in tried} == {MANUAL.label_words}


def test_the_command_names_what_comes_from_outside(installed: Path) -> None:
    path = os.pathsep.join((str(installed), str(ROOT)))
    shown = commands.spawn("search", "--help", env={"PYTHONPATH": path})
    assert "|inline" in shown.out.replace("\n", "").replace(" ", "")
    assert "|library" in shown.out.replace("\n", "").replace(" ", "")


@pytest.mark.usefixtures("installed")
def test_the_executor_from_outside_computes_a_run(
    model_folders: dict[str, Path], corpus_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "small.toml").write_text(runs.SMALL)
    told: list[object] = []

    def searched(executor: str, workers: int | None) -> dict[str, Any]:
        return autoprompt.search(
            str(corpus_folder), model=str(model_folders["llama"]), device="cpu", max_evaluations=1, executor=executor,
            workers=workers, fix={"epochs": 1}, config=tmp_path / "small.toml", progress=False, callback=told.append,
            leaderboard=tmp_path / f"{executor}.sqlite",
        ).to_dict()  # fmt: skip

    here = searched("inline", None)
    assert "All is computed in this process." in str(told)
    with commands.inline():
        usual = searched("local", 1)
    for name in ("best", "baselines", "evaluations", "verdict"):
        assert here[name] == usual[name]
    for options, said in (
        ({"workers": 2}, "--executor inline has one worker, not 2"),
        ({"ray_address": "auto"}, "ray_address is for a Ray cluster"),
    ):
        with pytest.raises(UsageError, match=said):
            autoprompt.search(str(corpus_folder), model=str(model_folders["llama"]), executor="inline", **options)


def test_a_file_format_and_a_tracker_from_outside(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = blocks(section("A file format")).values()
    code = re.sub(
        r'READERS.register\("fasttext"\)\((.*)\)\n', r"FORMAT = \1\nOURS = Format(('.csv',), FORMAT.read)\n", code
    )
    (installed / "outside.py").write_text(code.replace("from autoprompt.registry import READERS\n", ""))
    (code,) = blocks(section("A tracker")).values()
    (installed / "outside_too.py").write_text(code.replace('@TRACKERS.register("jsonl")\n', ""))
    points = next(installed.glob("*.dist-info")) / "entry_points.txt"
    points.write_text(
        "[autoprompt.readers]\nfasttext = outside:FORMAT\nours = outside:OURS\n"
        "[autoprompt.trackers]\njsonl = outside_too:JsonLines\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")  # what was found is remembered for a search path
    (tmp_path / "rows.ft").write_text("__label__good A fine film.\n")
    (tmp_path / "rows.csv").write_text("label,text\ngood,A fine film.\n")
    read = [read_table(tmp_path / name).rows for name in ("rows.ft", "rows.csv")]
    assert read == [({"label": "good", "text": "A fine film."},)] * 2
    assert format_names().endswith("xlsx, fasttext or ours")
    with closing(TRACKERS["jsonl"](str(tmp_path / "curves"))) as tracker:
        tracker.scalar("loss", 0.5, 1)
    assert json.loads((tmp_path / "curves").read_text()) == {"name": "loss", "value": 0.5, "step": 1}


# Inside of the package


@dataclass(frozen=True)
class Searched:
    """What a run of a changed package says and writes."""

    result: dict[str, Any]
    lines: list[str]
    curves: list[dict[str, Any]]


WORDS = {"positive": "good and warm", "negative": "bad"}
SEARCH = """
import commands, tiny, torch
from autoprompt.cli import cli
from autoprompt.models import load_model, locate_model
from autoprompt.template import LabelWords, Template
model, words, *options = given
with commands.inline():
    cli.main(["search", *options, "--model", model, "--device", "cpu", "--workers", "1", "--max-evaluations", "1",
              "--fix", "epochs=1", "--config", "small.toml", "--json", "--leaderboard", "lb.sqlite", "--label-words",
              words, "--track", "jsonl:curves.jsonl", "--tuning", "norms", "--family", "summed"],
             standalone_mode=False)

causal, summed = (load_model(Path(model), family=name) for name in ("causal", "summed"))
candidate = tiny.prompt_of(Template.parse(tiny.MANUAL), LabelWords(tuple(tiny.WORDS.items())), "norms")
rows = tiny.examples("It was good.", "It was bad.")
print(causal.tuning_modes)
print(sorted(causal.tune(causal.prompt(candidate, rows), [0, 1], candidate.settings, 0)))

assert locate_model(model).family == "causal", "unless it is named"
candidate = tiny.prompt_of(Template.parse(tiny.MANUAL), LabelWords(tuple(json.loads(words).items())))
rows = tiny.examples("It was good.", "It was bad and cold.")
mean, total = (model.features(model.prompt(candidate, rows)).label_scores for model in (causal, summed))
lengths = [len(target.ids) for target in causal.prompt(candidate, rows).rows[0].targets]
assert lengths[0] > lengths[1], lengths
torch.testing.assert_close(total, mean * torch.tensor(lengths))
torch.testing.assert_close(summed.score(summed.prompt(candidate, rows)), total.log_softmax(-1))
assert summed.tuning_modes == causal.tuning_modes
"""
"""One fine-tune in the process that starts it, and what its tuning mode trains and its family scores."""


@pytest.fixture(scope="module")
def searched(model_folders: dict[str, Path], corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """A run with the page's tracker, tuning mode and model family in one copy of the package."""
    package = copied(tmp_path_factory.mktemp("searched"))
    for kind in ("tracker", "tuning mode", "model family"):
        applied(package, kind)
    (package.parent / "small.toml").write_text(runs.SMALL)
    result, *lines = run(package, SEARCH, model_folders["gpt2"], json.dumps(WORDS), corpus_folder).splitlines()
    curves = (package.parent / "curves.jsonl").read_text().splitlines()
    return Searched(json.loads(result), lines, [json.loads(line) for line in curves])


def test_the_file_format_is_read(package: Path, tmp_path: Path) -> None:
    applied(package, "file format")
    lines = [f"__label__{row['label']} {row['text']}" for row in tiny.rows(0)]
    (tmp_path / "rows.fasttext").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "bad.ft").write_text("\n".join([*lines, "no label"]), encoding="utf-8")
    code = """
from autoprompt.corpus import load
from autoprompt.corpus.readers import format_names
corpus = load(given[0], shots=4)
print(sorted(row.label for row in corpus.train))
print(format_names())
try:
    load(given[1])
except autoprompt.AutopromptError as error:
    print(error)
"""
    labels, names, error = run(package, code, tmp_path / "rows.fasttext", tmp_path / "bad.ft").splitlines()
    assert labels == str(["negative"] * 4 + ["positive"] * 4)
    assert names == "csv, tsv, txt, fasttext, jsonl, json, parquet, arrow or xlsx"
    assert error.endswith(f"bad.ft:{len(lines) + 1} does not begin with one __label__; give each line one label.")


@pytest.mark.slow
def test_the_tracker_writes_a_run_s_curves(searched: Searched) -> None:
    assert {"validation/loss", "best/loss", "frozen/loss", "template"} <= {point["name"] for point in searched.curves}


@pytest.mark.slow
def test_the_tuning_mode_trains_the_norms_alone(searched: Searched) -> None:
    assert searched.result["best"]["settings"]["tuning"] == "norms"
    modes, names = searched.lines
    assert modes == "('tail', 'lora', 'soft', 'bias', 'full', 'norms', 'none')"
    layers = [f"transformer.h.{n}.ln_{i}.weight" for n in (0, 1) for i in (1, 2)]
    assert names == str([*layers, "transformer.ln_f.weight"])


@pytest.mark.slow
def test_the_family_sums_what_causal_models_average(searched: Searched) -> None:
    """Its scores are compared where the run was made."""
    assert searched.result["baselines"]["manual"]["label_words"] == WORDS
