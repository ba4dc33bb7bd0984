"""The two services of the executor, as others see them: the board of submissions and the table of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from soundsright.core.images import Challenge, PublishedTable, SubmittedImage
from soundsright.core.sources import ImageRef


@dataclass(frozen=True)
class AcceptedImage:
    """A submission that the board has. `is_new` is False if the same digest stood there already.

    `next_allowed_s` is the time from which the hotkey may submit another image, in seconds since the epoch.
    """

    submission_id: str
    submission: SubmittedImage
    next_allowed_s: int
    is_new: bool = True


@dataclass(frozen=True)
class TakenSubmissions:
    """The number of submissions that an executor took, and how many were new or had another image before."""

    count: int
    new: int
    changed: int


class SubmissionBoard(Protocol):
    """The coordinator's board: who submitted which image, and what fixes the set of the present round."""

    def submit(self, image: ImageRef) -> AcceptedImage:
        """Submit an image for this program's hotkey.

        Raises:
            RequestRefused: `bad_image_ref`, `wrong_hotkey`, `not_registered` or `cooldown`.
            PeerUnavailable: the board does not answer as one.
        """
        ...

    def submissions(self) -> tuple[SubmittedImage, ...]:
        """All submissions that stand, each with its uid.

        Raises:
            RequestRefused: this program's hotkey may not read them.
            PeerUnavailable: the board does not answer as one.
        """
        ...

    def challenge(self) -> Challenge:
        """The present round.

        Raises:
            RequestRefused: `not_final`, if its seed's block is not final yet; or this hotkey may not read it.
            PeerUnavailable: the board does not answer as one.
        """
        ...

    def burn_ratio(self) -> float:
        """The part of the winner's share that burns, from 0 to 1.

        Raises:
            RequestRefused: this program's hotkey may not read it.
            PeerUnavailable: the board does not answer as one.
        """
        ...


class ScoreTable(Protocol):
    """An executor, as validators see it."""

    def update(self, submissions: Sequence[SubmittedImage]) -> TakenSubmissions:
        """Give the executor the submissions that stand. It takes all or none.

        Raises:
            RequestRefused: the list is malformed, or this hotkey may not give one.
            PeerUnavailable: the executor does not answer as one.
        """
        ...

    def table(self) -> PublishedTable:
        """The published table. A table that has not changed is not sent again.

        `GET /metrics` sends the rows. Its header `X-Round` has the table's round, empty before the first one, and
        its ETag the version. `coming` is empty: it is not sent.

        Raises:
            RequestRefused: this program's hotkey may not read it.
            PeerUnavailable: the executor does not answer as one. An empty table is never assumed.
        """
        ...

    def results(self, round_id: str) -> bytes | None:
        """The signed results of a round, as an envelope not yet verified; None if there is no such round.

        Raises:
            PeerUnavailable: the executor does not answer as one.
        """
        ...


class ImageExecutor(Protocol):
    """An executor, as its own HTTP interface sees it. Every method may be called from any thread."""

    def take(self, submissions: Sequence[SubmittedImage]) -> TakenSubmissions:
        """Take the submissions that stand now, all or none. A hotkey occurs once."""
        ...

    def table(self) -> PublishedTable: ...

    def results(self, round_id: str) -> bytes | None:
        """The signed results of a round in their envelope; None if there is no such round."""
        ...

    def status(self) -> Mapping[str, Any]:
        """JSON values for people: `state` (such as `idle` or `running`), `round`, `entry`, `machine`."""
        ...
