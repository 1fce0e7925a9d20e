"""Data, labels, names and a template from somebody who wishes us ill, through all that a search leaves behind."""

import csv
import json
import types
from pathlib import Path

import commands
import pytest
from prompt_files import inert_module
from reports import PAYLOADS, inert_markdown, inert_page

from autoprompt.export import load

TEXTS = [payload.replace("\x00", "") for payload in PAYLOADS]
LABELS = ('=HYPERLINK("http://evil.example")<img src=x onerror=alert(1)>', "@SUM(A1) | `x` \u202etxt.exe")
TEMPLATE = "=1+1 <script>alert(1)</script> | ``` {{7*7}} [x](http://evil.example)\n{text}\n# {label}"
NAME = "../../<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Twelve rows a label, every text a payload."""
    place = tmp_path_factory.mktemp("hostile")
    rows = [{"text": f"{TEXTS[n % len(TEXTS)]} {n}", "label": LABELS[n % 2]} for n in range(48)]
    for split, part in (("train", rows[:16]), ("validation", rows[16:32]), ("test", rows[32:])):
        lines = "".join(json.dumps(row) + "\n" for row in part)
        (place / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return place


def test_what_a_search_leaves_behind_is_inert(capsys, folder, model_folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = json.dumps(dict(zip(LABELS, ("<b>bad</b>", "=good"), strict=True)))
    done = commands.call(
        capsys, "search", folder, "--model", model_folders["llama"], "--template", TEMPLATE, "--label-words", words,
        "--max-evaluations", 4, "--fix", "epochs=1", "--name", NAME, "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    best = json.loads(done.out)["best"]
    for arguments in (
        ("report", NAME, "--out", "report"),
        ("export", "--run", NAME, "--out", "best.py"),
        ("export", "--run", NAME, "--out", "best.json"),
        ("predict", "best.json", "--frozen", "--input", folder / "test.jsonl", "--out", "out.csv"),
    ):
        done = commands.call(capsys, *arguments)
        assert done.code == 0, (arguments, done.err)
    html = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert LABELS[0] in inert_page(html).text
    inert_markdown(text)
    assert all(c.isprintable() or c == "\n" for c in html + text)
    prompt = load(tmp_path / "best.json")
    inert_module(tmp_path / "best.py", prompt)
    module = types.ModuleType("best")
    exec((tmp_path / "best.py").read_text(encoding="utf-8"), module.__dict__)  # noqa: S102
    for payload in TEXTS:
        assert module.render(text=payload) == prompt.render(text=payload)
        assert payload in module.render(text=payload)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert any(cell.startswith("'=HYPERLINK") for cell in cells)
    assert {path.name for path in tmp_path.iterdir()} == {
        "autoprompt.sqlite", "autoprompt.sqlite.weights", "report", "best.py", "best.json", "out.csv",
    }  # fmt: skip
    assert best["template"] in prompt.template
