"""Every block of the docs that can run is run, page by page, each page in an empty folder.

`soundsright` is this checkout's, `models` is a link to its models, and sets are made small. A Python block that
begins with a file's name is written to that file. A `pyproject.toml` with entry points is installed.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, Block, blocks_of, name_of

SMALL = (
    (re.compile(r"--n \d+"), "--n 4"),
    (re.compile(r"^(?!.*rules simulate)(.*--clips) \d+", re.M), r"\1 2"),
    (re.compile(r"(--attack \S+ --rounds) \d+"), r"\1 1"),
)
"""Sizes that a page gives, and what the test gives instead. Rounds of drawn scores are small already."""
FILE_NAME = re.compile(r"# (\w+\.py)\n")
"""The first line of a block that is a file of its own."""
SHELLS = ("sh", "bash", "console", "shell")
ELSEWHERE = {"docs/how-to/python.md"}
"""Pages whose blocks have a test of their own: tests/library/test_docs.py."""
DATA = {"json": json.loads, "toml": tomllib.loads}


def blocks(*languages: str, runs: bool = True) -> list[tuple[Path, Block]]:
    return [(page, b) for page in PAGES for b in blocks_of(page) if b.language in languages and b.runs == runs]


def pages_with(*languages: str) -> list[Path]:
    return sorted({page for page, _ in blocks(*languages) if name_of(page) not in ELSEWHERE})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with the program on the path and nothing of this machine's user."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "soundsright"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m soundsright "$@"\n')
    program.chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    work = tmp_path / "work"
    work.mkdir()
    (work / "models").symlink_to(ROOT / "models")
    for name in [name for name in os.environ if name.startswith(("SOUNDSRIGHT_", "GENERATE_", "SCORE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{work}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SOUNDSRIGHT_WORKERS", "1")
    monkeypatch.setenv("SOUNDSRIGHT_SLOTS", "1")
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(str(work))
    return work


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with("sh", "python"), ids=name_of)
def test_every_block_of_a_page_runs(page: Path, folder: Path) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    output, shrunk = "", False
    for block in blocks_of(page):
        if block.language == "output" and not shrunk:
            check_output(page, block, output)
        output = ""
        if not block.runs:
            continue
        if block.language == "sh":
            output = run_shell(page, block, folder)
            shrunk |= smaller(block.code) != block.code
        elif block.language == "toml":
            install_package(block, folder)
        elif named := FILE_NAME.match(block.code):
            (folder / named[1]).write_text(block.code)
        elif block.language == "python":
            exec(compile(block.code, f"{name_of(page)}, line {block.line}", "exec"), names)


def install_package(block: Block, folder: Path) -> None:
    """If the block is a `pyproject.toml` with entry points, install its package into the folder, as pip would."""
    project = tomllib.loads(block.code).get("project", {})
    if "entry-points" not in project:
        return
    metadata = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    facts = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (metadata / "METADATA").write_text(facts)
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    importlib.invalidate_caches()


def check_output(page: Path, block: Block, output: str) -> None:
    """What a page shows right after a block must be what the block prints, if the page ran with its own sizes."""
    printed = {" ".join(line.split()) for line in output.splitlines()}
    for line in block.code.splitlines() if printed else ():
        shown = " ".join(line.split())
        assert shown in printed or "..." in shown or not shown, f"{name_of(page)}, line {block.line}: {shown}"


def run_shell(page: Path, block: Block, folder: Path) -> str:
    """Run the block with small sizes, and return what it prints."""
    code = smaller(block.code)
    done = subprocess.run(["bash", "-e"], input=code, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{name_of(page)}, line {block.line}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def smaller(code: str) -> str:
    for size, small in SMALL:
        code = size.sub(small, code)
    return code


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_block_says_its_language_and_why_it_is_not_run(page: Path) -> None:
    for block in blocks_of(page):
        location = f"{name_of(page)}, line {block.line}"
        assert block.language, f"{location}: name the language of the block; `text` is one"
        assert block.language not in SHELLS[1:], f"{location}: write sh"
        assert not block.mark or block.reason, f"{location}: write no-run: and the reason"
        assert not block.reason or block.language in ("sh", "python"), f"{location}: nothing runs there anyway"


@pytest.mark.parametrize(("page", "block"), blocks(*DATA), ids=lambda value: getattr(value, "name", ""))
def test_data_is_well_formed(page: Path, block: Block) -> None:
    DATA[block.language](block.code)
