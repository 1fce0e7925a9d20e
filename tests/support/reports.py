"""Reports for tests: hostile texts, and the checks that a page and a Markdown text are inert."""

import re
from html.parser import HTMLParser
from pathlib import Path

from autoprompt.leaderboard import Leaderboard
from autoprompt.report import write


class Page(HTMLParser):
    """The text of a page, and its elements with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def reported(board: Path, *references: str, out: Path) -> tuple[str, str]:
    with Leaderboard.open(board, read_only=True) as opened:
        html, text = write(opened, references, out)
    return html.read_text(encoding="utf-8"), text.read_text(encoding="utf-8")


PAYLOADS = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\"><svg/onload=alert(1)> & &amp; '",
    "| a | b |\n| --- | --- |\n# title `code` ``` [x](http://evil.example) ![y](http://evil.example/p.png)",
    "\u202egnp.exe\u202c \u2066hidden\u2069 \x1b[31mred\x00",
    "=cmd|' /C calc'!A0 https://evil.example www.evil.example a@evil.example",
    "{{ 7 * 7 }} {% raw %} ${7*7} $\\alpha$",
)


def inert_page(html: str) -> Page:
    """The page, in which nothing acts and nothing is asked for."""
    page = Page(html)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "a", "iframe", "object", "embed", "link", "form", "base", "audio", "video"}
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        links = [attributes[name] or "" for name in ("src", "href", "xlink:href", "action") if name in attributes]
        assert all(link.startswith("#") for link in links), (tag, links)
    (policy,) = [a["content"] or "" for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "url(http" not in html
    assert "@import" not in html
    return page


def inert_markdown(text: str) -> None:
    """No HTML, no links, and no table that falls apart."""
    without_blocks = re.sub(r"(?<=\n\n)(?: {4}.*\n)+(?=\n)", "", text)
    without_code = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", without_blocks)
    assert "<script" not in without_code
    assert "](http" not in without_code
    assert "https://evil" not in without_code
    assert "www.evil" not in without_code
    tables = [line for line in text.splitlines() if line.startswith("|")]
    cells = [len(re.findall(r"(?<!\\)\|", line)) for line in tables]
    starts = [n for n, line in enumerate(tables) if line.startswith("| ---")]
    for start, end in zip(starts, [*(s - 1 for s in starts[1:]), len(tables)], strict=True):
        assert len(set(cells[start - 1 : end])) == 1, "each row has as many cells as its head"
