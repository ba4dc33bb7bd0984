"""Everything that an executor's round needs: the organiser's rules, the ports, and the judge of images.

Times are in seconds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from soundsright.core.competition import Competition
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.groups import ClipGroups
from soundsright.core.images import ImageMetrics, MeasuredImage, SubmittedImage
from soundsright.core.material import Material
from soundsright.core.ports import Account, Clock, LiveChain, ModelHub, Pool, Runner, StateStore, SubmissionBoard
from soundsright.core.results import ClipResult
from soundsright.core.rulesets import Ruleset
from soundsright.core.schedule import Schedule
from soundsright.core.submission import FetchedModel, Submission
from soundsright.ranking import ImageLead
from soundsright.services.executor.copied_images import AlikeImages, alike_images
from soundsright.services.executor.run_records import MeasurementLog
from soundsright.services.executor.store import ExecutorStore
from soundsright.services.rounds import PRIVATE_FOLDER, Cancelled, ClipSet

_log = logging.getLogger(__name__)

_LONGEST_SLEEP_S = 1.0


class Meter(Protocol):
    """Runs an image on the set, and measures it on the host."""

    def measure(self, model: FetchedModel, clips: ClipSet, folder: Path, log: MeasurementLog) -> MeasuredImage:
        """The measurement of an image, with one result for each clip of a scoring run.

        The audio is kept in `folder`.

        Raises:
            InfrastructureFault: the image is not to blame.
            Cancelled: the executor stops.
        """
        ...


@dataclass(frozen=True)
class JudgedSet:
    """Everything but the images that scores depend on.

    `weights` are those of the competition's metrics, `unprocessed` the results of the set's degraded input, and
    `groups` the clips that share a recording.
    """

    rules: ExecutorRules
    ruleset: Ruleset
    weights: Mapping[str, float]
    unprocessed: tuple[ClipResult, ...]
    groups: ClipGroups | None = None


class Judge(Protocol):
    """Decides from what was measured on one set. It has no state, so anyone can decide the same again."""

    def metrics(self, measured: MeasuredImage) -> ImageMetrics:
        """The metrics of an image, without the time of their update."""
        ...

    def winner(self, ranked: Sequence[str], measured: Mapping[str, MeasuredImage], holder: str) -> str | None:
        """The first image: the best of `ranked`, or `holder`, the first one before, if no lead over it is certain.

        `ranked` are the entry ids of the images that can be paid, best first; `measured` is by entry id.
        """
        ...

    def copy_leads(self, original: MeasuredImage, copies: Mapping[str, MeasuredImage]) -> Mapping[str, ImageLead]:
        """The lead of each suspected copy, by entry id, over the image that it is suspected to copy."""
        ...


MeterOf = Callable[[Competition], Meter]
"""The meter for the images of a competition."""
JudgeOf = Callable[[JudgedSet], Judge]


@dataclass(frozen=True)
class ExecutorContext:
    """The rules and the ports of an executor.

    `folder` receives the sets and the enhanced audio. `machine` describes this machine in the signed results. With
    `only`, challenges of other competitions are left out. `schedule` is that of the ordinary rounds, which decide
    on the recordings of a private corpus. A commitment to a corpus names the size of their sets, `round_clips`.
    `retry_pauses_s` are the pauses before the last tries of an image that this machine cannot run. `kept_rounds` is
    the number of rounds whose audio is kept. `alike` compares the enhanced audio of all images of a round.
    """

    organiser: CompetitionRules
    store: ExecutorStore
    board: SubmissionBoard
    chain: LiveChain
    account: Account
    hub: ModelHub
    sandbox: Runner
    pool: Pool
    clock: Clock
    meter_of: MeterOf
    judge_of: JudgeOf
    folder: Path
    material: Material = field(default_factory=Material)
    machine: Mapping[str, str] = field(default_factory=dict)
    only: Sequence[str] = ()
    schedule: Schedule | None = None
    round_clips: int = 200
    workers: int = 1
    retry_pauses_s: tuple[float, ...] = (15.0, 60.0, 240.0)
    kept_rounds: int = 3
    alike: AlikeImages = alike_images
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def state(self) -> StateStore:
        return self.store.state

    @cached_property
    def rules(self) -> ExecutorRules:
        """The organiser's rules for images; the default ones if there are none."""
        return self.organiser.executor or ExecutorRules()

    def round_folder(self, round_id: str) -> Path:
        """The folder of a round's set and audio. On a private corpus, only its owner can read it."""
        folder = self.folder / PRIVATE_FOLDER if self.material.is_private else self.folder
        return folder / "rounds" / round_id

    def cancel(self) -> None:
        """Stop as soon as possible, and end the running image and the pool's workers. Any thread may call it."""
        self.cancelled.set()
        self.sandbox.stop()
        self.pool.stop()

    def raise_if_cancelled(self) -> None:
        """Do nothing while the executor may continue.

        Raises:
            Cancelled: it was stopped.
        """
        if self.cancelled.is_set():
            raise Cancelled("stopped")

    def pause(self, seconds: float) -> None:
        """Sleep, and wake up early if the executor is stopped.

        Raises:
            Cancelled: it was stopped.
        """
        left_s = seconds
        while left_s > 0:
            self.raise_if_cancelled()
            self.clock.sleep(min(left_s, _LONGEST_SLEEP_S))
            left_s -= _LONGEST_SLEEP_S


def submission_of(entry: SubmittedImage, competition: Competition) -> Submission:
    """The entry of a hub and a sandbox that stands for a submitted image."""
    return Submission(-1 if entry.uid is None else entry.uid, entry.hotkey, competition, entry.image, 0)
