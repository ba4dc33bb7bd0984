"""Measures how fast sets are made per core, compared with the published recipe and with the unavoidable work.

    OMP_NUM_THREADS=1 python benchmarks/generate.py [--pairs N] [--scaling WORKERS] [--balance]
        [--variation] [--before FOLDER]

The published recipe uses librosa, pyloudnorm and SciPy: load and resample both files, measure the loudness of both,
mix or convolve, write. Both read the same WAV files at 48 kHz and write the same kinds of files; this package also
hashes them and writes its manifest. The times are processor time, so a busy machine changes little; ratios are of
one run. It needs `pip install soundsright[validator] librosa pyloudnorm`. `--variation` needs neither of the last
two: it prints only how fast sets with variation are, relative to sets without it. `--before` also compares with
sets without variation of another version, whose checkout is in the folder, in alternating runs. `--balance` prints
only how fast default sets are, relative to sets of 0.3, whose clips draw recorded noise independently, and how many
noises both have.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from scipy.signal import fftconvolve

from soundsright.data import SetJob, generate_set
from soundsright.data.clips import corpus_sources
from soundsright.data.corpora import Corpus
from soundsright.data.recipe import PUBLISHED_RECIPE, SetRecipe, SetTask
from soundsright.data.recordings import Recording, RecordingSet
from soundsright.data.reverb import reverberant
from soundsright.data.rooms import random_shoebox, simulate
from soundsright.data.sources import RecordedNoise, Rooms, Sources

if TYPE_CHECKING:
    from soundsright.data.counts import Sharing

SECONDS = 4
SOURCE_HZ = 48_000


def material(folder: Path, count: int) -> dict[str, list[Path]]:
    """Write speech of 4 s, noise of 10 s and impulse responses of 3.5 s as 16-bit WAV at 48 kHz."""
    corpus = Corpus.open()
    speech, noise = corpus.speech_for(SOURCE_HZ), corpus.noise_for(SOURCE_HZ)
    rng = np.random.default_rng(1)
    files: dict[str, list[Path]] = {"speech": [], "noise": [], "rir": []}
    for number in range(count):
        words = np.resize(speech.samples(number % len(speech), SOURCE_HZ), SECONDS * SOURCE_HZ)
        sound = np.resize(noise.samples(number % len(noise), SOURCE_HZ), 10 * SOURCE_HZ)
        room = np.zeros(int(3.5 * SOURCE_HZ))
        response = simulate(random_shoebox(rng, rt60_s=(0.3, 2.0)), SOURCE_HZ, rng)
        room[: response.size] = response[: room.size] * 0.5
        for kind, samples in (("speech", words), ("noise", sound), ("rir", room)):
            path = folder / f"{kind}{number:03d}.wav"
            soundfile.write(path, np.clip(samples, -1, 1), SOURCE_HZ, subtype="PCM_16")
            files[kind].append(path)
    return files


class PublishedRecipe:
    """The published recipe: noise and reverberation by loudness (ITU-R BS.1770), one pair after the other."""

    def __init__(self, files: dict[str, list[Path]], rate: int) -> None:
        import pyloudnorm

        self.files, self.rate = files, rate
        self.meter = pyloudnorm.Meter(rate)
        self.rng = np.random.default_rng(0)

    def loudness(self, samples: np.ndarray) -> float:
        return float(self.meter.integrated_loudness(samples))

    def pair(self, task: SetTask, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Clean and degraded speech."""
        return self.noisy_pair(number) if task is SetTask.DENOISING else self.reverberant_pair(number)

    def noisy_pair(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        import librosa
        import pyloudnorm

        clean, _ = librosa.load(self.files["speech"][number % len(self.files["speech"])], sr=self.rate)
        noise, _ = librosa.load(self.files["noise"][int(self.rng.integers(len(self.files["noise"])))], sr=self.rate)
        start = int(self.rng.integers(noise.size - clean.size + 1))
        noise = noise[start : start + clean.size]
        target = self.loudness(clean) - float(self.rng.uniform(-2.5, 17.5))
        noisy = clean + pyloudnorm.normalize.loudness(noise, self.loudness(noise), target)
        peak = np.abs(noisy).max()
        if peak > 0.99:
            clean, noisy = clean * 0.99 / peak, noisy * 0.99 / peak
        return clean, noisy

    def reverberant_pair(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        import librosa
        import pyloudnorm

        clean, _ = librosa.load(self.files["speech"][number % len(self.files["speech"])], sr=self.rate)
        rir, _ = librosa.load(self.files["rir"][int(self.rng.integers(len(self.files["rir"])))], sr=self.rate)
        energy = np.cumsum(rir[::-1] ** 2)[::-1]
        curve = 10 * np.log10(energy / energy[0] + 1e-12)
        np.polyfit(np.flatnonzero((curve < -5) & (curve > -35)) / self.rate, curve[(curve < -5) & (curve > -35)], 1)
        direct = int(np.argmax(np.abs(rir)))
        wet = fftconvolve(clean, rir)[direct : direct + clean.size]
        wet = pyloudnorm.normalize.loudness(wet, self.loudness(wet), self.loudness(clean))
        peak = np.abs(wet).max()
        if peak > 0.99:
            clean, wet = clean * 0.99 / peak, wet * 0.99 / peak
        return clean, wet

    def written_pair(self, out: Path, task: SetTask, number: int) -> None:
        for role, samples in zip(("clean", "degraded"), self.pair(task, number), strict=True):
            folder = out / role
            folder.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / f"{number:06d}.wav", samples, self.rate, subtype="PCM_16")


RECIPE = SetRecipe(measured_rirs=1.0, rt60_s=(0.2, 5.0), duration_s=(SECONDS, SECONDS))


def sources_of(files: dict[str, list[Path]], cache_bytes: int) -> Sources:
    """The same files as sources of this package, with only measured responses."""
    sets = {
        kind: RecordingSet(
            [Recording(p.stem, p, SOURCE_HZ, soundfile.info(p).duration) for p in paths], cache_bytes=cache_bytes
        )
        for kind, paths in files.items()
    }
    rooms = Rooms(sets["rir"], RECIPE.measured_rirs, RECIPE.rt60_s)
    return Sources(sets["speech"], RecordedNoise(sets["noise"]), rooms)


def ours(
    files: dict[str, list[Path]],
    rate: int,
    out: Path,
    task: SetTask,
    pairs: int,
    cache_bytes: int,
    *,
    variation: bool = True,
) -> float:
    """Milliseconds per pair of this package, including manifest and hashes."""
    sources = sources_of(files, cache_bytes)
    recipe = replace(RECIPE, variation=variation)
    job = SetJob(out=out, task=task, sample_rate_hz=rate, count=pairs, seed=1, sources=sources, recipe=recipe)
    return timed(lambda: generate_set(job), pairs)


def timed(work: Callable[[], object], times: int) -> float:
    """Milliseconds of processor time of the work, divided by `times`."""
    start = time.process_time()
    work()
    return (time.process_time() - start) / times * 1e3


def repeated(work: Callable[[int], object], times: int) -> float:
    """Mean milliseconds of processor time of the work for 0, 1, …, `times` - 1."""
    return timed(lambda: [work(number) for number in range(times)], times)


def variation_cost(folder: Path, pairs: int, before: Path | None) -> None:
    """Print the speed with variation relative to that without, each the fastest of several alternating runs."""
    here = Path(__file__).parents[1]
    for task in (SetTask.DENOISING, SetTask.DEREVERBERATION):
        for rate in (16_000, 48_000):
            plain, varied, older = [], [], []
            for _ in range(5):
                plain.append(of_version(here, folder, task, rate, pairs, variation=False))
                varied.append(of_version(here, folder, task, rate, pairs, variation=True))
                if before is not None:
                    older.append(of_version(before, folder, task, rate, pairs, variation=False))
            line = f"{task} at {rate} Hz: {min(plain):.2f} ms a pair, with variation {min(varied):.2f}"
            line += f", {min(plain) / min(varied):.2f}x"
            if older:
                line += f"; the version before {min(older):.2f}, {min(older) / min(varied):.2f}x"
            print(line, flush=True)


def balance_cost(pairs: int) -> None:
    """Print the speed and the sharing of default sets, each the fastest of several alternating runs."""
    from soundsright.core.material import MIXED_NOISE, RECORDED_NOISE

    corpus = Corpus.open()
    independent = replace(PUBLISHED_RECIPE, balance=False)
    kinds = {
        "recorded noise, independent": (independent, RECORDED_NOISE),
        "recorded noise, in turns": (PUBLISHED_RECIPE, RECORDED_NOISE),
        "mixed noise, in turns": (PUBLISHED_RECIPE, MIXED_NOISE),
    }
    for rate in (16_000, 48_000):
        found: dict[str, list[float]] = {name: [] for name in kinds}
        shared: dict[str, Sharing] = {}
        with tempfile.TemporaryDirectory() as folder:
            for turn in range(6):
                for name, (recipe, noise) in kinds.items():
                    job = SetJob(
                        out=Path(folder) / f"{name}{turn}", task=SetTask.DENOISING, sample_rate_hz=rate,
                        count=pairs, seed=turn, recipe=recipe,
                        sources=corpus_sources(corpus, rate, recipe, noise=noise),
                    )  # fmt: skip
                    found[name].append(timed(partial(generate_set, job), pairs))
                    few = replace(job, out=Path(folder) / f"{name}few", count=30)
                    shared[name] = shared.get(name) or generate_set(few).sharing["noises"]
        first = min(found["recorded noise, independent"][1:])
        for name, times in found.items():
            print(
                f"{name} at {rate} Hz: {min(times[1:]):.2f} ms a pair, {first / min(times[1:]):.2f}x; "
                f"30 clips have {shared[name].distinct} noises, the most frequent in {shared[name].most}",
                flush=True,
            )


def of_version(checkout: Path, folder: Path, task: SetTask, rate: int, pairs: int, *, variation: bool) -> float:
    """Milliseconds per pair of the package in that checkout, from the files in the folder."""
    command = [sys.executable, __file__, "--pairs", str(pairs)]
    done = subprocess.run(
        [*command, "--one", str(folder), str(task), str(rate), str(int(variation))],
        env=os.environ | {"PYTHONPATH": str(checkout)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return float(done.stdout)


def one_version(folder: Path, task: SetTask, rate: int, pairs: int, *, variation: bool) -> float:
    """Milliseconds per pair of the imported version, the fastest of three runs after one that reads the files."""
    files = {kind: sorted(folder.glob(f"{kind}*.wav")) for kind in ("speech", "noise", "rir")}
    sources = sources_of(files, 400_000_000)
    recipe = RECIPE
    if "variation" in {field.name for field in fields(SetRecipe)}:
        recipe = replace(RECIPE, variation=variation)
    found = []
    with tempfile.TemporaryDirectory() as name:
        for number in range(4):
            job = SetJob(
                out=Path(name) / f"{number}", task=task, sample_rate_hz=rate, count=pairs, seed=1, sources=sources,
                recipe=recipe,
            )  # fmt: skip
            found.append(timed(partial(generate_set, job), pairs))
    return min(found[1:])


def floors(files: dict[str, list[Path]], rate: int, out: Path, pairs: int) -> dict[str, float]:
    """Milliseconds of the unavoidable work: reading two files at the set's rate, writing two, one convolution."""
    folder = out / "floor"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    samples = 0.1 * rng.standard_normal(SECONDS * rate).astype(np.float32)
    room = rng.standard_normal(int(3.5 * rate)) * np.exp(-6.9 * np.arange(int(3.5 * rate)) / rate)
    soundfile.write(folder / "read.wav", samples, rate, subtype="PCM_16")
    read = repeated(lambda n: [soundfile.read(folder / "read.wav", dtype="float32") for _ in range(2)], pairs)

    def write_two(number: int) -> None:
        for role in "ab":
            soundfile.write(folder / f"{role}{number}.wav", samples, rate, subtype="PCM_16")

    return {
        "read": read,
        "write": repeated(write_two, pairs),
        "convolve": repeated(lambda n: reverberant(samples, room, 0), pairs),
    }


def convolving(files: dict[str, list[Path]], rate: int, pairs: int) -> float:
    """Milliseconds per pair that this package spends in convolution, the only part that a GPU could do."""
    sources = sources_of(files, 400_000_000)
    rng = np.random.default_rng(0)
    dry = 0.1 * rng.standard_normal(SECONDS * rate)
    assert sources.rooms is not None
    rooms = [sources.rooms.draw(rng, rate) for _ in range(len(files["rir"]))]
    return repeated(lambda n: reverberant(dry, rooms[n % len(rooms)].taps, rooms[n % len(rooms)].direct), pairs)


def rooms_line(rate: int) -> str:
    """A line with the mean time of simulating a room."""
    rng = np.random.default_rng(2)
    shoeboxes = [random_shoebox(rng, rt60_s=(1.0, 1.0)) for _ in range(30)]
    each = repeated(lambda n: simulate(shoeboxes[n], rate, rng), 30)
    return f"simulated room at RT60 1 s, {rate // 1000} kHz: {each:.1f} ms"


def scaling(out: Path, pairs: int, most: int) -> None:
    """Print the throughput with 1, 2, 4 … workers, relative to one.

    Wall time includes the start of the workers. `busy` is the processor time of the parent and its workers relative
    to that of one worker; the part above 1 is work that several workers repeat.
    """
    recipe = SetRecipe()
    alone = None
    workers = 1
    while workers <= most:
        job = SetJob(
            out=out / f"workers{workers}", task=SetTask.BOTH, sample_rate_hz=16_000, count=pairs, seed=1,
            sources=corpus_sources(Corpus.open(), 16_000, recipe), recipe=recipe,
        )  # fmt: skip
        start, parent, children = time.perf_counter(), time.process_time(), children_s()
        generate_set(job, workers=workers)
        wall = time.perf_counter() - start
        parent, children = time.process_time() - parent, children_s() - children
        alone = alone or (wall, parent + children)
        print(
            f"{pairs} items of both tasks at 16 kHz, workers {workers}: {pairs / wall:.0f} items a second, ratio "
            f"{alone[0] / wall:.2f}; busy {(parent + children) / alone[1]:.2f}, the parent's share "
            f"{100 * parent / (parent + children):.1f} %"
        )
        workers *= 2


def children_s() -> float:
    """Processor time of all ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peak_memory_mb(folder: Path, count: int) -> float:
    """The largest resident size of any child so far in MB. Call it for growing sets."""
    command = [sys.executable, "-m", "soundsright.data.generate", "--n", str(count), "--sample-rate", "48000"]
    subprocess.run([*command, "--out", str(folder / f"memory{count}")], check=True, stdout=subprocess.DEVNULL)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--sources", type=int, default=24, help="files of each kind; each is used several times")
    parser.add_argument("--balance", action="store_true", help="only the speed and the noises of default sets")
    parser.add_argument("--variation", action="store_true", help="only the speed with variation")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="with --variation: an older checkout")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--scaling", type=int, metavar="WORKERS", help="only throughput with 1, 2, 4 … workers")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # pyloudnorm warns of clipping, which the recipe corrects later.
    pairs = arguments.pairs
    if arguments.one:
        sources, kind, hertz, variation = arguments.one
        print(one_version(Path(sources), SetTask(kind), int(hertz), pairs, variation=variation == "1"))
        return
    if arguments.scaling:
        with tempfile.TemporaryDirectory() as name:
            scaling(Path(name), 10 * pairs, arguments.scaling)
        return
    if arguments.balance:
        balance_cost(pairs)
        return
    if arguments.variation:
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "sources").mkdir()
            material(Path(name) / "sources", arguments.sources)
            variation_cost(Path(name) / "sources", pairs, arguments.before)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Measure this first, because a child's peak starts at the size of this process.
        for count in (pairs, 5 * pairs):
            print(f"peak memory of a set of {count} at 48 kHz, one worker: {peak_memory_mb(folder, count):.0f} MB")
        print("ms a pair on one core            16 kHz           48 kHz")
        (folder / "sources").mkdir()
        files = material(folder / "sources", arguments.sources)
        rows: dict[str, list[float]] = {}
        for rate in (16_000, 48_000):
            out = folder / str(rate)
            floor = floors(files, rate, out, pairs)
            recipe = PublishedRecipe(files, rate)
            for task in (SetTask.DENOISING, SetTask.DEREVERBERATION):
                recipe.pair(task, 0)  # Do not count imports and compilation.
                kind = "noisy" if task is SetTask.DENOISING else "reverberant"
                unavoidable = floor["read"] + floor["write"] + (floor["convolve"] if kind == "reverberant" else 0.0)
                published = repeated(partial(recipe.written_pair, out / "published", task), pairs)
                warm = ours(files, rate, out / f"warm{kind}", task, pairs, 400_000_000)
                cold = ours(files, rate, out / f"cold{kind}", task, pairs, 0)
                rows.setdefault(f"{kind}: published recipe", []).append(published)
                rows.setdefault(f"{kind}: this package", []).append(warm)
                rows.setdefault(f"{kind}: this package, no cache", []).append(cold)
                rows.setdefault(f"{kind}: unavoidable", []).append(unavoidable)
                rows.setdefault(f"{kind}: times the recipe", []).append(published / warm)
                rows.setdefault(f"{kind}: times the unavoidable", []).append(warm / unavoidable)
                rows.setdefault(f"{kind}: pairs a second and core", []).append(1e3 / warm)
                if kind == "reverberant":
                    spent = convolving(files, rate, pairs)
                    rows.setdefault("reverberant: convolution", []).append(spent)
                    rows.setdefault("reverberant: largest gain by a GPU", []).append(warm / (warm - spent))
        for label, values in rows.items():
            print(f"{label:40s}" + "".join(f"{value:10.2f}       " for value in values))
        for rate in (16_000, 48_000):
            print(rooms_line(rate))
        scaling(folder, 3 * pairs, 2)


if __name__ == "__main__":
    main()
