"""Measures the overhead of running models: the time beyond the models' own work, on this machine.

    python benchmarks/execution.py [--models 8] [--clips 100] [--sandbox bubblewrap …]

The overhead of a round is (wall time - own time) / own time. A model's own time is its work on the clips and the
start of its interpreter, which is measured outside any sandbox. The rest is the harness's work: sandbox,
protocol, WAV coding, checks and removal. Timings vary, so compare rows of one run, not of several runs.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

if not __package__:  # Run as a file: find the folder `tests` by its name.
    sys.path[0] = str(Path(__file__).parents[1])

from soundsright.adapters.containers.build_limits import BuildLimits
from soundsright.adapters.containers.docker import DockerSandbox, DockerSettings
from soundsright.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from soundsright.adapters.sandboxes.process import ProcessSandbox
from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.ports import DegradedClip, Sandbox, SandboxLimits
from soundsright.core.submission import FetchedModel
from tests.conftest import DOCKERFILE, KIT, fetched
from tests.engines import BASE, NoEngine, container_engine

RATE_HZ = 16_000
CLIP_S = 4.0
APP = """
from server import *
import time

class Working(Model):
    def enhance(self, request):
        time.sleep({work_s} * len(self.files))
        super().enhance(request)

serve(Working())
"""


def model(folder: Path, work_s: float) -> FetchedModel:
    """A model that waits `work_s` per clip and returns the clip unchanged."""
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "app.py").write_text(APP.format(work_s=work_s))
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "server.py").write_bytes(KIT.read_bytes())
    return fetched(folder)


def clips(count: int) -> list[DegradedClip]:
    rng = np.random.default_rng(0)
    samples = on_pcm16_grid(0.1 * rng.standard_normal(int(CLIP_S * RATE_HZ)))
    return [DegradedClip(f"clip-{n}", Audio(samples, RATE_HZ)) for n in range(count)]


def median_s(repeats: int, action: Callable[[], object]) -> float:
    """The median duration of an action."""
    times = []
    for _ in range(repeats):
        started = time.monotonic()
        action()
        times.append(time.monotonic() - started)
    return statistics.median(times)


def start_and_stop(sandbox: Sandbox, entry: FetchedModel) -> None:
    with sandbox.run(entry, limits=SandboxLimits()):
        pass


def measure(sandbox: Sandbox, folder: Path, models: int, per_model: int, work_s: float, bare_s: float) -> None:
    """Print one sandbox's rows."""
    idle = model(folder / f"{sandbox.name}-idle", 0.0)
    start_and_stop(sandbox, idle)
    start_s = median_s(5, lambda: start_and_stop(sandbox, idle))
    print(f"{sandbox.name}: start, ready, stop: {start_s:.3f} s")

    batch = clips(100)
    size = sum(2 * len(clip.audio) for clip in batch) / 1e6
    with sandbox.run(idle, limits=SandboxLimits()) as running:
        running.enhance(batch)
        round_trip_s = median_s(3, lambda: running.enhance(batch))
    rate = 2 * size / round_trip_s
    print(f"{sandbox.name}: {size:.1f} MB to the model and back: {round_trip_s:.3f} s, {rate:.0f} MB/s")

    batch = clips(per_model)
    entries = [model(folder / f"{sandbox.name}-{n}", work_s) for n in range(models)]
    for entry in entries:
        sandbox.prepare(entry)
    own_s = models * (bare_s + per_model * work_s)
    started = time.monotonic()
    for entry in entries:
        with sandbox.run(entry, limits=SandboxLimits()) as running:
            assert all(answer.failure is None for answer in running.enhance(batch))
    wall_s = time.monotonic() - started
    print(
        f"{sandbox.name}: {models} models x {per_model} clips: {wall_s:.2f} s, {own_s:.2f} s of them the models': "
        f"overhead {100 * (wall_s - own_s) / own_s:.1f} %"
    )


@contextmanager
def sandboxes(names: list[str]) -> Iterator[list[Sandbox]]:
    """The sandboxes of these names that work on this machine. Prints the reason for each that does not."""
    usable: list[Sandbox] = [ProcessSandbox(trusted=True)] if "process" in names else []
    if "bubblewrap" in names:
        bubblewrap = BubblewrapSandbox()
        if (obstacle := bubblewrap.available()) is None:
            usable.append(bubblewrap)
        else:
            print(f"bubblewrap: {obstacle}")
    if "docker" not in names:
        yield usable
        return
    try:
        with container_engine() as engine:
            command = ["docker", *(["-H", engine.url] if engine.url else []), "run", "--rm", "--network", "none"]
            alone_s = median_s(5, lambda: subprocess.run([*command, BASE, "python", "-c", ""], check=True))
            print(f"`docker run` alone, with an interpreter that ends at once: {alone_s:.3f} s")
            yield [*usable, DockerSandbox(engine, settings=DockerSettings(build=BuildLimits(network="none")))]
    except NoEngine as e:
        print(f"docker: {e}")
        yield usable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--work-s", type=float, default=0.05, help="own work of a model per clip, in seconds")
    parser.add_argument("--sandbox", nargs="+", default=["process", "bubblewrap", "docker"])
    arguments = parser.parse_args()
    bare_s = median_s(
        5, lambda: subprocess.run([sys.executable, "-c", "import http.server, zipfile, json"], check=True)
    )
    print(f"an interpreter with the same imports, outside any sandbox: {bare_s:.3f} s")
    with tempfile.TemporaryDirectory() as folder, sandboxes(arguments.sandbox) as usable:
        Path(folder).chmod(0o755)
        for sandbox in usable:
            measure(sandbox, Path(folder), arguments.models, arguments.clips, arguments.work_s, bare_s)


if __name__ == "__main__":
    main()
