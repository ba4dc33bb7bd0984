"""Measures the cost of scoring, and compares time and values with the naive way and other packages, in one run.

    python benchmarks/score.py [--clips 100] [--seconds 4] [--rates 16000 48000] [--dnsmos 2] [--workers 1 2]

Clips are shipped recordings in noise, all of one length, as 16-bit WAV. The enhanced version has 8 dB less
noise. A row with one metric measures that metric alone, on signals in memory. The row "suite" measures seven
metrics on files. Ours runs as in `soundsright score`, in a worker process. The naive way is a loop over `pesq`,
`pystoi` and NumPy in this process that reads the files again for each metric.

Times are milliseconds of processor time per clip on one thread, so other work on the machine matters little. The
two ways take turns, ten clips at a time. Compare ratios rather than milliseconds. The benchmark names and skips
packages of `benchmarks/requirements-score.txt` that are not installed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

# NumPy and torch read these when they are imported, so set them first.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
import psutil
import soundfile
from numpy.typing import NDArray

from soundsright.adapters.machine.pool import ProcessPool
from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.competition import PUBLISHED
from soundsright.data.clips import draw_clip
from soundsright.data.corpora import Corpus
from soundsright.metrics.suite import score_clip, warm_up
from soundsright.services.scoring.folder import ScoreOptions, ScoreSet, score_files, score_set

Signal = NDArray[np.floating]
Measure = Callable[[Signal, Signal, Signal, int], float]

Result = TypeVar("Result")

SIDES = ("clean", "enhanced", "noisy")
PAIR = ("STOI", "ESTOI")
TURN = 10
TRIO = ("SI_SDR", "SI_SIR", "SI_SAR")
SUITE = ("PESQ_WB", "STOI", "ESTOI", "SI_SDR", "SI_SIR", "SI_SAR", "SNR")
OTHERS = ("PESQ_NB", "SSNR", "LSD", "COVL")


def write_clips(folder: Path, rate: int, count: int, seconds: float) -> None:
    """Write `clean`, `noisy` and `enhanced` WAV files of one length."""
    competition = next(c for c in PUBLISHED if c.sample_rate_hz == rate)
    corpus = Corpus.open()
    for side in ("clean", "noisy", "enhanced"):
        (folder / side).mkdir(parents=True)
    for index in range(count):
        clip = draw_clip(competition, 1, index, corpus=corpus)
        clean, noisy = (np.resize(a.samples, round(seconds * rate)) for a in (clip.clean, clip.degraded))
        for side, signal in (("clean", clean), ("noisy", noisy), ("enhanced", clean + 0.4 * (noisy - clean))):
            soundfile.write(folder / side / f"{clip.id}.wav", on_pcm16_grid(signal), rate, subtype="PCM_16")


def naive_measures() -> dict[str, Measure]:
    """The naive way: each metric from its package or a line of NumPy."""
    import pystoi
    import soxr
    from pesq import pesq

    def si_sdr(s: Signal, e: Signal, y: Signal, rate: int) -> float:
        a = np.dot(e, s) / np.dot(s, s)
        return float(10 * np.log10(np.sum((a * s) ** 2) / np.sum((e - a * s) ** 2)))

    def si_sir(s: Signal, e: Signal, y: Signal, rate: int) -> float:
        n = y - s
        a, b = np.dot(e, s) / np.dot(s, s), np.dot(e, n) / np.dot(n, n)
        return float(10 * np.log10(np.sum((a * s) ** 2) / np.sum((b * n) ** 2)))

    def si_sar(s: Signal, e: Signal, y: Signal, rate: int) -> float:
        n = y - s
        a, b = np.dot(e, s) / np.dot(s, s), np.dot(e, n) / np.dot(n, n)
        return float(10 * np.log10(np.sum((a * s) ** 2) / np.sum((e - a * s - b * n) ** 2)))

    def pesq_wb(s: Signal, e: Signal, y: Signal, rate: int) -> float:
        if rate != 16_000:
            s, e = (soxr.resample(x.astype(np.float32), rate, 16_000, quality="HQ") for x in (s, e))
        return float(pesq(16_000, s.astype(np.float32), e.astype(np.float32), "wb"))

    return {
        "PESQ_WB": pesq_wb,
        "STOI": lambda s, e, y, rate: float(pystoi.stoi(s, e, rate)),
        "ESTOI": lambda s, e, y, rate: float(pystoi.stoi(s, e, rate, extended=True)),
        "SI_SDR": si_sdr,
        "SI_SIR": si_sir,
        "SI_SAR": si_sar,
        "SNR": lambda s, e, y, rate: float(10 * np.log10(np.sum(s**2) / np.sum((s - e) ** 2))),
    }


def package_measures() -> Iterator[tuple[str, str, Measure]]:
    """For each package and metric: the package, our name of the metric, and the package's function."""
    try:
        import torch
        from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio, signal_noise_ratio
        from torchmetrics.functional.audio.pesq import perceptual_evaluation_speech_quality
        from torchmetrics.functional.audio.stoi import short_time_objective_intelligibility

        torch.set_num_threads(1)
        t = torch.from_numpy
        yield (
            "torchmetrics",
            "SI_SDR",
            lambda s, e, y, r: float(scale_invariant_signal_distortion_ratio(t(e), t(s))),
        )
        yield "torchmetrics", "SNR", lambda s, e, y, r: float(signal_noise_ratio(t(e), t(s)))
        yield "torchmetrics", "STOI", lambda s, e, y, r: float(short_time_objective_intelligibility(t(e), t(s), r))
        yield (
            "torchmetrics",
            "ESTOI",
            lambda s, e, y, r: float(short_time_objective_intelligibility(t(e), t(s), r, extended=True)),
        )
        yield (
            "torchmetrics",
            "PESQ_WB",
            lambda s, e, y, r: float(perceptual_evaluation_speech_quality(t(e), t(s), r, "wb")),
        )
    except ImportError as missing:
        print(f"torchmetrics is skipped: {missing}")
    try:
        import torch
        from torch_stoi import NegSTOILoss

        losses: dict[tuple[int, bool], Callable[..., Any]] = {}

        def torch_stoi(s: Signal, e: Signal, rate: int, extended: bool) -> float:
            loss = losses.setdefault((rate, extended), NegSTOILoss(rate, extended=extended))
            return -float(loss(torch.from_numpy(e.astype(np.float32)), torch.from_numpy(s.astype(np.float32))))

        yield "torch-stoi", "STOI", lambda s, e, y, r: torch_stoi(s, e, r, False)
        yield "torch-stoi", "ESTOI", lambda s, e, y, r: torch_stoi(s, e, r, True)
    except (ImportError, OSError) as missing:  # it needs torchaudio, which has no build without a GPU
        print(f"torch-stoi is skipped: {missing}")
    try:
        import fast_bss_eval

        yield "fast_bss_eval", "SI_SDR", lambda s, e, y, r: float(fast_bss_eval.si_sdr(s[None], e[None])[0])
    except ImportError as missing:
        print(f"fast_bss_eval is skipped: {missing}")


class Tally:
    """Milliseconds per clip and the largest difference from our score, for each way and metric."""

    def __init__(self, clips: int) -> None:
        self.clips = clips
        self.milliseconds: dict[tuple[str, str], float] = defaultdict(float)
        self.differences: dict[tuple[str, str], float] = defaultdict(float)

    def timed(self, way: str, rows: tuple[str, ...], work: Callable[..., Result], *arguments: object) -> Result:
        start = time.process_time()
        result = work(*arguments)
        for row in rows:
            self.milliseconds[way, row] += (time.process_time() - start) * 1e3 / self.clips
        return result

    def compared(self, way: str, metric: str, value: float, ours: float) -> None:
        self.differences[way, metric] = max(self.differences[way, metric], abs(value - ours))

    def print(self, ways: list[str]) -> None:
        times = self.milliseconds
        print("| | " + " | ".join(ways) + " | naive by ours |")
        print("| --- |" + " ---: |" * (len(ways) + 1))
        for row in (*SUITE, *map(" and ".join, (PAIR, TRIO)), "suite", *OTHERS):
            cells = [f"{times[way, row]:.2f}" if (way, row) in times else "" for way in ways]
            ratio = f"{times['naive', row] / times['ours', row]:.1f}" if ("naive", row) in times else ""
            print(f"| {row} | " + " | ".join(cells) + f" | {ratio} |")
        print("\nLargest difference from our score of a clip, which is rounded to 10 decimals\n")
        print("| | " + " | ".join(ways[1:]) + " |\n| --- |" + " ---: |" * (len(ways) - 1))
        for row in SUITE:
            known = [(way, row) in self.differences for way in ways[1:]]
            cells = [f"{self.differences[w, row]:.1e}" if k else "" for w, k in zip(ways[1:], known, strict=True)]
            print(f"| {row} | " + " | ".join(cells) + " |")


def read(folder: Path, clip: str, side: str, dtype: str) -> Signal:
    samples: Signal = soundfile.read(folder / side / f"{clip}.wav", dtype=dtype)[0]
    return samples


def used_s(processes: list[psutil.Process]) -> float:
    """The seconds of processor time that the processes have used."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


class Worker:
    """A worker as in `soundsright score`, and the processor time that it used on the suite."""

    def __init__(self) -> None:
        self.pool = ProcessPool(1, warm_up=warm_up)
        self.processes = [psutil.Process(self.pool.submit(os.getpid).result())]
        self.before_s = 0.0

    def begin(self, clip: ScoreSet) -> None:
        """Start to count, after a first clip that loads the last libraries."""
        self.scores(clip)
        self.before_s = used_s(self.processes)

    def scores(self, clips: ScoreSet) -> dict[str, dict[str, float]]:
        results = score_files(clips, ScoreOptions(SUITE), pool=self.pool)
        return {result.clip_id: dict(result.scores or {}) for result in results}

    def milliseconds(self, clips: int) -> float:
        return (used_s(self.processes) - self.before_s) * 1e3 / clips

    def close(self) -> None:
        self.pool.close()


def naive_suite(tally: Tally, folder: Path, clip: str, rate: int, measures: dict[str, Measure]) -> dict[str, float]:
    values = {}
    for metric, measure in measures.items():
        sides = tally.timed("naive", ("suite",), lambda: [read(folder, clip, side, "float64") for side in SIDES])
        rows = (metric, *(" and ".join(group) for group in (PAIR, TRIO) if metric in group), "suite")
        values[metric] = tally.timed("naive", rows, measure, *sides, rate)
    return values


def measure_rate(rate: int, count: int, seconds: float, workers: list[int]) -> None:
    naive, packages = naive_measures(), list(package_measures())
    tally = Tally(count)
    with tempfile.TemporaryDirectory() as name, closing(Worker()) as suite:
        folder = Path(name)
        write_clips(folder, rate, count, seconds)
        clips = score_set(*(folder / side for side in SIDES))
        suite.begin(replace(clips, clips=clips.clips[:1]))
        scores: dict[str, dict[str, float]] = {}
        values: dict[str, dict[str, float]] = {}

        def our_turn(block: ScoreSet) -> None:
            scores.update(suite.scores(block))

        def naive_turn(block: ScoreSet) -> None:
            for files in block.clips:
                values[files.id] = naive_suite(tally, folder, files.id, rate, naive)

        # The two ways take turns, ten clips at a time, and each goes first in every other turn.
        for number in range(0, count, TURN):
            block = replace(clips, clips=clips.clips[number : number + TURN])
            for turn in (our_turn, naive_turn)[:: 1 if number // TURN % 2 else -1]:
                turn(block)
        for files in clips.clips:
            for metric, value in values[files.id].items():
                tally.compared("naive", metric, value, scores[files.id][metric])
            sides = [Audio(read(folder, files.id, side, "float32"), rate) for side in SIDES]
            for metric in (*SUITE, *OTHERS):
                tally.timed("ours", (metric,), score_clip, *sides, (metric,))
            for group in (PAIR, TRIO):
                tally.timed("ours", (" and ".join(group),), score_clip, *sides, group)
            arrays = [read(folder, files.id, side, "float64") for side in SIDES]
            for package, metric, measure in packages:
                if metric == "PESQ_WB" and rate != 16_000:
                    continue  # packages do not resample
                value = tally.timed(package, (metric,), measure, *arrays, rate)
                tally.compared(package, metric, value, scores[files.id][metric])
        tally.milliseconds["ours", "suite"] = suite.milliseconds(count)
        print(f"\n### {count} clips of {seconds:g} s at {rate} Hz, ms of processor time per clip\n")
        tally.print(["ours", "naive", *dict.fromkeys(package for package, _, _ in packages)])
        measure_workers(clips, workers)


def measure_workers(clips: ScoreSet, workers: list[int]) -> None:
    """Time the suite by number of workers. Other work on the machine affects the clock more than processor time."""
    print(f"\nThe suite over all clips by workers ({os.cpu_count()} cores, load {os.getloadavg()[0]:.0f} before)\n")
    print("| workers | clock, s | speed-up | processor time of all, s |\n| ---: | ---: | ---: | ---: |")
    base = 0.0
    for number in workers:
        with closing(ProcessPool(number, warm_up=warm_up)) as pool:
            score_files(clips, ScoreOptions(SUITE), pool=pool)
            processes = psutil.Process().children()
            used = used_s(processes)
            start = time.perf_counter()
            score_files(clips, ScoreOptions(SUITE), pool=pool)
            elapsed = time.perf_counter() - start
            used = used_s(processes) - used
        base = base or elapsed * number
        print(f"| {number} | {elapsed:.2f} | {base / elapsed:.2f} | {used:.2f} |")


def measure_dnsmos(count: int, seconds: float) -> None:
    """Compare DNSMOS from its package with ours. Use the clock too, because the package uses all cores."""
    from soundsright.metrics.mos import dnsmos

    corpus = Corpus.open()
    clips = [
        np.resize(draw_clip(PUBLISHED[0], 1, i, corpus=corpus).degraded.samples, round(seconds * 16_000))
        for i in range(count)
    ]
    try:
        from speechmos import dnsmos as package
    except ImportError as missing:
        print(f"speechmos is skipped: {missing}")
        return
    package.run(clips[0], 16_000)
    dnsmos(clips[0])
    wall: dict[str, float] = defaultdict(float)
    processor: dict[str, float] = defaultdict(float)
    largest = 0.0
    for clip in clips:
        values: dict[str, Any] = {}
        for way, work in (("speechmos", lambda c=clip: package.run(c, 16_000)), ("ours", lambda c=clip: dnsmos(c))):
            start, used = time.perf_counter(), time.process_time()
            values[way] = work()
            wall[way] += (time.perf_counter() - start) / count
            processor[way] += (time.process_time() - used) / count
        theirs, ours = values["speechmos"], values["ours"]
        pairs = [(theirs["sig_mos"], ours.sig), (theirs["bak_mos"], ours.bak), (theirs["ovrl_mos"], ours.ovrl)]
        largest = max(largest, *(abs(a - b) for a, b in [*pairs, (theirs["p808_mos"], ours.p808)]))
    print(f"\n### DNSMOS, {count} clips of {seconds:g} s, s per clip\n")
    print("| | wall-clock | processor |\n| --- | ---: | ---: |")
    for way in ("speechmos", "ours"):
        print(f"| {way} | {wall[way]:.2f} | {processor[way]:.2f} |")
    print(f"\nLargest difference: {largest:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rates", type=int, nargs="+", default=[16_000, 48_000], choices=[16_000, 48_000])
    parser.add_argument("--dnsmos", type=int, default=2, help="number of clips for DNSMOS; 0 skips it")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # deprecation warnings of other packages
    warm_up()
    for rate in arguments.rates:
        measure_rate(rate, arguments.clips, arguments.seconds, arguments.workers)
    if arguments.dnsmos:
        measure_dnsmos(arguments.dnsmos, arguments.seconds)


if __name__ == "__main__":
    main()
