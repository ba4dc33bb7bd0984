"""Plants hallucinations in clips of speech. Signals are float64, shape `(n,)`, full scale ±1; places in samples.

A hallucination is planted in the clean speech, and the degraded clip is made again with the same noise or the same
room. An honest model then enhances it. So its output has the residual noise and the faults of that model, and the
hallucination has no splices that the model made audible. The output is judged beside the original clip.

- `swapped`: a phone becomes another stretch of the same speaker, 60 to 160 ms long, with another spectrum.
- `replaced`: a word becomes another word, spoken by a synthesiser.
- `deleted`: a word is gone.
- `invented`: a pause holds a word of the synthesiser, or one that the same speaker says elsewhere.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

KINDS = ("swapped", "replaced", "deleted", "invented")
RATE_HZ = 16_000
PHONE_S = (0.060, 0.160)
WORD_S = (0.25, 0.60)
PAUSE_S = 0.24
FADE_S = 0.008
OTHER_SPECTRUM_DB = 9.0  # root mean square over bands, between a phone and the one that replaces it

Signal = NDArray[np.float64]
Places = list[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Utterance:
    """Clean speech, and where its phones and words are. The labels of phones are empty if they are unknown."""

    samples: Signal
    phones: Places
    words: Places
    pauses: Places
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Planted:
    """Clean speech with a hallucination in it, and its place."""

    samples: Signal
    kind: str
    place: tuple[int, int]


def band_levels(samples: Signal, hop: int = 160) -> Signal:
    """The level in 20 bands of equal width on the mel scale, in dB, shape `(frames, 20)`, every 10 ms."""
    padded = np.pad(samples, (200, 400))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::hop] * np.hanning(400)
    power = np.abs(np.fft.rfft(frames, 512, axis=1)) ** 2
    mel = np.linspace(0.0, 2595 * np.log10(1 + 7_600 / 700), 21)
    edges = np.round(700 * (10 ** (mel / 2595) - 1) / RATE_HZ * 512).astype(int) + 1
    bands = [power[:, a : max(b, a + 1)].mean(axis=1) for a, b in pairwise(edges)]
    return 10 * np.log10(np.stack(bands, axis=1) + 1e-9)


def segmented(samples: Signal) -> Utterance:
    """Natural speech with its phones and words as the signal shows them.

    A phone lies between two large changes of the spectrum, a word between two dips of the level.
    """
    levels = band_levels(samples)
    loud = np.maximum(levels, levels.max() - 50)
    total = 10 * np.log10((10 ** (levels / 10)).mean(axis=1))
    top = float(np.quantile(total, 0.95))
    change = np.zeros(len(loud))
    change[2:-2] = np.sqrt(((loud[4:] - loud[:-4]) ** 2).mean(axis=1))
    bounds = [t for t in range(2, len(loud) - 2) if change[t] == change[max(0, t - 3) : t + 4].max() > 5.0]
    smooth = np.convolve(total, np.hanning(9) / 4, mode="same")
    dips = [t for t in range(4, len(smooth) - 4) if smooth[t] == smooth[t - 4 : t + 5].min()]
    dips = [0, *dips, len(samples) // 160]
    words = [
        (a * 160, b * 160)
        for i, a in enumerate(dips)
        for b in dips[i + 1 :]
        if WORD_S[0] <= (b - a) / 100 <= WORD_S[1]
        and total[a:b].max() > top - 12
        and np.mean(total[a:b] > top - 25) > 0.8
    ]
    phones = [
        (a * 160, b * 160)
        for a, b in pairwise(bounds)
        if PHONE_S[0] <= (b - a) / 100 <= PHONE_S[1] and total[a:b].mean() > top - 18
    ]
    return Utterance(samples, phones, words, pauses_of(total, top))


def pauses_of(total_db: Signal, top_db: float) -> Places:
    """Stretches of at least `PAUSE_S` that are 35 dB below the loud frames; `total_db` has a value every 10 ms."""
    quiet = np.concatenate([[False], total_db < top_db - 35, [False]])
    edges = np.flatnonzero(quiet[1:] != quiet[:-1]).reshape(-1, 2)
    return [(int(a) * 160, int(b) * 160) for a, b in edges if (b - a) / 100 >= PAUSE_S]


def spoken(text: str, voice: str) -> Utterance:
    """A sentence spoken by flite, with its phones and words as flite timed them."""
    import tempfile
    from pathlib import Path

    from soundsright.data.audio_files import read_file

    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        command = ["flite", "-voice", voice, "-psdur", "-t", text, "-o", str(wav)]
        timed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
        samples = read_file(wav).samples.astype(np.float64)
    ends = [(label, float(end)) for label, end in re.findall(r"(\S+?):([\d.]+)", timed)]
    starts = [0.0, *(end for _, end in ends[:-1])]
    timed_phones = [(label, a, b) for (label, b), a in zip(ends, starts, strict=True)]
    voiced = [(label, round(a * RATE_HZ), round(b * RATE_HZ)) for label, a, b in timed_phones if label != "pau"]
    pauses = [(round(a * RATE_HZ), round(b * RATE_HZ)) for label, a, b in timed_phones if label == "pau"]
    words: Places = []
    at = 0
    for word in re.findall(r"[\w']+", text):
        shown = subprocess.run(
            ["flite", "-voice", voice, "-ps", "-t", word, "-o", "none"], check=True, capture_output=True, text=True
        ).stdout.split()
        count = sum(phone != "pau" for phone in shown)
        if at + count <= len(voiced):
            words.append((voiced[at][1], voiced[at + count - 1][2]))
        at += count
    words = [(a, b) for a, b in words if WORD_S[0] <= (b - a) / RATE_HZ] if at == len(voiced) else []
    kept = [p for p in voiced if PHONE_S[0] <= (p[2] - p[1]) / RATE_HZ <= PHONE_S[1] + 0.04]
    return Utterance(
        samples,
        [(a, b) for _, a, b in kept],
        words,
        [p for p in pauses if p[1] - p[0] >= PAUSE_S * RATE_HZ],
        tuple(p[0] for p in kept),
    )


def _spliced(samples: Signal, place: tuple[int, int], new: Signal) -> Signal:
    """The signal with `new` in the place, cross-faded over `FADE_S` at both ends."""
    start, stop = place[0], min(place[1], len(samples))
    fade = min(round(FADE_S * RATE_HZ), (stop - start) // 2)
    weight = np.ones(stop - start)
    weight[:fade] = np.linspace(0, 1, fade)
    weight[-fade:] = np.linspace(1, 0, fade)
    out = samples.copy()
    out[start:stop] = (1 - weight) * out[start:stop] + weight * new[: stop - start]
    return out


def _level(samples: Signal) -> float:
    return float(np.sqrt(np.mean(samples**2)) + 1e-9)


def _fitted(sound: Signal, count: int, level: float) -> Signal:
    """The middle of the sound at that length and level; silence fills what it lacks."""
    sound = sound / _level(sound) * level
    if len(sound) >= count:
        return sound[(len(sound) - count) // 2 :][:count]
    before = (count - len(sound)) // 2
    return np.pad(sound, (before, count - len(sound) - before))


def swapped(utterance: Utterance, rng: np.random.Generator) -> Planted | None:
    """A phone replaced by another of the same clip; None if no two differ enough."""
    x, levels = utterance.samples, band_levels(utterance.samples)
    means = [np.maximum(levels[a // 160 : b // 160], levels.max() - 50).mean(axis=0) for a, b in utterance.phones]
    shapes = [m - m.mean() for m in means]
    for i in rng.permutation(len(shapes)):
        a, b = utterance.phones[i]
        others = [
            j
            for j, (c, d) in enumerate(utterance.phones)
            if d - c >= 0.75 * (b - a)
            and np.sqrt(np.mean((shapes[i] - shapes[j]) ** 2)) >= OTHER_SPECTRUM_DB
            and (not utterance.labels or utterance.labels[i] != utterance.labels[j])
        ]
        if others:
            c, d = utterance.phones[int(rng.choice(others))]
            middle = (c + d) // 2
            start = min(max(0, middle - (b - a) // 2), len(x) - (b - a))
            donor = x[start : start + b - a]
            gain = min(max(_level(donor), _level(x[a:b]) * 0.5), _level(x[a:b]) * 2) / _level(donor)
            return Planted(_spliced(x, (a, b), donor * gain), "swapped", (a, b))
    return None


def replaced(utterance: Utterance, rng: np.random.Generator, words: Sequence[Signal]) -> Planted | None:
    """A word replaced by one of the synthesiser's `words` of similar length; None without a word."""
    if not utterance.words:
        return None
    a, b = utterance.words[int(rng.integers(len(utterance.words)))]
    nearest = sorted(range(len(words)), key=lambda i: abs(len(words[i]) - (b - a)))[:8]
    word = words[nearest[int(rng.integers(len(nearest)))]]
    new = _fitted(word, b - a, _level(utterance.samples[a:b]))
    return Planted(_spliced(utterance.samples, (a, b), new), "replaced", (a, b))


def deleted(utterance: Utterance, rng: np.random.Generator) -> Planted | None:
    """A word that becomes silence; None without a word."""
    if not utterance.words:
        return None
    a, b = utterance.words[int(rng.integers(len(utterance.words)))]
    return Planted(_spliced(utterance.samples, (a, b), np.zeros(b - a)), "deleted", (a, b))


def invented(utterance: Utterance, rng: np.random.Generator, words: Sequence[Signal]) -> Planted | None:
    """A pause with a word in it, 0 to 6 dB below the clip's active speech; None without a pause."""
    if not utterance.pauses:
        return None
    start, stop = utterance.pauses[int(rng.integers(len(utterance.pauses)))]
    own = [utterance.samples[a:b] for a, b in utterance.words]
    pool = own if own and rng.random() < 0.5 else list(words)
    word = pool[int(rng.integers(len(pool)))]
    count = min(len(word), stop - start)
    at = start + int(rng.integers(stop - start - count + 1))
    x = utterance.samples
    active = _level(x[np.abs(x) > 0.05 * np.abs(x).max()])
    new = _fitted(word, count, active * float(10 ** (-rng.uniform(0, 6) / 20)))
    return Planted(_spliced(x, (at, at + count), new), "invented", (at, at + count))


def planted(utterance: Utterance, kind: str, rng: np.random.Generator, words: Sequence[Signal]) -> Planted | None:
    """The utterance with a hallucination of that kind; None if it has no place for one."""
    if kind == "swapped":
        return swapped(utterance, rng)
    if kind == "deleted":
        return deleted(utterance, rng)
    return (replaced if kind == "replaced" else invented)(utterance, rng, words)
