"""A report in a real browser: nothing is asked for, nothing goes wrong, and axe-core finds nothing serious."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import synthetic
from paths import ROOT

from autoprompt.leaderboard import Leaderboard
from autoprompt.report import write

AXE = ROOT / ".browser" / "node_modules" / "axe-core" / "axe.min.js"
"""Where `make browser` puts it."""
SIZES = {"desk": (1280, 900), "phone": (390, 844)}
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
SERIOUS = ("serious", "critical")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None or not AXE.is_file():
        pytest.skip("run `make browser` for Chromium and axe-core")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Containers run as root, where Chromium's own sandbox does not.
        started = playwright.chromium.launch(executable_path=chromium, args=[*QUIET, "--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(params=["searched", "hostile", "many", "compared"])
def page(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """A report, and a text that stands in it."""
    if request.param == "searched":
        options, result = request.getfixturevalue("searched")
        board, runs, said = options.leaderboard, ["reviews"], result["best"]["entry"]
    elif request.param == "hostile":
        board, runs, said = request.getfixturevalue("hostile"), ["0123456789abcdef"], "0123456789abcdef"
    else:
        board = tmp_path / "many.sqlite"
        runs = [synthetic.write(board, 60, run=run, seed=seed) for seed, run in enumerate(("a" * 12, "b" * 12))]
        runs, said = (runs[:1], "a" * 12) if request.param == "many" else (runs, "b" * 12)
    with Leaderboard.open(board, read_only=True) as opened:
        html, _ = write(opened, runs, tmp_path / "report")
    return html, said


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_needs_nothing_and_reads_well(browser: Any, page: tuple[Path, str], size: str, dark: bool) -> None:
    html, said = page
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", bypass_csp=True
    )
    asked: list[str] = []
    wrong: list[str] = []
    opened = context.new_page()
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: wrong.append(message.text))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(html.as_uri())
    assert asked == [html.as_uri()]
    assert wrong == []
    text = opened.inner_text("body")
    assert said in text
    assert re.search(r"\d+\.\d", text), "figures stand in the text"
    assert opened.evaluate("document.documentElement.scrollWidth") <= width, "the page does not scroll sideways"
    opened.add_script_tag(content=AXE.read_text(encoding="utf-8"))  # past the page's policy, which forbids all scripts
    found = opened.evaluate("axe.run(document)")
    assert {"color-contrast", "document-title"} <= {rule["id"] for rule in found["passes"]}, "it was looked at"
    serious = [(v["id"], [node["html"][:200] for node in v["nodes"][:3]]) for v in found["violations"]
               if v["impact"] in SERIOUS]  # fmt: skip
    assert serious == []
    context.close()


def test_the_page_s_own_policy_refuses_a_script(browser: Any, page: tuple[Path, str]) -> None:
    """The policy itself, not bypassed: a script put into the page is refused."""
    context = browser.new_context()
    opened = context.new_page()
    opened.goto(page[0].as_uri())
    ran = opened.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        "document.body.append(s); return window.ran === 1; }"
    )
    assert ran is False
    context.close()


def test_a_page_of_ten_thousand_entries_stays_small(tmp_path: Path) -> None:
    run = synthetic.write(tmp_path / "lb.sqlite", 10_000)
    with Leaderboard.open(tmp_path / "lb.sqlite", read_only=True) as board:
        html, text = write(board, [run], tmp_path / "report")
    assert html.stat().st_size < 3_000_000
    assert "10000" in text.read_text(encoding="utf-8").replace(",", "")
