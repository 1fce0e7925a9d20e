"""Files beside the data that are called like Python modules: none of them is run, and none is in the way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import runs
import tiny

import autoprompt
from autoprompt import interpreter

pytestmark = pytest.mark.alone

MODULES = (
    *("socket", "signal", "struct", "pickle", "json", "random", "select", "selectors", "multiprocessing", "threading"),
    *("torch", "numpy", "transformers", "tokenizers", "peft", "accelerate", "sklearn", "scipy", "click", "rich"),
    *("psutil", "threadpoolctl", "filelock", "sitecustomize", "usercustomize", "pip", "readline", "autoprompt"),
    *("IPython", "tensorflow", "flash_attn", "torchvision", "yaml", "sqlite3", "deap", "pydantic", "platformdirs"),
)
CANARY = "import pathlib; pathlib.Path(__file__).with_suffix('.ran').touch(); raise SystemExit('a canary ran')\n"
RUN = "from autoprompt.cli import main; main()"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with data and with a canary for each module; one of them is a package."""
    folder = tmp_path / "data"
    folder.mkdir()
    tiny.write_corpus(folder)
    for name in MODULES:
        (folder / f"{name}.py").write_text(CANARY)
    (folder / "encodings").mkdir()
    (folder / "encodings" / "__init__.py").write_text(CANARY)
    (folder / "small.toml").write_text(runs.SMALL)
    return folder


def ran(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.ran"))


def searched(folder: Path, command: list[str], model: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A search with a worker in a folder whose files it reads."""
    more = ["search", ".", "--model", str(model), "--workers", "1", "--max-evaluations", "2", "--fix", "epochs=1"]
    more += ["--config", "small.toml", "--leaderboard", "lb.sqlite", "--json"]
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    return subprocess.run(
        [*command, *more], cwd=folder, env=kept | variables, capture_output=True, text=True, check=False, timeout=200
    )


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_nothing_beside_the_data_runs(hostile: Path, model_folders: dict[str, Path], tmp_path: Path) -> None:
    script = tmp_path / "bin" / "autoprompt"  # as pip writes it
    script.parent.mkdir()
    script.write_text(f"import sys\n{RUN}\n")
    done = searched(hostile, [sys.executable, str(script)], model_folders["llama"])
    assert ran(hostile) == []
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["evaluations"] == 2


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_nothing_beside_the_data_runs_where_the_module_path_has_an_empty_place(
    hostile: Path, model_folders: dict[str, Path]
) -> None:
    """Python itself imports what it needs to start before anything of ours can be asked."""
    for name in (*MODULES, "encodings/__init__"):
        if name not in ("torch", "numpy", "transformers", "tokenizers", "peft", "click", "rich", "psutil", "deap"):
            (hostile / f"{name}.py").unlink()
    (hostile / "encodings").rmdir()
    done = searched(hostile, [sys.executable, "-P", "-c", RUN], model_folders["llama"], PYTHONPATH=f"{os.pathsep}/x")
    assert ran(hostile) == []
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_beside_the_data_runs_in_workers_of_a_ray_cluster(
    hostile: Path, model_folders: dict[str, Path], tmp_path: Path
) -> None:
    script = tmp_path / "autoprompt"
    script.write_text(f"import sys\n{RUN}\n")
    command = [sys.executable, "-P", str(script)]
    done = searched(
        hostile,
        command,
        model_folders["llama"],
        AUTOPROMPT_EXECUTOR="ray",
        RAY_ADDRESS="local",
        RAY_USAGE_STATS_ENABLED="0",
    )
    assert ran(hostile) == []
    assert done.returncode == 0, done.stderr


_WHERE = """
import json, os
from autoprompt.execution import LocalExecutor
import where
executor = LocalExecutor(1, print, ())
print(json.dumps(next(executor.map(where.found, [0]))))
executor.close()
"""
_FOUND = """
import os, sys
def found(_):
    return {"path": sys.path, "variable": os.environ.get("PYTHONPATH"), "safe": os.environ["PYTHONSAFEPATH"]}
"""


@pytest.mark.parametrize("given", ["", ".", "{cwd}", "{tools}{sep}", "{sep}{tools}", "{tools}{sep}{cwd}{sep}."])
def test_a_worker_searches_where_its_driver_does_but_for_the_current_folder(tmp_path: Path, given: str) -> None:
    cwd, tools = tmp_path / "cwd", tmp_path / "tools"
    cwd.mkdir()
    tools.mkdir()
    (tools / "where.py").write_text(_FOUND)
    code = f"import sys; sys.path.insert(0, {str(tools)!r})\n{_WHERE}"
    named = given.format(cwd=cwd, tools=tools, sep=os.pathsep)
    home = str(Path(autoprompt.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": named},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert str(tools) == found["path"][0]
    assert not {"", ".", str(cwd)} & set(found["path"])
    assert home in found["path"]
    assert found["variable"] == (str(tools) if "{tools}" in given else None)
    assert found["safe"] == "1"


def test_the_folder_that_this_package_is_in_is_searched_even_where_it_is_the_current_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = Path(autoprompt.__file__).parent.parent
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "path", [str(home), "/somewhere"])
    assert interpreter.search_path() == [str(home), "/somewhere"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), "/somewhere"])
    assert interpreter.search_path() == ["/somewhere", str(home)]


@pytest.mark.slow
def test_a_script_without_a_guard_searches(model_folders: dict[str, Path], tmp_path: Path) -> None:
    """And says what it found once: its workers do not run it again."""
    (tmp_path / "signal_of_mine.py").write_text(CANARY)
    (tmp_path / "search.py").write_text(
        "import autoprompt\n"
        "rows = [{'text': f'The soup number {i} was {w}', 'label': w} for i in range(20) for w in ('good', 'bad')]\n"
        f"found = autoprompt.search(rows, max_evaluations=2, workers=1, model={str(model_folders['llama'])!r},\n"
        "                          config='small.toml', fix={'epochs': 1})\n"
        "print('RESULT', found.outcome.evaluations)\n"
    )
    (tmp_path / "small.toml").write_text(runs.SMALL)
    done = subprocess.run(
        [sys.executable, "search.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["RESULT 2"], done.stderr
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
