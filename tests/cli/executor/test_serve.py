"""`soundsright executor serve`, with a real chain and coordinator, and models in processes and in containers."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from soundsright.adapters.chains.local import LocalChain
from soundsright.adapters.containers import Engine, local_registry
from soundsright.adapters.executors import HttpScoreTable, HttpSubmissionBoard
from soundsright.adapters.hubs import FolderHub, StandInImages
from soundsright.adapters.machine import SystemClock
from soundsright.adapters.peers import Hotkey, RequestGate, valid_signature
from soundsright.cli.main import cli, run
from soundsright.config import ExecutorSettings
from soundsright.core.errors import PeerUnavailable
from soundsright.core.images import PublishedTable
from soundsright.core.material import Material
from soundsright.library import organiser_of
from soundsright.services.executor import meter, open_results, recomputed
from soundsright.services.http import Health, HttpService, listening, sign_answers
from soundsright.services.rounds import material_digest
from soundsright.services.subnet_api import Coordinator, CoordinatorContext, subnet_app
from soundsright.testing import MemoryRecords
from soundsright.testing.fakechain.http import served_chain
from tests.engines import BASE
from tests.model_images import published_model
from tests.ports import free_port
from tests.rules.test_systems import WITHOUT

OWNER, ALICE, BOB, VICTOR = (Hotkey.of_seed(name) for name in ("owner", "alice", "bob", "victor"))
MODELS = Path(__file__).parents[3] / "models"
CLIPS = 2
RULES = """\
[executor]
update_blocks = 10
warmup_runs = 1
scoring_runs = 1
run_audio_s = 3
ready_timeout_s = 60
[[competition]]
task = "DENOISING"
sample_rate_hz = 16_000
max_score = 10.0
remainder = 3.0
metrics = { ESTOI = 1.0 }
"""


class Subnet:
    """A chain and a coordinator, and two models in a folder that stand in for images."""

    def __init__(self, stack: ExitStack, folder: Path, material: Material | None = None) -> None:
        self.rules = folder / "rules.toml"
        self.rules.write_text(WITHOUT[: WITHOUT.index("[[competition]]")] + RULES)
        self.chain: LocalChain
        self.chain, self.chain_url = stack.enter_context(served_chain(folder / "chain.db"))
        self.chain.appoint(OWNER.address)
        for key in (ALICE, BOB, VICTOR):
            self.chain.register(key.address, permit=key is VICTOR)
        organiser = organiser_of(str(self.rules), begun=True)
        assert organiser.executor is not None
        clock = SystemClock()
        self.coordinator = Coordinator(
            CoordinatorContext(
                self.chain,
                MemoryRecords(),
                clock,
                Health(clock),
                organiser.executor,
                organiser.competitions,
                clips=CLIPS,
                corpus_digest=material_digest(material or Material()),
                executors=frozenset({OWNER.address}),
            )
        )
        gate = RequestGate(OWNER.address)
        app = subnet_app(
            self.coordinator, admit=gate.admit, admit_read=gate.admit_read, throttle=lambda _client: None
        )
        sign_answers(app, OWNER.sign)
        service = HttpService(app, listening("127.0.0.1", 0, host_variable="H", port_variable="P"), name="board")
        stack.callback(service.start().close)
        self.url = f"http://127.0.0.1:{service.port}"
        self.hub = folder / "hub"
        images = StandInImages(FolderHub(self.hub, folder / "publishing"))
        self.images = {
            ALICE: images.publish("alice", "gate", MODELS / "degraded"),
            BOB: images.publish("bob", "crasher", MODELS / "crasher"),
        }

    def submit_all(self) -> None:
        """Every miner submits its image, and then the block of a round's seed comes."""
        self.coordinator.tick()
        for key, image in self.images.items():
            self.coordinator.submit(key.address, key.address, str(image))
        self.chain.advance(10)
        self.coordinator.tick()


@pytest.fixture
def subnet(tmp_path: Path) -> Iterator[Subnet]:
    with ExitStack() as stack:
        yield Subnet(stack, tmp_path)


@pytest.fixture
def settings(subnet: Subnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in ExecutorSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for key in (OWNER, ALICE):
        key.write(tmp_path / "wallets" / key.address / "hotkeys" / "default")
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    return {
        "SUBTENSOR_CHAIN_ENDPOINT": subnet.chain_url,
        "SUBNET_API_URL": subnet.url,
        "WALLET": OWNER.address,
        "WALLET_PATH": "wallets",
        "STATE_FOLDER": "state",
        "HEALTHCHECK_API_HOST": "127.0.0.1",
        "HEALTHCHECK_API_PORT": str(free_port()),
        "EXECUTOR_HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "STATE_FILE": "executor-file.db",
        "SOUNDSRIGHT_RULESET": str(subnet.rules),
        "SOUNDSRIGHT_SANDBOX": "process",
        "SOUNDSRIGHT_TRUST": "true",
        "SOUNDSRIGHT_HUB": str(subnet.hub),
        "SOUNDSRIGHT_SPEECH": "recordings",
        "SOUNDSRIGHT_WORKERS": "1",
    }


def serve(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> int:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return run(cli, ["executor", "serve", "--poll", "0.05"])


def published(
    table: HttpScoreTable, until: Callable[[PublishedTable], bool], timeout_s: float = 180
) -> PublishedTable:
    """The table once it is as expected, and the executor is stopped."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        try:
            now = table.table()
        except PeerUnavailable:
            now = None
        if now is not None and until(now):
            return now
        time.sleep(0.3)
    raise AssertionError("the executor published nothing")


def served_round(
    subnet: Subnet, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, PublishedTable, bytes]:
    """Serve until the first round is published. Returns the exit code, the table and the signed results."""
    table = HttpScoreTable(f"http://127.0.0.1:{settings['PORT']}", OWNER.address, VICTOR)
    seen: list[PublishedTable] = []
    documents: list[bytes | None] = []

    def validate() -> None:
        try:
            published(table, lambda _now: True)
            subnet.submit_all()
            table.update(HttpSubmissionBoard(subnet.url, OWNER.address, VICTOR).submissions())
            seen.append(published(table, lambda now: now.round_id != ""))
            documents.append(table.results(seen[0].round_id))
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    validator = threading.Thread(target=validate)
    validator.start()
    code = serve(settings, monkeypatch)
    validator.join()
    assert seen, "no round was published"
    assert documents[0] is not None
    return code, seen[0], documents[0]


def test_it_runs_a_round_publishes_it_and_stops_by_a_signal(
    subnet: Subnet,
    settings: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, table, document = served_round(subnet, settings, monkeypatch)
    out, err = capsys.readouterr()
    assert code == 0, err
    assert f"{OWNER.address} runs images in the sandbox process" in out
    rows = {row.submission.hotkey: row.metrics for row in table.rows}
    assert rows[BOB.address].error == "crashed"
    alice = rows[ALICE.address]
    assert (alice.error, len(alice.challenge_metrics)) == (None, 1)
    assert alice.inference_time_sec is not None
    assert alice.inference_time_sec > 0
    results = open_results(document, valid_signature=valid_signature)
    assert results.signer == OWNER.address
    assert results.machine["sandbox"] == "process"
    assert recomputed(results).differences == ()
    assert (tmp_path / "executor-file.db").exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("docker-registry") is None, reason="docker-registry is not installed")
def test_images_of_a_registry_run_in_containers_and_are_measured_from_outside(
    engine: Engine,
    subnet: Subnet,
    settings: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if engine.url:
        monkeypatch.setenv("DOCKER_HOST", engine.url)
    # A busy machine would have each image timed three times.
    monkeypatch.setattr(meter, "is_steady", lambda _before_s, _after_s: True)
    with local_registry() as registry:
        images = {
            ALICE: published_model(engine, registry, "liar"),
            BOB: published_model(engine, registry, "greedy"),
        }
        subnet.images = images
        in_containers = {
            "SOUNDSRIGHT_SANDBOX": "docker",
            "SOUNDSRIGHT_REGISTRIES": registry.address,
            "EXECUTOR_BASE_IMAGE": BASE,
        }
        code, table, document = served_round(subnet, settings | in_containers, monkeypatch)
    assert code == 0, capsys.readouterr().err
    assert {row.submission.hotkey: row.submission.image for row in table.rows} == {
        key.address: image for key, image in images.items()
    }
    results = open_results(document, valid_signature=valid_signature)
    assert results.machine["sandbox"] == "docker"
    runs = {}
    for entry in results.entries:
        assert entry.measured is not None
        assert entry.measured.failure is None
        (runs[entry.row.submission.hotkey],) = entry.measured.runs
    # The liar sleeps for half a second per clip and tells a millisecond. The greedy image keeps 200 MB per clip.
    assert runs[ALICE.address].time_s >= 0.5
    assert runs[ALICE.address].memory_bytes < 200_000_000 < runs[BOB.address].memory_bytes
    (tmp_path / "results.json").write_bytes(document)
    assert run(cli, ["executor", "verify", str(tmp_path / "results.json"), "--signer", OWNER.address]) == 0


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"SUBNET_API_URL": ""}, "SUBNET_API_URL is empty"),
        ({"WALLET": ALICE.address}, "EXECUTOR_API_HOTKEY"),
        ({"EXECUTOR_COMPETITION": "SINGING"}, "EXECUTOR_COMPETITION"),
        ({"SOUNDSRIGHT_HUB": ""}, "cannot run images"),
        ({"STATE_FILE": "a.db", "EXECUTOR_STATE": "b.db"}, "STATE_FILE"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(
    settings: dict[str, str],
    changes: dict[str, str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = serve(settings | changes, monkeypatch)
    _, err = capsys.readouterr()
    assert code == 2
    assert named in err
    assert "Traceback" not in err
