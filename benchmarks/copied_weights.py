"""Measures which disguises of weights are found, and what models that were made apart share.

    python benchmarks/copied_weights.py [--clips 4] [--drawn 40]

The weights of the models under models/ are disguised. For each disguise, the part of the excerpts in shared tensors
is printed (`soundsright.copies.excerpts`). Then come the largest parts that two of these models share, and two of
many networks of one architecture with weights drawn apart. At the end, noise is added to the weights of three
models, and the agreement of their outputs with the originals' is printed (`soundsright.copies.behaviour`).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from shutil import copytree

import numpy as np
from numpy.typing import NDArray

if not __package__:  # Run as a file: find the folder `benchmarks` by its name.
    sys.path[0] = str(Path(__file__).parents[1])
from benchmarks.enhancers import MODELS, enhancer_in
from soundsright.copies.behaviour import agreements
from soundsright.copies.containers import tensors_of
from soundsright.copies.excerpts import Excerpts, excerpts_of, merged, shared_excerpts, shared_part
from soundsright.core.competition import PUBLISHED
from soundsright.data.clips import draw_clip
from soundsright.data.corpora import Corpus

Tensors = Sequence[NDArray[np.floating]]
NAMES = ("baseline-denoising-16k", "baseline-dereverberation-16k", "baseline-denoising-48k", "dtln", "gtcrn")
NOISY = ("gtcrn", "dtln", "baseline-denoising-16k")
ROWS = 16
RNG = np.random.default_rng(0)


def rows(tensor: NDArray[np.floating]) -> NDArray[np.floating]:
    """The tensor as rows of equal length. Their number does not matter here."""
    return tensor[: len(tensor) // ROWS * ROWS].reshape(ROWS, -1)


def rounded(tensor: NDArray[np.floating], steps: int) -> NDArray[np.floating]:
    return np.asarray(np.rint(tensor / max(float(np.abs(tensor).max()), 1e-30) * steps))


def noisy(tensor: NDArray[np.floating], part: float) -> NDArray[np.floating]:
    return np.asarray(tensor + part * tensor.std() * RNG.standard_normal(len(tensor)))


DISGUISES: dict[str, Callable[[Tensors], Tensors]] = {
    "scaled": lambda tensors: [0.3 * tensor for tensor in tensors],
    "scaled by rows": lambda tensors: [(rows(t) * RNG.uniform(0.1, 3, (ROWS, 1))).reshape(-1) for t in tensors],
    "split in two": lambda tensors: [half for t in tensors for half in (t[: len(t) // 2], t[len(t) // 2 :])],
    "joined": lambda tensors: [np.concatenate(tensors)],
    "an element more": lambda tensors: [np.append(0.1, tensor) for tensor in tensors],
    "rows in another order": lambda tensors: [rows(t)[RNG.permutation(ROWS)].reshape(-1) for t in tensors],
    "int8": lambda tensors: [rounded(tensor, 127) for tensor in tensors],
    "4 bits": lambda tensors: [rounded(tensor, 7) for tensor in tensors],
    "noise of 1 %": lambda tensors: [noisy(tensor, 0.01) for tensor in tensors],
    "noise of 3 %": lambda tensors: [noisy(tensor, 0.03) for tensor in tensors],
    "noise of 5 %": lambda tensors: [noisy(tensor, 0.05) for tensor in tensors],
}


def weights_of(name: str) -> Tensors:
    files = sorted((MODELS / name).glob("*.onnx"))
    tensors = (tensor for file in files for tensor in tensors_of(file.read_bytes()))
    return [tensor for tensor in tensors if tensor.dtype.kind == "f" and tensor.size >= 2 * ROWS]


def excerpts(tensors: Tensors) -> Excerpts:
    return merged(excerpts_of(np.asarray(tensor, np.float32), number) for number, tensor in enumerate(tensors))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--drawn", type=int, default=40)
    options = parser.parse_args()
    weights = {name: weights_of(name) for name in NAMES}
    originals = {name: excerpts(tensors) for name, tensors in weights.items()}
    print("| weights | found | least shared | most shared |\n| --- | ---: | ---: | ---: |")
    for disguise, change in DISGUISES.items():
        copies = {name: excerpts(change(tensors)) for name, tensors in weights.items()}
        found = sum(shared_excerpts(originals[name], copy) is not None for name, copy in copies.items())
        parts = [shared_part(originals[name], copy) for name, copy in copies.items()]
        print(f"| {disguise} | {found} of {len(parts)} | {min(parts):.0%} | {max(parts):.0%} |")
    apart = max(shared_part(a, b) for a, b in combinations(originals.values(), 2))
    print(f"\nmodels made apart: at most {apart:.1%} shared")
    shapes = [tensor.size for tensor in weights["gtcrn"]]
    drawn = [excerpts([RNG.standard_normal(size) for size in shapes]) for _ in range(options.drawn)]
    most = max(shared_part(a, b) for a, b in combinations(drawn, 2))
    print(f"{options.drawn} networks of one architecture, drawn apart: at most {most:.1%} shared\n")
    noise_in_weights(options.clips)


def noise_in_weights(count: int, parts: Sequence[float] = (0.0, 0.01, 0.03, 0.05, 0.1)) -> None:
    """Print the agreement of the outputs of models whose weights have noise with those of the originals."""
    clips = [draw_clip(PUBLISHED[0], 1, i, corpus=Corpus.open()) for i in range(count)]
    clean, degraded = [c.clean.samples for c in clips], [c.degraded.samples for c in clips]
    print(f"| model | {' | '.join(f'{part:.0%}' for part in parts[1:])} |\n| --- |{' ---: |' * (len(parts) - 1)}")
    for name in NOISY:
        with tempfile.TemporaryDirectory() as folder:
            outputs = {}
            for part in parts:
                copy = Path(copytree(MODELS / name, Path(folder) / f"{name}-{round(100 * part)}"))
                for file in copy.glob("*.onnx"):
                    add_noise(file, part)
                model = enhancer_in(copy)
                outputs[str(part)] = [np.asarray(model.enhance(x, 16_000), dtype=np.float32) for x in degraded]
        found = agreements(clean, degraded, outputs).pairs
        values = (found[str(parts[0]), str(part)] for part in parts[1:])
        print(f"| {name} | {' | '.join(f'{value:.1f} dB' for value in values)} |")


def add_noise(file: Path, part: float) -> None:
    """Add noise to each tensor of a network, relative to the tensor's standard deviation."""
    import onnx
    from onnx import numpy_helper

    network = onnx.load(file)
    for tensor in network.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= 2 * ROWS:
            changed = noisy(values.reshape(-1), part).reshape(values.shape).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
    onnx.save(network, file)


if __name__ == "__main__":
    main()
