"""Strict JSON: one text has one value, whoever reads it."""

from __future__ import annotations

import pytest

from soundsright.core.strict_json import MAX_DEPTH, NotStrictJson, strict_json


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b'{"a": 1, "a": 2}', "a key comes twice"),
        (b'[{"b": {"a": 1, "a": 1}}]', "a key comes twice"),
        (b"[NaN]", "NaN"),
        (b"-Infinity", "-Infinity"),
        (b"1e999", "a number is too large"),
        (b"9" * 5_000, "it is not JSON"),
        (b"", "it is not JSON"),
        (b"{} {}", "it is not JSON"),
        (b'"\xff"', "it is not UTF-8 text"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "deeper than 32"),
        (b"[" * 500_000, "it is not JSON"),
    ],
)
def test_other_texts_are_refused(raw: bytes, fault: str) -> None:
    with pytest.raises(NotStrictJson, match=fault):
        strict_json(raw)


def test_a_value_may_lie_as_deep_as_the_limit() -> None:
    value = strict_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    for _ in range(MAX_DEPTH - 1):
        (value,) = value
    assert value == []
