"""The scripts and the notebook of docs/examples: on fewer rows and with a tiny model they run as they stand there, and
leave behind what they promise."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from paths import DOCS, ROOT

pytestmark = pytest.mark.alone

EXAMPLES = DOCS / "examples"
SCRIPTS = {  # what each prints, and the files that it leaves behind
    "classify_tickets.py": (["manual_tuned:", ": Please close my account."], ["tickets.csv", "tickets.json"]),
    "scikit_learn_pipeline.py": (["prompt: accuracy ", "TF-IDF: accuracy "], []),
    "write_headlines.py": (["manual_tuned:", "written: ", "by hand: "], ["headlines.sqlite"]),
}
NOTEBOOK = EXAMPLES / "first_search.ipynb"
LESS = {  # of each, texts and what takes their place
    "classify_tickets.py": {"test_rows=48": "test_rows=12, unlabeled_rows=12, model=TINY"},
    "scikit_learn_pipeline.py": {"max_length=64": "max_length=64, model=TINY", ".head(20)": ".head(6)"},
    "write_headlines.py": {"max_length=64": "max_length=64, model=TINY"},
    NOTEBOOK.name: {"test_rows=40": "test_rows=40, unlabeled_rows=12, model=TINY"},
}


def with_less(name: str, text: str, model: Path) -> str:
    for whole, part in LESS[name].items():
        assert text.count(whole) == 1
        text = text.replace(whole, part.replace("TINY", f"'{model}'"))  # within JSON, as a notebook is
    return text


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
def test_the_script_runs(tmp_path, model_folders, name):
    place = tmp_path / "docs" / "examples" / name  # which the script finds the corpora from
    place.parent.mkdir(parents=True)
    (tmp_path / "corpora").symlink_to(ROOT / "corpora")
    script = with_less(name, (EXAMPLES / name).read_text(encoding="utf-8"), model_folders["llama"])
    place.write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(place)], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8",
        timeout=480,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed, files = SCRIPTS[name]
    assert [text for text in printed if text not in done.stdout] == []
    assert [file for file in files if not (tmp_path / file).is_file()] == []


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, model_folders, monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", os.pathsep.join([str(Path(sys.prefix) / "share" / "jupyter")]))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    text = with_less(NOTEBOOK.name, NOTEBOOK.read_text(encoding="utf-8"), model_folders["llama"])
    notebook = nbformat.reads(text, as_version=4)
    NotebookClient(
        notebook, timeout=480, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output for output in shown if output.output_type == "error"] == []
    assert any("manual_tuned" in output.get("data", {}).get("text/html", "") for output in shown)
    assert {"first.sqlite", "report", "best.json", "best.weights"} <= {path.name for path in tmp_path.iterdir()}
