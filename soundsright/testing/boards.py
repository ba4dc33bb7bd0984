"""A board of submissions in memory. It follows the rules of the coordinator."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from soundsright.core.errors import PeerUnavailable, RequestRefused
from soundsright.core.images import Challenge, SubmittedImage
from soundsright.core.ports import AcceptedImage, Clock
from soundsright.core.sources import ImageRef


@dataclass
class FakeBoard:
    """The board as all of its clients see it. `uids` are the registered hotkeys. Times are in whole seconds.

    With `is_away`, it does not answer. Without a `challenge`, the first round has not begun.
    """

    clock: Clock
    uids: dict[str, int]
    cooldown_s: int = 345_600
    challenge: Challenge | None = None
    ratio: float = 0.0
    is_away: bool = False
    standing: dict[str, SubmittedImage] = field(default_factory=dict)

    def client(self, hotkey: str) -> FakeSubmissionBoard:
        """The board as this hotkey sees it."""
        return FakeSubmissionBoard(self, hotkey)


@dataclass(frozen=True)
class FakeSubmissionBoard:
    """The `SubmissionBoard` port of one hotkey, in memory. It lets every hotkey read."""

    board: FakeBoard
    hotkey: str

    def submit(self, image: ImageRef) -> AcceptedImage:
        board = self._reached()
        if self.hotkey not in board.uids:
            raise RequestRefused("not_registered", "The hotkey is not registered")
        wait_s, now_s = max(1, board.cooldown_s), int(board.clock.now())
        before = board.standing.get(self.hotkey)
        if before is not None and before.image == image:
            return AcceptedImage(before.entry_id, before, before.submitted_s + wait_s, is_new=False)
        if before is not None and now_s < before.submitted_s + wait_s:
            raise RequestRefused(
                "cooldown", f"The next image may come from {before.submitted_s + wait_s} on", status=429
            )
        new = board.standing[self.hotkey] = SubmittedImage(now_s, self.hotkey, image)
        return AcceptedImage(new.entry_id, new, now_s + wait_s)

    def submissions(self) -> tuple[SubmittedImage, ...]:
        board = self._reached()
        found = (replace(one, uid=board.uids[key]) for key, one in board.standing.items() if key in board.uids)
        return tuple(sorted(found))

    def challenge(self) -> Challenge:
        board = self._reached()
        if board.challenge is None:
            raise RequestRefused("not_final", "The first round has not begun", status=409)
        return board.challenge

    def burn_ratio(self) -> float:
        return self._reached().ratio

    def _reached(self) -> FakeBoard:
        if self.board.is_away:
            raise PeerUnavailable("The coordinator does not answer")
        return self.board
