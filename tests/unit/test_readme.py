"""The generated parts of the README and of docs/ are up to date with their sources."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import readme_renderer.markdown

from tests.support.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_generated_parts_are_up_to_date() -> None:
    """`scripts/readme` writes them from the demo, the flags, the catalogue, the budget, the codes and credentials."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "readme", "--check"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr or "a page is out of date: run scripts/readme"


class _Page(HTMLParser):
    """The addresses of links and pictures of a page, and its anchors."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.anchors: set[str] = set()
        self.feed(html)

    def handle_starttag(self, _tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self.links += [found["href"]] if "href" in found else []
        self.pictures += [found["src"]] if "src" in found else []
        self.anchors |= {found["id"]} if "id" in found else set()


def test_pypi_shows_it_whole() -> None:
    """PyPI has no files of the repository: it shows a relative link that leads nowhere, and no picture."""
    html = readme_renderer.markdown.render(README)
    assert html is not None
    page = _Page(html)
    assert len(page.links) > 20
    assert len(page.pictures) == 2
    for address in page.links + page.pictures:
        assert (
            address.startswith("https://")
            or address.removeprefix("http://").startswith("127.0.0.1:")
            or (address.removeprefix("#") in page.anchors)
        ), address
    prose = re.sub(r"<(pre|code)[ >].*?</\1>", "", html, flags=re.DOTALL)
    assert not re.search(r"\]\[[^\]]+\]", prose), "a link without an address"


def test_every_make_target_that_a_page_names_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"(?:`|\$ )make ([a-z-]+)", page.read_text(encoding="utf-8")):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page}: {target}"


def test_git_ignores_what_it_makes_in_a_checkout() -> None:
    """Else `git add .` takes a key, and an sdist that is built there has it."""
    folders = re.findall(r'(?:^\$ mkdir --mode=700 |--kit\.output=|--volume "\$PWD/)([\w-]+)', README, re.MULTILINE)
    assert {"secrets", "cams-exporter", "cams-exporter-kit"} <= set(folders)
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {f"/{folder}/" for folder in folders} | {"/config.yml"} <= set(ignored)
