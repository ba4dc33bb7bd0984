"""Which phones an English recogniser hears. Signals are float32, shape `(n,)`, at 16 kHz; times in seconds.

`PHONE_SIM` compares the phones heard in the enhanced signal with those heard in the clean one: 1 minus the
Levenshtein distance of the two strings, divided by the length of the clean one's, and not below 0. Silences and
noises are left out. Source: Pirklbauer, Sach, Fluyt, Tirry, Wardah, Moeller, Fingscheidt, "Evaluation Metrics for
Generative Speech Enhancement Methods: Issues and Perspectives", ITG Speech Communication 2023. The paper uses
another recogniser.

The recogniser is `pocketsphinx`, with its acoustic model and its language model of phones. A new decoder hears each
signal, because a decoder keeps an estimate of the noise from one signal to the next. Each signal is first scaled to
the same peak, so its level does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples, pcm16
from soundsright.core.errors import UsageError
from soundsright.metrics.compiled import compiled
from soundsright.metrics.phone_model import (
    HOP_S,
    NOISES,
    SILENCE,
    Float64,
    frame_count,
    model_folder,
    phone_log_likelihoods,
    phone_names,
)

_PEAK = 0.5
_ACOUSTIC_SCALE = 0.6
"""Gives the phones that the recogniser hears in clean clips the highest mean log probability."""

_LONGEST_AT_ONCE_S = 60
"""A longer signal is decoded in parts of this length, which bounds the memory."""


@dataclass(frozen=True)
class Phone:
    """A phone that was heard, from `start_s` to `end_s`. Names are those of the CMU dictionary: "AA", "S"."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, eq=False)
class PhonePosteriors:
    """How likely each phone is in each frame: `probability` has shape `(frames, 42)`; its rows add up to 1.

    Frame `i` is centred 12.8 ms after `i * hop_s`. `names` names the columns.
    """

    names: tuple[str, ...]
    probability: Float64
    hop_s: float = HOP_S


def phone_similarity(clean: Samples, enhanced: Samples) -> float | None:
    """The share of the clean signal's phones that are heard in the enhanced signal, 0 to 1; more is better.

    None if no phone is heard in the clean signal.

    Raises:
        UsageError: pocketsphinx is not installed.
    """
    numbers = {name: number for number, name in enumerate(phone_names())}
    wanted, heard = (
        np.array([numbers[phone.name] for phone in phone_string_with_times(signal)], dtype=np.int64)
        for signal in (clean, enhanced)
    )
    if not len(wanted):
        return None
    return max(0.0, 1.0 - int(edit_distance(wanted, heard)) / len(wanted))


def phone_string_with_times(samples: Samples) -> tuple[Phone, ...]:
    """The phones that the recogniser hears, in order, without silences and noises.

    Raises:
        UsageError: pocketsphinx is not installed.
    """
    folder = model_folder()
    try:
        from pocketsphinx import Decoder
    except ImportError as error:
        raise UsageError(
            f"pocketsphinx cannot be imported: {error}", "Run `pip install 'soundsright[measures]'`."
        ) from error
    signal = pcm16(_at_peak(samples))
    phones: list[Phone] = []
    step = _LONGEST_AT_ONCE_S * round(1 / HOP_S) * 160
    for start in range(0, len(signal), step):
        part = signal[start : start + step]
        if not part.any():
            continue
        # A new decoder for each part: one that heard another signal before can hear other phones.
        decoder = Decoder(
            hmm=str(folder / "en-us"),
            allphone=str(folder / "en-us-phone.lm.bin"),
            lm=None,
            dict=None,
            beam=1e-20,
            pbeam=1e-20,
            lw=2.0,
            loglevel="FATAL",
        )
        decoder.start_utt()
        decoder.process_raw(part.tobytes(), no_search=False, full_utt=True)
        decoder.end_utt()
        first_s = start / 16_000
        frames = frame_count(len(part))
        phones += [
            Phone(
                heard.word, first_s + heard.start_frame * HOP_S, first_s + min(heard.end_frame + 1, frames) * HOP_S
            )
            for heard in decoder.seg() or ()
            # The decoder fills up the end with zeros: its last frames are not in the signal.
            if heard.word not in (SILENCE, *NOISES) and heard.start_frame < frames
        ]
    return tuple(phones)


def phone_posteriors(samples: Samples, scale: float = _ACOUSTIC_SCALE) -> PhonePosteriors:
    """How likely each phone is in each frame of 10 ms, for phones that are equally likely before.

    `scale` multiplies the log likelihoods. Frames of speech depend on each other, so without it nearly every frame
    would name one phone with certainty.

    Raises:
        UsageError: pocketsphinx is not installed.
    """
    scaled = phone_log_likelihoods(_at_peak(samples) * np.float32(32768.0)) * scale
    scaled -= scaled.max(axis=1, keepdims=True)
    likelihood = np.exp(scaled)
    return PhonePosteriors(phone_names(), likelihood / likelihood.sum(axis=1, keepdims=True))


def _at_peak(samples: Samples) -> Samples:
    """The signal with a peak of 0.5; a silent one unchanged. Every finite float32 is allowed."""
    peak = float(np.max(np.abs(samples), initial=0.0))
    if peak == 0.0:
        return samples
    scaled: Samples = (samples.astype(np.float64) / peak * _PEAK).astype(np.float32)
    return scaled


@compiled
def edit_distance(left: NDArray[np.int64], right: NDArray[np.int64]) -> int:
    """The fewest insertions, deletions and substitutions that turn one string into the other (Levenshtein 1966).

    >>> int(edit_distance(np.array([1, 2, 3]), np.array([1, 3, 3, 4])))
    2
    """
    costs = np.arange(len(right) + 1)
    for i in range(len(left)):
        diagonal = costs[0]
        costs[0] = i + 1
        for j in range(len(right)):
            substituted = diagonal + (1 if left[i] != right[j] else 0)
            diagonal = costs[j + 1]
            costs[j + 1] = min(substituted, costs[j] + 1, diagonal + 1)
    return int(costs[len(right)])
