"""The coordinator's board of submissions, over signed HTTP. Times of submission are in whole seconds."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping
from typing import Any

from soundsright.adapters.peers import SignedService
from soundsright.core.errors import EntryRefused, PeerUnavailable, UsageError
from soundsright.core.images import (
    MAX_SUBMISSIONS,
    MAX_TIME_S,
    Challenge,
    SubmittedImage,
    challenge_of,
    submitted_image,
)
from soundsright.core.ports import AcceptedImage, Account, Reply
from soundsright.core.sources import ImageRef
from soundsright.core.strict_json import NotStrictJson, strict_json

_MAX_LIST_BYTES = 2_100_000
_NOT_MODIFIED = 304
_TAG = re.compile(r'"[A-Za-z0-9._-]{1,128}"')


class HttpSubmissionBoard:
    """The `SubmissionBoard` port over the subnet API at `url`, whose answers the hotkey `receiver` signs.

    The list of submissions is kept, so that a list which has not changed is not sent again. `timeout_s` limits each
    request. Any thread may call its methods.
    """

    def __init__(self, url: str, receiver: str, account: Account, *, timeout_s: float = 20.0) -> None:
        self._service = SignedService(
            url,
            receiver,
            account,
            name="The coordinator",
            setting="SUBNET_API_URL",
            timeout_s=timeout_s,
            max_bytes=_MAX_LIST_BYTES,
        )
        self._hotkey = account.address
        self._lock = threading.Lock()
        self._etag = ""
        self._listed: tuple[SubmittedImage, ...] | None = None

    def submit(self, image: ImageRef) -> AcceptedImage:
        """Submit an image for this program's hotkey.

        Raises:
            RequestRefused: `bad_image_ref`, `wrong_hotkey`, `not_registered` or `cooldown`.
            PeerUnavailable: the board does not answer as one. The submission may stand: submit it again.
        """
        reply = self._service.post("/submit", {"hotkey": self._hotkey, "image_ref": str(image)})
        accepted = self._accepted(self._values(reply), is_new=reply.status == 201)
        if accepted.submission.hotkey != self._hotkey or accepted.submission.image != image:
            raise self._service.malformed("it names another submission")
        return accepted

    def submissions(self) -> tuple[SubmittedImage, ...]:
        """All submissions that stand, each with its uid.

        Raises:
            RequestRefused: this program's hotkey may not read them.
            PeerUnavailable: the board does not answer as one.
        """
        with self._lock:
            kept, etag = self._listed, self._etag
        # The query is signed, and the header is not: somebody between could put the present tag into it.
        known = f"?known={etag.strip(chr(34))}" if kept is not None and etag else ""
        reply = self._service.get(f"/submissions{known}", etag=etag if known else "")
        if reply.status == _NOT_MODIFIED:
            if kept is None or not etag:
                raise PeerUnavailable(
                    f"The coordinator at {self._service.url} says that the submissions have not changed, but none "
                    "were read before",
                    "Check SUBNET_API_URL, and any proxy in front of it.",
                    code="no_cache",
                )
            return kept
        listed = self._list_of(reply)
        with self._lock:
            self._listed, self._etag = listed, reply.etag if _TAG.fullmatch(reply.etag) else ""
        return listed

    def challenge(self) -> Challenge:
        """The present round.

        Raises:
            RequestRefused: `not_final`, if its seed's block is not final yet; or this hotkey may not read it.
            PeerUnavailable: the board does not answer as one.
        """
        values = self._read("/challenge")
        try:
            return challenge_of(values)
        except UsageError as error:
            raise self._service.malformed(error.problem) from error

    def burn_ratio(self) -> float:
        """The part of the winner's share that burns, from 0 to 1.

        Raises:
            RequestRefused: this program's hotkey may not read it.
            PeerUnavailable: the board does not answer as one.
        """
        values = self._read("/burn_ratio")
        ratio: Any = values.get("burn_ratio") if isinstance(values, Mapping) else None
        if type(ratio) not in (int, float) or not math.isfinite(ratio) or not 0 <= ratio <= 1:
            raise self._service.malformed("burn_ratio is not a number from 0 to 1")
        return float(ratio)

    def _read(self, path: str) -> Any:
        reply = self._service.get(path)
        if reply.status != 200:
            raise self._service.malformed(f"status {reply.status}")
        return self._values(reply)

    def _values(self, reply: Reply) -> Any:
        try:
            return strict_json(reply.body)
        except NotStrictJson as error:
            raise self._service.malformed(error.fault) from error

    def _accepted(self, values: Any, *, is_new: bool) -> AcceptedImage:
        keys = {"submission_id", "hotkey", "image_ref", "submit_time", "next_allowed_at"}
        if not isinstance(values, Mapping) or not keys <= values.keys():
            raise self._service.malformed(f"a submission has the keys {', '.join(sorted(keys))}")
        name, next_allowed_s = values["submission_id"], values["next_allowed_at"]
        if not isinstance(name, str) or not 1 <= len(name) <= 255 or not name.isprintable():
            raise self._service.malformed("submission_id is not a name")
        if type(next_allowed_s) is not int or not 0 <= next_allowed_s <= 2 * MAX_TIME_S:
            raise self._service.malformed("next_allowed_at is not whole seconds")
        own = {key: values[key] for key in ("hotkey", "image_ref", "submit_time")}
        return AcceptedImage(name, self._submission(own), next_allowed_s, is_new)

    def _list_of(self, reply: Reply) -> tuple[SubmittedImage, ...]:
        values = self._values(reply)
        if reply.status != 200 or not isinstance(values, list) or len(values) > MAX_SUBMISSIONS:
            raise self._service.malformed(f"status {reply.status} without a list of at most {MAX_SUBMISSIONS}")
        listed = tuple(map(self._submission, values))
        if any(one.uid is None for one in listed):
            raise self._service.malformed("a submission has no uid")
        if len({one.hotkey for one in listed}) != len(listed) or len({one.uid for one in listed}) != len(listed):
            raise self._service.malformed("a hotkey or a uid is there twice")
        return listed

    def _submission(self, values: object) -> SubmittedImage:
        try:
            return submitted_image(values)
        except EntryRefused as error:
            raise self._service.malformed(error.sentence) from error
