"""Runs the shipped models in many circumstances: other threads, kernels, precisions and sandboxes.

Answers are 16-bit integers of shape `(n,)`, one for each model and clip. Each circumstance but the sandboxes is a
process of its own, because libraries choose their kernels and threads once, when they are loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

if not __package__:  # Run as a file: find the folder `benchmarks` by its name.
    sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.enhancers import ENTRIES, MODELS, enhancer
from soundsright.adapters.sandboxes import BubblewrapSandbox, ProcessSandbox
from soundsright.core.audio import Audio, Clip, pcm16
from soundsright.core.competition import PUBLISHED
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.ports import DegradedClip, Sandbox, SandboxLimits
from soundsright.library import model_of_folder

Pcm = NDArray[np.int16]
Answers = dict[tuple[str, str], Pcm]
"""Answers by model and clip."""

BASELINES = tuple(f"baseline-{task}-{rate}" for task in ("denoising", "dereverberation") for rate in ("16k", "48k"))
HONEST = (*BASELINES, *ENTRIES)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
SECONDS = 600.0


@dataclass(frozen=True)
class Circumstance:
    """How models run. `threads` is what a sandbox grants, `environment` is set before any library is loaded.

    `graph` is how ONNX Runtime prepares a network: `optimised` or `plain`. `weights` is their precision. `engine`
    `torch` runs the baselines by PyTorch. `packages` is a folder of other builds that are found first.
    """

    name: str
    threads: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    backwards: bool = False
    graph: str = "optimised"
    weights: str = "float32"
    engine: str = "onnx"
    packages: Path | None = None


REFERENCE = Circumstance("reference")
SAME_MODEL = (
    Circumstance("again, after a new start"),
    Circumstance("the clips in the other order", backwards=True),
    Circumstance("2 threads", threads=2),
    Circumstance("4 threads", threads=4),
    Circumstance("OpenBLAS for Prescott", environment={"OPENBLAS_CORETYPE": "Prescott"}),
    Circumstance("OpenBLAS for Haswell", environment={"OPENBLAS_CORETYPE": "Haswell"}),
    Circumstance("OpenBLAS for SkylakeX", environment={"OPENBLAS_CORETYPE": "SkylakeX"}),
    Circumstance(
        "NumPy without AVX", environment={"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"}
    ),
    Circumstance("ONNX Runtime, graph as written", graph="plain"),
    Circumstance("PyTorch, plain kernels", environment={"ATEN_CPU_CAPABILITY": "default"}, engine="torch"),
    Circumstance("PyTorch, AVX2 kernels", environment={"ATEN_CPU_CAPABILITY": "avx2"}, engine="torch"),
)
"""The same model and the same weights. It must pass in every tier."""
LOWER_PRECISION = (
    Circumstance("weights with 10 bits of fraction (TF32)", weights="tf32"),
    Circumstance("weights of 16 bits (float16)", weights="float16"),
    Circumstance("weights of 16 bits (bfloat16)", weights="bfloat16"),
)
"""The same model with rounded weights, as a GPU may run it."""


def answers_in(circumstance: Circumstance, models: Sequence[str], clips: Mapping[str, Clip]) -> Answers:
    """The models' answers in a circumstance, from a new process. Models that cannot run in it are left out.

    Raises:
        RuntimeError: the process failed.
    """
    settings = {
        "models": list(models),
        "backwards": circumstance.backwards,
        "graph": circumstance.graph,
        "weights": circumstance.weights,
        "engine": circumstance.engine,
    }
    with tempfile.TemporaryDirectory(prefix="repeatability-") as folder:
        given, made = Path(folder, "clips.npz"), Path(folder, "answers.npz")
        signals = {f"{name}|{c.degraded.sample_rate_hz}": c.degraded.samples for name, c in clips.items()}
        np.savez(given, **signals)  # type: ignore[arg-type]
        words = ["-m", "benchmarks.repeatability_runs", json.dumps(settings), str(given), str(made)]
        done = subprocess.run(
            [sys.executable, *words],
            env=_environment(circumstance),
            cwd=MODELS.parent,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        if done.returncode:
            raise RuntimeError(f"{circumstance.name}: {done.stderr.strip()[-500:]}")
        with np.load(made) as file:
            answers: Answers = {}
            for key in file.files:
                model, _, clip = key.partition("|")
                answers[model, clip] = file[key]
            return answers


def _environment(circumstance: Circumstance) -> dict[str, str]:
    threads = str(circumstance.threads)
    folders = (circumstance.packages, MODELS.parent)
    return {
        **os.environ,
        **dict.fromkeys((*THREAD_VARIABLES, "SOUNDSRIGHT_CPUS"), threads),
        **circumstance.environment,
        "PYTHONPATH": os.pathsep.join(str(folder) for folder in folders if folder is not None),
    }


def _work(settings: Mapping[str, Any], given: Path, made: Path) -> None:
    """Run the models on the clips of a file, in this process. Print the models that cannot run."""
    _prepare_onnx(settings["graph"], settings["weights"])
    with np.load(given) as file:
        clips = {key: file[key] for key in file.files}
    rounded = settings["weights"] != "float32" or settings["graph"] != "optimised"
    answers = {}
    for name in settings["models"]:
        if (settings["engine"] == "torch" and name not in BASELINES) or (rounded and not _has_networks(name)):
            continue
        try:
            model = enhancer(name)
            if settings["engine"] == "torch":
                _run_by_torch(model, MODELS / name)
        except ModuleNotFoundError as missing:
            print(f"{name} is left out: {missing}", file=sys.stderr)
            continue
        for key in list(clips)[::-1] if settings["backwards"] else clips:
            clip, _, rate = key.partition("|")
            enhanced = np.asarray(model.enhance(clips[key].copy(), int(rate)), np.float32)
            answers[f"{name}|{clip}"] = pcm16(np.clip(enhanced, -1, 1))
    np.savez(made, **answers)  # type: ignore[arg-type]


def _has_networks(name: str) -> bool:
    """Whether ONNX Runtime runs the model."""
    return "onnx_session" in (MODELS / name / "app" / "enhance.py").read_text()


def _prepare_onnx(graph: str, weights: str) -> None:
    """Let each session of this process read its network with these weights, and prepare it in this way."""
    import onnxruntime

    original = onnxruntime.InferenceSession

    def session(path: Path, options: Any, providers: Any) -> Any:
        if graph == "plain":
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return original(path if weights == "float32" else _rounded(path, weights), options, providers)

    onnxruntime.InferenceSession = session


def _rounded(path: Path, weights: str) -> bytes:
    """The network with its weights rounded."""
    import onnx
    from onnx import numpy_helper

    network = onnx.load(path)
    tensors = list(network.graph.initializer)
    tensors += [a.t for node in network.graph.node if node.op_type == "Constant" for a in node.attribute]
    for tensor in tensors:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 1:  # One number is a constant such as 1e-8, not a weight.
            tensor.CopyFrom(numpy_helper.from_array(_with_fewer_bits(values, weights), tensor.name))
    return bytes(network.SerializeToString())


def _with_fewer_bits(values: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    """The values rounded to another format of numbers."""
    if kind == "float16":
        return values.astype(np.float16).astype(np.float32)
    dropped = {"tf32": 13, "bfloat16": 16}[kind]
    bits = np.ascontiguousarray(values).view(np.uint32)
    half = np.uint32(1 << (dropped - 1))
    return ((bits + half) >> np.uint32(dropped) << np.uint32(dropped)).view(np.float32)


def _run_by_torch(model: Any, folder: Path) -> None:
    import torch

    from examples.finetune.checkpoints import load_network

    torch.set_num_threads(int(os.environ["SOUNDSRIGHT_CPUS"]))
    network, session = load_network(folder / "weights.safetensors").eval(), model.load()

    class Session:
        get_inputs = session.get_inputs

        def run(self, _names: None, inputs: Mapping[str, Any]) -> list[Any]:
            with torch.no_grad():
                return [network(torch.from_numpy(inputs["degraded"])).numpy()]

    model.load = Session


def answers_in_sandbox(sandbox: Sandbox, name: str, clips: Mapping[str, Clip], base: str = "") -> Answers:
    """A model's answers from a sandbox, as a validator runs it. `base` is the image to build on, if it builds one.

    Raises:
        ModelFault: the model did not run there.
    """
    answers: Answers = {}
    with tempfile.TemporaryDirectory(prefix="repeatability-") as parent:
        folder = MODELS / name if not base else _on_base(MODELS / name, Path(parent, name), base)
        for rate_hz, batch in _by_rate(clips).items():
            competition = next(c for c in PUBLISHED if c.sample_rate_hz == rate_hz)
            with (
                model_of_folder(folder, competition, FetchLimits()) as model,
                sandbox.run(model, limits=SandboxLimits()) as running,
            ):
                for answer in running.enhance(batch):
                    if answer.audio is not None:
                        answers[name, answer.clip_id] = pcm16(answer.audio.samples)
    return answers


def _by_rate(clips: Mapping[str, Clip]) -> dict[int, list[DegradedClip]]:
    batches: dict[int, list[DegradedClip]] = {}
    for name, clip in clips.items():
        audio: Audio = clip.degraded
        batches.setdefault(audio.sample_rate_hz, []).append(DegradedClip(name, audio))
    return batches


def _on_base(folder: Path, copy: Path, base: str) -> Path:
    """A copy of a model whose image is built on `base`."""
    shutil.copytree(folder, copy)
    lines = (copy / "Dockerfile").read_text().splitlines()
    lines = [f"FROM {base}" if line.startswith("FROM ") else line for line in lines]
    (copy / "Dockerfile").write_text("\n".join(lines) + "\n")
    return copy


def sandboxes(names: Sequence[str]) -> Iterator[Sandbox]:
    """The sandboxes of these names that work on this machine. Prints the reason for each that does not."""
    if "process" in names:
        yield ProcessSandbox(trusted=True)
    if "bubblewrap" in names:
        bubblewrap = BubblewrapSandbox()
        if (obstacle := bubblewrap.available()) is None:
            yield bubblewrap
        else:
            print(f"bubblewrap is left out: {obstacle}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The process of one circumstance.")
    parser.add_argument("settings", type=json.loads)
    parser.add_argument("given", type=Path)
    parser.add_argument("made", type=Path)
    options = parser.parse_args()
    _work(options.settings, options.given, options.made)
