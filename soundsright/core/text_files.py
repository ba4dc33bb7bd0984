"""Reads text that somebody else wrote: lists, manifests, reports and TOML files.

Text is UTF-8, with or without a byte order mark. Lines end in LF, CRLF or CR, and blank lines do not count. Every
reader has a bound on size, and each ends in a result or in one `UsageError` that names the file and the line.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from json import JSONDecodeError
from pathlib import Path
from typing import Any, BinaryIO, Literal

from soundsright.core.errors import UsageError

MAX_LINE_BYTES = 4_000_000
MAX_MANIFEST_BYTES = 8_000_000_000
"""More than the manifest of a million clips. It is read line by line."""
MAX_DEPTH = 100
"""The most lists and tables inside each other. Deeper values would exhaust the stack of a later reader."""
MAX_KEY_PARTS = 50
"""The most parts of a dotted key in TOML. The time of the parser grows with their square."""
MAX_WHOLE_NUMBER = 2**256
"""Whole numbers are smaller. Huge ones cannot become a float, and take long to print."""

_MAX_REASON_CHARS = 200
_BYTE_ORDER_MARK = "\ufeff"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_LINE_ENDS = re.compile("\r\n|\r|\n")
_SAVE_AS_UTF8 = "Save it as UTF-8 text."
_KEY_PART = r"""(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
# A match starts only where a part starts, so the time grows with the length of the text, not with its square.
_LONG_KEY = re.compile(rf"(?<![\w-]){_KEY_PART}(?:[ \t]*+\.[ \t]*+{_KEY_PART}){{{MAX_KEY_PARTS}}}")


def text_of_file(path: Path, max_bytes: int, remedy: str) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        UsageError: the file cannot be read, is larger than `max_bytes`, is not UTF-8, or has a NUL character.
    """
    try:
        with _opened(path, remedy) as stream:
            content = stream.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, remedy) from error
    if len(content) > max_bytes:
        raise UsageError(f"{path} is larger than {max_bytes} bytes", remedy)
    if content.startswith(_UTF16_MARKS):
        raise UsageError(f"{path} is UTF-16 text", _SAVE_AS_UTF8)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {line}, is not UTF-8 text ({error.reason})", _SAVE_AS_UTF8) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UsageError(f"{path}, line {line}, has a NUL character", remedy)
    return text


def _opened(path: Path, remedy: str) -> BinaryIO:
    """The file to read. A pipe could keep its reader waiting for ever, and a device never ends."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise UsageError(f"{path} is not a regular file", remedy)


def lines_of_file(
    path: Path, max_bytes: int, remedy: str, *, errors: Literal["strict", "replace"] = "strict"
) -> Iterator[tuple[int, str]]:
    """The number and the text of each line that is not blank. Only one line at a time is in memory.

    With `errors="replace"`, bytes that are not UTF-8 become U+FFFD instead of an error.

    Raises:
        UsageError: as `text_of_file`, or a line is longer than `MAX_LINE_BYTES`.
    """
    number, left = 0, max_bytes
    try:
        with _opened(path, remedy) as stream:
            while raw := stream.readline(MAX_LINE_BYTES + 1):
                left -= len(raw)
                if left < 0:
                    raise UsageError(f"{path} is larger than {max_bytes} bytes", remedy)
                if len(raw) > MAX_LINE_BYTES:
                    raise UsageError(f"{path}, line {number + 1}, is longer than {MAX_LINE_BYTES} bytes", remedy)
                if number == 0 and raw.startswith(_UTF16_MARKS):
                    raise UsageError(f"{path} is UTF-16 text", _SAVE_AS_UTF8)
                # Only the first line can have the mark; elsewhere it is a character like any other.
                text = raw.decode("utf-8-sig" if number == 0 else "utf-8", errors)
                for line in _lines_of(text):
                    number += 1
                    if "\0" in line:
                        raise UsageError(f"{path}, line {number}, has a NUL character", remedy)
                    if line and not line.isspace():
                        yield number, line
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}, line {number + 1}, is not UTF-8 text ({error.reason})", _SAVE_AS_UTF8) from error
    except OSError as error:
        raise _unreadable(path, error, remedy) from error


def _lines_of(text: str) -> list[str]:
    if "\r" not in text:
        return [text.removesuffix("\n")]
    lines = _LINE_ENDS.split(text)
    return lines if lines[-1] else lines[:-1]


def comma_separated(text: str) -> tuple[str, ...]:
    """The parts of a list that are separated by commas.

    >>> comma_separated("a, b,,c")
    ('a', 'b', 'c')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())


def objects_of_file(path: Path, max_bytes: int, remedy: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number and the object of each line of a file with one JSON object per line, such as a manifest.

    Raises:
        UsageError: as `lines_of_file`, or a line is not a JSON object.
    """
    for number, line in lines_of_file(path, max_bytes, remedy):
        yield number, json_object(line, f"{path}, line {number},", remedy)


def object_of_file(path: Path, max_bytes: int, remedy: str) -> dict[str, Any]:
    """The JSON object that is the whole of a file, such as a set's `set.json`.

    Raises:
        UsageError: as `text_of_file`, or the text is not a JSON object.
    """
    return json_object(text_of_file(path, max_bytes, remedy), str(path), remedy)


def shortened(value: object, most: int = 160) -> str:
    """The text of a value, with an ellipsis if it is longer than `most` characters.

    >>> shortened("0123456789", most=5)
    '0123…'
    """
    text = str(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def json_object(text: str, where: str, remedy: str) -> dict[str, Any]:
    """The JSON object in a text. `where` names the text in errors.

    Raises:
        UsageError: as `json_value`, or the value is not an object.
    """
    value = json_value(text, where, remedy)
    if not isinstance(value, dict):
        raise UsageError(f"{where} is not an object", remedy)
    return value


def json_value(text: str, where: str, remedy: str) -> Any:
    """The JSON value in a text. `where` names the text in errors.

    Raises:
        UsageError: the text is not JSON, is nested deeper than `MAX_DEPTH`, or has a whole number of
            `MAX_WHOLE_NUMBER` or more, or half of a character (a lone surrogate).
    """
    try:
        value = json.loads(text, parse_int=_whole_number)
        if text.count("[") + text.count("{") > MAX_DEPTH:  # Other texts cannot be nested deeper.
            _check_values(value)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except JSONDecodeError as error:
        raise UsageError(f"{where} is not JSON ({error.msg}, column {error.colno})", remedy) from error
    except UnicodeEncodeError as error:
        raise UsageError(f"{where} has half of a character (a lone surrogate)", remedy) from error
    except RecursionError as error:
        raise UsageError(f"{where} is nested too deep", remedy) from error
    except ValueError as error:
        raise UsageError(f"{where} is not usable JSON ({_short(error)})", remedy) from error
    return value


def toml_table(text: str, source: str, remedy: str) -> dict[str, Any]:
    """The table in the text of a TOML file. `source` names the file in errors.

    Raises:
        UsageError: the text is not TOML, is nested deeper than `MAX_DEPTH`, or has a key of more than
            `MAX_KEY_PARTS` parts or a whole number of `MAX_WHOLE_NUMBER` or more.
    """
    text = text.removeprefix(_BYTE_ORDER_MARK)
    long_key = _LONG_KEY.search(text)
    if long_key is not None:
        line = text.count("\n", 0, long_key.start()) + 1
        raise UsageError(f"{source}, line {line}: a key has more than {MAX_KEY_PARTS} parts", remedy)
    try:
        table = tomllib.loads(text)
        _check_values(table)
    except RecursionError as error:
        raise UsageError(f"{source}: not TOML: it is nested too deep", remedy) from error
    except (ValueError, OverflowError) as error:  # Also TOMLDecodeError.
        raise UsageError(f"{source}: not TOML: {_short(error)}", remedy) from error
    return table


def _whole_number(digits: str) -> int:
    if len(digits) > len(str(MAX_WHOLE_NUMBER)) + 1 or abs(number := int(digits)) >= MAX_WHOLE_NUMBER:
        raise ValueError(f"a whole number has {len(digits.lstrip('-'))} digits")
    return number


def _check_values(value: object) -> None:
    """Refuse what is nested too deep, and whole numbers that are too large."""
    waiting = [(value, 0)]
    while waiting:
        each, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise RecursionError
        if isinstance(each, dict):
            waiting += [(child, depth + 1) for child in each.values()]
        elif isinstance(each, list):
            waiting += [(child, depth + 1) for child in each]
        elif isinstance(each, int) and abs(each) >= MAX_WHOLE_NUMBER:
            raise ValueError(f"a whole number has {each.bit_length()} bits")


def _short(error: Exception) -> str:
    text = str(error)
    return text if len(text) <= _MAX_REASON_CHARS else f"{text[:_MAX_REASON_CHARS]}…"


def _unreadable(path: Path, error: Exception, remedy: str) -> UsageError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return UsageError(f"{path} cannot be read ({reason})", remedy)
