"""JSON from strangers, read so that all programs read the same from it.

The parser of the standard library takes the last of two equal keys, and reads NaN and infinite numbers. Other
parsers do not, so two programs could read different values from one text.
"""

from __future__ import annotations

import json
from typing import Any

MAX_DEPTH = 32
"""How deep lists and objects may lie in each other."""


class NotStrictJson(ValueError):
    """The bytes are not strict JSON. `fault` says why, without any of the values in them."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault


def strict_json(raw: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """The value in the bytes. No key comes twice, no number is NaN or infinite, and nothing lies too deep.

    Raises:
        NotStrictJson: the bytes are something else.

    >>> strict_json(b'{"a": [1, 0.5]}')
    {'a': [1, 0.5]}
    >>> strict_json(b'[NaN]')
    Traceback (most recent call last):
    soundsright.core.strict_json.NotStrictJson: it has the number NaN
    """
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except NotStrictJson:
        raise
    except UnicodeError:
        raise NotStrictJson("it is not UTF-8 text") from None
    except (ValueError, RecursionError):
        raise NotStrictJson("it is not JSON") from None
    if b"\\ud" in raw.lower() and not is_deeper(value, max_depth):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeError:
            raise NotStrictJson("it has half of a character") from None
    if is_deeper(value, max_depth):
        raise NotStrictJson(f"its values lie deeper than {max_depth}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise NotStrictJson("a key comes twice")
    return values


def _no_constant(name: str) -> float:
    raise NotStrictJson(f"it has the number {name}")


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise NotStrictJson("a number is too large")
    return number


_NESTED = (dict, list)


def is_deeper(value: object, depth: int) -> bool:
    """Whether lists and objects lie in each other more than `depth` deep. It goes level by level."""
    level = [value]
    for _ in range(depth):
        level = [
            child
            for outer in level
            for child in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
            if isinstance(child, _NESTED)
        ]
        if not level:
            return False
    return True
