"""The pages that people read, cut into code blocks, names, links and headings.

A block's first line can carry a mark for the tests: ```sh no-run: reason. The site and repository hosts ignore it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
OTHERS = tuple(
    ROOT / name
    for name in (
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "datasets/README.md",
        "examples/finetune/README.md",
        "models/README.md",
    )
)
"""Pages beside the docs: their links are checked, their blocks are not."""
_FENCE = re.compile(r"^( *)```(\w*)([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_NO_RUN = re.compile(r" no-run: (.+)")
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_GENERATED = re.compile(r"<!-- begin ([\w-]+) -->.*?<!-- end \1 -->|<!-- .*? -->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of code. `reason` says why it is not run; it is empty for a block that runs."""

    language: str
    code: str
    line: int
    reason: str
    mark: str

    @property
    def runs(self) -> bool:
        return not self.mark


def name_of(page: Path) -> str:
    """The page's path below the root of the repository.

    >>> name_of(ROOT / "docs" / "index.md")
    'docs/index.md'
    """
    return page.relative_to(ROOT).as_posix()


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@cache
def prose_of(page: Path) -> str:
    """The page without its code blocks, its comments, and the parts that are written from the code."""
    return _GENERATED.sub("", _FENCE.sub("", text_of(page)))


@cache
def blocks_of(page: Path) -> tuple[Block, ...]:
    text = text_of(page)
    blocks = []
    for match in _FENCE.finditer(text):
        indent, language, mark, code = match.groups()
        reason = _NO_RUN.fullmatch(mark)
        lines = code.splitlines()
        blocks.append(
            Block(
                language,
                "\n".join(line.removeprefix(indent) for line in lines) + "\n",
                text.count("\n", 0, match.start()) + 1,
                reason[1] if reason else "",
                mark,
            )
        )
    return tuple(blocks)


def codes_of(page: Path) -> tuple[str, ...]:
    """The inline code of the page's prose."""
    return tuple(_CODE.findall(prose_of(page)))


def links_of(page: Path) -> tuple[str, ...]:
    """The targets of links and pictures that are not on another server."""
    prose = _CODE.sub("", prose_of(page))
    targets = _LINK.findall(prose)
    return tuple(target for target in targets if "://" not in target and not target.startswith("mailto:"))


def anchors_of(page: Path) -> set[str]:
    """The anchors of the page's headings, as repository hosts and the site make them.

    Both lower the letters, drop what is neither letter, digit, hyphen nor underscore, and join words by hyphens.
    """
    without_code = _FENCE.sub("", text_of(page))
    anchors: set[str] = set()
    for heading in _HEADING.findall(without_code):
        kept = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)).strip().lower()
        anchors.add(re.sub(r"[ ]+", "-", kept))
    return anchors
