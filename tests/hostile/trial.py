"""One hostile model tried in one sandbox, beside an honest neighbour."""

from __future__ import annotations

import os
import socket
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from soundsright.core.errors import ModelFault
from soundsright.core.ports import Answer, DegradedClip, Sandbox, SandboxLimits
from soundsright.core.submission import FetchedModel
from tests.conftest import DOCKERFILE
from tests.hostile.cases import Case

LIMITS = SandboxLimits(
    memory_bytes=300_000_000,
    pids=32,
    log_bytes=200_000,
    load_timeout_s=15.0,
    step_timeout_s=5.0,
    enhance_fixed_s=8.0,
    enhance_factor=0.5,
)
SECRET = "correct-horse-battery"


@dataclass(frozen=True)
class Outcome:
    """What the entry got: `answers`, a fault's code, or the codes of its clips; and what its log says."""

    got: str | tuple[str | None, ...]
    log: str
    sentence: str = ""

    @property
    def escaped(self) -> list[str]:
        return [line for line in self.log.splitlines() if line.startswith("ESCAPED")]

    @property
    def held(self) -> list[str]:
        return [line for line in self.log.splitlines() if line.startswith("held")]


@contextmanager
def bait(folder: Path) -> Iterator[dict[str, str]]:
    """What a model could find if nothing held it: files, a wallet, a port, a secret in the environment."""
    wallet = folder / ".bittensor" / "wallets" / "coldkey"
    wallet.parent.mkdir(parents=True, exist_ok=True)
    for path in (wallet, folder / "clean.wav"):
        path.write_text(SECRET)
    os.environ["HARNESS_SECRET"] = SECRET
    abstract = f"harness-{os.getpid()}"
    try:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as hidden:
            hidden.bind(f"\0{abstract}")
            hidden.listen()
            yield {
                "host_port": str(server.getsockname()[1]),
                "abstract": abstract,
                "secret": str(folder / "clean.wav"),
                "wallet": str(wallet),
                "private": str(folder),
                "engine_socket": os.environ.get("DOCKER_HOST", "").removeprefix("unix://") or "/run/docker.sock",
                "harness_pid": str(os.getpid()),
                "secret_value": SECRET,
            }
    finally:
        del os.environ["HARNESS_SECRET"]


def tried(
    case: Case,
    sandbox: Sandbox,
    make_model: Callable[..., FetchedModel],
    clips: tuple[DegradedClip, ...],
    found: dict[str, str],
) -> Outcome:
    """Run the model on two batches and say what came of it."""
    dockerfile = DOCKERFILE + ('LABEL soundsright.protocol="files"\n' if case.by_files else "")
    app = textwrap.dedent(case.app)
    for name, value in found.items():
        app = app.replace(f"<{name}>", value)
    model = make_model(app, dockerfile=dockerfile)
    log = ""
    batches: list[tuple[Answer, ...]] = []
    try:
        with sandbox.run(model, limits=replace(LIMITS, **case.limits)) as running:
            try:
                batches.append(running.enhance(clips))
                batches.append(running.enhance(clips))
            finally:
                log = running.log()  # type: ignore[attr-defined]
    except ModelFault as e:
        return Outcome(e.code + (" on the second batch" if batches else ""), log, str(e))
    codes = {tuple(a.failure.code if a.failure else None for a in answers) for answers in batches}
    assert len(codes) == 1, "both batches must fare alike"
    (got,) = codes
    return Outcome("answers" if not any(got) else got, log)
