"""One item of a set from its sources: signals are float32 `(n,)`, full scale ±1; levels in dB.

All random choices come from the generator of (seed, index), and from the turn of the clip in the set of that seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Audio, Clip, ClipRecipe, Samples, on_pcm16_grid, pcm16
from soundsright.core.errors import AudioFileError, SilentRecording, UsageError
from soundsright.core.tasks import CustomTask
from soundsright.data.degradations import degraded_further
from soundsright.data.levels import SILENT_DB, active_level, gain_to
from soundsright.data.mixing import noise_gain, room_below_full_scale
from soundsright.data.origins import Origins
from soundsright.data.recipe import AnySetTask, SetRecipe
from soundsright.data.reverb import reverberant
from soundsright.data.sources import Sources
from soundsright.data.speech import drawn_speech
from soundsright.data.splits import Split
from soundsright.data.turns import NOISE, ROOMS, SPEECH, Turn

_TRIES = 256
"""A clip can join four recordings. If half of all recordings are unusable, this many tries fail once in 10 million
clips."""

Signal = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rendered:
    """One item of a set.

    Attributes:
        signals: by role: `clean`, and `noisy`, `reverberant` or both, or `degraded` for another package's task; all
            of one length.
        degraded: the role of the signal that a model gets.
        text: the spoken text; None if it is unknown or the utterance was cut.
        drawn_from: the speakers, noise recordings and rooms, which splits keep apart.
    """

    id: str
    sample_rate_hz: int
    signals: dict[str, Samples]
    degraded: str
    recipe: ClipRecipe
    text: str | None
    drawn_from: Origins
    split: Split | None

    def as_clip(self) -> Clip:
        """The clean and the degraded signal as a clip on the 16-bit grid."""
        clean, degraded = (
            Audio(on_pcm16_grid(self.signals[role]), self.sample_rate_hz) for role in ("clean", self.degraded)
        )
        return Clip(self.id, clean, degraded, self.recipe)

    @property
    def digest(self) -> str:
        """SHA-256 over the id, the rate and the 16-bit samples. With two signals it equals the clip's digest."""
        n = self.signals["clean"].shape[0]
        h = hashlib.sha256(f"{self.id}:{self.sample_rate_hz}:{n}:".encode())
        for role in ("clean", "reverberant", "noisy", "degraded"):
            if role in self.grid:
                h.update(self.grid[role].data)
        return h.hexdigest()

    @cached_property
    def grid(self) -> dict[str, NDArray[np.int16]]:
        """The signals as little-endian 16-bit integers, as a 16-bit file stores them."""
        return {role: pcm16(samples).astype("<i2", copy=False) for role, samples in self.signals.items()}


def clip_rng(seed: int, index: int, split: Split | None = None) -> np.random.Generator:
    """The random generator of one clip.

    >>> int(clip_rng(7, 17).integers(1_000)) == int(clip_rng(7, 17).integers(1_000))
    True
    """
    if seed < 0 or index < 0:
        raise UsageError(f"Seed {seed} or index {index} is negative", "Choose 0 or larger numbers.")
    key = () if split is None else (list(Split).index(split),)
    return np.random.default_rng(np.random.SeedSequence((seed, index), spawn_key=key))


def clip_id(index: int) -> str:
    """The name of a clip in its set: six digits, so that names sort like numbers.

    >>> clip_id(17)
    '000017'
    """
    return f"{index:06d}"


def render(
    task: AnySetTask,
    sample_rate_hz: int,
    seed: int,
    index: int,
    *,
    sources: Sources,
    recipe: SetRecipe,
    skipped: dict[str, str] | None = None,
    unfit: Callable[[Rendered], str] | None = None,
) -> Rendered:
    """Item `index` of the set of `seed`.

    An unusable recording is an error without `skipped`. With it, the recording's path and the reason are added to
    `skipped`, and another recording is drawn. With `unfit`, an item is drawn again if it gives a reason, or if a
    recording is silent. Sources in order then keep the item's utterance, so that no two items share one.

    Raises:
        UsageError: a source that the task needs is missing, seed or index is negative, or too many recordings in a
            row cannot be used.
        AudioFileError: a recording cannot be used.
    """
    rng = clip_rng(seed, index, sources.split)
    unusable = ""
    passed_over = 0
    for attempt in range(_TRIES):
        try:
            # In the same order, an unusable recording would come again.
            turn = Turn(seed, index, sources.split, (attempt,)) if recipe.balance else None
            rendered = _rendered(rng, task, sample_rate_hz, index, sources, recipe, passed_over, turn)
        except AudioFileError as error:
            unusable = error.problem
            if skipped is not None:
                skipped[error.path] = error.problem.removeprefix(f"{error.path}: ")
                passed_over += 1
            elif unfit is None or not isinstance(error, SilentRecording):
                raise
            continue
        unusable = "" if unfit is None else unfit(rendered)
        if not unusable:
            return rendered
    utterance = index % len(sources.speech) if sources.in_order and skipped is None else None
    raise _never_usable(index, unusable, None if utterance is None else sources.speech.utterance_id(utterance))


def _never_usable(index: int, reason: str, utterance: str | None) -> UsageError:
    """The error after the last try. `utterance` is the one that the item had to keep."""
    if utterance is not None:
        return UsageError(
            f"Item {index}: {_TRIES} draws in a row with the utterance {utterance} cannot be used, the last "
            f"because {reason}",
            "Give other texts or another voice.",
        )
    return UsageError(
        f"Item {index}: {_TRIES} recordings in a row cannot be used, the last because {reason}",
        "Check the folders with `soundsright datasets verify`.",
    )


def _rendered(
    rng: np.random.Generator,
    task: AnySetTask,
    rate: int,
    index: int,
    sources: Sources,
    recipe: SetRecipe,
    passed_over: int,
    turn: Turn | None,
) -> Rendered:
    number = (index + passed_over) % len(sources.speech) if sources.in_order else None
    speech = drawn_speech(rng, sources, rate, recipe, number, _among(turn, SPEECH))
    clean, level_db, facts = speech.samples, speech.level_db, speech.facts
    signals: dict[str, Signal] = {"clean": clean}
    origins = Origins(frozenset({str(facts["speaker"])}))
    extra: dict[str, float | str] = {}
    role = "clean"
    if isinstance(task, CustomTask):
        signals, custom_facts = _custom_signals(task, rng, clean, rate)
        extra |= custom_facts
        role = "degraded"
    if task.has_room:
        signals["clean"], signals["reverberant"], room_facts, extra, origin = _in_room(
            rng, clean, level_db, sources, rate, recipe, _among(turn, ROOMS)
        )
        facts |= room_facts
        origins |= origin
        role = "reverberant"
    if task.has_noise:
        base = "reverberant" if task.has_room and recipe.noise_in_room else "clean"
        if base == "clean" and recipe.early_reflections_s > 0.0:
            level_db = active_level(signals[base], rate).level_db
        signals["noisy"], more, extra["noise_gain"], origin = _with_noise(
            rng, signals[base], level_db, sources, rate, recipe, str(facts["speaker"]), _among(turn, NOISE)
        )
        facts |= more
        origins |= origin
        role = "noisy"
    signals[role], notes = degraded_further(rng, signals[role], rate, recipe)
    gain = room_below_full_scale(*signals.values())  # one for all, so that the ratios between them stay
    extra = {key: value * gain if isinstance(value, float) else value for key, value in extra.items()}
    return Rendered(
        id=clip_id(index),
        sample_rate_hz=rate,
        signals={name: _scaled(signal, gain) for name, signal in signals.items()},
        degraded=role,
        recipe=ClipRecipe(**facts, extra={"speech_gain": gain, **extra, **notes}),
        text=speech.text,
        drawn_from=origins,
        split=sources.split,
    )


def _among(turn: Turn | None, series: int) -> Turn | None:
    return None if turn is None else turn.among(series)


def _scaled(signal: Signal, gain: float) -> Samples:
    """The product as float32, rounded once, without a copy between."""
    out = np.empty(signal.shape, dtype=np.float32)
    np.multiply(signal, gain, out=out, casting="same_kind")
    return out


def _custom_signals(
    task: CustomTask, rng: np.random.Generator, speech: Signal, rate: int
) -> tuple[dict[str, Signal], Mapping[str, float | str]]:
    """The checked signals of another package's task, by role, and facts for the recipe."""
    made = task.degrade(rng, speech.copy(), rate)
    for name, signal in (("clean", made.clean), ("degraded", made.degraded)):
        if signal.shape != speech.shape or not np.isfinite(signal).all():
            raise UsageError(
                f"The task {task.name} returned a {name} signal that is not finite or not of shape {speech.shape}",
                "Update the package that adds the task.",
            )
    signals = {"clean": made.clean.astype(np.float64), "degraded": made.degraded.astype(np.float64)}
    return signals, made.facts


def _with_noise(
    rng: np.random.Generator,
    speech: Signal,
    level_db: float,
    sources: Sources,
    rate: int,
    recipe: SetRecipe,
    speaker: str,
    turn: Turn | None,
) -> tuple[Signal, dict[str, Any], float, Origins]:
    """The noisy speech, the fields of the recipe, the gain of the noise, and its origin."""
    if sources.noise is None:
        raise UsageError(
            "This task needs noise, but no source of noise is given", "Give a noise folder or a kind of noise."
        )
    snr_db = float(rng.uniform(*recipe.snr_db))
    noise = sources.noise.draw(rng, speech.shape[0], rate, avoid=speaker, turn=turn)
    gain = noise_gain(level_db, noise.samples, snr_db=snr_db, noise_level_db=noise.level_db)
    facts = {"noise": noise.id, "noise_offset_s": noise.offset_s, "snr_db": snr_db}
    origin = Origins(noise.speakers, frozenset({noise.recording} - {""}))
    noisy = (noise.samples * gain).astype(np.float64)
    noisy += speech
    return noisy, facts, gain, origin


def _in_room(
    rng: np.random.Generator,
    speech: Signal,
    level_db: float,
    sources: Sources,
    rate: int,
    recipe: SetRecipe,
    turn: Turn | None,
) -> tuple[Signal, Signal, dict[str, Any], dict[str, float | str], Origins]:
    """The target, the reverberant speech at the level of the dry one, recipe fields, notes, and the room."""
    if sources.rooms is None:
        raise UsageError(
            "This task needs rooms, but no source of rooms is given", "Give impulse responses or simulated rooms."
        )
    room = sources.rooms.draw(rng, rate, turn=turn)
    wet = reverberant(speech, room.taps, room.direct)
    wet_db = active_level(wet, rate).level_db
    if wet_db <= SILENT_DB:
        raise SilentRecording(room.id, "lets no speech through", "Remove this impulse response.")
    gain = gain_to(wet_db, level_db)
    target = speech
    if recipe.early_reflections_s > 0.0:
        # Use the gain of the reverberant signal, so that their difference is exactly the part to remove.
        target = reverberant(speech, room.early(recipe.early_reflections_s), room.direct) * gain
    facts = {"rir": room.id, "rt60_s": room.rt60_s}
    kind = "early" if recipe.early_reflections_s > 0.0 else "dry"
    origin = Origins(rooms=frozenset({room.group}))
    return target, wet * gain, facts, {"reverb_gain": gain, "target": kind}, origin
