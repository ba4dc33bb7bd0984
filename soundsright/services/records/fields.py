"""Field types that the documents of this room share.

A document can come from a stranger. Long text is cut, so that one entry's text cannot hide the other entries.
Numbers must be finite, and so small that their squares are finite too.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, FiniteFloat, StringConstraints, ValidationError

SafeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""A name that is safe as part of a path or a web address."""


def shortened(text: str, limit: int) -> str:
    """The text, cut to `limit` characters.

    >>> shortened("enhanced", 4)
    'enh…'
    """
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _cut(limit: int) -> BeforeValidator:
    return BeforeValidator(lambda value: shortened(_encodable(value), limit) if isinstance(value, str) else value)


def _encodable(text: str) -> str:
    """The text with `?` in place of half characters, which JSON can name and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


ShortText = Annotated[str, _cut(512)]
LongText = Annotated[str, _cut(8192)]
Count = Annotated[int, Field(ge=0, le=10_000_000)]
Number = Annotated[FiniteFloat, Field(ge=-1e12, le=1e12, strict=True)]
"""A score, a time or a share. Statistics square it and plots put it on an axis."""
Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Size = Annotated[int, Field(ge=0, lt=2**63)]
"""A size in bytes."""


def first_fault(error: ValidationError) -> str:
    """The first field that is wrong and why, without its value."""
    first = error.errors(include_input=False, include_url=False)[0]
    field = ".".join(map(str, first["loc"]))[:120]
    return f"{field or 'the document'}: {first['msg'][:200]}"
