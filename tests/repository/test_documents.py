"""The documents fit together: links lead somewhere, every page has a place in the site, and versions are one."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from paths import ROOT

import autoprompt
from autoprompt import errors

PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [*PAGES, *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG"))]
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def without_blocks(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def links(text: str) -> list[str]:
    prose = re.sub(r"`[^`\n]+`", "", without_blocks(text))
    found = re.findall(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: +(\S+)", prose, re.MULTILINE)
    return [inline or listed for inline, listed in found]


def anchors(text: str) -> set[str]:
    """Those of headings that stand once, and of the objects that the site documents."""
    headings = re.findall(r"^#+ +(.+)$", without_blocks(text), re.MULTILINE)
    slugs = Counter(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)
    return {slug for slug, count in slugs.items() if count == 1} | set(re.findall(r"^::: (\S+)$", text, re.MULTILINE))


def broken(place: Path, text: str) -> list[str]:
    """The relative links that lead to no file, or to no heading of a document."""
    return [link for link in links(text) if not re.match("[a-z]+:", link) and not leads(place, text, link)]


def leads(place: Path, text: str, link: str) -> bool:
    path, _, anchor = link.partition("#")
    if path:
        target = (place.parent / path).resolve()
        if not target.is_file() or not target.is_relative_to(ROOT):
            return False
        text = target.read_text(encoding="utf-8") if anchor else ""
    return not anchor or anchor in anchors(text)


@pytest.mark.parametrize("place", DOCUMENTS, ids=lambda place: place.name)
def test_links_lead_to_files_and_headings(place: Path) -> None:
    assert broken(place, place.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](README.md) [b](README.md#alternatives) [c](#what-is-this) [d](https://a.org/b)\n# What *is* this?", []),
        ("[a](READ.md)", ["READ.md"]),
        ("[a](README.md#no-ways)", ["README.md#no-ways"]),
        ("[a](#twice)\n# Twice\n## Twice", ["#twice"]),
        ("[a](../x.md) [b](docs)", ["../x.md", "docs"]),
        ("`[a](READ.md)`\n```sh\n# [a](READ.md)\n```\n[b](#a)", ["#a"]),
        ("[a][b]\n\n[b]: READ.md", ["READ.md"]),
        ("[a](docs/api.md#autoprompt.search) [b](docs/api.md#autoprompt.lost)", ["docs/api.md#autoprompt.lost"]),
    ],
)
def test_a_broken_link_is_found(text: str, expected: list[str]) -> None:
    assert broken(ROOT / "x.md", text) == expected


def test_every_page_has_its_place_in_the_site() -> None:
    def named(nav: Any) -> Iterator[str]:
        if isinstance(nav, str):
            yield nav
        else:
            for part in nav.values() if isinstance(nav, dict) else nav:
                yield from named(part)

    found = list(named(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    assert len(set(found)) == len(found)
    assert {page.name for page in PAGES} <= set(found)
    assert [name for name in found if not any((folder / name).is_file() for folder in (ROOT / "docs", ROOT))] == []


def test_the_reference_has_every_public_name_and_every_error() -> None:
    shown = set(re.findall(r"^::: (\S+)$", API, re.MULTILINE))
    kinds = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.AutopromptError)
    }
    assert "autoprompt.errors" in shown
    assert {f"autoprompt.{name}" for name in autoprompt.__all__ if name not in kinds} <= shown


def test_the_citation_and_the_list_of_changes_are_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = next(line for line in changes.splitlines() if line.startswith("## "))
    assert PROJECT["version"] in newest


def test_the_constraints_hold_a_version_of_every_requirement() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {_normal(re.split("[=~]", line)[0]) for line in lines if not line.startswith("#")}
    asked = [*PROJECT["dependencies"], *(one for extra in PROJECT["optional-dependencies"].values() for one in extra)]
    names = {_normal(re.split(r"[\[<>=~ ]", one)[0]) for one in asked} - {PROJECT["name"]}
    assert names - pinned == set()


def _normal(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()
