"""A model's server that does something else than the model, for demos and tests of provers that are not honest.

    python -m soundsright.testing.false_model models/gtcrn 6501 --delay-s 1.5

It serves a model's folder on a port of this machine, for PROVER_MODEL_ENDPOINT. Times are in seconds. Signals are
float32 arrays of shape `(n,)`, full scale ±1.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from soundsright.core.audio import Audio, Samples

Enhance = Callable[[Samples, int], Samples]


def loaded_app(folder: Path, package: str) -> Any:
    """The package `app` of a model's folder, under a name of its own, so that two can be loaded.

    Raises:
        FileNotFoundError: the folder has no app.
    """
    path = folder / "app" / "__init__.py"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no app/__init__.py")
    spec = importlib.util.spec_from_file_location(package, path, submodule_search_locations=[str(path.parent)])
    assert spec is not None
    assert spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    sys.modules[package] = app
    spec.loader.exec_module(app)
    return app


def delayed(enhance: Enhance, delay_s: float) -> Enhance:
    """The model, with so much more time for each recording."""

    def later(samples: Samples, rate_hz: int) -> Samples:
        time.sleep(delay_s)
        return enhance(samples, rate_hz)

    return later


class Swapped:
    """The first model for so many recordings, and then another one."""

    def __init__(self, first: Enhance, then: Enhance, after: int) -> None:
        self._first, self._then, self._left = first, then, after

    def __call__(self, samples: Samples, rate_hz: int) -> Samples:
        self._left -= 1
        return (self._first if self._left >= 0 else self._then)(samples, rate_hz)


def asking(url: str, receiver: str, key: Path) -> Enhance:
    """The answers of another prover at `url`, which is asked in the name of the hotkey in the file `key`."""
    from soundsright.adapters.peers import Hotkey
    from soundsright.testing.provers import Proxy

    proxy = Proxy(url, receiver, Hotkey.read(key))
    return lambda samples, rate_hz: proxy(Audio(samples.astype(np.float32), rate_hz)).samples


def without_optimised_graphs() -> None:
    """Let ONNX Runtime take other kernels, as another machine or version may: samples differ by a step or two."""
    runtime: Any = importlib.import_module("onnxruntime")

    class PlainOptions(runtime.SessionOptions):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL

    runtime.SessionOptions = PlainOptions


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the folder until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m soundsright.testing.false_model")
    parser.add_argument("folder", type=Path, help="a model's folder")
    parser.add_argument("port", type=int)
    parser.add_argument("--delay-s", type=float, default=0.0, help="more time for each recording")
    parser.add_argument("--other", type=Path, help="the folder of the model that runs later")
    parser.add_argument("--after", type=int, default=0, help="recordings before --other runs")
    parser.add_argument("--ask", nargs=3, metavar=("URL", "HOTKEY", "KEY_FILE"), help="let a prover answer")
    parser.add_argument("--plain", action="store_true", help="run networks without optimised graphs")
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    if chosen.plain:
        without_optimised_graphs()
    serve(chosen.folder, chosen.port, lambda own: _function(chosen, own))


def _function(chosen: argparse.Namespace, own: Enhance) -> Enhance:
    if chosen.ask:
        return asking(chosen.ask[0], chosen.ask[1], Path(chosen.ask[2]))
    enhance = own
    if chosen.other is not None:
        loaded_app(chosen.other, "other_model")
        enhance = Swapped(own, importlib.import_module("other_model.enhance").enhance, chosen.after)
    return delayed(enhance, chosen.delay_s) if chosen.delay_s else enhance


def serve(folder: Path, port: int, change: Callable[[Enhance], Enhance]) -> None:
    """Serve a model's folder on a port of this machine, with the function that `change` makes of its `enhance`."""
    import uvicorn

    loaded_app(folder, "served_model")
    server: Any = importlib.import_module("served_model.server")
    model: Any = importlib.import_module("served_model.enhance")
    model.enhance = change(model.enhance)
    if hasattr(model, "enhance_batch"):
        del model.enhance_batch  # It would take precedence.
    uvicorn.run(server.create_app(), host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
