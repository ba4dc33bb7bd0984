"""An executor on another host, through its HTTP interface. Times are in seconds, sizes in bytes.

Only answers that the executor's hotkey signed count. A table that has not changed is not sent again. An answer that
is not a table is an error, never an empty table: a validator must not burn its weights because an executor is ill.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from soundsright.adapters.peers import SignedService
from soundsright.core.errors import EntryRefused, PeerUnavailable, RequestRefused
from soundsright.core.images import MAX_SUBMISSIONS, ImageRow, PublishedTable, SubmittedImage, image_row
from soundsright.core.ports import Account, Reply, TakenSubmissions
from soundsright.core.strict_json import NotStrictJson, strict_json

MAX_TABLE_BYTES = 32 << 20
MAX_RESULTS_BYTES = 64 << 20

_ROUND = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,63})?")
_STRONG_ETAG = re.compile(r'"([A-Za-z0-9._-]{1,128})"')


class HttpScoreTable:
    """The port `ScoreTable` over the executor at `url`, which has the hotkey `receiver`.

    `url` is `http://host:port` or `https://host`. `account` signs the requests. Any thread may call it.
    """

    def __init__(self, url: str, receiver: str, account: Account, *, timeout_s: float = 20.0) -> None:
        self._service = SignedService(
            url.rstrip("/"),
            receiver,
            account,
            name="The executor",
            setting="EXECUTOR_API_URL",
            timeout_s=timeout_s,
            max_bytes=MAX_TABLE_BYTES,
        )
        self._last: PublishedTable | None = None

    def update(self, submissions: Sequence[SubmittedImage]) -> TakenSubmissions:
        """Give the executor the submissions that stand. It takes all or none.

        Raises:
            RequestRefused: the list is malformed, or this hotkey may not give one.
            PeerUnavailable: the executor does not answer as one. It may have taken the list.
        """
        reply = self._service.post("/update", [submission.facts() for submission in submissions])
        counts = self._json(reply)
        names = ("count", "new", "changed")
        if not isinstance(counts, dict) or not all(type(counts.get(name)) is int for name in names):
            raise self._service.malformed(f"it does not count {', '.join(names)}")
        taken = TakenSubmissions(*(counts[name] for name in names))
        if taken.count != len(submissions) or min(taken.new, taken.changed) < 0:
            raise self._service.malformed(f"it took {taken.count} of {len(submissions)} submissions")
        return taken

    def table(self) -> PublishedTable:
        """The published table. A table that has not changed is not sent again.

        Raises:
            RequestRefused: this program's hotkey may not read it.
            PeerUnavailable: the executor does not answer as one. An empty table is never assumed.
        """
        last = self._last
        if last is None:
            reply = self._service.get("/metrics")
        else:
            # The query is signed, and the header is not: somebody between could put the present tag into it.
            reply = self._service.get(f"/metrics?known={quote(last.version)}", etag=f'"{last.version}"')
        if reply.status == 304:
            if last is None:
                raise self._service.malformed("its table has not changed, but this program never read it")
            return last
        self._last = self._table(reply)
        return self._last

    def results(self, round_id: str) -> bytes | None:
        """The signed results of a round, as an envelope not yet verified; None if there is no such round.

        Raises:
            PeerUnavailable: the executor does not answer as one.
        """
        if not _ROUND.fullmatch(round_id) or not round_id:
            return None  # No round has such a name.
        service = replace(self._service, max_bytes=MAX_RESULTS_BYTES)
        try:
            reply = service.get(f"/results/{round_id}")
        except RequestRefused as refused:
            if (refused.status, refused.code) == (404, "no_round"):
                return None
            raise PeerUnavailable(
                f"The executor at {service.url} refuses its results ({refused.code})", code="refused"
            ) from refused
        if reply.status != 200 or not reply.body:
            raise service.malformed(f"its results are empty, with the status {reply.status}")
        return reply.body

    def _table(self, reply: Reply) -> PublishedTable:
        version, round_id = _STRONG_ETAG.fullmatch(reply.etag), reply.headers.get("x-round")
        if version is None:
            raise self._service.malformed("its table has no strong ETag")
        if round_id is None or not _ROUND.fullmatch(round_id):
            raise self._service.malformed("its table does not say its round")
        values = self._json(reply)
        if not isinstance(values, list) or len(values) > MAX_SUBMISSIONS:
            raise self._service.malformed(f"its table is not a list of at most {MAX_SUBMISSIONS} rows")
        return PublishedTable(round_id, self._rows(values), version[1])

    def _rows(self, values: list[Any]) -> tuple[ImageRow, ...]:
        try:
            rows = tuple(map(image_row, values))
        except EntryRefused as refused:
            raise self._service.malformed(refused.sentence) from refused
        if len({row.submission.hotkey for row in rows}) != len(rows):
            raise self._service.malformed("a hotkey has two rows")
        return rows

    def _json(self, reply: Reply) -> Any:
        if reply.status != 200:
            raise self._service.malformed(f"the status {reply.status}")
        try:
            return strict_json(reply.body)
        except NotStrictJson as error:
            raise self._service.malformed(error.fault) from error
