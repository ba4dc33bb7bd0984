"""A private competition of real processes on this machine: a chain, miners and validators, with a folder each.

Time is the chain's: a block is an hour of it, and blocks are made only when a test asks for them.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from soundsright.adapters.chains.http import HttpChain
from soundsright.adapters.chains.local import LocalChain
from soundsright.adapters.hubs.folder import FolderHub
from soundsright.adapters.peers.client import request
from soundsright.adapters.peers.keys import Hotkey
from soundsright.core.sources import ModelRef
from tests.ports import free_port

KIT = Path(__file__).parents[1] / "hostile" / "kit" / "server.py"
SECRET = "planted-5f2c91d0e4"
COMPETITION = "DENOISING_16000HZ"
HOURS_A_DAY = 24
FIRST_DAY = datetime.date(2025, 1, 7)
EVE_S = datetime.datetime(2025, 1, 6, 12, tzinfo=datetime.UTC).timestamp()
"""Noon of the day before the first round, so that all have entered before it starts."""
APPS = {
    "copy": "serve(Model())",
    "smooth": """
import array


class Smooth(Model):
    def enhanced(self):
        return {name: self.smoothed(data) for name, data in self.files.items()}

    def smoothed(self, data):
        at = data.index(b"data") + 8
        x = array.array("h", data[at:])
        last = len(x) - 1
        y = array.array("h", ((x[max(i - 1, 0)] + 2 * x[i] + x[min(i + 1, last)]) // 4 for i in range(len(x))))
        return data[:at] + y.tobytes()


serve(Smooth())
""",
    "crash": """
import os


class Crash(Model):
    def enhance(self, request):
        os._exit(3)


serve(Crash())
""",
}


T = TypeVar("T")


def until(condition: Callable[[], T], what: str, *, timeout_s: float = 60.0) -> T:
    """Wait until the condition is true, and return its value."""
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.1)
    return value


@dataclass
class Service:
    """A running command and its output."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@dataclass
class World:
    """The competition. `close` ends all its processes."""

    folder: Path
    keys: dict[str, Hotkey] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    url: str = ""

    def key(self, name: str) -> Hotkey:
        if name not in self.keys:
            self.keys[name] = Hotkey.of_seed(name)
            self.keys[name].write(self.folder / "wallets" / name / "hotkeys" / "default")
        return self.keys[name]

    def start(self, name: str, command: list[str], settings: dict[str, str], *, first: str = "") -> Service:
        """Start `soundsright COMMAND` in a separate environment. The statement `first` runs before it."""
        self.key(name)
        module, *arguments = command
        code = (
            f"{first}\nimport sys; from soundsright.cli.main import run; "
            f"from soundsright.cli.commands.{module} import command; sys.exit(run(command, sys.argv[1:]))"
        )
        log = self.folder / f"{name}.log"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "HOME": str(self.folder),
            "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
            "WALLET": name,
            "WALLET_PATH": str(self.folder / "wallets"),
            "STATE_FOLDER": str(self.folder / name),
            "SUBTENSOR_CHAIN_ENDPOINT": self.url,
            "SOUNDSRIGHT_POLL_S": "0.2",
            "HEALTHCHECK_API_HOST": "127.0.0.1",
            "OPENAI_API_KEY": SECRET,
            # With the key alone, the validators would ask OpenAI's service for speech.
            "SOUNDSRIGHT_SPEECH": "espeak-ng" if shutil.which("espeak-ng") else "recordings",
            "HF_TOKEN": SECRET,
            "SOUNDSRIGHT_HUB": str(self.folder / "hub"),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        } | settings
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.services[name] = Service(name, process, log)
        return self.services[name]

    def start_chain(self, begins_s: float = EVE_S) -> HttpChain:
        """Serve a chain whose first block has that time. The hashes of its blocks are the same in every world."""
        (self.folder / "organiser").mkdir()
        LocalChain(self.folder / "organiser" / "chain.db", entropy=lambda _number: b"", now_s=lambda: begins_s)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.start(
            "organiser",
            ["chain", "serve", "--port", str(port), "--block-every", "0", "--block-seconds", "3600"],
            {},
            first="import secrets; secrets.token_bytes = lambda _count: b''",
        )
        until(lambda: "Chain of" in self.services["organiser"].output(), "the chain answers")
        return HttpChain(self.url, self.key("organiser"))

    def model(self, kind: str, owner: str) -> ModelRef:
        """Publish a model of that kind on the competition's hub."""
        source = self.folder / "source" / owner / kind
        source.mkdir(parents=True, exist_ok=True)
        (source / "app.py").write_text(f"from server import *\n\nOWNER = {owner!r}\n{APPS[kind]}\n")
        (source / "Dockerfile").write_text('FROM scratch\nWORKDIR /app\nCOPY . .\nCMD ["python", "app.py"]\n')
        shutil.copy(KIT, source / "server.py")
        return FolderHub(self.folder / "hub", self.folder / "hub-cache").publish(owner, kind, source)

    def start_miner(self, name: str, model: ModelRef, **settings: str) -> Service:
        for role in ("health", "axon"):
            self.ports.setdefault(f"{name}-{role}", free_port())
        return self.start(
            name,
            ["miner"],
            {
                f"{COMPETITION}_HF_MODEL_NAMESPACE": model.namespace,
                f"{COMPETITION}_HF_MODEL_NAME": model.name,
                f"{COMPETITION}_HF_MODEL_REVISION": model.revision,
                "HEALTHCHECK_API_PORT": str(self.ports[f"{name}-health"]),
                "AXON_PORT": str(self.ports[f"{name}-axon"]),
                "AXON_EXTERNAL_IP": "127.0.0.1",
                "ROUND_FIRST_DAY": FIRST_DAY.isoformat(),
                "ROUND_SEED_DELAY_BLOCKS": "3",
            }
            | settings,
        )

    def start_validator(self, name: str, *arguments: str, **settings: str) -> Service:
        for role in ("health", "axon"):
            self.ports.setdefault(f"{name}-{role}", free_port())
        return self.start(
            name,
            ["validator", *arguments],
            {
                "AXON_PORT": str(self.ports[f"{name}-axon"]),
                "AXON_EXTERNAL_IP": "127.0.0.1",
                "SOUNDSRIGHT_PEER_NETWORKS": "loopback",
                "HEALTHCHECK_API_PORT": str(self.ports[f"{name}-health"]),
                "SOUNDSRIGHT_SANDBOX": "process",
                "SOUNDSRIGHT_TRUST": "true",
                "SOUNDSRIGHT_COMPETITION": COMPETITION,
                "SOUNDSRIGHT_CLIPS": "12",
                "SOUNDSRIGHT_PAY_ON_PUBLIC_CORPUS": "true",
                "SOUNDSRIGHT_SLOTS": "1",
                "SOUNDSRIGHT_WORKERS": "1",
                "ROUND_FIRST_DAY": FIRST_DAY.isoformat(),
                "ROUND_SEED_DELAY_BLOCKS": "3",
            }
            | settings,
        )

    def health(self, name: str, path: str) -> Any:
        """The JSON of a service's health-check API, or None if it does not answer yet."""
        port = self.ports[f"{name}-health"]
        try:
            reply = request(f"http://127.0.0.1:{port}", "GET", path, timeout_s=10)
        except Exception:  # noqa: BLE001 - not there yet
            return None
        return json.loads(reply.body) if reply.body.startswith((b"{", b"[")) else reply.body.decode()

    def close(self) -> None:
        for service in self.services.values():
            if service.process.poll() is None:
                service.process.kill()
                service.process.wait(10)


def running_world(folder: Path) -> Iterator[World]:
    world = World(folder)
    try:
        yield world
    finally:
        world.close()
