"""Measures whether a clip names its recording, by an attacker who has every recording and answers with it.

    OMP_NUM_THREADS=1 python benchmarks/parrot.py [--clips 24] [--seed 1] [--competition DENOISING_16000HZ …]

Three parrots answer for each clip. The first takes the recording whose length is nearest. The second finds it by
the largest normalised cross-correlation in time, and answers with it in place. The third knows how clips are made:
it correlates short windows at every speed that a clip can have, follows the joined pieces, fits the equaliser to
the input by least squares, and answers with the pieces, at the noisy input's places. Each line shows how many clips
named a recording that is in them, and the answers' gain over the unprocessed input, as the mean and the largest.
`before` are sets without variation. A guess is right by chance in `chance` of the clips, because a clip joins
several recordings.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from soundsright.core.audio import Audio, Clip, Samples, on_pcm16_grid
from soundsright.core.competition import PUBLISHED, Competition
from soundsright.data.audio_files import resampled
from soundsright.data.clips import draw_clip
from soundsright.data.corpora import Corpus
from soundsright.data.manifest import recipe_fields, recordings_of
from soundsright.data.recipe import SetRecipe
from soundsright.data.recordings import RecordingSet
from soundsright.data.speed import at_speed
from soundsright.data.variation import SPEED_CHANGES
from soundsright.metrics.suite import score_clip

METRICS = ("SI_SDR", "PESQ_WB", "ESTOI")
SPEEDS = (1000, *(1000 + change for change in SPEED_CHANGES))
COARSE_HZ = 4_000
WINDOW_S, HOP_S = 0.5, 0.125
PROBES, PROBE_S = 4, 1.0
REACH_S = 0.0006  # The equaliser's longest delay.
TOLERANCE_S = 0.003

Signal = NDArray[np.float64]


def sharpened(samples: NDArray[np.floating]) -> Signal:
    """The signal after pre-emphasis, whose correlation has narrow peaks."""
    values = np.asarray(samples, dtype=np.float64)
    return values - 0.95 * np.concatenate([[0.0], values[:-1]])


@dataclass
class Library:
    """All recordings at one rate, at one speed in a row with pauses between, and their spectra at `COARSE_HZ`."""

    source: RecordingSet
    rate: int
    _rows: dict[int, tuple[Signal, NDArray[np.int64], NDArray[np.complex64], Signal]] = field(default_factory=dict)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """The lengths of the recordings in samples."""
        return np.array([self.played(number, 1000).size for number in range(len(self.source))])

    def played(self, number: int, speed: int) -> Samples:
        """A recording at a speed, at the full rate."""
        samples = self.source.samples(number, self.rate)
        return samples if speed == 1000 else at_speed(samples, speed)

    def row(self, speed: int) -> tuple[Signal, NDArray[np.int64], NDArray[np.complex64], Signal]:
        """The row, the start of each recording in it, its spectrum, and its running energy."""
        if speed not in self._rows:
            pause = np.zeros(2 * COARSE_HZ)
            parts, starts, at = [], [], 0
            for number in range(len(self.source)):
                part = sharpened(resampled(self.played(number, speed), self.rate, COARSE_HZ))
                starts.append(at)
                parts += [part, pause]
                at += part.size + pause.size
            row = np.concatenate(parts)
            spectrum = rfft(row.astype(np.float32), next_fast_len(row.size + 8 * COARSE_HZ, real=True))
            energy = np.concatenate([[0.0], np.cumsum(row**2)])
            self._rows[speed] = row, np.array(starts), spectrum, energy
        return self._rows[speed]

    def best(self, window: Signal, speed: int) -> tuple[float, int]:
        """The largest normalised cross-correlation of a coarse window with the row, and its place."""
        row, _, spectrum, energy = self.row(speed)
        size = 2 * (spectrum.size - 1)
        products = irfft(spectrum * np.conj(rfft(window.astype(np.float32), size)), size)
        places = row.size - window.size
        power = energy[window.size : window.size + places] - energy[:places]
        floor = 1e-3 * power.max()
        scores = np.abs(products[:places]) / np.sqrt(np.maximum(power, floor) * (window @ window) + 1e-20)
        place = int(scores.argmax())
        return float(scores[place]), place

    def recording_at(self, speed: int, place: int) -> tuple[int, float]:
        """The recording at a place of the row, and the seconds since its start."""
        starts = self.row(speed)[1]
        number = int(np.searchsorted(starts, place, side="right")) - 1
        return number, (place - int(starts[number])) / COARSE_HZ


@dataclass(frozen=True)
class Answer:
    """An answer, and the recordings that the parrot believes to have found."""

    samples: Samples
    recordings: tuple[str, ...]


def by_length(clip: Clip, library: Library) -> Answer:
    """The recording whose length is nearest, from its start."""
    number = int(np.abs(library.lengths - len(clip.clean)).argmin())
    answer = np.zeros(len(clip.clean), dtype=np.float32)
    recording = library.played(number, 1000)[: answer.size]
    answer[: recording.size] = recording
    return Answer(answer, (library.source.utterance_id(number),))


def by_correlation(clip: Clip, library: Library) -> Answer:
    """The recording with the largest correlation with the whole input, in its place and at its level."""
    noisy = clip.degraded.samples.astype(np.float64)
    size = next_fast_len(2 * noisy.size + int(library.lengths.max()))
    spectrum = np.conj(rfft(noisy, size))
    found: tuple[float, int, int] = (-1.0, 0, 0)
    for number in range(len(library.source)):
        recording = library.played(number, 1000).astype(np.float64)
        products = irfft(rfft(recording, size) * spectrum, size) / np.sqrt(recording @ recording)
        place = int(np.abs(products).argmax())
        if abs(products[place]) > found[0]:
            found = float(abs(products[place])), number, place if place < size // 2 else place - size
    _, number, place = found
    answer = placed(library.played(number, 1000).astype(np.float64), place, noisy.size)
    answer *= (answer @ noisy) / max(float(answer @ answer), 1e-12)
    return Answer(answer.astype(np.float32), (library.source.utterance_id(number),))


def placed(samples: Signal, start: int, count: int) -> Signal:
    """`count` samples from sample `start` on; zeros beyond the ends."""
    out = np.zeros(count)
    low, high = max(0, start), min(samples.size, start + count)
    if high > low:
        out[low - start : high - start] = samples[low:high]
    return out


def by_search(clip: Clip, library: Library) -> Answer:
    """The joined pieces, found at every speed, with the equaliser fitted to the input."""
    rate, noisy = library.rate, clip.degraded.samples.astype(np.float64)
    coarse = sharpened(resampled(clip.degraded.samples, rate, COARSE_HZ))
    probe = round(PROBE_S * COARSE_HZ)
    probes = [coarse[s : s + probe] for s in np.linspace(0, coarse.size - probe, PROBES, dtype=int).tolist()]
    speed = max(SPEEDS, key=lambda each: sorted(library.best(p, each)[0] for p in probes)[-2:])
    answer = np.zeros(noisy.size)
    votes: dict[str, int] = {}
    for number, lead_s, first, last in pieces(coarse, library, speed):
        played = library.played(number, speed).astype(np.float64)
        start, stop = round(first * rate), min(noisy.size, round(last * rate))
        fitted = best_fit(played, round((first + lead_s) * rate), noisy[start:stop], rate)
        answer[start:stop] = fitted
        name = library.source.utterance_id(number)
        votes[name] = votes.get(name, 0) + stop - start
    if not votes:
        return Answer(clip.degraded.samples, ())
    return Answer(answer.astype(np.float32), (max(votes, key=lambda name: votes[name]),))


def pieces(coarse: Signal, library: Library, speed: int) -> Iterator[tuple[int, float, float, float]]:
    """The recording of each piece, its lead over the clip in seconds, and the piece's ends in the clip.

    Neighbouring windows that agree on the recording and the lead are one piece. Other windows are left out.
    """
    window, hop = round(WINDOW_S * COARSE_HZ), round(HOP_S * COARSE_HZ)
    runs: list[list[float]] = []
    for start in range(0, coarse.size - window + 1, hop):
        number, at_s = library.recording_at(speed, library.best(coarse[start : start + window], speed)[1])
        lead = at_s - start / COARSE_HZ
        for run in runs:
            if run[0] == number and abs(run[1] - lead) < TOLERANCE_S:
                run[3] = (start + window) / COARSE_HZ
                run[4] += 1
                break
        else:
            runs.append([number, lead, start / COARSE_HZ, (start + window) / COARSE_HZ, 1])
    for run in sorted(runs, key=lambda run: run[4]):
        if run[4] >= 3:  # The longest run is written last, over the others.
            yield int(run[0]), run[1], run[2], run[3]


def best_fit(played: Signal, start: int, noisy: Signal, rate: int) -> Signal:
    """The recording's stretch at its exact place, filtered by the short filter that fits the input best."""
    reach, slack = round(REACH_S * rate), round(0.002 * rate)
    wide = placed(played, start - slack, noisy.size + 2 * slack)
    size = next_fast_len(wide.size + noisy.size, real=True)
    products = irfft(rfft(wide, size) * np.conj(rfft(noisy, size)), size)[: 2 * slack + 1]
    exact = start - slack + int(np.abs(products).argmax())
    columns = np.stack([placed(played, exact + d, noisy.size) for d in range(-reach, reach + 1)], axis=1)
    gram = columns.T @ columns + 1e-9 * np.eye(columns.shape[1])
    weights = np.linalg.solve(gram + 1e-3 * np.trace(gram) / len(gram) * np.eye(len(gram)), columns.T @ noisy)
    fitted: Signal = columns @ weights
    return fitted


PARROTS: dict[str, Callable[[Clip, Library], Answer]] = {
    "length": by_length,
    "correlation": by_correlation,
    "search": by_search,
}


SETS = (("before", SetRecipe(variation=False)), ("now", SetRecipe()))


def measured(clips: list[Clip], library: Library, parrot: Callable[[Clip, Library], Answer]) -> tuple[int, Signal]:
    """How many clips named a recording that is in them, and the gains `(clips, metrics)` of the answers."""
    found, gains = 0, []
    for clip in clips:
        answer = parrot(clip, library)
        found += named(answer, clip)
        audio = Audio(on_pcm16_grid(answer.samples), clip.clean.sample_rate_hz)
        got, given = (score_clip(clip.clean, each, clip.degraded, METRICS) for each in (audio, clip.degraded))
        gains.append([got[name] - given[name] for name in METRICS])
    return found, np.array(gains)


def chance(clips: list[Clip], recordings: int) -> float:
    """The probability that a guess names a recording of a clip."""
    parts = [len({piece.speech for piece in clip.recipe.pieces} or {clip.recipe.speech}) for clip in clips]
    return float(np.mean(parts)) / recordings


def length_row(competition: Competition, corpus: Corpus, library: Library, count: int) -> tuple[str, ...]:
    """The line of the guess by length over many clips, without scores."""
    clips = [draw_clip(competition, 0, index, corpus=corpus) for index in range(count)]
    found = sum(named(by_length(clip, library), clip) for clip in clips)
    odds = f"{100 * chance(clips, len(library.source)):.1f} %"
    return competition.id, "length", "now", f"{found} of {count}", odds, "", "", ""


def named(answer: Answer, clip: Clip) -> bool:
    """Whether the answer names a recording that is in the clip."""
    return bool(set(answer.recordings) & set(recordings_of(recipe_fields(clip.recipe))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--length-clips", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--competition", nargs="*", default=[c.id for c in PUBLISHED])
    parser.add_argument("--parrot", nargs="*", choices=PARROTS, default=list(PARROTS))
    arguments = parser.parse_args()
    corpus = Corpus.open()
    print(
        "| competition | parrot | set | named | chance | SI-SDR mean, best | PESQ mean, best | ESTOI mean, best |"
    )
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for competition in (c for c in PUBLISHED if c.id in arguments.competition):
        library = Library(corpus.speech_for(competition.sample_rate_hz), competition.sample_rate_hz)
        for name in arguments.parrot:
            if name == "length":
                print(
                    f"| {' | '.join(length_row(competition, corpus, library, arguments.length_clips))} |",
                    flush=True,
                )
            for label, recipe in SETS[1:] if name == "search" else SETS:
                clips = [
                    draw_clip(competition, arguments.seed, n, corpus=corpus, recipe=recipe)
                    for n in range(arguments.clips)
                ]
                found, gains = measured(clips, library, PARROTS[name])
                cells = [
                    f"{column.mean():+.{digits}f}, {column.max():+.{digits}f}"
                    for column, digits in zip(gains.T, (1, 2, 2), strict=True)
                ]
                odds = f"{100 * chance(clips, len(library.source)):.1f} %"
                row = (competition.id, name, label, f"{found} of {len(clips)}", odds, *cells)
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
