"""The user's rule for groups: where the path of a file names its speaker, its noise recording or its room."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import PurePosixPath

from soundsright.core.errors import UsageError

FOLDER, FILE = "folder", "file"
"""The rules without an expression: each folder, or each file, is a group of its own."""

MAX_EXPRESSION_CHARS = 1_000
TIMEOUT_S = 10.0

# A child process applies the expression, because nothing else ends a match that takes exponential time.
_PROGRAM = """
import json, re, sys
expression, group, paths = json.load(sys.stdin)
search = re.compile(expression).search
json.dump([match and match[group] for match in map(search, paths)], sys.stdout)
"""


def groups_by(
    rule: str, paths: Sequence[PurePosixPath], option: str, *, timeout_s: float = TIMEOUT_S
) -> list[str | None]:
    """The group of each path; None where the rule finds none.

    `rule` is `folder`, `file`, or a regular expression that is searched in each path, from the name of the user's
    folder on. The group is what its group `name` captures, or its first one. `option` is named in errors.

    Raises:
        UsageError: the expression is not valid, has no group, or takes too long.

    >>> paths = [PurePosixPath("speech/anna-1.wav"), PurePosixPath("speech/notes.wav")]
    >>> groups_by(r"([a-z]+)-[0-9]", paths, "--speaker-by")
    ['anna', None]
    """
    if rule == FOLDER:
        return [path.parent.name for path in paths]
    if rule == FILE:
        return ["/".join(path.parts[-2:]) for path in paths]
    group = _checked_group(rule, option)
    request = json.dumps([rule, group, [path.as_posix() for path in paths]])
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            input=request,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"{option} {rule!r} takes longer than {timeout_s:g} s for {len(paths)} paths",
            "Write it without a repetition inside a repetition, such as (a+)+.",
        ) from error
    except subprocess.CalledProcessError as error:
        raise UsageError(f"{option} {rule!r} cannot be applied", "Write a simpler expression.") from error
    found: list[str | None] = json.loads(done.stdout)
    return [name or None for name in found]


def _checked_group(rule: str, option: str) -> str | int:
    remedy = f"Write one with a group around the name, such as {option} '(p[0-9]+)_', or write {FOLDER} or {FILE}."
    if len(rule) > MAX_EXPRESSION_CHARS:
        raise UsageError(f"{option} has {len(rule)} characters; the limit is {MAX_EXPRESSION_CHARS}", remedy)
    try:
        expression = re.compile(rule)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"{option} {rule!r} is not a regular expression ({error})", remedy) from error
    if not expression.groups:
        raise UsageError(f"{option} {rule!r} has no group in parentheses", remedy)
    return "name" if "name" in expression.groupindex else 1
