"""Names, flags, links and numbers of the docs exist in the code."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from scripts.reference_pages import outdated
from soundsright.cli.main import COMMANDS, cli
from soundsright.core.errors import ModelCrashed, ModelTimeout, ProtocolViolation
from tests.docs.pages import OTHERS, PAGES, ROOT, anchors_of, blocks_of, codes_of, links_of, name_of, text_of

CODE_FOLDERS = ("soundsright", "tests", "scripts", "benchmarks", "examples", "models", "datasets", "docker")
CODE_FILES = {".py", ".pyi", ".toml", ".js", ".j2", ".json", ".bib", ".yml", ".sample", ".txt", ".sh", ".css", ""}
FOREIGN = {"--platform", "--scope", "--filter", "--user", "--prefix", "--all"}
"""Options of other programs that pages mention."""
FOREIGN_NAMES = {"CAP_SYS_ADMIN"}
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
FLAG = re.compile(r"(?<![\w-])--[A-Za-z][\w-]*")
MODULE = re.compile(r"soundsright(?:\.[a-z_]+)+")
FILE = re.compile(r"(?:[\w.-]+/)+[\w.-]*\.(?:py|md|toml|jsonl|json|yml|svg)|[\w.-]+/(?:[\w-]+/)+")
ROOTS = ("soundsright", "tests", "docs", "scripts", "benchmarks", "examples", "models", "datasets", "docker")
PURE_ROOMS = ("metrics", "ranking", "copies", "rules", "data")
ROOMS = (*PURE_ROOMS, "core", "services", "adapters", "testing", "cli", "rulesets")


@cache
def words_of_the_code() -> frozenset[str]:
    """Every identifier in the source of this repository."""
    words: set[str] = set()
    for folder in CODE_FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in CODE_FILES and path.is_file() and path.stat().st_size < 2_000_000:
                if path.resolve().is_relative_to(ROOT / "tests" / "docs"):
                    continue
                words |= set(IDENTIFIER.findall(path.read_text(encoding="utf-8", errors="ignore")))
    samples = (f".{name}-env.sample" for name in ("miner", "validator", "executor", "prover", "verifier"))
    for name in ("pyproject.toml", "docker-compose.yml", *samples, "Makefile"):
        words |= set(IDENTIFIER.findall((ROOT / name).read_text(encoding="utf-8")))
    words |= {path.stem for folder in CODE_FOLDERS for path in (ROOT / folder).rglob("*.py")} | FOREIGN_NAMES
    return frozenset(words)


@cache
def flags_of_the_code() -> frozenset[str]:
    flags: set[str] = set()
    for folder in ("examples", "scripts", "benchmarks", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            flags |= set(FLAG.findall(path.read_text(encoding="utf-8")))
    for command in commands(cli, ()).values():
        flags |= flags_of(command)
    return frozenset(flags)


def flags_of(command: click.Command) -> set[str]:
    options = [p for p in command.params if isinstance(p, click.Option)]
    return {name for option in options for name in (*option.opts, *option.secondary_opts)} | {"--help", "-h"}


def commands(command: click.Command, path: tuple[str, ...]) -> dict[tuple[str, ...], click.Command]:
    """Every command by its words after `soundsright`."""
    known = {path: command}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in COMMANDS if command is cli else command.commands:
            child = command.get_command(context, name)
            assert child is not None
            known |= commands(child, (*path, name))
    return known


def command_lines(page: Path) -> Iterator[list[str]]:
    """The words of each call of `soundsright` that the page shows, in blocks and in prose."""
    shown = [
        line for b in blocks_of(page) if b.language == "sh" for line in b.code.replace("\\\n", " ").splitlines()
    ]
    shown += [code for code in codes_of(page) if code.startswith("soundsright ")]
    for line in shown:
        for part in re.split(r"&&|\|\|?|;", line.partition("#")[0]):
            words = part.split() if "'" in part or '"' in part else shlex.split(part)
            if "soundsright" in words and "install" not in words and "cd" not in words:
                yield words[words.index("soundsright") + 1 :]


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=name_of)
def test_a_link_leads_to_a_file_and_its_heading(page: Path) -> None:
    for target in links_of(page):
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), f"{name_of(page)} links to {target}"
        assert other.is_relative_to(ROOT), f"{name_of(page)} links to {target}"
        if anchor and other.suffix == ".md":
            assert anchor in anchors_of(other), f"{name_of(page)} links to {target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_command_and_its_flags_exist(page: Path) -> None:
    known = commands(cli, ())
    for words in command_lines(page):
        path: tuple[str, ...] = ()
        for word in words:
            if (*path, word) not in known:
                break
            path = (*path, word)
        rest = " ".join(words)
        assert path or not words or words[0].startswith(("-", "…", "COMMAND")), (
            f"{name_of(page)}: soundsright {rest}"
        )
        assert set(FLAG.findall(rest)) <= flags_of(known[path]), f"{name_of(page)}: soundsright {rest}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_flag_in_the_text_exists(page: Path) -> None:
    written = {flag for code in codes_of(page) for flag in FLAG.findall(code)}
    assert written - flags_of_the_code() - FOREIGN == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_name_in_the_text_exists_in_the_code(page: Path) -> None:
    """Settings, codes, functions and classes: every word in code that has an underscore or capitals inside."""
    unknown = set()
    for code in codes_of(page):
        for word in IDENTIFIER.findall(code):
            is_name = "_" in word.strip("_") or re.fullmatch(r"(?:[A-Z][a-z0-9]+){2,}", word)
            if is_name and word not in words_of_the_code():
                unknown.add(word)
    assert unknown == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_module_or_file_in_the_text_exists(page: Path) -> None:
    shown = [*codes_of(page), *(b.code for b in blocks_of(page) if b.language in ("sh", "python"))]
    for code in shown:
        for module in MODULE.findall(code):
            assert is_module_or_name(module), f"{name_of(page)}: {module}"
    for code in codes_of(page):
        if re.fullmatch(r"[\w.-]+(?:/[\w.-]+)+/?", code) and code.split("/")[0] in ROOTS:
            assert (ROOT / code).exists() or is_made(code), f"{name_of(page)}: {code}"
        for path in FILE.findall(code):
            first = path.split("/")[0]
            if first in ROOTS:
                assert (ROOT / path).exists() or is_made(path), f"{name_of(page)}: {path}"
            elif first in ROOMS:
                assert (ROOT / "soundsright" / path).exists(), f"{name_of(page)}: {path}"


def is_module_or_name(dotted: str) -> bool:
    """Whether the dotted name is a module, a name in a module, or a group of entry points."""
    path = ROOT.joinpath(*dotted.split("."))
    if path.is_dir() or path.with_suffix(".py").exists():
        return True
    parent, _, name = dotted.rpartition(".")
    return name in words_of_the_code() and ROOT.joinpath(*parent.split(".")).exists()


def is_made(path: str) -> bool:
    """Whether a command makes the file in a folder of the reader's."""
    return path.startswith(("models/ada", "models/me", "models/baseline/"))


def test_every_code_of_a_refused_request_and_of_a_failed_clip_is_listed() -> None:
    page = text_of(ROOT / "docs" / "reference" / "error-codes.md")
    assert {code for code in codes_of_the_source() if f"`{code}`" not in page} == set()


def codes_of_the_source() -> set[str]:
    """The literal codes of `RequestRefused` and `AudioRejected`, and of each model fault."""
    codes = {fault.code for fault in (ModelCrashed, ModelTimeout, ProtocolViolation)}
    for path in (ROOT / "soundsright").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("RequestRefused", "AudioRejected"):
                position = 0 if getattr(node.func, "id", "") == "RequestRefused" else 1
                code = node.args[position] if len(node.args) > position else None
                if isinstance(code, ast.Constant):
                    codes.add(str(code.value))
    return codes


def test_a_page_that_the_code_names_exists() -> None:
    missing = set()
    for folder in CODE_FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in CODE_FILES | {".md"} and path.is_file() and path.stat().st_size < 1_000_000:
                named = re.findall(r"\bdocs/[\w/-]+\.md", path.read_text(encoding="utf-8", errors="ignore"))
                missing |= {f"{path.relative_to(ROOT)}: {page}" for page in named if not (ROOT / page).exists()}
    assert missing == set()


def test_generated_parts_agree_with_the_code() -> None:
    pages = [name_of(page) for page in outdated()]
    assert pages == [], "run: python scripts/reference_pages.py"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in PAGES[1:]:
        path = page.relative_to(ROOT / "docs").as_posix()
        assert path in navigation, f"add {path} to mkdocs.yml"


def test_every_decision_is_in_the_list_of_decisions() -> None:
    listed = (ROOT / "docs" / "decisions" / "index.md").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs" / "decisions").glob("0*.md")):
        assert f"({page.name})" in listed, f"add {page.name} to decisions/index.md"


@pytest.mark.parametrize("name", ["docs/explanation/sandboxes.md", "docs/how-to/train-a-model.md"])
def test_a_message_that_a_page_quotes_is_in_the_code(name: str) -> None:
    """Rows of the tables of messages. An ellipsis and a number stand for values."""
    source = "".join(
        p.read_text(encoding="utf-8") for f in ("soundsright", "examples") for p in (ROOT / f).rglob("*.py")
    )
    one_line = re.sub(r"\s+", " ", re.sub(r'"\s*\n\s*f?"', "", source))
    rows = [line for line in text_of(ROOT / name).splitlines() if re.match(r"\| `[A-Z…]", line)]
    assert rows
    for row in rows:
        for message in re.findall(r"`([^`]+)`", row.split(" | ")[0]):
            for part in re.split(r"…|\d+", message):
                assert part.strip(" ,:") in one_line, f"{name} quotes {message!r}"
