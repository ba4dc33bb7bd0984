"""A `.env` file: lines of NAME=value, for several services and other programs: a name may be anybody's."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path

from soundsright.core.errors import UsageError

_MAX_ENV_BYTES = 64_000
_UNCLOSED = re.compile(r"""(?:export\s+)?(\w+)[ \t]*=[ \t]*(["'])(?:(?!\2).)*(?:\n|$)""")
# NETUIDD is NETUID (0.92); AXON_PORT is not CHAIN_PORT (0.74).
_CLOSE = 0.85


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a `.env` file.

    Raises:
        UsageError: it cannot be read, or a line is not `NAME=value`; the message does not show the value.
    """
    return {key: value for key, (_line, value) in _read_lines(path).items()}


def misspelt_names(path: Path, known: Collection[str]) -> list[str]:
    """A sentence for each name in a `.env` file that is none of `known`, but close to one.

    Raises:
        UsageError: as `read_env_file`.
    """
    found = []
    for name, (line, _value) in _read_lines(path).items():
        close = get_close_matches(name.upper(), known, n=1, cutoff=_CLOSE) if name not in known else []
        if close:
            found.append(f"{path}, line {line}: {name[:40]} is no setting. Did you mean {close[0]}?")
    return found


def _read_lines(path: Path) -> dict[str, tuple[int, str]]:
    """The line and value of each name."""
    from dotenv.parser import parse_stream

    found: dict[str, tuple[int, str]] = {}
    try:
        if path.stat().st_size > _MAX_ENV_BYTES:
            raise UsageError(f"{path} is larger than {_MAX_ENV_BYTES} bytes", "Give a file of NAME=value lines.")
        with path.open(encoding="utf-8") as stream:
            for binding in parse_stream(stream):
                text = binding.original.string
                line = binding.original.line + len(text) - len(text.lstrip("\n"))
                unclosed = _UNCLOSED.match(text.lstrip()) if binding.error else None
                if unclosed is not None:
                    raise UsageError(
                        f"{path}, line {line}: the quote after '{unclosed[1][:40]}=' is not closed",
                        "Close it, or write the value without quotes.",
                    )
                if binding.error or (binding.key and binding.value is None):
                    name = re.sub(r"\W.*", "", binding.key or text.strip(), flags=re.DOTALL)
                    raise UsageError(
                        f"{path}, line {line}: {name[:40]!r} does not parse", "Write it as NAME=value."
                    )
                if binding.key and binding.value is not None:
                    found[binding.key] = line, binding.value
        return found
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", "Copy the sample to it.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text", "Copy the sample to it.") from error
