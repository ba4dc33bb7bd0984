"""Helpers for threads, ONNX sessions, and files inside installed packages."""

import importlib.util
import os
from pathlib import Path


def cpus() -> int:
    """The number of threads that the model may use: SOUNDSRIGHT_CPUS, or one if it is not set."""
    return max(1, int(os.environ.get("SOUNDSRIGHT_CPUS", "1")))


def limit_threads() -> None:
    """Limit numerical libraries to `cpus()` threads. Call it before you import them."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ.setdefault(variable, str(cpus()))


def onnx_session(model_path: Path, *, gpu: bool = True):
    """An ONNX Runtime session on the GPU if the installed runtime supports it, otherwise on `cpus()` threads.

    Use `gpu=False` for a small network that runs once per frame: each call is much faster on the CPU.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # Read at import. Without it, the runtime sends telemetry.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cpus()
    options.inter_op_num_threads = 1
    preferred = ("CUDAExecutionProvider", "CPUExecutionProvider") if gpu else ("CPUExecutionProvider",)
    providers = [name for name in preferred if name in onnxruntime.get_available_providers()]
    return onnxruntime.InferenceSession(model_path, options, providers)


def package_file(package: str, name: str) -> Path:
    """The path of a file inside an installed package. The package is not imported.

    Raises:
        ModuleNotFoundError: the package is not installed.
        FileNotFoundError: the package has no such file.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"The model needs the package {package}. Run pip install -r requirements.txt.", name=package
        )
    path = Path(spec.submodule_search_locations[0], name)
    if not path.is_file():
        raise FileNotFoundError(
            f"The installed package {package} has no file {name}. Run pip install -r requirements.txt."
        )
    return path
