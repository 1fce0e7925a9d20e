"""A hook of mkdocs: the site holds the repository's other documents too, and links between them lead to their pages.

A document in docs/ links to ``../results/benchmarks/splits.md`` and one beside docs/ to ``docs/guide.md``, as they are
read in the repository. In the site docs/ is the root, and all other documents lie below it by their own paths.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
OTHERS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "tests/faults/README.md", "results/**/*.md", "results/**/*.html")
DOCS = "docs/"
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|[#/])([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents that do not lie in docs/."""
    for pattern in OTHERS:
        for path in sorted(ROOT.glob(pattern)):
            file = File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))
            if file.is_documentation_page() and path.with_suffix(".html").exists():  # which has the page's name
                file.dest_uri = f"{file.src_uri}.html"
            files.append(file)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Turn the repository's relative links into those of the site."""
    place = page.file.src_uri
    here = posixpath.dirname(place if page.file.generated_by else DOCS + place)

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(here, link[1]))
        return posixpath.relpath(target.removeprefix(DOCS), posixpath.dirname(place) or ".")

    return _LINK.sub(moved, markdown)
