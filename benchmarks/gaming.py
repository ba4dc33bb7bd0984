"""Fits the distribution of honest systems, and tries the detector of gamed entries on both kinds of systems.

    python benchmarks/gaming.py [--clips 12] [--sets 4] [--write]

Honest systems are the models under models/ whose packages are installed, each alone and mixed with the input at
three ratios, on several seeded sets of the shipped recordings. `--write` writes the fit to the file that the
package reads. Gamed outputs are those that an attacker who has the clean signal could make to raise one metric.
Every honest system is judged by a fit without it.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

if not __package__:  # Run as a file: find the folder `benchmarks` by its name.
    sys.path[0] = str(Path(__file__).parents[1])
from benchmarks.enhancers import ENTRIES, available
from soundsright.core.audio import Audio, Clip, on_pcm16_grid
from soundsright.core.competition import PUBLISHED
from soundsright.data.clips import draw_clip
from soundsright.data.corpora import Corpus
from soundsright.metrics.evidence import ClipEvidence, clip_evidence
from soundsright.metrics.suite import score_clip
from soundsright.ranking import gaming
from soundsright.ranking.gaming import HonestSystems, flags

METRICS = ("PESQ_WB", "ESTOI", "STOI", "SI_SDR")
SHARES = (1.0, 0.8, 0.5, 0.25)
Signal = NDArray[np.floating]
Scores = dict[str, list[float]]
System = tuple[str, Scores, Scores, list[ClipEvidence]]
"""A system's name, its scores, those of the input, and the evidence, on one set."""


def stft(x: Signal) -> tuple[NDArray[np.complex128], int]:
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x.astype(np.float64), 512), 512)[::128]
    return np.fft.rfft(frames * np.sqrt(np.hanning(513)[:-1]), axis=1), len(x)


def istft(spectra: NDArray[np.complex128], n: int) -> Signal:
    frames = np.fft.irfft(spectra, axis=1) * np.sqrt(np.hanning(513)[:-1])
    out = np.zeros(128 * len(frames) + 512)
    for i, frame in enumerate(frames):
        out[128 * i : 128 * i + 512] += frame / 2
    return out[512 : 512 + n]


def scrambled_phase(rng: np.random.Generator, clean: Signal, noisy: Signal, enhanced: Signal) -> Signal:
    """Clean magnitudes with random phases. PESQ and STOI use only magnitudes."""
    spectra, n = stft(clean)
    return istft(np.abs(spectra) * np.exp(2j * np.pi * rng.random(spectra.shape)), n)


def noisy_phase(rng: np.random.Generator, clean: Signal, noisy: Signal, enhanced: Signal) -> Signal:
    """Clean magnitudes with random noise on the phase, a quarter of a turn in standard deviation."""
    spectra, n = stft(clean)
    return istft(spectra * np.exp(2j * np.pi * 0.25 * rng.standard_normal(spectra.shape)), n)


def loudest_bins_only(rng: np.random.Generator, clean: Signal, noisy: Signal, enhanced: Signal) -> Signal:
    """Spectral holes: only the bins within 25 dB of each clean frame's peak remain."""
    spectra, n = stft(enhanced)
    power = np.abs(stft(clean)[0])
    return istft(np.where(power > power.max(axis=1, keepdims=True) * 10 ** (-25 / 20), spectra, 0), n)


def shaped_noise(rng: np.random.Generator, clean: Signal, noisy: Signal, enhanced: Signal) -> Signal:
    """The clean signal with noise that follows its spectrum 6 dB below, where PESQ treats it as masked."""
    spectra, n = stft(clean)
    noise = rng.standard_normal(spectra.shape) + 1j * rng.standard_normal(spectra.shape)
    return istft(spectra + 10 ** (-6 / 20) * np.abs(spectra) * noise / np.sqrt(2), n)


def clicks(rng: np.random.Generator, clean: Signal, noisy: Signal, enhanced: Signal) -> Signal:
    """The clean signal with a loud click every fifth of a second."""
    out = clean.astype(np.float64).copy()
    out[:: 16_000 // 5] = 0.9
    return out


def deleted_half(rng: np.random.Generator, clean: Signal, noisy: Signal, enhanced: Signal) -> Signal:
    """Every second stretch of 0.3 s is silence."""
    return np.where(np.arange(len(enhanced)) // 4_800 % 2, 0.0, enhanced)


def filled_pauses(rng: np.random.Generator, clean: Signal, noisy: Signal, enhanced: Signal) -> Signal:
    """The utterance plus itself backwards."""
    return enhanced + 0.7 * enhanced[::-1]


def the_input(rng: np.random.Generator, clean: Signal, noisy: Signal, enhanced: Signal) -> Signal:
    """The input, a little quieter."""
    return 0.9 * noisy


GAMED: tuple[Callable[[np.random.Generator, Signal, Signal, Signal], Signal], ...] = (
    scrambled_phase, noisy_phase, loudest_bins_only, shaped_noise, clicks, deleted_half, filled_pauses, the_input,
)  # fmt: skip


def scores_of(clips: list[Clip], outputs: list[Signal]) -> tuple[Scores, list[ClipEvidence]]:
    scores: Scores = defaultdict(list)
    evidence = []
    for clip, output in zip(clips, outputs, strict=True):
        enhanced = Audio(on_pcm16_grid(output), 16_000)
        for name, value in score_clip(clip.clean, enhanced, clip.degraded, METRICS).items():
            scores[name].append(value)
        evidence.append(clip_evidence(clip.clean, enhanced, clip.degraded))
    return dict(scores), evidence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--sets", type=int, default=4)
    parser.add_argument("--write", action="store_true", help="write soundsright/ranking/honest_systems.json")
    arguments = parser.parse_args()
    corpus = Corpus.open()
    models = dict(available(tuple(name for name in ENTRIES if name != "wpe")))
    honest: list[System] = []
    gamed: list[System] = []
    for seed in range(arguments.sets):
        clips = [draw_clip(PUBLISHED[0], seed, i, corpus=corpus) for i in range(arguments.clips)]
        base, _ = scores_of(clips, [clip.degraded.samples for clip in clips])
        best: list[Signal] = []
        for name, model in models.items():
            outputs = [model.enhance(clip.degraded.samples, 16_000) for clip in clips]
            best = best or outputs
            for share in SHARES:
                mixed = [share * o + (1 - share) * c.degraded.samples for o, c in zip(outputs, clips, strict=True)]
                scores, evidence = scores_of(clips, mixed)
                honest.append((name, scores, base, evidence))
        for attack in GAMED:
            rng = np.random.default_rng([seed, 1])
            outputs = [
                attack(rng, c.clean.samples, c.degraded.samples, o) for c, o in zip(clips, best, strict=True)
            ]
            scores, evidence = scores_of(clips, outputs)
            gamed.append((attack.__name__, scores, base, evidence))

    fit = HonestSystems.fitted(improvements(honest))
    print(
        f"{len(honest)} honest systems x sets of {arguments.clips} clips; limit {gaming.HIGHEST_Z:g} deviations\n"
    )
    print_table(honest, gamed, fit)
    if arguments.write:
        target = Path(gaming.__file__).with_name("honest_systems.json")
        target.write_text(fit.to_json(), encoding="utf-8")
        print(f"\nwritten: {target}")


def improvements(systems: list[System]) -> dict[str, list[float]]:
    return {m: [float(np.mean(s[m]) - np.mean(b[m])) for _, s, b, _ in systems] for m in METRICS}


def print_table(honest: list[System], gamed: list[System], fit: HonestSystems) -> None:
    print("| system | flagged | highest surprise | deleted | most in a clip | invented |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for group, systems in (("honest", honest), ("gamed", gamed)):
        for name in dict.fromkeys(row[0] for row in systems):
            sets = [row for row in systems if row[0] == name]
            judge = (
                HonestSystems.fitted(improvements([r for r in honest if r[0] != name]))
                if group == "honest"
                else fit
            )
            codes: dict[str, int] = defaultdict(int)
            risen: list[float] = []
            for _, s, b, e in sets:
                for code in {flag.code for flag in flags(s, b, e, honest=judge)}:
                    codes[code] += 1
                gains = {m: float(np.mean(s[m]) - np.mean(b[m])) for m in METRICS}
                risen += [z for m, z in judge.surprise(gains).items() if gains[m] > 0]
            text = ", ".join(f"{code} {count}/{len(sets)}" for code, count in codes.items()) or "no"
            deleted = [x.deleted for row in sets for x in row[3]]
            invented = np.mean([x.hallucinated for row in sets for x in row[3]])
            print(
                f"| {group}: {name} | {text} | {max(risen, default=0.0):.1f} | "
                f"{np.mean(deleted):.1%} | {max(deleted):.1%} | {invented:.1%} |"
            )


if __name__ == "__main__":
    main()
