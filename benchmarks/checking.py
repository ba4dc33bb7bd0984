"""Measures what it costs to make, verify and replay the bundle of a round, beside the round itself.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.checking [--clips 6 18] [--run FOLDER]

Two small rounds with the demo's models give the cost of a round and of its bundle for each result, and so for a
round of 64 entries with 100 clips. A bundle is made in two parts: its record when the round ends, and its file with
the audio. The bundle of such a round, of fakes, is verified without audio and decided again. The audio of the
larger real round is scored again by `soundsright replay --score` and, as files, by `soundsright score`. Times are
processor time of all processes together, so other work on the machine matters little. `--run` keeps the rounds in a
folder, and continues with those that it has.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import soundfile

from benchmarks.replay import bundle_of_fakes
from soundsright.adapters.machine import ProcessPool
from soundsright.adapters.sandboxes import usable_cpus
from soundsright.cli.commands.compete import command as compete
from soundsright.cli.main import run as run_command
from soundsright.metrics import warm_up
from soundsright.services import records
from soundsright.services.records import Packed, check_bundle, open_bundle, write_bundle
from soundsright.services.replay import decided_again, pairs_of, scored_again

ENTRIES, CLIPS = 64, 100
COMPETITION = "DENOISING_16000HZ"
LEVELS = {"5": 0.625, "8": 1.0}
"""libsndfile's numbers for two levels of FLAC."""


@dataclass(frozen=True)
class Cost:
    """Processor time and wall time of a command or a function, in seconds."""

    cpu_s: float
    wall_s: float


@dataclass(frozen=True)
class Round:
    """A finished round with its bundle, and the processor time of both."""

    bundle: Path
    clips: int
    results: int
    round_s: float
    making_s: float
    share_of_wav: float


def cost_of(work: Callable[[], Any]) -> Cost:
    """The cost of a function and of the processes that it started and waited for."""

    def cpu_s() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(each.ru_utime + each.ru_stime for each in used)

    before, started = cpu_s(), time.perf_counter()
    work()
    return Cost(cpu_s() - before, time.perf_counter() - started)


def command(*arguments: str) -> Cost:
    """The cost of `soundsright ARGUMENTS`."""
    program = [sys.executable, "-m", "soundsright", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return cost_of(lambda: subprocess.run(program, check=True, env=environment, stdout=subprocess.DEVNULL))


def real_round(folder: Path, clips: int) -> Round:
    """A round of the demo's models with that many clips. A round that the folder has is not run again."""
    run, kept = folder / f"run-{clips}", folder / f"cost-{clips}.json"
    if not kept.exists():
        kept.write_text(json.dumps(costs_of_a_round(run, clips)))
    costs = json.loads(kept.read_text())
    packed: list[Packed] = []
    packing = cost_of(lambda: packed.append(write_bundle(run, folder / f"round-{clips}.zip")))
    with open_bundle(folder / f"round-{clips}.zip") as bundle:
        results = sum(pair.answer is not None and pair.line.entry != "" for pair in pairs_of(bundle))
    share = packed[0].stored_bytes / packed[0].wav_bytes
    return Round(
        folder / f"round-{clips}.zip", clips, results, costs["round"], costs["record"] + packing.cpu_s, share
    )


def costs_of_a_round(run: Path, clips: int) -> dict[str, float]:
    """The processor time of a round without its record, and that of the record."""
    of_record = [0.0]

    def timed(work: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*arguments: Any) -> Any:
            results: list[Any] = []
            of_record[0] += cost_of(lambda: results.append(work(*arguments))).cpu_s
            return results[0]

        return measured

    options = ("--competition", COMPETITION, "--clips", str(clips), "--pay-on-public-corpus", "--out", str(run))
    with (
        mock.patch.object(records, "round_record", timed(records.round_record)),
        mock.patch.object(records, "write_record", timed(records.write_record)),
        redirect_stdout(io.StringIO()),
    ):
        whole = cost_of(lambda: run_command(compete, list(options)))
    return {"round": whole.cpu_s - of_record[0], "record": of_record[0]}


def print_making(small: Round, large: Round) -> None:
    """The share of a round's time that its bundle takes, measured and for a large round."""
    print("| round | results | round, s | bundle, s | bundle by round |\n| --- | ---: | ---: | ---: | ---: |")
    for each in (small, large):
        name = f"{each.results // each.clips} models x {each.clips} clips"
        ratio = each.making_s / each.round_s
        print(f"| {name} | {each.results} | {each.round_s:.1f} | {each.making_s:.2f} | {ratio:.1%} |")
    more = large.results - small.results
    per_result = [
        (large.round_s - small.round_s) / more,
        (large.making_s - small.making_s) / more,
    ]
    wanted = ENTRIES * CLIPS
    round_s, bundle_s = (each * wanted for each in per_result)
    name = f"{ENTRIES} models x {CLIPS} clips, by the costs of a result"
    print(f"| {name} | {wanted} | {round_s:.0f} | {bundle_s:.1f} | {bundle_s / round_s:.1%} |")


def print_checks(folder: Path) -> None:
    """The time to verify a large bundle without audio, and to decide its round again."""
    with open_bundle(bundle_of_fakes(folder, ENTRIES, CLIPS)) as bundle:
        verified = cost_of(lambda: check_bundle(bundle))
        decided = cost_of(lambda: decided_again(bundle))
    print(f"verified without audio, {ENTRIES} x {CLIPS}: {verified.cpu_s:.2f} s")
    print(f"replay --decide, {ENTRIES} x {CLIPS}: {verified.cpu_s + decided.cpu_s:.2f} s")


def print_scoring(real: Round, folder: Path) -> None:
    """The speed of scoring a bundle again, beside that of scoring the same signals as files."""
    metrics = write_files(real, folder)
    files = [f"--{role}={folder / role}" for role in ("clean", "enhanced", "noisy")]
    replayed = command("replay", str(real.bundle), "--unsigned-ok", "--score", "--work", str(folder / "work"))
    scored = command("score", *files, "--metrics", ",".join(metrics))
    alone = cost_of(lambda: score_bundle(real.bundle))
    results = len(list((folder / "clean").iterdir()))
    print("| command | results | processor time, s | wall time, s | speed by that of score |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, cost in (("score", scored), ("replay --score", replayed), ("its scoring alone", alone)):
        ratio = scored.cpu_s / cost.cpu_s
        print(f"| {name} | {results} | {cost.cpu_s:.1f} | {cost.wall_s:.1f} | {ratio:.2f} |")


def score_bundle(path: Path) -> None:
    """Score the answers of a bundle again, in one worker for each processor, and nothing else."""
    with open_bundle(path) as bundle, closing(ProcessPool(len(usable_cpus()), warm_up=warm_up)) as pool:
        report = scored_again(bundle, pairs_of(bundle), pool)
    if not report.is_same:
        raise SystemExit(str(report.difference))


def write_files(real: Round, folder: Path) -> list[str]:
    """Write the signals of each result as files of one name, and return the metrics of the round."""
    metrics: set[str] = set()
    for role in ("clean", "enhanced", "noisy"):
        (folder / role).mkdir(parents=True)
    with open_bundle(real.bundle) as bundle:
        for number, pair in enumerate(pairs_of(bundle)):
            if pair.answer is None or pair.line.scores is None:
                continue
            metrics |= pair.line.scores.keys()
            for role, sha256 in (("clean", pair.clean), ("enhanced", pair.answer), ("noisy", pair.degraded)):
                (folder / role / f"{number:05d}.wav").write_bytes(bundle.wav(sha256))
    return sorted(metrics)


def print_audio(real: Round) -> None:
    """The size of the audio as a share of WAV, and what other levels of FLAC would give."""
    print(f"audio of the bundle: {real.share_of_wav:.1%} of WAV")
    print("| level of FLAC | share of WAV | processor time, ms per minute of audio |\n| --- | ---: | ---: |")
    with open_bundle(real.bundle) as bundle:
        digests = {s for p in pairs_of(bundle) for s in (p.clean, p.degraded, p.answer) if s is not None}
        wavs = [bundle.wav(sha256) for sha256 in sorted(digests)]
    signals = [soundfile.read(io.BytesIO(wav), dtype="int16") for wav in wavs]
    minutes = sum(len(samples) / rate for samples, rate in signals) / 60
    for level, number in LEVELS.items():
        sizes: list[int] = []

        def encode(number: float = number, sizes: list[int] = sizes) -> None:
            for samples, rate in signals:
                flac = io.BytesIO()
                soundfile.write(flac, samples, rate, format="FLAC", compression_level=number)
                sizes.append(len(flac.getvalue()))

        ms = 1000 * cost_of(encode).cpu_s / minutes
        print(f"| {level} | {sum(sizes) / sum(map(len, wavs)):.1%} | {ms:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, nargs=2, default=[6, 18], help="clips of the two real rounds")
    parser.add_argument("--run", type=Path, help="folder that keeps the rounds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        rounds = options.run or temporary / "rounds"
        rounds.mkdir(parents=True, exist_ok=True)
        small, large = (real_round(rounds, clips) for clips in sorted(options.clips))
        print_making(small, large)
        print_audio(large)
        (temporary / "fakes").mkdir()
        print_checks(temporary / "fakes")
        print_scoring(large, temporary / "files")


if __name__ == "__main__":
    main()
