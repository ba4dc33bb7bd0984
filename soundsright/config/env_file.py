"""Read a `.env` file: lines of NAME=value. Several programs may share one file, so unknown names are accepted."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from dotenv.parser import Binding

_MAX_ENV_BYTES = 64_000
_UNCLOSED_QUOTE = re.compile(r"""(?:export\s+)?(\w+)[ \t]*=[ \t]*(["'])(?:(?!\2).)*(?:\n|$)""")
_LEAST_SIMILARITY = 0.85
"""NETUIDD is close enough to NETUID (0.92), AXON_PORT not to CHAIN_PORT (0.74)."""
_MAX_SHOWN = 40


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a `.env` file.

    Raises:
        UsageError: the file cannot be read, or a line is not `NAME=value`. The message does not show the value.
    """
    return {name: value for name, (_line, value) in _read_lines(path).items()}


def misspelt_names(path: Path, known: Collection[str]) -> list[str]:
    """One sentence for each name in a `.env` file that is unknown but close to a known one.

    Raises:
        UsageError: as `read_env_file`.
    """
    sentences = []
    for name, (line, _value) in _read_lines(path).items():
        close = get_close_matches(name.upper(), known, n=1, cutoff=_LEAST_SIMILARITY) if name not in known else []
        if close:
            sentences.append(f"{path}, line {line}: {name[:_MAX_SHOWN]} is not a setting. Did you mean {close[0]}?")
    return sentences


def _read_lines(path: Path) -> dict[str, tuple[int, str]]:
    """The line number and value of each name."""
    from dotenv.parser import parse_stream

    lines: dict[str, tuple[int, str]] = {}
    try:
        if path.stat().st_size > _MAX_ENV_BYTES:
            raise UsageError(f"{path} is larger than {_MAX_ENV_BYTES} bytes", "Give a file of NAME=value lines.")
        with path.open(encoding="utf-8-sig") as stream:
            for binding in parse_stream(stream):
                line = _first_line(binding)
                _check(binding, f"{path}, line {line}")
                if binding.key and binding.value is not None:
                    lines[binding.key] = line, binding.value
        return lines
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror})", "Copy the sample file there, or name another file."
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text file", "Give a UTF-8 file of NAME=value lines.") from error


def _first_line(binding: Binding) -> int:
    """The number of a binding's first line that is not empty."""
    text = binding.original.string
    return binding.original.line + len(text) - len(text.lstrip("\n"))


def _check(binding: Binding, position: str) -> None:
    text = binding.original.string
    if binding.error and (unclosed := _UNCLOSED_QUOTE.match(text.lstrip())) is not None:
        raise UsageError(
            f"{position}: the quote after '{unclosed[1][:_MAX_SHOWN]}=' is not closed",
            "Close it, or write the value without quotes.",
        )
    if binding.error or (binding.key and binding.value is None):
        name = re.sub(r"\W.*", "", binding.key or text.strip(), flags=re.DOTALL)
        raise UsageError(f"{position}: {name[:_MAX_SHOWN]!r} is not NAME=value", "Write it as NAME=value.")
