"""Reads the list of a task's files from a stranger's bucket. Sizes are in bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from soundsright.core.errors import RequestRefused
from soundsright.core.ports import Bucket
from soundsright.core.strict_json import MAX_DEPTH, NotStrictJson, strict_json
from soundsright.core.submission import is_sha256
from soundsright.services.federation.documents import list_of, object_of
from soundsright.services.federation.object_keys import metadata_key
from soundsright.services.federation.task_files import METADATA_SCHEMA

MAX_METADATA_BYTES = 16 << 20
_KINDS = ("flac", "wav")
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True)
class ListedFile:
    """A signal: the digest of its WAV file, and the ending of the stored file. It is empty if none is stored."""

    sha256: str
    kind: str


ListedAnswer = ListedFile | str
"""An answer with its file, or the code of its failure."""


@dataclass(frozen=True)
class TaskList:
    """The files of a task: the inputs by competition and clip id, and the answers by hotkey and clip id."""

    inputs: Mapping[tuple[str, str], ListedFile]
    answers: Mapping[str, Mapping[str, ListedAnswer]]


def read_task_list(bucket: Bucket, task: int) -> TaskList:
    """Read the list of a task's files.

    Raises:
        BucketMissing, BucketForbidden, BucketUnavailable: the bucket does not give it.
        RequestRefused: `malformed` or `too_large`.
    """
    raw = bucket.get(metadata_key(task), MAX_METADATA_BYTES)
    try:
        facts = object_of(strict_json(raw, MAX_DEPTH))
        if facts["schema"] != METADATA_SCHEMA or facts["task"] != task:
            raise ValueError("another schema or task")
        return TaskList(
            {(str(each["competition"]), str(each["clip"])): _file(each) for each in list_of(facts["clips"])},
            {
                hotkey: {str(each["clip"]): _answer(each) for each in map(object_of, list_of(lines))}
                for hotkey, lines in object_of(facts["answers"]).items()
            },
        )
    except (NotStrictJson, ValueError, TypeError, KeyError):
        # Do not show the values: they are a stranger's.
        raise RequestRefused(
            "malformed", f"{metadata_key(task)} is not a list of a task's files", status=422
        ) from None


def _file(facts: Mapping[str, Any]) -> ListedFile:
    sha256, kind = facts["sha256"], facts.get("kind", "")
    if not isinstance(sha256, str) or not is_sha256(sha256) or kind not in ("", *_KINDS):
        raise ValueError("not a file")
    return ListedFile(sha256, kind)


def _answer(facts: Mapping[str, Any]) -> ListedAnswer:
    if "failure" not in facts:
        return _file(facts)
    code = facts["failure"]
    if not isinstance(code, str) or _CODE.fullmatch(code) is None or "sha256" in facts:
        raise ValueError("not a failure")
    return code
