"""The cost of the executor's parts, as ratios within one run.

    python benchmarks/executor.py                     # the whole table
    python benchmarks/executor.py times --times 5     # one part
    python benchmarks/executor.py --no-engine         # processes in place of containers

`times`: what the executor adds to an image's own time. The bare container does the same work with the clips in its
image, and answers nobody. It is also the reference that the executor times before and after each image: an image
beside which it changed by more than 5 % is timed again, twice at most. Every image counts in units of the bare
containers beside it, so a change of the machine's speed meets both.

`unchanged`: how much cheaper a table is that has not changed. A validator's client reads an executor's table over
signed HTTP on this machine. The times are processor time of both sides, which other programs change little.

`pulls`: a second round of the same images, over their first pull from a registry on this machine.

Without a container engine, processes stand in for containers, and a folder for the registry. The output says so.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

if not __package__:  # Run as a file: find the folder `tests` by its name.
    sys.path[0] = str(Path(__file__).parents[1])

import numpy as np

from soundsright.adapters.containers.build_limits import BuildLimits
from soundsright.adapters.containers.docker import DockerSandbox, DockerSettings
from soundsright.adapters.containers.engine import Engine
from soundsright.adapters.executors import HttpScoreTable
from soundsright.adapters.hubs import FolderHub, ImageFolders, StandInImages
from soundsright.adapters.peers import SignedService
from soundsright.adapters.sandboxes import ProcessSandbox
from soundsright.core.competition import PUBLISHED
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.image_runs import DealtRuns, dealt_runs
from soundsright.core.images import ImageRow, PublishedTable, SubmittedImage
from soundsright.core.ports import Runner
from soundsright.core.sources import ImageRef
from soundsright.core.submission import FetchedModel, Submission
from soundsright.metrics import warm_up
from soundsright.services.executor import ImageMeter, StepLog
from soundsright.services.http import HttpService, listening
from soundsright.services.rounds import ClipSet
from soundsright.testing.fakes import InlinePool
from soundsright.testing.image_services import measured_row
from soundsright.testing.state import MemoryState
from tests.conftest import DOCKERFILE, KIT, fetched
from tests.engines import BASE, NoEngine, container_engine
from tests.registries import fake_registry
from tests.services.executor.sets import small_set
from tests.services.executor_api.executors import OWNER, VICTOR, MemoryExecutor, app_of, image

RULES = ExecutorRules(warmup_runs=1, scoring_runs=3, run_audio_s=4, cpus=1, memory_gb=1)
ROWS, FEW_ROWS = 256, 20
METRICS = ("PESQ_WB", "ESTOI", "SI_SDR", "SI_SIR")
PULLED, LAYER_BYTES = 3, 30_000_000

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
import tempfile
import time
from pathlib import Path

from work import enhanced

times_s = []
with tempfile.TemporaryDirectory() as folder:
    for batch in json.loads(Path("batches.json").read_text()):
        started = time.monotonic()
        for clip_id in batch:
            Path(folder, f"{clip_id}.wav").write_bytes(enhanced(Path("clips", f"{clip_id}.wav").read_bytes()))
        times_s.append(time.monotonic() - started)
print(json.dumps(times_s))
"""


def show(name: str, value: float, limit: str = "", *, is_ok: bool = True, unit: str = "%") -> bool:
    """Print a row of the table. Returns whether the value is within its limit."""
    shown = f"{100 * value:.1f} %" if unit == "%" else f"{value:.3g}{unit}"
    print(f"{name:<62} {shown:>9}  {limit:<14} {'' if is_ok else 'MISSED'}".rstrip(), flush=True)
    return is_ok


def at_most(name: str, value: float, limit: float) -> bool:
    return show(name, value, f"at most {100 * limit:g} %", is_ok=value <= limit)


def spread(values: Sequence[float]) -> float:
    """The largest minus the smallest, over the median."""
    return (max(values) - min(values)) / statistics.median(values)


def spent_s(act: Callable[[], object], clock_s: Callable[[], float] = time.perf_counter) -> float:
    """The seconds that it takes by that clock."""
    started_s = clock_s()
    act()
    return clock_s() - started_s


def working_model(folder: Path, clips: ClipSet, runs: DealtRuns, work: int) -> FetchedModel:
    """A model that the executor can run, and that can run alone on the clips in its image."""
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


@dataclass
class Bare:
    """The same work without the executor: a command that prints the seconds of each run. A `Reference`."""

    command: Sequence[str]
    folder: Path
    runs_s: list[float] = field(default_factory=list)
    walls_s: list[float] = field(default_factory=list)

    def time_s(self) -> float:
        """The mean time of a scoring run."""
        started = time.monotonic()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        printed = subprocess.run(self.command, check=True, stdout=-1, cwd=self.folder, env=environment).stdout
        self.walls_s.append(time.monotonic() - started)
        self.runs_s.append(statistics.mean(json.loads(printed)[RULES.warmup_runs :]))
        return self.runs_s[-1]


def bare_container(engine: Engine, image_id: str) -> tuple[str, ...]:
    docker = ("docker", *(("-H", engine.url) if engine.url else ()), "run", "--rm", "--network", "none")
    return (*docker, "--cpus", str(RULES.cpus), "--env", "OMP_NUM_THREADS=1", image_id, "python", "bare.py")


@dataclass(frozen=True)
class Timed:
    """One measurement of the image. `bare_*` are means of the two bare runs beside its last attempt. In seconds."""

    run_s: float
    wall_s: float
    bare_s: float
    bare_wall_s: float
    unsteady: bool


def timed(meter: ImageMeter, bare: Bare, model: FetchedModel, clips: ClipSet, folder: Path) -> Timed:
    """Measure the image once. The wall time of an attempt is without the bare runs."""
    state = MemoryState()
    state.begin_round("1", {})
    known = len(bare.walls_s)
    started = time.monotonic()
    measured = meter.measure(model, clips, folder, StepLog(state, "1", "entry"))
    wall_s = time.monotonic() - started - sum(bare.walls_s[known:])
    assert measured.failure is None, measured.failure
    assert measured.reference_s is not None
    attempts = len(bare.walls_s) - known - 1
    return Timed(
        statistics.mean(run.time_s for run in measured.runs),
        wall_s / attempts,
        measured.reference_s,
        statistics.mean(bare.walls_s[-2:]),
        measured.unsteady,
    )


def measure_times(engine: Engine | None, options: argparse.Namespace, folder: Path) -> bool:
    """Print what the executor adds to the time of an image, and how well the times of one image agree."""
    clips = small_set(folder / "set", clips=32)
    model = working_model(folder / "model", clips, dealt_runs(clips.durations_s, RULES), options.work)
    runner: Runner = ProcessSandbox(trusted=True)
    command: Sequence[str] = (sys.executable, "bare.py")
    if engine is not None:
        sandbox = DockerSandbox(engine, settings=DockerSettings(build=BuildLimits(network="none")))
        runner, command = sandbox, bare_container(engine, sandbox.build(model).id)
    bare = Bare(command, model.path)
    warm_up()  # As the workers of an executor do before the first image.
    meter = ImageMeter(runner, InlinePool(), RULES, ("SI_SDR",), bare)
    times = [timed(meter, bare, model, clips, folder / f"enhanced-{n}") for n in range(options.times)]
    own = "process" if engine is None else "container"
    run = statistics.median(each.run_s / each.bare_s for each in times) - 1
    whole = statistics.median(each.wall_s / each.bare_wall_s for each in times) - 1
    is_ok = at_most(f"overhead of a run over the bare {own}", run, 0.10)
    is_ok &= at_most(f"overhead of an image over the bare {own}, with start and end", whole, 0.10)
    show(f"unsteady images of {len(times)}", sum(each.unsteady for each in times), unit="")
    show(f"spread of the bare {own}", spread(bare.runs_s))
    show("spread of one image in units of the bare runs beside it", spread([t.run_s / t.bare_s for t in times]))
    return at_most(f"spread of {len(times)} times of one image", spread([t.run_s for t in times]), 0.05) and is_ok


def scored_row(number: int) -> ImageRow:
    """A row after a round: five scoring runs of six clips with four metrics each."""
    runs = []
    for run in range(5):
        clips = [f"{6 * run + clip:06d}" for clip in range(6)]
        scores = {c: {m: (number + k) / 7 for k, m in enumerate(METRICS)} for c in clips}
        runs.append({"run": run, "clip_ids": clips, "time_sec": 12 + number / 7, "scores": scores})
    hotkey = VICTOR.address[:-3] + f"{number:03d}".replace("0", "z")
    entry = SubmittedImage(1_700_000_000 + number, hotkey, image(number))
    row = measured_row(entry, 0.8 - number / 1_000, time_s=12.0, memory_gb=5.0, rules=RULES)
    return replace(row, metrics=replace(row.metrics, challenge_metrics=tuple(runs), updated_s=1.7e9))


def table_of(scored: int) -> PublishedTable:
    """A table of 256 rows, of which that many have scores of clips."""
    rows = tuple(map(scored_row, range(ROWS)))
    rest = (replace(r, metrics=replace(r.metrics, challenge_metrics=())) for r in rows[scored:])
    return PublishedTable("round-7", (*rows[:scored], *rest), "v0")


@dataclass(frozen=True)
class Readings:
    """Medians of the processor time of a reading, in seconds. `nothing` is a signed answer without a table."""

    new: float
    again: float
    unchanged: float
    nothing: float


def readings(scored: int, turns: int) -> Readings:
    """Read a table that is new, that is sent again, and that has not changed, in turns."""
    executor = MemoryExecutor(shown=table_of(scored))
    sock = listening("127.0.0.1", 0, host_variable="host", port_variable="port")
    service = HttpService(app_of(executor), sock, name="executor").start()
    url = f"http://127.0.0.1:{service.port}"
    known = HttpScoreTable(url, OWNER.address, VICTOR)
    signed = SignedService(url, OWNER.address, VICTOR, name="The executor", setting="url")
    cpu_s = partial(spent_s, clock_s=time.process_time)
    found: dict[str, list[float]] = {"new": [], "again": [], "unchanged": [], "nothing": []}
    try:
        for turn in range(turns):
            executor.shown = replace(executor.shown, version=f"v{turn}")
            found["new"].append(cpu_s(known.table))
            found["again"].append(cpu_s(HttpScoreTable(url, OWNER.address, VICTOR).table))
            found["unchanged"] += [cpu_s(known.table) for _ in range(5)]
            found["nothing"] += [cpu_s(lambda: signed.get("/healthz")) for _ in range(5)]
    finally:
        service.close()
    return Readings(**{name: statistics.median(times) for name, times in found.items()})


def measure_unchanged(_: Engine | None, options: argparse.Namespace, __: Path) -> bool:
    """Print how much cheaper a table is that has not changed."""
    full, few = readings(ROWS, options.turns), readings(FEW_ROWS, options.turns)
    times = full.again / full.unchanged
    is_ok = show(f"200 over 304, {ROWS} scored rows", times, "at least 20", is_ok=times >= 20, unit="")
    show(f"200 that is written first over 304, {ROWS} scored rows", full.new / full.unchanged, unit="")
    show(f"200 over 304, {FEW_ROWS} of {ROWS} rows scored", few.again / few.unchanged, unit="")
    show("304 over a signed answer without a table", full.unchanged / full.nothing, unit="")
    return is_ok


def rounds_s(engine: Engine, folder: Path) -> list[float]:
    """The seconds of two rounds that pull some images from a registry on this machine. The images do not stay."""
    import docker.errors

    with fake_registry() as registry:
        layers = (np.random.default_rng(n).bytes(LAYER_BYTES) for n in range(PULLED))
        digests = [registry.put_image(layer)["digest"] for layer in layers]
        images = [ImageRef(registry.repository, digest.removeprefix("sha256:")) for digest in digests]
        sandbox = DockerSandbox(engine, settings=DockerSettings(BuildLimits(registries=(registry.address,))))
        hub = ImageFolders(folder / "cache", (registry.address,))

        def pull() -> None:
            for source in images:
                sandbox.prepare(hub.fetch(Submission(1, "hk", PUBLISHED[0], source, 1), limits=FetchLimits()))

        try:
            return [spent_s(pull) for _ in range(2)]
        finally:
            for source in images:
                with contextlib.suppress(docker.errors.ImageNotFound):
                    engine.client.images.remove(str(source))


def rounds_of_stand_ins_s(folder: Path) -> list[float]:
    """The same from a folder that stands in for the registry."""
    hub = StandInImages(FolderHub(folder / "hub", folder / "cache"))
    images = []
    for number in range(PULLED):
        model = folder / f"model-{number}"
        model.mkdir()
        (model / "Dockerfile").write_text(DOCKERFILE)
        (model / "weights.bin").write_bytes(np.random.default_rng(number).bytes(LAYER_BYTES))
        images.append(hub.publish("lab", f"gate-{number}", model))

    def fetch() -> None:
        for source in images:
            hub.fetch(Submission(1, "hk", PUBLISHED[0], source, 1), limits=FetchLimits())

    return [spent_s(fetch) for _ in range(2)]


def measure_pulls(engine: Engine | None, _: argparse.Namespace, folder: Path) -> bool:
    """Print the time that a second round needs for the same images, over that of the first."""
    if engine is None:
        first_s, second_s = rounds_of_stand_ins_s(folder)
        return show(f"second fetch of the same {PULLED} folders over the first", second_s / first_s)
    first_s, second_s = rounds_s(engine, folder)
    return at_most(f"second pull of the same {PULLED} images over the first", second_s / first_s, 0.20)


PARTS: dict[str, Callable[[Engine | None, argparse.Namespace, Path], bool]] = {
    "times": measure_times,
    "unchanged": measure_unchanged,
    "pulls": measure_pulls,
}
"""The parts by name. Each prints its rows, and returns whether they are within the limits."""


@contextlib.contextmanager
def some_engine(wanted: bool) -> Iterator[Engine | None]:
    """A container engine, or None with a line that says why."""
    engine, reason = None, "none is wanted"
    with contextlib.ExitStack() as stack:
        if wanted:
            try:
                engine = stack.enter_context(container_engine())
            except NoEngine as error:
                reason = str(error)
        stand_ins = (
            f"No container engine ({reason}): processes and a folder stand in for containers and a registry."
        )
        print(stand_ins if engine is None else f"Containers of {BASE}.")
        yield engine


def main() -> None:
    """Measure one part, or all of them. The exit code is 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", nargs="?", default="all", choices=[*PARTS, "all"])
    parser.add_argument("--no-engine", action="store_true", help="use processes also if an engine runs")
    parser.add_argument("--times", type=int, default=5, help="how often the same image is measured (times)")
    parser.add_argument("--work", type=int, default=500, help="how much work the model does for a clip (times)")
    parser.add_argument("--turns", type=int, default=15, help="repetitions of each reading (unchanged)")
    options = parser.parse_args()
    chosen = {name: part for name, part in PARTS.items() if options.part in (name, "all")}
    with some_engine(not options.no_engine and list(chosen) != ["unchanged"]) as engine:
        is_ok = True
        for name, part in chosen.items():
            with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
                Path(folder).chmod(0o755)
                is_ok &= part(engine, options, Path(folder))
    sys.exit(0 if is_ok else 1)


if __name__ == "__main__":
    main()
