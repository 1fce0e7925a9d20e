"""The scripts and the notebook of docs/examples: they run as they stand there, and leave behind what they promise."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from paths import DOCS

EXAMPLES = DOCS / "examples"
SCRIPTS = {  # what each prints, and the files that it leaves behind
    "classify_tickets.py": (["manual_tuned:", ": Please close my account."], ["tickets.csv", "tickets.json"]),
    "scikit_learn_pipeline.py": (["prompt: accuracy ", "TF-IDF: accuracy "], []),
    "write_headlines.py": (["manual_tuned:", "written: ", "by hand: "], ["headlines.sqlite"]),
}
NOTEBOOK = EXAMPLES / "first_search.ipynb"


def test_every_example_is_run_and_stands_in_the_guide():
    found = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    assert found == {*SCRIPTS, NOTEBOOK.name}
    guide = (DOCS / "guide.md").read_text(encoding="utf-8")
    assert [name for name in sorted(found) if f"(examples/{name})" not in guide] == []


def test_the_notebook_is_valid_and_has_no_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.source for cell in code if cell.outputs or cell.execution_count is not None] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_the_script_runs(tmp_path, name):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8",
        timeout=480,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed, files = SCRIPTS[name]
    assert [text for text in printed if text not in done.stdout] == []
    assert [file for file in files if not (tmp_path / file).is_file()] == []


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", os.pathsep.join([str(Path(sys.prefix) / "share" / "jupyter")]))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=480, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output for output in shown if output.output_type == "error"] == []
    assert any("manual_tuned" in output.get("data", {}).get("text/html", "") for output in shown)
    assert {"first.sqlite", "report", "best.json", "best.weights"} <= {path.name for path in tmp_path.iterdir()}
