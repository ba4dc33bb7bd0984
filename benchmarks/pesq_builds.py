"""Whether the `pesq` package gives the same bits under other compiler flags, and what they gain.

    python benchmarks/pesq_builds.py [--outputs 1000]

Builds the installed version once per set of flags into temporary folders, then scores the same signals with all
builds in turn, one process each: hostile outputs of `fuzz_metrics.py` in wide and narrow band, and shipped
recordings in noise. Times are medians of processor time per recording.
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

sys.path.insert(0, str(Path(__file__).parent))
from fuzz_metrics import drawn

from soundsright.core.competition import PUBLISHED
from soundsright.data.clips import draw_clip
from soundsright.data.corpora import Corpus

FLAGS = ("-O2", "-O3", "-O3 -ffp-contract=off -mavx2")
RECORDINGS = 20


def signals(outputs: int) -> list[tuple[int, str, np.ndarray, np.ndarray]]:
    """Rate, mode, clean and output; the recordings come last."""
    found = []
    for index in range(outputs):
        _, clean, output, _ = drawn(1, index)
        if clean.sample_rate_hz == 48_000 or output.shape != clean.samples.shape or not np.isfinite(output).all():
            continue
        for mode in ("nb",) if clean.sample_rate_hz == 8_000 else ("wb", "nb"):
            if clean.samples.any() and output.any():
                found.append((clean.sample_rate_hz, mode, clean.samples, output))
    corpus = Corpus.open()
    for index in range(RECORDINGS):
        clip = draw_clip(PUBLISHED[0], 2, index, corpus=corpus)
        found.append((16_000, "wb", clip.clean.samples, clip.degraded.samples))
    return found


def answer(outputs: int) -> None:
    """Score signal after signal as their numbers come in; print each score's bits and its milliseconds."""
    import pesq

    np.seterr(all="ignore")
    known = signals(outputs)
    print(len(known), flush=True)
    for line in sys.stdin:
        rate, mode, clean, output = known[int(line)]
        start = time.process_time()
        score = float(pesq.pesq(rate, clean, output, mode, on_error=pesq.PesqError.RETURN_VALUES))
        print(json.dumps([score.hex(), (time.process_time() - start) * 1e3]), flush=True)


def built(flags: str, folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    pip += ["--no-deps", "--no-binary", "pesq", "--target", str(folder), f"pesq=={version('pesq')}"]
    subprocess.run(pip, env=os.environ | {"CFLAGS": flags}, check=True)
    return folder


def compare(flags: tuple[str, ...], outputs: int) -> bool:
    with tempfile.TemporaryDirectory() as name:
        children = []
        for number, each in enumerate(flags):
            path = built(each, Path(name) / str(number))
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
        count = min(int(child.stdout.readline()) for child in children)
        rows: list[list[tuple[str, float]]] = [[] for _ in flags]
        for index in range(count):
            for child, row in zip(children, rows, strict=True):
                child.stdin.write(f"{index}\n")
                row.append(tuple(json.loads(child.stdout.readline())))
        for child in children:
            child.stdin.close()
            child.wait()
    print(f"pesq {version('pesq')}, {count} scores\n")
    print("| flags | ms | other bits than the first |\n| --- | ---: | ---: |")
    others = []
    for each, row in zip(flags, rows, strict=True):
        others.append(sum(bits != first for (bits, _), (first, _) in zip(row, rows[0], strict=True)))
        print(f"| {each} | {statistics.median(ms for _, ms in row[-RECORDINGS:]):.1f} | {others[-1]} |")
    return not any(others)


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
