"""The scripts and the notebook of docs/examples: on fewer rows they run as they stand there, and leave behind what they
promise."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from paths import DOCS, ROOT

EXAMPLES = DOCS / "examples"
SCRIPTS = {  # what each prints, and the files that it leaves behind
    "classify_tickets.py": (["manual_tuned:", ": Please close my account."], ["tickets.csv", "tickets.json"]),
    "scikit_learn_pipeline.py": (["prompt: accuracy ", "TF-IDF: accuracy "], []),
    "write_headlines.py": (["manual_tuned:", "written: ", "by hand: "], ["headlines.sqlite"]),
}
NOTEBOOK = EXAMPLES / "first_search.ipynb"
FEWER = {
    "classify_tickets.py": ("max_evaluations=4, shots=6, test_rows=48", "max_evaluations=1, shots=2, test_rows=12"),
    "scikit_learn_pipeline.py": (".head(20)", ".head(6)"),
    "write_headlines.py": (
        '{"train": rows[:16], "validation": rows[16:24], "test": rows[24:32]}',
        '{"train": rows[:6], "validation": rows[6:9], "test": rows[9:12]}',
    ),
    NOTEBOOK.name: ("max_evaluations=4, test_rows=40", "max_evaluations=2, shots=4, test_rows=10"),
}


def with_fewer(name: str, text: str) -> str:
    whole, part = FEWER[name]
    assert text.count(whole) == 1
    return text.replace(whole, part)


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
    place = tmp_path / "docs" / "examples" / name  # which the script finds the corpora from
    place.parent.mkdir(parents=True)
    (tmp_path / "corpora").symlink_to(ROOT / "corpora")
    place.write_text(with_fewer(name, (EXAMPLES / name).read_text(encoding="utf-8")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(place)], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8",
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
    notebook = nbformat.reads(with_fewer(NOTEBOOK.name, NOTEBOOK.read_text(encoding="utf-8")), as_version=4)
    NotebookClient(
        notebook, timeout=480, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output for output in shown if output.output_type == "error"] == []
    assert any("manual_tuned" in output.get("data", {}).get("text/html", "") for output in shown)
    assert {"first.sqlite", "report", "best.json", "best.weights"} <= {path.name for path in tmp_path.iterdir()}
