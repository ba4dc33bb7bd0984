"""Turns trained weights into a model folder: `python -m examples.finetune.export RUN --to my-model`.

Writes `weights.safetensors`, for fine-tuning, and `network.onnx`, which the folder's app runs. The network maps
degraded spectra to enhanced ones, both as real and imaginary parts, float32 `(1, frames, bins, 2)`, for any number
of frames. Before any file is replaced, the outputs of both are compared.
"""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path

import click
import numpy as np

from examples.finetune import torch_check  # noqa: F401  # First: it ends the program if torch is missing.
from examples.finetune.checkpoints import load_network, save_weights
from examples.finetune.network import Network
from soundsright.cli.main import run
from soundsright.core.content import sha256_of_file
from soundsright.core.errors import UsageError
from soundsright.data.journal import written_atomically

TOLERANCE = 1e-4
"""The largest allowed difference between ONNX Runtime and torch, as a share of the largest value."""


def onnx_bytes(network: Network) -> bytes:
    """The network as an ONNX model for any number of frames."""
    import torch

    example = torch.randn(1, 50, network.config.frame // 2 + 1, 2)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # The tracing exporter needs only torch and onnx, but warns at each use that a newer exporter exists.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(), (example,), stream, dynamo=False, opset_version=17, input_names=["degraded"],
            output_names=["enhanced"], dynamic_axes={"degraded": {1: "frames"}, "enhanced": {1: "frames"}},
        )  # fmt: skip
    return stream.getvalue()


def distance_to_torch(model: bytes, network: Network, frames: int, seed: int = 1) -> float:
    """The largest difference between ONNX Runtime and torch on noise, as a share of the largest value."""
    import onnxruntime
    import torch

    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((1, frames, network.config.frame // 2 + 1, 2)).astype(np.float32)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (ours,) = session.run(None, {"degraded": parts})
    with torch.no_grad():
        theirs = network.eval()(torch.from_numpy(parts)).numpy()
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def export(weights: Path, folder: Path) -> dict[str, str]:
    """Write both files into the folder. Returns their SHA-256 by name.

    Raises:
        UsageError: the weights cannot be read, or ONNX Runtime and torch give different results.
    """
    network = load_network(weights)
    model = onnx_bytes(network)
    for frames in (1, 7, 311):
        distance = distance_to_torch(model, network, frames)
        if not distance <= TOLERANCE:
            raise UsageError(
                f"ONNX Runtime is {distance:.1e} from torch for {frames} frames",
                "Use the versions of torch, onnx and onnxruntime that docs/how-to/train-a-model.md names.",
            )
    folder.mkdir(parents=True, exist_ok=True)
    with written_atomically(folder / "network.onnx") as stream:
        stream.write(model)
    save_weights(folder / "weights.safetensors", network.state_dict(), network.config)
    return {name: sha256_of_file(folder / name) for name in ("network.onnx", "weights.safetensors")}


@click.command()
@click.argument("weights", type=click.Path(path_type=Path))
@click.option("--to", "folder", type=click.Path(path_type=Path), required=True, help="The model's folder.")
def main(weights: Path, folder: Path) -> None:
    """Export WEIGHTS (a file, or a run's folder) into a model's folder."""
    for name, digest in export(weights / "weights.safetensors" if weights.is_dir() else weights, folder).items():
        click.echo(f"{folder / name}  {digest}")


if __name__ == "__main__":
    sys.exit(run(main))
