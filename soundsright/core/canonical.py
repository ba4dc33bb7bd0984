"""The one text of a value: equal values give equal text, so that a digest or a signature stands for the value."""

from __future__ import annotations

import json
from typing import Any


def canonical_json(value: Any) -> str:
    """The value as JSON with sorted keys and no spaces, in ASCII.

    Raises:
        TypeError: the value is not JSON.
        ValueError: a number is NaN or infinite.

    >>> canonical_json({"b": [1, 0.5], "a": "ü"})
    '{"a":"\\\\u00fc","b":[1,0.5]}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
