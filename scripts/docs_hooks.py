"""Hooks of the docs build: links that leave docs/, and marks on code blocks that only the tests read."""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import normpath
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_FENCE_MARK = re.compile(r"^(\s*```\w+) (?:no-run|file|continues)\b.*$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """The page for the site: no marks on fences, and files outside docs/ as text or links into the repository."""
    folder = Path("docs", page.file.src_uri).parent.as_posix()
    repository = (config.repo_url or "").rstrip("/")

    def link(match: re.Match[str]) -> str:
        text, target = match[1], match[2]
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        path = normpath(f"{folder}/{target}")
        if path.startswith("docs/") or not (ROOT / path).exists():
            return match[0]
        return f"[{text}]({repository}/blob/main/{path})" if repository else f"`{path}`"

    return _LINK.sub(link, _FENCE_MARK.sub(r"\1", markdown))
