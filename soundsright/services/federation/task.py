"""One task of a federation: its id, its seed, and the plan by which its models run.

Tasks are numbered by `block // interval`, blocks are counted, times are in seconds. A task is judged by the code of
rounds. Its entries close with the block before the one whose hash is the seed, so nobody can know the clips when
entries close.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from soundsright.core.competition import Competition
from soundsright.core.competition_rules import CompetitionRules, FederationAgreement, Measures
from soundsright.core.errors import UsageError
from soundsright.core.federation import GATED_METRICS
from soundsright.core.federation_rules import FederationRules
from soundsright.core.material import PUBLIC_MATERIAL, Material
from soundsright.core.ports import Pool, SandboxLimits
from soundsright.core.schedule import Round, seed_of_round
from soundsright.core.stopping import Stopping
from soundsright.services.rounds import (
    PRIVATE_FOLDER,
    ClipSet,
    RoundPlan,
    SetRequest,
    finish_set,
    make_private,
    start_set,
)


def task_id(task: int) -> str:
    """The id of a task among the rounds of a state.

    >>> task_id(1234)
    'task-1234'
    """
    return f"task-{task}"


def task_of(round_id: str) -> int:
    """The number of the task with that id.

    >>> task_of("task-1234")
    1234
    """
    return int(round_id.removeprefix("task-"))


def set_hash(block_hash: str, task: int) -> str:
    """The text that takes the place of a block's hash when rounds compute the seed of a set.

    >>> set_hash("0xabc", 7)
    '0xabc:7'
    """
    return f"{block_hash}:{task}"


def seed_of_task(block_hash: str, task: int, competition_id: str) -> int:
    """The seed of a competition's set: the first 8 bytes of the SHA-256 of `HASH:TASK:COMPETITION`.

    >>> seed_of_task("0xabc", 7, "DENOISING_16000HZ") == seed_of_round("0xabc:7", "DENOISING_16000HZ")
    True
    """
    return seed_of_round(set_hash(block_hash, task), competition_id)


def round_of_task(task: int, interval_blocks: int) -> Round:
    """The blocks of a task. The hash of the first one of its interval is the seed.

    Raises:
        ValueError: it is the first task of a chain, before which no entry can close.

    >>> round_of_task(12, 100).entries_close_block, round_of_task(12, 100).seed_block
    (1199, 1200)
    """
    seed_block = task * interval_blocks
    if seed_block < 1:
        raise ValueError(f"task {task} begins with block {seed_block}, before which no entries close")
    return Round(task_id(task), seed_block - 1, seed_block)


def competitions_of(rules: FederationRules, organiser: CompetitionRules) -> tuple[Competition, ...]:
    """The organiser's competitions that the federation judges, in the organiser's order.

    A task has few clips, so every entry runs on all of them.

    Raises:
        UsageError: the organiser has no competition of a name.
    """
    offered = {competition.id for competition in organiser.competitions}
    for name in rules.competitions:
        if name not in offered:
            raise UsageError(
                f"[federation] competitions: the organiser has no competition {name}",
                f"Name some of {', '.join(sorted(offered))}.",
            )
    chosen = (c for c in organiser.competitions if c.id in rules.competitions)
    return tuple(replace(competition, stopping=Stopping.FULL) for competition in chosen)


def metrics_of(competitions: Sequence[Competition]) -> tuple[str, ...]:
    """The metrics that a task measures: those of `GATED_METRICS`, and all that pay."""
    paying = (name for competition in competitions for name in competition.metric_weights)
    return tuple(dict.fromkeys((*GATED_METRICS, *paying)))


@dataclass(frozen=True)
class TaskSettings(FederationAgreement):
    """Everything but the task itself that decides its result and stays the same from task to task.

    `material` has the round's number already if the corpus is private. `retry_pauses_s` are as in `RoundPlan`.
    """

    rules: FederationRules
    organiser: CompetitionRules
    material: Material = PUBLIC_MATERIAL
    sandbox_limits: SandboxLimits = SandboxLimits()
    batch_audio_s: float = 24.0
    retry_pauses_s: tuple[float, ...] = (15.0, 60.0, 240.0)

    @property
    def competitions(self) -> tuple[Competition, ...]:
        return competitions_of(self.rules, self.organiser)

    @property
    def metrics(self) -> tuple[str, ...]:
        return metrics_of(self.competitions)

    def floors(self) -> Mapping[str, float]:
        """The scores of a failed clip, by metric."""
        from soundsright.metrics import floors

        return floors(self.metrics)

    def plan(self, task: int) -> RoundPlan:
        """The plan by which the code of rounds judges a task.

        Raises:
            UsageError: the organiser has no such competition.
        """
        return RoundPlan(
            round_of_task(task, self.rules.interval_blocks),
            replace(self.organiser, competitions=self.competitions),
            Measures(self.rules.clips, self.metrics, self.floors(), self.material),
            sandbox_limits=self.sandbox_limits,
            batch_audio_s=self.batch_audio_s,
            retry_pauses_s=self.retry_pauses_s,
        )


def drawn_sets(
    settings: TaskSettings, task: int, block_hash: str, folder: Path, pool: Pool, *, jobs: int = 1
) -> dict[str, ClipSet]:
    """The sets of a task, drawn from its seed into `folder`, by competition id.

    Raises:
        UsageError: the recordings cannot be read.
        InfrastructureFault: the disk or a worker failed.
    """
    place = folder
    if settings.material.is_private:
        place = folder / PRIVATE_FOLDER
        make_private(place)
    requests = [
        SetRequest(
            competition,
            seed_of_task(block_hash, task, competition.id),
            settings.rules.clips,
            settings.material,
            place / "sets" / competition.id,
        )
        for competition in settings.competitions
    ]
    started = [(request, start_set(request, pool, jobs=jobs)) for request in requests]
    return {request.competition.id: finish_set(request, futures) for request, futures in started}
