"""Checks whether the `pesq` package gives the same bits with other compiler flags, and measures its speed.

    python benchmarks/pesq_builds.py [--outputs 1000]

Builds the installed version with each set of flags in a temporary folder. Then every build, in its own process,
scores the same signals: hostile outputs of `fuzz_metrics.py` in wide and narrow band, and noisy shipped recordings.
Times are medians of processor time per recording. The exit code is 1 if any bit differs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

if not __package__:  # Run as a file: find the folder `benchmarks` by its name.
    sys.path[0] = str(Path(__file__).parents[1])
from benchmarks.fuzz_metrics import drawn
from soundsright.core.competition import PUBLISHED
from soundsright.data.clips import draw_clip
from soundsright.data.corpora import Corpus

FLAGS = ("-O2", "-O3", "-O3 -ffp-contract=off -mavx2")
RECORDINGS = 20


def signals(outputs: int) -> list[tuple[int, str, np.ndarray, np.ndarray]]:
    """The sample rate, the mode, the clean signal and the output of each case. The recordings are the last ones."""
    cases = []
    for index in range(outputs):
        _, clean, output, _ = drawn(1, index)
        if clean.sample_rate_hz == 48_000 or output.shape != clean.samples.shape or not np.isfinite(output).all():
            continue
        for mode in ("nb",) if clean.sample_rate_hz == 8_000 else ("wb", "nb"):
            if clean.samples.any() and output.any():
                cases.append((clean.sample_rate_hz, mode, clean.samples, output))
    corpus = Corpus.open()
    for index in range(RECORDINGS):
        clip = draw_clip(PUBLISHED[0], 2, index, corpus=corpus)
        cases.append((16_000, "wb", clip.clean.samples, clip.degraded.samples))
    return cases


def read_line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def answer(outputs: int) -> None:
    """For each number on stdin, score the signal of that number. Print the score's bits and the milliseconds."""
    import pesq

    np.seterr(all="ignore")
    cases = signals(outputs)
    print(len(cases), flush=True)
    for line in sys.stdin:
        rate, mode, clean, output = cases[int(line)]
        start = time.process_time()
        score = float(pesq.pesq(rate, clean, output, mode, on_error=pesq.PesqError.RETURN_VALUES))
        print(json.dumps([score.hex(), (time.process_time() - start) * 1e3]), flush=True)


def built(flags: str, folder: Path) -> Path:
    """The folder, with the package built with these flags in it."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    pip += ["--no-deps", "--no-binary", "pesq", "--target", str(folder), f"pesq=={version('pesq')}"]
    subprocess.run(pip, env=os.environ | {"CFLAGS": flags}, check=True)
    return folder


def compare(flags: tuple[str, ...], outputs: int) -> bool:
    """Print a table of the builds. Returns whether all builds give the same bits."""
    with tempfile.TemporaryDirectory() as name:
        children = []
        for number, flag_set in enumerate(flags):
            path = built(flag_set, Path(name) / str(number))
            children.append(
                subprocess.Popen(
                    [sys.executable, __file__, "--answer", "--outputs", str(outputs)],
                    env=os.environ | {"PYTHONPATH": str(path)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    bufsize=1,
                )
            )
        count = min(int(read_line(child)) for child in children)
        rows: list[list[tuple[str, float]]] = [[] for _ in flags]
        for index in range(count):
            for child, row in zip(children, rows, strict=True):
                assert child.stdin is not None
                child.stdin.write(f"{index}\n")
                row.append(tuple(json.loads(read_line(child))))
        for child in children:
            assert child.stdin is not None
            child.stdin.close()
            child.wait()
    print(f"pesq {version('pesq')}, {count} scores\n")
    print("| flags | ms | scores that differ from the first row |\n| --- | ---: | ---: |")
    differing = []
    for flag_set, row in zip(flags, rows, strict=True):
        differing.append(sum(bits != first for (bits, _), (first, _) in zip(row, rows[0], strict=True)))
        print(f"| {flag_set} | {statistics.median(ms for _, ms in row[-RECORDINGS:]):.1f} | {differing[-1]} |")
    return not any(differing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outputs", type=int, default=1_000)
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.answer:
        answer(arguments.outputs)
        return
    sys.exit(0 if compare(FLAGS, arguments.outputs) else 1)


if __name__ == "__main__":
    main()
