"""A round's set on disk: `clean/`, `degraded/` and a manifest. Every clip follows from the seed and the corpus.

Signals are stored as 16-bit WAV, which keeps a clip's samples exactly. Anyone with the seed and the corpus can make
the same files, and the digest shows whether they are the same.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from soundsright.core.audio import Audio, Clip, digest_of_digests, pcm16
from soundsright.core.competition import Competition
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.core.groups import ClipGroups
from soundsright.core.material import Material
from soundsright.core.ports import DegradedClip, Pool, SpeechSource
from soundsright.data import VALUES_VERSION
from soundsright.services.rounds.hiding import (
    HiddenClip,
    hidden_clip,
    is_private_path,
    manifest_line,
    shown_line,
)
from soundsright.services.rounds.opening import opened


@dataclass(frozen=True)
class SetRequest:
    """The set to draw into `folder`: `count` clips of a competition, from a seed and the material of a round.

    If the set has clips that must not be shown, its manifest without their recipes is written to `shown_folder`.
    `values` is the version of the method that draws an unfit clip again.
    """

    competition: Competition
    seed: int
    count: int
    material: Material
    folder: Path
    shown_folder: Path | None = None
    values: int = VALUES_VERSION

    @property
    def speech(self) -> SpeechSource | None:
        """The new speech of this set; None if it has recorded speech."""
        speech = self.material.speech_for(self.competition.sample_rate_hz)
        return None if speech is None else speech.of_set(self.seed, self.count, self.folder / "speech")


@dataclass(frozen=True)
class ClipSet:
    """A complete set on disk. `digests`, `recipes`, `durations_s` and `hidden` are by clip id.

    `hidden` are the clips that must not be shown yet.
    """

    competition: Competition
    seed: int
    folder: Path
    digests: dict[str, str]
    recipes: dict[str, dict[str, object]]
    durations_s: dict[str, float]
    hidden: Mapping[str, HiddenClip] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return digest_of_digests(self.digests)

    @cached_property
    def named_groups(self) -> ClipGroups | None:
        """The noises, rooms and prompts of the clips, by name; None if the recipes do not say them."""
        from soundsright.data import groups_of

        return groups_of(self.recipes)

    @cached_property
    def groups(self) -> ClipGroups | None:
        """The same groups as numbers, which name no recording."""
        return None if self.named_groups is None else self.named_groups.numbered()

    @property
    def clip_ids(self) -> tuple[str, ...]:
        return tuple(sorted(self.digests))

    def clean(self, clip_id: str) -> Audio:
        return read_wav(self.folder / "clean" / f"{clip_id}.wav")

    def degraded(self, clip_id: str) -> DegradedClip:
        return DegradedClip(clip_id, read_wav(self.folder / "degraded" / f"{clip_id}.wav"))


@dataclass(frozen=True)
class DrawnClips:
    """The clips that a worker drew, by clip id, and the seconds of work. `hidden` are those not to be shown yet."""

    digests: dict[str, str]
    recipes: dict[str, dict[str, object]]
    durations_s: dict[str, float]
    busy_s: float
    hidden: Mapping[str, HiddenClip] = field(default_factory=dict)


def read_wav(path: Path) -> Audio:
    """The signal of a WAV file that this round wrote.

    Raises:
        InfrastructureFault: the file is missing or damaged.
    """
    import soundfile

    try:
        samples, rate = soundfile.read(str(path), dtype="float32")
    except (OSError, soundfile.LibsndfileError) as error:
        raise InfrastructureFault(
            f"{path} cannot be read ({error})",
            "Put the file back, or start again in an empty folder. Do not change the files of a running round.",
        ) from error
    return Audio(samples, int(rate))


def write_wav(path: Path, audio: Audio) -> None:
    """Write a 16-bit WAV. It is written under another name and renamed, so no reader finds an incomplete file.

    Raises:
        InfrastructureFault: the disk is full or not writable.
    """
    import soundfile

    partial = path.with_name(f".{path.name}.part")
    try:
        soundfile.write(str(partial), pcm16(audio.samples), audio.sample_rate_hz, subtype="PCM_16", format="WAV")
        _replace(partial, path)
    except (OSError, soundfile.LibsndfileError) as error:
        partial.unlink(missing_ok=True)
        raise InfrastructureFault(f"{path} cannot be written ({error})", _DISK_REMEDY) from error


def reference_without_value(metrics: Sequence[str], clip: Clip) -> str:
    """Why a clip may not be in a competition: a metric has no value for its clean speech, whatever the answer.

    Such a clip would count at the metric's floor for every entry. Empty if all metrics have a value.
    """
    from soundsright.metrics import why_undefined

    undefined = why_undefined(clip.clean, metrics, clip.degraded)
    return "; ".join(f"{name} has no value for its clean speech: {why.sentence}" for name, why in undefined.items())


def unfit_of(version: int, metrics: Sequence[str]) -> Callable[[Clip], str] | None:
    """Says which clips of a set are drawn again, by a version of the method: version 0 draws none again.

    Raises:
        UsageError: this program does not know the version.
    """
    if not 0 <= version <= VALUES_VERSION:
        raise UsageError(
            f"The set was drawn by version {version} of the method that draws unfit clips again, and this program "
            f"knows versions 0 to {VALUES_VERSION}",
            "Update soundsright.",
        )
    return partial(reference_without_value, tuple(metrics)) if version else None


def draw_to_disk(request: SetRequest, indices: Sequence[int]) -> DrawnClips:
    """Draw the clips with these numbers and write them. A worker runs this."""
    from soundsright.data import draw_clip, recipe_fields, recordings_of

    started = time.perf_counter()
    material, speech = opened(request.material), request.speech
    unfit = unfit_of(request.values, tuple(request.competition.metric_weights))
    digests: dict[str, str] = {}
    recipes: dict[str, dict[str, object]] = {}
    durations_s: dict[str, float] = {}
    hidden: dict[str, HiddenClip] = {}
    for index in indices:
        clip: Clip = draw_clip(
            request.competition,
            request.seed,
            index,
            corpus=material.corpus,
            speech=speech,
            noise=request.material.noise,
            unfit=unfit,
        )
        write_wav(request.folder / "clean" / f"{clip.id}.wav", clip.clean)
        write_wav(request.folder / "degraded" / f"{clip.id}.wav", clip.degraded)
        digests[clip.id] = clip.digest
        recipes[clip.id] = recipe_fields(clip.recipe)
        durations_s[clip.id] = clip.clean.duration_s
        if private_ids := material.private_among(recordings_of(recipes[clip.id])):
            salt = material.salt(f"{request.competition.id}/{request.seed}/{clip.id}")
            hidden[clip.id] = hidden_clip(clip, recipes[clip.id], private_ids, salt)
    return DrawnClips(digests, recipes, durations_s, time.perf_counter() - started, hidden)


MAX_CLIPS_OF_A_JOB = 50
"""Keeps jobs short, because a round that is stopped waits for the running ones."""


def start_set(request: SetRequest, pool: Pool, *, jobs: int) -> list[Future[DrawnClips]]:
    """Start to draw the set on the pool, in `jobs` parts, or more if a part would be too long."""
    for name in ("clean", "degraded"):
        make_folder(request.folder / name)
    count = min(max(jobs, math.ceil(request.count / MAX_CLIPS_OF_A_JOB)), request.count)
    parts = [range(start, request.count, count) for start in range(count)]
    return [pool.submit(draw_to_disk, request, tuple(part)) for part in parts]


def finish_set(request: SetRequest, futures: Sequence[Future[DrawnClips]]) -> ClipSet:
    """Wait for the parts of a set and write its manifest."""
    digests: dict[str, str] = {}
    recipes: dict[str, dict[str, object]] = {}
    durations_s: dict[str, float] = {}
    hidden: dict[str, HiddenClip] = {}
    for future in futures:
        part = future.result()
        digests |= part.digests
        recipes |= part.recipes
        durations_s |= part.durations_s
        hidden |= part.hidden
    lines = [manifest_line(i, digests[i], recipes[i], hidden.get(i)) for i in sorted(digests)]
    write_manifest(request.folder, lines)
    if request.shown_folder is not None:
        make_folder(request.shown_folder)
        write_manifest(request.shown_folder, [shown_line(line, disclosed=False) for line in lines])
    return ClipSet(request.competition, request.seed, request.folder, digests, recipes, durations_s, hidden)


def write_manifest(folder: Path, lines: Iterable[Mapping[str, object]]) -> None:
    """Write the manifest of a set.

    Raises:
        InfrastructureFault: the disk is full or not writable.
    """
    text = "".join(f"{json.dumps(line, sort_keys=True)}\n" for line in lines)
    write_text(folder / "manifest.jsonl", text)


def make_folder(path: Path) -> None:
    """Make the folder and its parents if they do not exist.

    Raises:
        InfrastructureFault: the disk is full or not writable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InfrastructureFault(f"{path} cannot be created ({error})", _DISK_REMEDY) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file. After a crash of the machine it is complete or absent.

    Raises:
        InfrastructureFault: the disk is full or not writable.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        _flush(partial)
        _replace(partial, path)
        _flush(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InfrastructureFault(f"{path} cannot be written ({error})", _DISK_REMEDY) from error


def _replace(partial: Path, path: Path) -> None:
    """Give a complete file its name. In a private folder, only its owner can read it."""
    if is_private_path(path):
        partial.chmod(0o600)
    partial.replace(path)


def flush_files(folder: Path, paths: Iterable[Path]) -> None:
    """Flush the files of a folder and their names to the disk, before a row records them.

    Raises:
        InfrastructureFault: the disk is full, or a file is missing.
    """
    try:
        # A journal writes flushes that come at the same time together.
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(_flush, paths))
        _flush(folder)
    except OSError as error:
        raise InfrastructureFault(f"{folder} cannot be written ({error})", _DISK_REMEDY) from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_DISK_REMEDY = "Check that the disk has space and is writable."
