"""`docker compose up` builds the images, and starts each service without root.

The tests need no registry. The base image is made from this machine's Python, and the demo's large packages are
mounted instead of installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from soundsright.adapters.buckets import new_bucket_folder
from soundsright.adapters.chains.http import HttpChain
from soundsright.adapters.containers.engine import Engine
from soundsright.adapters.executors import HttpScoreTable, HttpSubmissionBoard
from soundsright.adapters.hubs.folder import FolderHub
from soundsright.adapters.peers.client import request
from soundsright.adapters.peers.keys import Hotkey
from soundsright.core.errors import ChainUnavailable, PeerUnavailable
from soundsright.core.submission import is_sha256
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
BASE_SCRIPT = ROOT / "scripts" / "base_image.sh"
PACKAGES = (
    *("setuptools", "click", "platformdirs", "pydantic", "python-dotenv", "rich"),
    *("fastapi", "uvicorn", "bittensor-core", "lazy-loader"),
)
"""Everything that a miner imports on a private chain."""
SERVICES = {
    *("soundsright-miner", "soundsright-miner-dev", "soundsright-validator", "soundsright-demo"),
    *("soundsright-coordinator", "soundsright-executor", "soundsright-federation"),
    *("soundsright-prover", "soundsright-verifier"),
}
UID = os.getuid() or 1_000
HERE = {"restart": "no"}


def compose_words() -> list[str]:
    """The command of the installed compose: the plug-in, otherwise docker-compose."""
    plugin = shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True)
    if plugin and plugin.returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    pytest.skip("neither `docker compose` nor `docker-compose` is installed")


@dataclass
class Compose:
    """The compose file of this repository, with a test's changes, as a separate project."""

    words: list[str]
    folder: Path
    environment: dict[str, str]

    def __call__(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.words, "-p", self.folder.name.lower(), "-f", "docker-compose.yml", "-f", "here.yml", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done


def engine_environment(engine: Engine | None, home: Path) -> dict[str, str]:
    environment = {name: os.environ[name] for name in ("PATH", "DOCKER_HOST") if name in os.environ} | {
        "HOME": str(home),
        # Every engine has the old builder.
        "DOCKER_BUILDKIT": "0",
        "COMPOSE_DOCKER_CLI_BUILD": "0",
        "PYTHONWARNINGS": "ignore",
    }
    return environment | ({"DOCKER_HOST": engine.url} if engine is not None and engine.url else {})


@pytest.fixture(scope="module")
def base(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of this machine's Python with a miner's packages. Its tag is a hash of its ingredients."""
    made_of = (BASE_SCRIPT.read_text(), sys.version, *PACKAGES)
    tag = "soundsright-miner-base:" + hashlib.sha256("".join(made_of).encode()).hexdigest()[:16]
    environment = engine_environment(engine, tmp_path_factory.mktemp("home"))
    if subprocess.run(["docker", "image", "inspect", tag], env=environment, capture_output=True).returncode != 0:
        own = {"PYTHON": sys.executable, "FROM_ENVIRONMENT": "1"}
        done = subprocess.run(
            [str(BASE_SCRIPT), tag, *PACKAGES], env=environment | own, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
    return tag


@pytest.fixture
def compose(engine: Engine, base: str, tmp_path: Path) -> Iterator[Compose]:
    """A copy of the compose file that builds from that base image, without a network."""
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    (tmp_path / "source").symlink_to(ROOT)
    args = {
        "BASE": base,
        "PIP_OPTIONS": "--no-index --no-build-isolation --no-deps",
        "EXTRAS": "",
        "APT_PACKAGES": "",
        "NEEDS": "miner",
        "DEMO": "",
    }
    built = {"build": {"context": str(ROOT), "args": args}, **HERE}
    changed = {
        "soundsright-miner": {
            **built,
            "environment": {"SUBTENSOR_CHAIN_ENDPOINT": "http://chain:9944", "SOUNDSRIGHT_HUB": "/hub"},
            "volumes": [f"{tmp_path}/hub:/hub:ro"],
        },
        "chain": {
            "image": "${CHAIN_IMAGE}",
            "user": f"{UID}:{UID}",
            "command": ["chain", "serve", "--host", "0.0.0.0", "--open", "--block-every", "1"],
            "environment": {"WALLET": "organiser"},
            "ports": ["127.0.0.1:${CHAIN_PORT}:9944"],
            "volumes": [f"{tmp_path}/wallets:/wallets:ro"],
        },
        **{
            name: {
                **built,
                "environment": {
                    "PYTHONPATH": "/packages",
                    "SUBTENSOR_CHAIN_ENDPOINT": "http://chain:9944",
                    "SUBNET_API_URL": "http://soundsright-coordinator:${SUBNET_API_PORT}",
                },
                "volumes": [f"{sysconfig.get_path('purelib')}:/packages:ro"],
            }
            for name in ("soundsright-coordinator", "soundsright-executor", "soundsright-federation")
        },
        "soundsright-demo": {
            **built,
            "environment": {"PYTHONPATH": "/packages", "SOUNDSRIGHT_MODEL_PYTHON": "/model-python"},
            "volumes": [
                f"{sysconfig.get_path('purelib')}:/packages:ro",
                f"{tmp_path}/model-python:/model-python:ro",
            ],
        },
    }
    (tmp_path / "here.yml").write_text(json.dumps({"services": changed}))
    (tmp_path / "runs").mkdir()
    # The models run without the variables of the command, and this base image has none of their packages.
    model_python = tmp_path / "model-python"
    model_python.write_text(
        '#!/bin/sh\nPYTHONPATH="/packages:$PYTHONPATH" exec /usr/local/bin/python3 "$@"\n', encoding="utf-8"
    )
    model_python.chmod(0o755)
    own = {
        "SOUNDSRIGHT_UID": str(UID),
        "SOUNDSRIGHT_GID": str(UID),
        "WALLETS": f"{tmp_path}/wallets",
        "CHAIN_IMAGE": "soundsright-miner",
        "CHAIN_PORT": str(free_port()),
        "HEALTHCHECK_API_PORT": str(free_port()),
        "AXON_PORT": str(free_port()),
        "SOUNDSRIGHT_CLIPS": "2",
        "SOUNDSRIGHT_COMPETITION": "DEREVERBERATION_48000HZ",
    }
    project = Compose(compose_words(), tmp_path, engine_environment(engine, tmp_path) | own)
    (tmp_path / ".env").write_text(
        (ROOT / ".miner-env.sample").read_text()
        + "\n".join(f"{name}={own[name]}" for name in ("HEALTHCHECK_API_PORT", "AXON_PORT"))
    )
    try:
        yield project
    finally:
        project("down", "-v", "-t", "3", check=False)


def owned(folder: Path) -> None:
    """Make the containers' user the owner of a folder, as for a real wallet."""
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, UID, UID)


T = TypeVar("T")


def until(condition: Callable[[], T], what: str, compose: Compose, timeout_s: float = 60.0) -> T:
    """Wait until the condition is true, and return its value."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            if value := condition():
                return value
        except (PeerUnavailable, ChainUnavailable):
            pass
        assert time.monotonic() < deadline_s, f"{what}: {compose('logs', check=False).stdout[-3_000:]}"
        time.sleep(0.2)


@pytest.mark.slow
def test_compose_up_starts_a_miner_that_commits_and_reports_its_health(compose: Compose, tmp_path: Path) -> None:
    keys = {name: Hotkey.of_seed(name) for name in ("organiser", "alice")}
    for name, key in keys.items():
        key.write(tmp_path / "wallets" / name / "hotkeys" / "default")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "Dockerfile").write_text("FROM scratch\n")
    model = FolderHub(tmp_path / "hub", tmp_path / "cache").publish("alice", "gate", tmp_path / "model")
    for folder in ("wallets", "hub"):
        owned(tmp_path / folder)
    with (tmp_path / ".env").open("a") as settings:
        settings.write(
            "\nWALLET=alice\nHOTKEY=default\nDENOISING_16000HZ_HF_MODEL_NAMESPACE=alice\n"
            f"DENOISING_16000HZ_HF_MODEL_NAME=gate\nDENOISING_16000HZ_HF_MODEL_REVISION={model.revision}\n"
        )
    compose("build", "soundsright-miner")
    compose("up", "-d", "--no-build", "chain")
    url = f"http://127.0.0.1:{compose.environment['CHAIN_PORT']}"
    chain = until(lambda: HttpChain(url, keys["alice"], timeout_s=2.0), "the chain answers", compose)
    chain.register(keys["alice"].address)
    until(chain.neurons, "the block that shows alice's key", compose)

    compose("up", "-d", "--no-build", "soundsright-miner")
    until(chain.commitments, "a commitment", compose)
    (commitment,) = chain.commitments()
    assert is_sha256(commitment.digest)
    health = f"http://127.0.0.1:{compose.environment['HEALTHCHECK_API_PORT']}"
    until(lambda: request(health, "GET", "/readyz", timeout_s=5).status == 200, "readiness", compose)
    answer = json.loads(request(health, "GET", "/healthcheck/current_models", timeout_s=5).body)
    (shown,) = answer["data"]["DENOISING_16000HZ"]
    assert (shown["hidden"], shown["digest"]) == (True, commitment.digest)

    container = compose("ps", "-q", "soundsright-miner").stdout.strip()
    facts = inspected(compose, container)
    assert facts["Config"]["User"] == f"{UID}:{UID}"
    assert facts["HostConfig"]["ReadonlyRootfs"]
    assert facts["HostConfig"]["CapDrop"] == ["ALL"]
    image = inspected(compose, "soundsright-miner")["Config"]
    assert image["User"] == "10001:10001"
    # The image's own health check, which the engine runs every half minute.
    check = image["Healthcheck"]["Test"][1:]
    assert docker(compose, "exec", container, *check).returncode == 0
    # The image has only the files that it runs.
    files = docker(compose, "exec", container, "ls", "/opt/soundsright").stdout.split()
    own = {
        "LICENSE",
        "README.md",
        "build",
        "models",
        "pyproject.toml",
        "requirements",
        "soundsright",
        "soundsright.egg-info",
    }
    assert set(files) <= own
    compose("stop", "-t", "20", "soundsright-miner")
    assert inspected(compose, container)["State"]["ExitCode"] == 0

    refused = compose("run", "--rm", "--no-deps", "-e", "NETUID=many", "soundsright-miner", check=False)
    errors = [line for line in refused.stderr.splitlines() if "Error" in line]
    assert refused.returncode == 2
    assert len(errors) == 1
    assert "NETUID" in errors[0]


@pytest.mark.slow
def test_compose_up_starts_a_coordinator_and_an_executor_that_answer_and_stop(
    compose: Compose, engine: Engine, base: str, tmp_path: Path
) -> None:
    organiser, validator = Hotkey.of_seed("organiser"), Hotkey.of_seed("validator")
    organiser.write(tmp_path / "wallets" / "organiser" / "hotkeys" / "default")
    (tmp_path / "executor" / "tmp").mkdir(parents=True)
    for folder in ("wallets", "executor"):
        owned(tmp_path / folder)
    ports = {
        name: str(free_port())
        for name in ("HEALTHCHECK_API_PORT", "EXECUTOR_HEALTH_PORT", "SUBNET_API_PORT", "EXECUTOR_PORT")
    }
    own = {
        **ports,
        "EXECUTOR_BASE_IMAGE": base,
        "WALLET": "organiser",
        "HOTKEY": "default",
        "STATE_FOLDER": "",
        "WALLET_PATH": "",
    }
    (tmp_path / ".env").write_text(
        (ROOT / ".executor-env.sample").read_text() + "\n".join(f"{name}={own[name]}" for name in own)
    )
    address = engine.url or os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    socket = Path(address.removeprefix("unix://"))
    compose.environment |= ports | {
        "DOCKER_SOCKET": str(socket),
        "DOCKER_GID": str(socket.stat().st_gid),
        "SOUNDSRIGHT_EXECUTOR_STATE": str(tmp_path / "executor"),
    }
    services = ("soundsright-coordinator", "soundsright-executor")
    # Any of the images can run the chain, and each build takes a while.
    compose.environment["CHAIN_IMAGE"] = services[0]
    compose("build", *services)
    compose("up", "-d", "--no-build", "chain")
    url = f"http://127.0.0.1:{compose.environment['CHAIN_PORT']}"
    chain = until(lambda: HttpChain(url, organiser, timeout_s=2.0), "the chain answers", compose)
    chain.register(validator.address, stake=1_000.0, permit=True)

    compose("up", "-d", "--no-build", *services)
    for name in ("HEALTHCHECK_API_PORT", "EXECUTOR_HEALTH_PORT"):
        health = f"http://127.0.0.1:{ports[name]}"
        until(lambda: request(health, "GET", "/readyz", timeout_s=5).status == 200, name, compose)  # noqa: B023
    board = HttpSubmissionBoard(f"http://127.0.0.1:{ports['SUBNET_API_PORT']}", organiser.address, validator)
    assert until(lambda: (board.submissions(), board.burn_ratio()), "the coordinator's API", compose) == ((), 0.0)
    table = HttpScoreTable(f"http://127.0.0.1:{ports['EXECUTOR_PORT']}", organiser.address, validator)
    assert until(table.table, "the executor's API", compose).rows == ()

    containers = {name: compose("ps", "-q", name).stdout.strip() for name in services}
    for container in containers.values():
        facts = inspected(compose, container)
        assert facts["Config"]["User"] == f"{UID}:{UID}"
        assert facts["HostConfig"]["ReadonlyRootfs"]
        assert facts["HostConfig"]["CapDrop"] == ["ALL"]
        bound = facts["HostConfig"]["PortBindings"]
        assert bound[f"{ports['HEALTHCHECK_API_PORT']}/tcp"][0]["HostIp"] == "127.0.0.1"
    compose("stop", "-t", "20", *services)
    exits = {name: inspected(compose, each)["State"]["ExitCode"] for name, each in containers.items()}
    assert exits == dict.fromkeys(services, 0), compose("logs", check=False).stdout[-3_000:]


FEDERATION_RULES = """\
[ruleset]
base = "soundsright-v5"

[emission]
competitions = 0.0
federation = 1.0

[federation]
interval_blocks = 30
epoch_blocks = 20
window_tasks = 10
settle_margin = 0
lookback_blocks = 200
clips = 1

[[competition]]
task = "DENOISING"
sample_rate_hz = 16_000
max_score = 90.0
remainder = 10.0
metrics = { PESQ_WB = 0.6, ESTOI = 0.4 }
"""


@pytest.mark.slow
def test_compose_up_starts_a_federation_that_judges_commits_its_view_and_stops(
    compose: Compose, engine: Engine, tmp_path: Path
) -> None:
    organiser, validator = Hotkey.of_seed("organiser"), Hotkey.of_seed("validator")
    for name, key in (("organiser", organiser), ("lab", validator)):
        key.write(tmp_path / "wallets" / name / "hotkeys" / "default")
    state = tmp_path / "federation"
    for name in ("tmp", "hub"):
        (state / name).mkdir(parents=True)
    for name in ("lists", "lab"):
        new_bucket_folder(state / name)
    (state / "rules.toml").write_text(FEDERATION_RULES)
    endpoint, ports = f"file://{state}", {name: str(free_port()) for name in ("HEALTHCHECK_API_PORT",)}
    ports["FEDERATION_HEALTH_PORT"] = str(free_port())
    own = {
        "HEALTHCHECK_API_PORT": ports["HEALTHCHECK_API_PORT"],
        "WALLET": "lab",
        "HOTKEY": "default",
        "STATE_FOLDER": "",
        "WALLET_PATH": "",
        "SOUNDSRIGHT_RULESET": str(state / "rules.toml"),
        "SOUNDSRIGHT_SPEECH": "recordings",
        "SOUNDSRIGHT_HUB": str(state / "hub"),
        "SOUNDSRIGHT_WORKERS": "1",
        "SAMPLER_POLL_INTERVAL": "1",
        "R2_ENDPOINT": endpoint,
        "R2_OWN_BUCKET": "lab",
        "R2_SOURCE_BUCKET": "lists",
        "PEER_VALIDATORS": json.dumps(
            [{"hotkey": validator.address, "bucket": "lab", "endpoint": endpoint, "region": "auto"}]
        ),
    }
    sample = (ROOT / ".federation-env.sample").read_text()
    (tmp_path / ".env").write_text(sample + "\n".join(f"{name}={value}" for name, value in own.items()))
    address = engine.url or os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    socket = Path(address.removeprefix("unix://"))
    compose.environment |= ports | {
        "DOCKER_SOCKET": str(socket),
        "DOCKER_GID": str(socket.stat().st_gid),
        "SOUNDSRIGHT_FEDERATION_STATE": str(state),
        "CHAIN_IMAGE": "soundsright-validator",
    }
    owned(tmp_path / "wallets")
    service = "soundsright-federation"
    compose("build", service)
    compose("up", "-d", "--no-build", "chain")
    url = f"http://127.0.0.1:{compose.environment['CHAIN_PORT']}"
    chain = until(lambda: HttpChain(url, organiser, timeout_s=2.0), "the chain answers", compose)
    chain.register(validator.address, stake=1_000.0, permit=True)
    until(lambda: any(each.hotkey == validator.address for each in chain.neurons()), "the registration", compose)
    for words in (["add", validator.address], ["publish"]):
        published_by_owner(words, tmp_path, url, endpoint)
    owned(state)

    compose("up", "-d", "--no-build", service)
    health = f"http://127.0.0.1:{ports['FEDERATION_HEALTH_PORT']}"
    until(lambda: request(health, "GET", "/readyz", timeout_s=5).status == 200, "readiness", compose)
    until(lambda: [*(state / "lab").glob("*/evaluation_results/*.json")], "a verdict", compose, 120.0)

    def views() -> list[str]:
        return [
            each.digest
            for each in chain.commitments()
            if each.hotkey == validator.address and each.digest.startswith("soundsright:view:")
        ]

    until(views, "a view on the chain", compose, 120.0)

    container = compose("ps", "-q", service).stdout.strip()
    facts = inspected(compose, container)
    assert facts["Config"]["User"] == f"{UID}:{UID}"
    assert facts["HostConfig"]["ReadonlyRootfs"]
    assert facts["HostConfig"]["CapDrop"] == ["ALL"]
    (bound,) = facts["HostConfig"]["PortBindings"].values()
    assert bound[0]["HostIp"] == "127.0.0.1"
    compose("stop", "-t", "20", service)
    stopped = inspected(compose, container)["State"]["ExitCode"]
    assert stopped == 0, compose("logs", check=False).stdout[-3_000:]


def published_by_owner(words: list[str], folder: Path, url: str, endpoint: str) -> None:
    """Run `federation validator` as the federation's owner."""
    (folder / "owner").mkdir(exist_ok=True)
    settings = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder / "owner"),
        "SUBTENSOR_CHAIN_ENDPOINT": url,
        "SOUNDSRIGHT_RULESET": str(folder / "federation" / "rules.toml"),
        "WALLET_PATH": str(folder / "wallets"),
        "WALLET": "organiser",
        "HOTKEY": "default",
        "STATE_FOLDER": str(folder / "owner"),
        "R2_ENDPOINT": endpoint,
        "R2_OWN_BUCKET": "lists",
    }
    command = [sys.executable, "-m", "soundsright", "federation", "validator", *words]
    done = subprocess.run(
        command, cwd=folder / "owner", env=settings, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_compose_up_runs_the_demo_to_its_report(compose: Compose, tmp_path: Path) -> None:
    (tmp_path / "runs").chmod(0o777)
    compose("build", "soundsright-demo")
    done = compose("up", "--no-build", "--exit-code-from", "soundsright-demo", "soundsright-demo", check=False)
    assert done.returncode == 0, done.stdout[-3_000:]
    assert "Weights" in done.stdout
    results = json.loads((tmp_path / "runs" / "docker" / "results.json").read_text())
    (competition,) = results["competitions"]
    assert competition["id"] == "DEREVERBERATION_48000HZ"
    assert {entry["clips"] for entry in competition["entries"]} == {2}
    assert not any(entry["failures"] for entry in competition["entries"])
    assert (tmp_path / "runs" / "docker" / "report.html").stat().st_size > 10_000


def docker(compose: Compose, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *words], env=compose.environment, capture_output=True, text=True, timeout=60, check=False
    )


def inspected(compose: Compose, name: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(docker(compose, "inspect", name).stdout)[0]
    return facts


def test_the_compose_file_has_the_published_services_and_binds_health_to_this_machine(tmp_path: Path) -> None:
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    shutil.copy(ROOT / ".miner-env.sample", tmp_path / ".env")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [*compose_words(), "config"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    services = {line.strip().rstrip(":") for line in done.stdout.splitlines() if line.startswith("  soundsright-")}
    assert services == SERVICES
    assert done.stdout.count("cap_drop") == len(SERVICES | {"redis"})
    assert "privileged" not in done.stdout
