"""Finds images that copy an earlier submission: the same digest, the same layers, or nearly the same output.

An image can be pushed again under another name, another manifest or an index, so names say nothing. The hotkey that
first submitted a digest or layers keeps them; the other image is refused. `judged_copies` has what follows if only
the output is nearly the same. A submission counts as first also if its hotkey has submitted something else since,
or has left. Times are in whole seconds since the epoch.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.copies import DuplicateRule, Likeness
from soundsright.core.errors import InfrastructureFault
from soundsright.core.images import MeasuredImage, SubmittedImage
from soundsright.core.ports import ImageRunner, Records, Runner
from soundsright.core.results import Failure
from soundsright.core.submission import FetchedModel
from soundsright.services.executor.run_records import last_attempt
from soundsright.services.rounds import ClipSet, EnhancedClips

if TYPE_CHECKING:
    pass

IMAGES = "executor:images"
"""The stream of the layers of pulled images. The key is the image's digest."""
PROBE_CLIPS = 12

_log = logging.getLogger(__name__)

_SHARED = {
    DuplicateRule.SAME_CONTENT: "the digest is that of",
    DuplicateRule.SHARED_CHECKPOINT: "the layers are those of",
}

LATEST_LIST_S = 7_200
"""The oldest time of submission that counts, in seconds before this executor received the list.

Validators hand on lists every hour. One of them could hand on a false time, so an earlier one counts as this old.
"""


@dataclass(frozen=True, order=True)
class Claim:
    """A hotkey's claim to an image: it counts from `since_s` on. The earliest claim keeps the image."""

    since_s: int
    submitted_s: int

    @classmethod
    def of(cls, entry: SubmittedImage, received_s: float) -> Claim:
        """The claim of a submission that this executor received at `received_s`.

        >>> from soundsright.core.sources import ImageRef
        >>> entry = SubmittedImage(1_000, "5F", ImageRef("lab/gate", "0" * 64))
        >>> Claim.of(entry, 2_000), Claim.of(entry, 10_000)
        (Claim(since_s=1000, submitted_s=1000), Claim(since_s=2800, submitted_s=1000))
        """
        return cls(max(entry.submitted_s, int(received_s) - LATEST_LIST_S), entry.submitted_s)


AlikeImages = Callable[[ClipSet, Path, Mapping[str, MeasuredImage]], Sequence[Likeness]]
"""The pairs of images, by entry id, whose enhanced audio agrees as only that of copies does."""


class KnownImages:
    """The layers of the images that this executor has pulled, and who submitted each image first.

    `holders` gives the claims of the hotkeys that have submitted the image of a digest. Use one thread.
    """

    def __init__(self, records: Records, holders: Callable[[str], Mapping[str, Claim]]) -> None:
        self._records = records
        self._holders = holders
        self._layers: dict[str, str] = {}
        self._position = 0

    def remember(self, sandbox: Runner, model: FetchedModel, sha256: str) -> None:
        """Record the layers of a pulled image, if the sandbox knows them. A failure is logged: they stay unknown.

        Raises:
            StateUnavailable: the database does not answer.
        """
        if not isinstance(sandbox, ImageRunner) or self._records.latest(IMAGES, sha256) is not None:
            return
        try:
            layers = sandbox.image_layers(model)
        except InfrastructureFault as fault:
            _log.warning("layers are unknown: %s", fault, extra={"action": "layers_unknown"})
            return
        if layers:
            digest = hashlib.sha256("\n".join(layers).encode()).hexdigest()
            self._records.append(IMAGES, sha256, {"layers_sha256": digest})

    def original_of(self, entry: SubmittedImage) -> Failure | None:
        """The refusal of an image that another hotkey submitted first; None if nobody did.

        Raises:
            StateUnavailable: the database does not answer.
        """
        sha256 = entry.image.sha256
        claims = [
            (claim, hotkey, each)
            for each in self._with_layers_of(sha256)
            for hotkey, claim in self._holders(each).items()
        ]
        claim, hotkey, each = min(claims, default=(self.claim_of(entry), entry.hotkey, sha256))
        if hotkey == entry.hotkey:
            return None
        rule = DuplicateRule.SAME_CONTENT if each == sha256 else DuplicateRule.SHARED_CHECKPOINT
        return _refusal(rule, hotkey, claim)

    def claim_of(self, entry: SubmittedImage) -> Claim:
        """The claim of the entry's hotkey to its image."""
        known = self._holders(entry.image.sha256).get(entry.hotkey)
        return known or Claim(entry.submitted_s, entry.submitted_s)

    def _with_layers_of(self, sha256: str) -> list[str]:
        """The digests of all images with the same layers, the image's own first."""
        while rows := self._records.read(IMAGES, after=self._position):
            self._layers |= {row.key: str(row.facts["layers_sha256"]) for row in rows}
            self._position = rows[-1].position
        own = self._layers.get(sha256)
        return [sha256, *(each for each, layers in self._layers.items() if layers == own and each != sha256)]


def _refusal(rule: DuplicateRule, hotkey: str, claim: Claim) -> Failure:
    sentence = f"Copy of {hotkey}: {_SHARED[rule]} its image, which was submitted first, at {claim.submitted_s}."
    return Failure(rule.value, sentence)


def alike_images(clips: ClipSet, enhanced: Path, measured: Mapping[str, MeasuredImage]) -> Sequence[Likeness]:
    """The pairs of images whose enhanced audio agrees as only that of copies does, over the first scored clips.

    `enhanced` has a folder per entry, named by its id, with the audio of each attempt. `measured` is in
    the order of submission. An image whose audio cannot be read is left out, and logged: the others need the round.

    Raises:
        InfrastructureFault: a clip of the set cannot be read.
    """
    from soundsright.copies import near_copies

    if len(measured) < 2:
        return ()
    scored = {
        name: {clip.clip_id for clip in one.clips if clip.scores is not None} for name, one in measured.items()
    }
    probes = sorted(set(chain.from_iterable(scored.values())))[:PROBE_CLIPS]
    return near_copies(
        [clips.clean(clip_id).samples for clip_id in probes],
        [clips.degraded(clip_id).audio.samples for clip_id in probes],
        dict(_readable({name: enhanced / name for name in measured}, probes, scored)),
        sample_rate_hz=clips.competition.sample_rate_hz,
    )


def _readable(
    folders: Mapping[str, Path], probes: Sequence[str], scored: Mapping[str, set[str]]
) -> Iterator[tuple[str, EnhancedClips]]:
    """The images whose enhanced audio of the probes can be read."""
    for name, folder in folders.items():
        try:
            outputs = EnhancedClips(probes, last_attempt(folder), scored[name])
            for _ in outputs:  # Each clip is read and dropped: all of them together are too large.
                pass
        except InfrastructureFault as fault:
            _log.warning("%s is not compared with others: %s", name, fault, extra={"action": "audio_lost"})
        else:
            yield name, outputs
