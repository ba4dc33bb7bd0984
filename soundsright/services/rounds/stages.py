"""The stages in which a competition's entries run: the whole set at once, or whole noises with a look after each.

All entries that still run have the same clips at a look, so every validator with the same scores stops the same
entries. The order of the noises follows from the seed of the set, which nobody chose. Each look is recorded when it
is done, and is not done again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soundsright.core.results import Evaluation
from soundsright.core.stopping import FEWEST_WITNESSES, EarlyStop, Stopping, Stops
from soundsright.core.submission import Submission
from soundsright.ranking import Look, WholeSet, look_at, look_ends
from soundsright.services.rounds import steps
from soundsright.services.rounds.clipset import ClipSet
from soundsright.services.rounds.context import RoundContext
from soundsright.services.rounds.titles import champions_before

Part = tuple[str, ...]
"""The clip ids of one stage."""


@dataclass(frozen=True)
class ClipOrder:
    """The clips of a set by stage, and the cluster of each clip. `whole` says why there is only one stage."""

    parts: tuple[Part, ...]
    clusters: Mapping[str, str]
    whole: str = ""

    def clips(self, stages: int) -> tuple[str, ...]:
        """The clips of the first stages, in their order."""
        return tuple(clip_id for part in self.parts[:stages] for clip_id in part)

    def witnesses(self, stages: int) -> int:
        """The number of clusters in the first stages."""
        return len({self.clusters[clip_id] for clip_id in self.clips(stages)})


def clip_order(clips: ClipSet, entries: int, *, whole: str = "") -> ClipOrder:
    """The order in which the clips of a set are run by that many entries.

    That is one stage with all clips if `stopping` is "full", if stopping could save nothing, or for the reason
    `whole`.
    """
    clusters = _clusters(clips)
    if clips.competition.stopping is Stopping.FULL:
        return ClipOrder((clips.clip_ids,), clusters)
    members: dict[str, list[str]] = {}
    for clip_id, cluster in clusters.items():
        members.setdefault(cluster, []).append(clip_id)
    if entries < 2:
        return ClipOrder((clips.clip_ids,), clusters, "There was no other entry to compare with.")
    if len(members) < FEWEST_WITNESSES:
        what = "noises or rooms" if len(members) < len(clips.clip_ids) else "clips"
        why = f"The set has {len(members)} {what}. At least {FEWEST_WITNESSES} are needed to stop early."
        return ClipOrder((clips.clip_ids,), clusters, why)
    if whole:
        return ClipOrder((clips.clip_ids,), clusters, whole)
    ordered = sorted(members, key=lambda cluster: (_place(clips.seed, cluster), cluster))
    ends = look_ends(len(ordered))
    parts = tuple(
        tuple(clip_id for cluster in ordered[start:end] for clip_id in members[cluster])
        for start, end in zip((0, *ends[:-1]), ends, strict=True)
    )
    return ClipOrder(parts, clusters)


def _clusters(clips: ClipSet) -> dict[str, str]:
    """The noise or the room of each clip. If neither is known, each clip is alone."""
    groups = clips.named_groups
    factors = {} if groups is None else groups.factors
    labels = factors.get("noise") or factors.get("room")
    if groups is None or labels is None:
        return {clip_id: clip_id for clip_id in clips.clip_ids}
    return dict(sorted(zip(groups.clip_ids, labels, strict=True)))


def _place(seed: int, cluster: str) -> bytes:
    return hashlib.sha256(f"soundsright.order/1\n{seed}\n{cluster}".encode()).digest()


class Stages:
    """One competition's set and entries, stage by stage. `running` are the entries that have not stopped.

    `entered` also counts the entries that were left out before, so that a restart counts the same. `whole` says why
    all run on the whole set, whatever the clips allow.
    """

    def __init__(
        self,
        context: RoundContext,
        clips: ClipSet,
        entries: Sequence[Submission],
        *,
        entered: int,
        whole: str = "",
    ) -> None:
        self._context = context
        self._entered = entered
        self._order = clip_order(clips, entered, whole=whole)
        self._stopped: list[tuple[EarlyStop, Submission]] = []
        self._evidence: Mapping[str, float] = {}
        self._done = 0
        self._is_over = False
        self.clips = clips
        self.running = tuple(entries)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The clips that the running entries need now, in the parts in which they are run."""
        return self._order.parts[: self._done + 1]

    def advance(
        self, refused: Mapping[str, object], evaluations: Mapping[str, Evaluation], unprocessed: Evaluation
    ) -> bool:
        """Look at the results of a stage. Returns whether the running entries need more clips.

        `refused` are the entries that could not be run, and `evaluations` those that were, over the clips so far;
        both by entry id.
        """
        if self._is_over:
            return False
        self._done += 1
        self.running = tuple(entry for entry in self.running if entry.entry_id not in refused)
        if self._done == len(self._order.parts):
            self._is_over = True
            return False
        record = self._context.step(
            steps.look(self.clips.competition.id, self._done),
            lambda: _recorded(self._look(evaluations, unprocessed)),
        )
        clips, witnesses = self._order.clips(self._done), self._order.witnesses(self._done)
        self._stopped += [
            (EarlyStop(entry.hotkey, len(clips), len(self.clips.digests), witnesses, out), entry)
            for entry in self.running
            if (out := record.ruled_out.get(entry.hotkey)) is not None
        ]
        self.running = tuple(entry for entry in self.running if entry.hotkey not in record.ruled_out)
        self._is_over = record.is_decided
        if record.is_decided:
            self._evidence = record.evidence
        return not self._is_over

    def _look(self, evaluations: Mapping[str, Evaluation], unprocessed: Evaluation) -> Look:
        plan, competition = self._context.plan, self.clips.competition
        order = self._order.clips(self._done)
        return look_at(
            competition,
            [evaluations[entry.entry_id] for entry in self.running],
            champions_before(self._context, competition, self.running),
            plan.rules.ruleset,
            unprocessed,
            order,
            [self._order.clusters[clip_id] for clip_id in order],
            floors=plan.measures.floors,
            at_block=plan.round.seed_block,
            challengers=self._entered,
            whole=WholeSet(
                clips=len(self.clips.digests),
                witnesses=self._order.witnesses(len(self._order.parts)),
            ),
            groups=self.clips.groups,
            stopped=[(stop, evaluations[entry.entry_id]) for stop, entry in self._stopped],
        )

    @property
    def stops(self) -> Stops | None:
        """The decisions of the looks; None if the competition runs every entry on the whole set."""
        if self.clips.competition.stopping is Stopping.FULL:
            return None
        return Stops(
            set_clips=len(self.clips.digests),
            set_witnesses=self._order.witnesses(len(self._order.parts)),
            clips=len(self._order.clips(self._done)),
            witnesses=self._order.witnesses(self._done),
            stopped=tuple(stop for stop, _ in self._stopped),
            evidence=dict(self._evidence),
            whole=self._order.whole,
        )


def _recorded(look: Look) -> steps.LookStep:
    return steps.LookStep(look.ruled_out, look.is_decided, look.evidence)
