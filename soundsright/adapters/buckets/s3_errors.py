"""The meaning of an error of `obstore`, or of an answer with an error's status.

The text of such an error has the status and the answer's body. Only the status and S3's code are taken from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_STATUS = re.compile(r"Server returned non-2xx status code: ([1-5]\d\d)\b")
_CODE = re.compile(r"<Code>\s*([A-Za-z0-9]{1,64})\s*</Code>")
_KIND = re.compile(r"\bkind: ([A-Z][A-Za-z]{1,30})\b")


class NotS3(Exception):
    """An answer without the marks of S3. The text says which one is missing."""


@dataclass(frozen=True)
class Unknown:
    """No answer, or one without a meaning, and why."""

    reason: str


@dataclass(frozen=True)
class Status:
    """The status of an answer, and S3's code in it; empty if there is none."""

    status: int
    code: str


@dataclass(frozen=True)
class Failure:
    """Why an operation failed."""

    cause: Unknown | Status

    @property
    def status(self) -> int | None:
        """The answer's status, or None without an answer."""
        return self.cause.status if isinstance(self.cause, Status) else None

    @property
    def reason(self) -> str:
        """The cause, for messages."""
        if isinstance(self.cause, Unknown):
            return self.cause.reason
        return f"status {self.cause.status} {self.cause.code}".rstrip()

    @property
    def is_missing(self) -> bool:
        """Whether it is certain that there is no such object. A 404 alone can be anybody's."""
        return self.cause == Status(404, "NoSuchKey")

    @property
    def is_existing(self) -> bool:
        """Whether the service refused to overwrite an object."""
        return self.status == 412

    @property
    def is_forbidden(self) -> bool:
        """Whether the service refuses the keys."""
        return self.status in (401, 403) and not self.is_of_clock

    @property
    def is_of_clock(self) -> bool:
        """Whether the service says that the clock of this machine is wrong. The keys can be right."""
        return self.cause == Status(403, "RequestTimeTooSkewed")


def failure_of_status(status: int, body: str) -> Failure:
    """The failure that an answer tells."""
    code = _CODE.search(body)
    return Failure(Status(status, code[1] if code else ""))


def failure_of(error: Exception) -> Failure:
    """The failure behind an error of the library, or behind one that nobody foresaw."""
    if isinstance(error, NotS3):
        return Failure(Unknown(str(error)))
    text = str(error)
    status = _STATUS.search(text)
    if status:
        return failure_of_status(int(status[1]), text[status.end() :])
    kinds = _KIND.findall(text)
    return Failure(Unknown(f"no whole answer: {kinds[0] if kinds else type(error).__name__}"))
