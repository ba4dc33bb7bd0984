"""Fixtures for the tests of several layers: clips, small models, and the sandboxes of this machine."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gc
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from soundsright.adapters.containers.build_limits import BuildLimits
from soundsright.adapters.containers.docker import DockerSandbox, DockerSettings
from soundsright.adapters.containers.engine import Engine
from soundsright.adapters.containers.image_storage import remove_images
from soundsright.adapters.containers.labels import CONTENT_LABEL, OWNER_LABEL, this_owner
from soundsright.adapters.machine import ProcessPool
from soundsright.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from soundsright.adapters.sandboxes.process import ProcessSandbox
from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.competition import PUBLISHED
from soundsright.core.content import content_hash, files_below, sha256_of_file
from soundsright.core.ports import DegradedClip, Sandbox
from soundsright.core.sources import ModelRef
from soundsright.core.submission import FetchedModel, Submission
from soundsright.metrics import warm_up
from tests.engines import BASE, NoEngine, container_engine, podman_engine

# Use the same examples on every machine, fast or slow, so that a commit has the same test results everywhere.
settings.register_profile(
    "soundsright", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("soundsright")

MakeModel = Callable[..., FetchedModel]
ENGINES = {"docker": "engine", "podman": "podman"}
"""The fixture that starts each engine."""
KIT = Path(__file__).parent / "hostile" / "kit" / "server.py"
DOCKERFILE = f'FROM {BASE}\nWORKDIR /app\nCOPY . .\nCMD ["python", "app.py"]\n'


def noise_clip(clip_id: str, seed: int = 0, samples: int = 8_000, rate_hz: int = 16_000) -> DegradedClip:
    rng = np.random.default_rng(seed)
    return DegradedClip(clip_id, Audio(on_pcm16_grid(0.1 * rng.standard_normal(samples)), rate_hz))


def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell ignores SIGINT for background jobs. The programs that the tests interrupt would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"engine", "podman"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.docker)


def pytest_collection_finish() -> None:
    # Modules live until the end, so a test that collects garbage need not search all of them: 0.4 s each time.
    gc.freeze()


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Undoes what a service's command does to logging: such a command sets it up for its process, which it owns."""
    root, package = logging.getLogger(), logging.getLogger("soundsright")
    handlers, level = list(root.handlers), package.level
    yield
    for added in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(added)
    package.setLevel(level)


@pytest.fixture
def clips() -> tuple[DegradedClip, ...]:
    """Three clips of different lengths, at most half a second."""
    return tuple(noise_clip(f"clip-{i}", seed=i, samples=8_000 - 100 * i) for i in range(3))


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """A function that writes a model: the body of its `app.py`, which may subclass `Model`, and its Dockerfile."""

    return functools.partial(write_model, tmp_path)


def write_model(
    parent: Path, app: str = "serve(Model())", *, name: str = "model", dockerfile: str = DOCKERFILE
) -> FetchedModel:
    """A small model in a new folder below `parent`."""
    folder = parent / name
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "app.py").write_text(f"from server import *\n\n{app}\n")
    (folder / "Dockerfile").write_text(dockerfile)
    shutil.copy(KIT, folder / "server.py")
    return fetched(folder)


def fetched(folder: Path) -> FetchedModel:
    """A model's folder, as a hub returns it."""
    submission = Submission(
        uid=1,
        hotkey=f"hk-{folder.name}",
        competition=PUBLISHED[0],
        source=ModelRef("ns", "model", "0" * 40),
        block=1,
    )
    hashes = {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files_below(folder)}
    return FetchedModel(submission, folder, content_hash=content_hash(hashes), checkpoint_hashes=())


@pytest.fixture(
    params=[
        "process",
        pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
        pytest.param("docker", marks=pytest.mark.docker),
    ]
)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """Each sandbox of this machine in turn. Skips one that does not work, with the reason."""
    return sandbox_named(request.param, request)


def sandbox_named(name: str, request: pytest.FixtureRequest) -> Sandbox:
    """The sandbox of that name; `podman` is the docker sandbox with Podman. Skips if it does not work."""
    if name in ENGINES:
        return docker_sandbox(request.getfixturevalue(ENGINES[name]))
    chosen = ProcessSandbox(trusted=True) if name == "process" else _bubblewrap()
    if (obstacle := chosen.available()) is not None:
        pytest.skip(f"{chosen.name}: {obstacle}")
    return chosen


def docker_sandbox(engine: Engine) -> DockerSandbox:
    return DockerSandbox(engine, settings=DockerSettings(build=BuildLimits(network="none"), round_id="round-1"))


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A container engine with the tests' base image."""
    try:
        with container_engine() as engine:
            kept = frozenset(model_contents(engine))
            yield engine
            remove_images(engine, kept)
    except NoEngine as e:
        pytest.skip(f"no container engine: {e}")


@pytest.fixture(scope="session")
def podman() -> Iterator[Engine]:
    """Podman with the tests' base image."""
    try:
        with podman_engine() as engine:
            yield engine
            remove_images(engine, frozenset())
    except NoEngine as e:
        pytest.skip(f"no Podman: {e}")


def model_contents(engine: Engine) -> set[str]:
    """The content hashes of the models for which the harness has built images."""
    return {image.labels.get(CONTENT_LABEL, "") for image in engine.client.images.list()} - {""}


@pytest.fixture(scope="session")
def pools() -> Iterator[Callable[[int], ProcessPool]]:
    """A function that returns a pool of that many worker processes: the same for all tests of this process."""

    @functools.cache
    def pool_of(workers: int) -> ProcessPool:
        return ends.enter_context(contextlib.closing(ProcessPool(workers, warm_up=warm_up)))

    with contextlib.ExitStack() as ends:
        yield pool_of


@pytest.fixture
def shared_workers(pools: Callable[[int], ProcessPool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores with processes that other tests have started: to start one takes longer than to score a few clips."""
    monkeypatch.setattr("soundsright.library.scoring._pool", lambda workers: contextlib.nullcontext(pools(workers)))


@functools.cache
def _bubblewrap() -> BubblewrapSandbox:
    return BubblewrapSandbox()


@pytest.fixture
def published_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Lets one test at a time, in any worker of pytest-xdist, use this machine's TCP port 6500."""
    with (tmp_path_factory.getbasetemp().parent / "port-6500.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def left_behind(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], list[str]]]:
    """A function that lists what models of this test have on the machine: processes, folders, groups, containers.

    It remembers what it has listed once and looks for it again. Models of other tests do not count, nor processes
    that this process started before, such as a browser.
    """
    others = frozenset(_descendants(os.getpid()))
    engine = next((request.getfixturevalue(f) for n, f in ENGINES.items() if n in request.node.nodeid), None)
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        traces: set[str] = set()

        def look() -> list[str]:
            processes = _descendants(os.getpid(), others)
            if engine is not None:
                ours = {"label": f"{OWNER_LABEL}={this_owner()}"}
                for container in engine.client.containers.list(all=True, filters=ours, ignore_removed=True):
                    traces.add(f"container {container.id}")
                    pid = int(container.attrs["State"].get("Pid") or 0)
                    processes |= {pid, *_descendants(pid)} - {0}
            traces.update(f"/proc/{pid} {_start_of(pid)}" for pid in processes)
            traces.update(group for pid in processes for group in _control_groups(pid))
            traces.update(str(path) for path in Path(folder).glob("sr-*"))
            return sorted(trace for trace in traces if _exists(trace, engine))

        yield look


def _exists(trace: str, engine: Engine | None) -> bool:
    name, _, detail = trace.partition(" ")
    if name == "container":
        assert engine is not None
        return bool(engine.client.containers.list(all=True, filters={"id": detail}, ignore_removed=True))
    return Path(name).exists() and (not detail or _start_of(int(name.rpartition("/")[2])) == detail)


def _start_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def _descendants(root: int, others: frozenset[int] = frozenset()) -> set[int]:
    """The descendants of a process, without `others` and their descendants."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    below: set[int] = set()
    while more := {pid for pid, parent in parents.items() if parent in below | {root}} - below - others:
        below |= more
    engines = ("dockerd", "containerd", "podman", "conmon")
    return {pid for pid in below if not any(name in _command_of(pid) for name in engines)}


def _command_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text()
    return ""


def _control_groups(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "/soundsright-" in path:
                yield f"/sys/fs/cgroup/{controllers}{path}"
