"""The audio of a listening test: which clips have it, one level for all versions, the anchor, and the disguise.

Signals are float32 of shape `(n,)`, full scale ±1; levels are in dB re full scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from soundsright.core.audio import Audio, Samples, pcm16
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.data import pcm16_file
from soundsright.services.listening.plan import ANCHOR, LOW_ANCHOR, REFERENCE
from soundsright.services.records import RunCompetition
from soundsright.services.rounds import read_wav

LEVEL_DB = -26.0
DITHER_DB = -85.0
MAX_GAIN_DB = 0.1
LOW_PASS_HZ = 3500.0
_FRAME_S = 0.02
_ACTIVE_RATIO = 1e-3
_MAX_PEAK = 0.97


@dataclass(frozen=True)
class Disguise:
    """The differences of a stimulus's file between raters and questions. Nobody can hear them.

    The silence before and the length are those of all stimuli of a question, because raters switch between them.
    """

    lead_s: float
    length: int
    seed: tuple[int, ...]


def stimulus(competition: RunCompetition, clip: str, condition: str) -> Audio:
    """A clip under a condition, at the level of all stimuli.

    Raises:
        InfrastructureFault: the audio is missing or broken.
    """
    clean = _signal(competition, REFERENCE, clip)
    if condition == LOW_ANCHOR:
        audio = low_passed(clean)
    else:
        audio = clean if condition == REFERENCE else _signal(competition, condition, clip)
    return at_level(audio, clean)


def disguised_wav(audio: Audio, disguise: Disguise) -> bytes:
    """The stimulus as a 16-bit WAV of its own: no file of another rater or question has the same bytes or samples.

    The gain changes by at most 0.1 dB, and noise at -85 dB hides what is below it: digital silence, empty bands and
    the last bits of the samples. At a level of -26 dB for speech, both are far below what can be heard.
    """
    rng = np.random.default_rng(disguise.seed)
    start = round(disguise.lead_s * audio.sample_rate_hz)
    samples = np.zeros(disguise.length, np.float64)
    part = audio.samples[: max(0, disguise.length - start)]
    samples[start : start + len(part)] = part * 10 ** (rng.uniform(-MAX_GAIN_DB, MAX_GAIN_DB) / 20)
    # The difference of two uniform numbers is the usual dither: its density is a triangle of variance 1/6.
    triangle = rng.random(disguise.length) - rng.random(disguise.length)
    samples += triangle * (10 ** (DITHER_DB / 20) * math.sqrt(6))
    return wav_bytes(Audio(samples.astype(np.float32), audio.sample_rate_hz))


def at_level(audio: Audio, clean: Audio) -> Audio:
    """The signal scaled to -26 dB where `clean` has speech, or less if a sample would exceed full scale.

    Speech is in the 20 ms frames of `clean` within 30 dB of its loudest one, the same for every version of a clip.
    """
    size = round(_FRAME_S * clean.sample_rate_hz)
    count = min(len(clean), len(audio)) // size
    clean_power = np.square(clean.samples[: count * size].astype(np.float64)).reshape(count, size).mean(axis=1)
    power = np.square(audio.samples[: count * size].astype(np.float64)).reshape(count, size).mean(axis=1)
    is_active = clean_power > clean_power.max(initial=0.0) * _ACTIVE_RATIO
    active_power = float(power[is_active].mean()) if is_active.any() else 0.0
    gain = 10 ** (LEVEL_DB / 20) / np.sqrt(active_power) if active_power > 0 else 1.0
    peak = float(np.abs(audio.samples).max(initial=0.0))
    gain = min(gain, _MAX_PEAK / peak) if peak > 0 else gain
    samples: Samples = (audio.samples * np.float32(gain)).astype(np.float32)
    return Audio(samples, audio.sample_rate_hz)


def low_passed(audio: Audio) -> Audio:
    """The low anchor of ITU-R BS.1534-3: the signal without frequencies above 3.5 kHz."""
    from scipy.signal import butter, sosfiltfilt

    sections = butter(10, LOW_PASS_HZ, fs=audio.sample_rate_hz, output="sos")
    samples: Samples = sosfiltfilt(sections, audio.samples.astype(np.float64)).astype(np.float32)
    return Audio(samples, audio.sample_rate_hz)


def wav_bytes(audio: Audio) -> bytes:
    """The signal as a 16-bit WAV file."""
    return pcm16_file(pcm16(audio.samples), audio.sample_rate_hz, "WAV")


def chosen_clips(competition: RunCompetition, entries: tuple[str, ...], count: int) -> tuple[str, ...]:
    """At most `count` clips with audio of all entries. Those on which the scores differ most are chosen.

    Raises:
        UsageError: no clip has audio of all entries.
    """
    needed = (REFERENCE, ANCHOR, *entries)
    usable = [c for c in competition.clip_ids if all(competition.signal(name, c) is not None for name in needed)]
    by_key = {entry.key: entry for entry in competition.entries}
    if not usable:
        raise _no_clip(competition, needed, {key: entry.label for key, entry in by_key.items()})
    metric = next(iter(competition.paid_metrics), None)

    def spread(clip: str) -> float:
        scores = [by_key[key].scores.get(clip, {}).get(metric or "") for key in entries]
        present = [score for score in scores if score is not None]
        return max(present) - min(present) if present else 0.0

    return tuple(sorted(sorted(usable, key=lambda clip: (-spread(clip), clip))[:count]))


def _no_clip(competition: RunCompetition, needed: tuple[str, ...], labels: dict[str, str]) -> UsageError:
    """The error for a test without clips. It names the signals that have no audio at all."""
    labels = {REFERENCE: "the clean reference", ANCHOR: "the unprocessed input", **labels}
    clips = {name: sum(competition.signal(name, c) is not None for c in competition.clip_ids) for name in needed}
    silent = [labels[name] for name in needed if not clips[name]]
    if silent:
        return UsageError(
            f"No audio of {', '.join(silent)} is in the run",
            "Choose entries with audio with --entry, or a run that kept its audio.",
        )
    counts = ", ".join(f"{labels[name]} {clips[name]}" for name in needed)
    return UsageError(f"No clip has audio of all: clips with audio are {counts}", "Choose other entries.")


def _signal(competition: RunCompetition, name: str, clip: str) -> Audio:
    path = competition.signal(name, clip)
    if path is None:
        raise InfrastructureFault(f"There is no audio of {name} for clip {clip}")
    return read_wav(path)
