"""Text from strangers: every text ends in a value or in one sentence, and soon."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soundsright.core.errors import UsageError
from soundsright.core.text_files import (
    MAX_DEPTH,
    MAX_LINE_BYTES,
    json_value,
    lines_of_file,
    objects_of_file,
    text_of_file,
    toml_table,
)

BUDGET = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
REMEDY = "Give another file."


def lines(path: Path, max_bytes: int = 1_000_000) -> list[tuple[int, str]]:
    return list(lines_of_file(path, max_bytes, REMEDY))


def test_a_byte_order_mark_line_ends_and_blank_lines_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes("\ufeffa\r\n\n \t\r\nb c\rd".encode())
    assert lines(path) == [(1, "a"), (4, "b c"), (5, "d")]
    assert text_of_file(path, 100, REMEDY).startswith("a")


def test_only_line_ends_end_a_line(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    row = {"id": "a\u2028b\u0085c\x0bd"}
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert list(objects_of_file(path, 1_000, REMEDY)) == [(1, row)]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"ok\na\0b\n", "line 2, has a NUL character"),
        (b"ok\nok\ncaf\xe9\n", r"line 3, is not UTF-8 text \(.*\)\. Save it as UTF-8"),
        ("a b".encode("utf-16"), "is UTF-16 text"),
        (b"x" * (MAX_LINE_BYTES + 1), "line 1, is longer than"),
        (b"ok\n" * 400, "is larger than 1000 bytes"),
    ],
)
def test_text_that_cannot_be_read_is_told_with_its_line(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "list"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=problem):
        lines(path, 1_000 if content.startswith(b"ok") else 5_000_000)


def test_a_missing_file_a_folder_and_an_impossible_name_are_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, tmp_path / "a\0b"):
        with pytest.raises(UsageError, match=r"cannot be read|is not a regular file"):
            text_of_file(path, 10, REMEDY)
    with pytest.raises(UsageError, match="is not a regular file"):
        lines(tmp_path)


BAD_JSON = {
    "deep": "[" * 100_000,
    "deep and whole": "[" * 300 + "]" * 300,
    "huge number": '{"a": ' + "9" * 100_000 + "}",
    "large number": '{"a": 1' + "0" * 80 + "}",
    "half a character": r'{"id": "\ud800"}',
    "cut": '{"id": "a',
    "NUL": '{"id": \0}',
}
BAD_TOML = {
    "dotted key": ".".join("a" * 100_000) + " = 1",
    "spaced key": " . ".join("a" * 100_000) + " = 1",
    "quoted key": ".".join(['"a\\""'] * 100_000) + " = 1",
    "header": "[" + ".".join("a" * 100_000) + "]",
    "key in a table": "x = {" + ".".join("a" * 100_000) + " = 1}",
    "deep list": "a = " + "[" * 100_000,
    "deep table": "a = " + "{a=" * 100_000,
    "huge number": "a = " + "9" * 100_000,
    "huge hex": "a = 0x" + "f" * 100_000,
    "NUL": "a = \0",
    "date": "a = 2030-99-99",
    "time zone": "a = 0001-01-01T00:00:00+99:99",
    "no value": "a =",
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_bad_json_is_told_in_one_short_sentence(name: str) -> None:
    with pytest.raises(UsageError, match=r"^here (is|has) .*Give another file\.$") as told:
        json_value(BAD_JSON[name], "here", REMEDY)
    assert len(str(told.value)) < 300


@pytest.mark.parametrize("name", BAD_TOML)
def test_bad_toml_is_told_in_one_short_sentence(name: str) -> None:
    # The parser alone takes minutes for a long key.
    with pytest.raises(UsageError, match=r"^here[:,] .*Give another file\.$") as told:
        toml_table(BAD_TOML[name], "here", REMEDY)
    assert len(str(told.value)) < 300


def test_toml_may_have_a_byte_order_mark_and_usual_keys() -> None:
    assert toml_table('\ufeffa.b."c.d" = [1, 2]\n', "here", REMEDY) == {"a": {"b": {"c.d": [1, 2]}}}


@given(st.binary(max_size=300))
@BUDGET
def test_any_bytes_give_lines_or_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "list"
    path.write_bytes(content)
    try:
        found = lines(path)
    except UsageError:
        return
    assert [number for number, _ in found] == sorted({number for number, _ in found})
    assert not any(line.isspace() or "\n" in line or "\r" in line for _, line in found)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(_values, st.booleans())
@BUDGET
def test_every_usual_value_survives(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    try:
        assert json_value(text, "here", REMEDY) == value
    except UsageError:
        assert any(abs(n) >= 2**256 for n in _whole_numbers(value))


def _whole_numbers(value: Any) -> list[int]:
    if isinstance(value, dict | list):
        return [n for each in (value.values() if isinstance(value, dict) else value) for n in _whole_numbers(each)]
    return [value] if isinstance(value, int) else []


@given(st.text(alphabet='{}[],:"\\u0d8é .1e-ntrf\n', max_size=200))
@BUDGET
def test_any_json_text_gives_a_value_or_a_sentence(text: str) -> None:
    try:
        value = json_value(text, "here", REMEDY)
    except UsageError:
        return
    json.dumps(value, ensure_ascii=False).encode()


@given(st.text(alphabet="ab.=[]{}\"'\\ \n#1-:T_xé,", max_size=200))
@BUDGET
def test_any_toml_text_gives_the_same_table_as_the_parser_or_a_sentence(text: str) -> None:
    try:
        table = toml_table(text, "here", REMEDY)
    except UsageError:
        try:
            tomllib.loads(text)
        except ValueError:
            return
        pytest.fail("the parser accepts this text")
    assert table == tomllib.loads(text)


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 2])
def test_the_bound_on_depth(depth: int) -> None:
    text = "[" * depth + "]" * depth
    if depth <= MAX_DEPTH:
        json_value(text, "here", REMEDY)
    else:
        with pytest.raises(UsageError, match="nested too deep"):
            json_value(text, "here", REMEDY)


def test_a_pipe_without_a_writer_ends_in_a_sentence_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.jsonl")
    for read in (text_of_file, lambda *words: list(lines_of_file(*words))):
        with pytest.raises(UsageError, match="is not a regular file"):
            read(tmp_path / "manifest.jsonl", 1_000, "Give a file.")
