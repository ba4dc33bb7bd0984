"""Measures what the executor adds to an image's own time, and how well the times of one image agree.

    python benchmarks/executor_times.py [--times 5] [--work 500]

- Overhead of a run: the time that the host measures for a run, over the time that the same work takes in a bare
  container, which has the clips in its image and answers nobody. At most 10 %.
- Overhead of an image: the wall time of all its runs with the container's start and end, over a bare `docker run`.
- Spread: the largest minus the smallest mean time of one image that is measured `--times` times, over their median.
  At most 5 %. Beside it is the spread of the bare container: no measurement can be steadier than its machine.

Bare containers and measurements take turns, so that a change of the machine's speed meets both. Compare numbers of
one run, not of several runs. It needs a container engine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # Run as a file. Its folder has a coverage.py, which is not the package that numba imports.
    sys.path[0] = str(Path(__file__).parents[1])

from soundsright.adapters.containers.build_limits import BuildLimits
from soundsright.adapters.containers.docker import DockerSandbox, DockerSettings
from soundsright.adapters.containers.engine import Engine
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.image_runs import DealtRuns, dealt_runs
from soundsright.core.images import MeasuredImage
from soundsright.core.submission import FetchedModel
from soundsright.services.executor import ImageMeter, StepLog
from soundsright.services.rounds import ClipSet
from soundsright.testing.fakes import InlinePool
from soundsright.testing.state import MemoryState
from tests.conftest import DOCKERFILE, KIT, fetched
from tests.engines import BASE, container_engine
from tests.services.executor.sets import SteadyReference, small_set

WORK = """
import io

import numpy as np
import soundfile


def enhanced(wav):
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    for _ in range({work}):
        spectrum = np.fft.rfft(samples)
        samples = np.fft.irfft(spectrum * (np.abs(spectrum) > 0.01), len(samples)).astype("float32")
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format="WAV", subtype="FLOAT")
    return out.getvalue()
"""
APP = """
from server import *
from work import enhanced


class Working(Model):
    def enhance(self, request):
        self.files = {name: enhanced(wav) for name, wav in self.files.items()}
        super().enhance(request)


serve(Working())
"""
BARE = """
import json
import time
from pathlib import Path

from work import enhanced

times_s = []
for batch in json.loads(Path("batches.json").read_text()):
    started = time.monotonic()
    for clip_id in batch:
        Path("/tmp", f"{clip_id}.wav").write_bytes(enhanced(Path("clips", f"{clip_id}.wav").read_bytes()))
    times_s.append(time.monotonic() - started)
print(json.dumps(times_s))
"""


@dataclass(frozen=True)
class Timed:
    """The mean time of the scoring runs, and the wall time of everything, in seconds."""

    run_s: float
    wall_s: float


def model(folder: Path, clips: ClipSet, runs: DealtRuns, work: int) -> FetchedModel:
    """A model that can be run by the executor, and alone on the clips in its image."""
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "clips").mkdir()
    for path in (clips.folder / "degraded").glob("*.wav"):
        (folder / "clips" / path.name).write_bytes(path.read_bytes())
    (folder / "batches.json").write_text(json.dumps([*runs.warmups, *runs.scoring]))
    for name, text in (("work.py", WORK.replace("{work}", str(work))), ("app.py", APP), ("bare.py", BARE)):
        (folder / name).write_text(text)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "server.py").write_bytes(KIT.read_bytes())
    return fetched(folder)


def bare(engine: Engine, image: str, rules: ExecutorRules, cpus: int) -> Timed:
    """The same runs in a container that nobody talks to."""
    command = ["docker", *(["-H", engine.url] if engine.url else []), "run", "--rm", "--network", "none"]
    command += ["--cpus", str(cpus), "--env", "OMP_NUM_THREADS=1", image, "python", "bare.py"]
    started = time.monotonic()
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    wall_s = time.monotonic() - started
    return Timed(statistics.mean(json.loads(printed)[rules.warmup_runs :]), wall_s)


def measured(meter: ImageMeter, entry: FetchedModel, clips: ClipSet, folder: Path) -> tuple[Timed, MeasuredImage]:
    state = MemoryState()
    state.begin_round("1", {})
    started = time.monotonic()
    image = meter.measure(entry, clips, folder, StepLog(state, "1", "entry"))
    wall_s = time.monotonic() - started
    assert image.failure is None, image.failure
    return Timed(statistics.mean(run.time_s for run in image.runs), wall_s), image


def ratio(name: str, value: float, limit: float) -> bool:
    """Print a ratio and whether it is within its limit."""
    print(f"{name}: {100 * value:.1f} % (at most {100 * limit:g} %){'' if value <= limit else ' MISSED'}")
    return value <= limit


def measure(engine: Engine, folder: Path, times: int, work: int) -> bool:
    """Print the ratios. Returns whether all are within their limits."""
    rules = ExecutorRules(warmup_runs=1, scoring_runs=3, run_audio_s=4, cpus=1, memory_gb=1)
    clips = small_set(folder / "set", clips=32)
    runs = dealt_runs(clips.durations_s, rules)
    sandbox = DockerSandbox(engine, settings=DockerSettings(build=BuildLimits(network="none")))
    entry = model(folder / "model", clips, runs, work)
    image = sandbox.build(entry).id
    meter = ImageMeter(sandbox, InlinePool(), rules, ("SI_SDR",), SteadyReference())
    bare_times, own_times = [], []
    for number in range(times):
        bare_times.append(bare(engine, image, rules, rules.cpus))
        timed, result = measured(meter, entry, clips, folder / f"enhanced-{number}")
        own_times.append(timed)
        print(
            f"{number + 1}: a run takes {timed.run_s:.3f} s, bare {bare_times[-1].run_s:.3f} s; all of it "
            f"{timed.wall_s:.2f} s, bare {bare_times[-1].wall_s:.2f} s; peak {result.runs[-1].peak_gb:.3f} GB"
        )
    runs_s = [timed.run_s for timed in own_times]
    within = ratio(
        "overhead of a run", statistics.median(runs_s) / statistics.median(t.run_s for t in bare_times) - 1, 0.10
    )
    walls = [statistics.median(timed.wall_s for timed in times_) for times_ in (own_times, bare_times)]
    within &= ratio("overhead of an image, with its start and end", walls[0] / walls[1] - 1, 0.10)
    bare_s = [timed.run_s for timed in bare_times]
    print(f"spread of the bare container: {100 * (max(bare_s) - min(bare_s)) / statistics.median(bare_s):.1f} %")
    within &= ratio(
        f"spread of {times} times of one image", (max(runs_s) - min(runs_s)) / statistics.median(runs_s), 0.05
    )
    return within


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5, help="how often the same image is measured")
    parser.add_argument("--work", type=int, default=500, help="how much work the model does for a clip")
    arguments = parser.parse_args()
    print(f"image of {BASE}")
    with tempfile.TemporaryDirectory() as folder, container_engine() as engine:
        Path(folder).chmod(0o755)
        if not measure(engine, Path(folder), arguments.times, arguments.work):
            sys.exit(1)


if __name__ == "__main__":
    main()
