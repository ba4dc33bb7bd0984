"""What the model may use of the machine: threads, accelerators, and files inside installed packages."""

import importlib.util
import os
from pathlib import Path


def cpus() -> int:
    """How many threads the harness grants: SOUNDSRIGHT_CPUS, else one."""
    return max(1, int(os.environ.get("SOUNDSRIGHT_CPUS", "1")))


def limit_threads() -> None:
    """Keep numerical libraries to the granted threads.  They read these variables once, when they are imported."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ.setdefault(variable, str(cpus()))


def onnx_session(model_path: Path, *, gpu: bool = True):
    """An ONNX Runtime session on the GPU where the installed runtime can use one, else on the granted CPU threads.

    `gpu=False` keeps a small network that is called once per frame on the CPU, where a call costs far less.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # Read at import; else it reports to its maker.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cpus()
    options.inter_op_num_threads = 1
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider") if gpu else ("CPUExecutionProvider",)
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    return onnxruntime.InferenceSession(model_path, options, providers)


def package_file(package: str, name: str) -> Path:
    """A file inside an installed package, which is located and not imported.

    Raises:
        ModuleNotFoundError: if the package is not installed.
        FileNotFoundError: if it holds no such file.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"The model needs the package {package}: pip install -r requirements.txt", name=package
        )
    path = Path(spec.submodule_search_locations[0], name)
    if not path.is_file():
        raise FileNotFoundError(f"{package} is installed without {name}: pip install -r requirements.txt")
    return path
