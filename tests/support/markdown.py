"""Markdown pages for tests: fenced blocks with their marks, links, and GitHub's anchors of headings."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = re.compile(
    r"(?:^[ ]*<!-- not run: (?P<reason>[^\n]+?) -->\n)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w*)\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `where` is ``file:line``, `reason` says why it is not run, or is empty."""

    where: str
    language: str
    text: str
    reason: str


def blocks(page: Path, root: Path) -> Iterator[Block]:
    """The fenced blocks of a page, without their indentation."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("indent")) + 1
        body = "\n".join(one.removeprefix(found["indent"]) for one in found["body"].splitlines())
        yield Block(f"{page.relative_to(root)}:{line}", found["language"], body + "\n", found["reason"] or "")


def commands(block: Block) -> list[tuple[str, str]]:
    """The commands of a ``console`` block, each with the output shown below it, which may be empty.

    A command goes on after a backslash at the end of a line.
    """
    found: list[tuple[str, str]] = []
    for line in block.text.replace("\\\n", " ").splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:].strip(), ""))
        else:
            command, output = found[-1]
            found[-1] = (command, output + line)
    return found


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def inline_code(page: Path) -> list[str]:
    """The texts between single backquotes."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def links(page: Path) -> list[str]:
    """The targets of links and pictures."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    defined = re.findall(r"^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)
    return [*defined, *re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'(?:src|srcset|href)="([^"]+)"', text)]


def anchors(page: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them: the second of one name has ``-1`` behind it."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", shown).strip().lower().replace(" ", "-")
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found
