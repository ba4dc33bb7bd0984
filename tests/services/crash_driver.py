"""Disturbs a validator's round at every point where it touches the outside, and checks that the result is the same.

    python tests/services/crash_driver.py [--every N]

Each disturbance has one process that dies, stops or recovers, and a second process that continues from what the
first recorded. The whole service runs: it collects reveals, fetches and runs models, decides prizes, sets weights,
signs feedback and delivers it. Chain, hub, artifacts and state are the real ones, in files. Miners, models and
scores are fakes, so that a round takes a moment. Afterwards the weights on the chain, the database, the enhanced
audio and the feedback of each miner must equal those of an undisturbed round.

The output is a table, and then the number of fault points. `--every N` uses every N-th point, and at least one of
each kind.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import soundfile

from soundsright.adapters.chains.local import LocalChain, seeded_block_entropy
from soundsright.adapters.hubs.folder import FolderHub
from soundsright.adapters.state import database as state_database
from soundsright.adapters.state.artifacts import Artifacts
from soundsright.adapters.state.store import SqlState
from soundsright.core.competition import PUBLISHED
from soundsright.core.competition_rules import CompetitionRules, Measures
from soundsright.core.errors import (
    ChainUnavailable,
    EngineUnavailable,
    HubUnavailable,
    InfrastructureFault,
    ModelCrashed,
    PeerUnavailable,
    StateUnavailable,
)
from soundsright.core.ports import Reply
from soundsright.core.results import Failure
from soundsright.core.rulesets import SOUNDSRIGHT_V3
from soundsright.core.schedule import Schedule
from soundsright.core.submission import FetchedModel
from soundsright.services.http.state import Health
from soundsright.services.records import feedback_of, results_of, reveal_document
from soundsright.services.rounds import steps
from soundsright.services.rounds.clipset import draw_to_disk
from soundsright.services.rounds.scoring import score_files
from soundsright.services.validator.lease import sole_process
from soundsright.services.validator.service import ValidatorService
from soundsright.services.validator.setup import SubnetSettings, ValidatorContext, Work
from soundsright.services.validator.ticking import MAX_PAUSE_S
from soundsright.testing import Behaviour, FakeSandbox, InlinePool, VirtualClock, salted_reveal
from soundsright.testing.disturbing import BOTH, Disturb, Disturbance, Watched, forked, killed, raising
from soundsright.testing.planting import planted
from soundsright.testing.simulation.world import draw_fake_clips, score_fake_clip

COMPETITIONS = (PUBLISHED[0], PUBLISHED[3])
METRICS = ("PESQ_WB", "ESTOI", "SI_SDR")
FLOORS = {"PESQ_WB": 0.0, "ESTOI": -1.0, "SI_SDR": -1.0}
VALIDATOR = "validator"
DAY_S = 86_400.0
SCHEDULE = Schedule(time_of_day_s=0, every_days=1, first_day=10, seed_delay_blocks=3)
ROUND_ID = SCHEDULE.id_of(0)
SIGNATURE = "0x" + "0" * 128  # The signature that `Signer` gives is not checked here.

STATE_WRITES = ("begin_round", "finish_step", "add_clip_results")
STATE_READS = ("step_done", "clip_results", "rounds", "titles")
CHAIN_CALLS = ("finalized", "block_hash", "snapshot", "neurons", "set_weights")
ARTIFACT_CALLS = ("put_bytes", "read", "collect")
FEEDBACK = ("call /feedback",)
MOST_TICKS = 14
CLIP_S = 10.0  # Three clips make a batch.

CLOCK = VirtualClock(1.9e9)


def label_of(method: str, arguments: tuple[Any, ...]) -> str:
    """The name of a call. Calls of miners are distinguished by their path."""
    return f"call {arguments[2]}" if method == "call" else method


def behaviour(model: FetchedModel) -> Behaviour:
    """The behaviour in the file `behaviour` of a model."""
    text = (model.path / "behaviour").read_text().split()
    return Behaviour(
        float(text[0]),
        batch_fault=ModelCrashed("The process ended", 139) if "crashes" in text else None,
        clip_failure=Failure("length", "half a second short") if "truncates" in text else None,
    )


class Miners:
    """The `Peers` port: miners that give their reveals and store the feedback that they receive."""

    def __init__(self, folder: Path) -> None:
        self._reveals = json.loads((folder / "reveals.json").read_text())
        self._feedback = folder / "feedback"

    def get(self, endpoint: str, receiver: str, path: str, *, timeout_s: float, **_: object) -> Reply:
        raise AssertionError("a round reads nothing by GET")

    def call(self, endpoint: str, receiver: str, path: str, body: bytes, *, timeout_s: float, **_: object) -> Reply:
        if path == "/reveal":
            return Reply(200, self._reveals[receiver].encode())
        # A repeated delivery of the same feedback counts once.
        name = f"{receiver}-{hashlib.sha256(body).hexdigest()[:16]}.json"
        (self._feedback / name).write_bytes(body)
        return Reply(200, b"{}")


class Signer:
    """An account with reproducible signatures."""

    address = VALIDATOR

    def sign(self, message: bytes) -> bytes:
        return hashlib.sha512(message).digest()


def opened_chain(folder: Path) -> LocalChain:
    """A chain on which a block is an hour."""
    return LocalChain(
        folder / "chain.db",
        entropy=seeded_block_entropy(1),
        block_s=3_600.0,
        now_s=lambda: SCHEDULE.first_day * DAY_S - DAY_S,
    )


def stage(folder: Path) -> None:
    """Make the subnet before the validator starts: six entries, among them a copy, and a late one."""
    chain = opened_chain(folder)
    hub = FolderHub(folder / "hub", folder / "cache")
    chain.register("owner")
    chain.register(VALIDATOR, permit=True)
    entries = [
        ("good", "0.8", COMPETITIONS[0]),
        ("fair", "0.5", COMPETITIONS[0]),
        ("copy", "0.8", COMPETITIONS[0]),
        ("crashing", "0.7 crashes", COMPETITIONS[0]),
        ("truncating", "0.7 truncates", COMPETITIONS[1]),
        ("alone", "0.6", COMPETITIONS[1]),
        ("late", "0.9", COMPETITIONS[1]),
    ]
    reveals = {}
    for name, says, competition in entries:
        if name == "late":
            while chain.timestamp_s(chain.head().number) < SCHEDULE.start_s(0):
                chain.advance()
        chain.register(name)
        source = folder / "source" / name
        source.mkdir(parents=True)
        (source / "Dockerfile").write_text("FROM base\n")
        (source / "behaviour").write_text(says)
        model = hub.publish(name, "model", source)
        chain.publish_endpoint(name, "10.0.0.1:6001")
        reveal = salted_reveal(model, name, competition.id, hub.content_of(model))
        chain.publish(name, reveal.digest(name))
        reveals[name] = json.dumps(reveal_document(reveal, name, SCHEDULE.id_of(0), SIGNATURE))
    chain.advance(SCHEDULE.seed_delay_blocks)
    (folder / "reveals.json").write_text(json.dumps(reveals))
    (folder / "feedback").mkdir()


def draw_long_clips(*arguments: Any) -> Any:
    """Fake clips with a recorded duration of `CLIP_S`, so that a few of them make a batch."""
    drawn = draw_fake_clips(*arguments)
    return replace(drawn, durations_s=dict.fromkeys(drawn.durations_s, CLIP_S))


class UnexpectedError(Exception):
    """The service had an unexpected error of the program itself."""


class NotOver(InfrastructureFault):
    """The round did not end within the number of ticks."""


def serve(folder: Path, tell: Disturb) -> None:
    """Run the validator until the round is over and all feedback is delivered.

    Raises:
        InfrastructureFault: the round is not over after many ticks.
    """
    state = SqlState(folder / "state.db")
    health = Health(CLOCK)
    service = None
    lost = threading.Event()
    try:
        with sole_process(state, "validator", clock=CLOCK, lost=lost.set, duration_s=10 * DAY_S):
            service = _service(folder, state, health, tell)
            for _ in range(MOST_TICKS):
                try:
                    service.tick()
                except InfrastructureFault as fault:
                    health.problem("service", str(fault))
                if service._running is not None:
                    service._running._thread.join()
                if _is_over(folder):
                    return
                CLOCK.sleep(MAX_PAUSE_S)
            raise NotOver("The round is not over")
    finally:
        state.close()
        messages = [event["message"] for events in health.events().values() for event in events]
        if any("The log has the traceback" in line or "error of the program" in line for line in messages):
            raise UnexpectedError(*messages)


def _service(folder: Path, state: SqlState, health: Health, tell: Disturb) -> ValidatorService:
    context = ValidatorContext(
        SubnetSettings(
            CompetitionRules(COMPETITIONS, SOUNDSRIGHT_V3),
            Measures(8, METRICS, FLOORS),
            SCHEDULE,
            burn_hotkey="owner",
            pay_on_public_corpus=True,
        ),
        Work(
            hub=Watched(FolderHub(folder / "hub", folder / "cache"), ("fetch",), tell),
            sandbox=Watched(FakeSandbox(behaviour), ("run",), tell),
            pool=InlinePool({draw_to_disk: draw_long_clips, score_files: score_fake_clip}),
            folder=folder / "validator",
            slots=1,
            workers=1,
            publish=lambda outcome, _folder: {
                f.hotkey: f.as_json() for f in feedback_of(outcome, results_of(outcome)).values()
            },
            artifacts=Watched(Artifacts(folder / "artifacts"), ARTIFACT_CALLS, tell),
        ),
        chain=Watched(opened_chain(folder), CHAIN_CALLS, tell),
        account=Signer(),
        state=Watched(state, (*STATE_WRITES, *STATE_READS), tell),
        peers=Watched(Miners(folder), ("call",), tell, label_of),
        clock=CLOCK,
        health=health,
        valid_signature=lambda _address, _message, _signature: True,
    )
    return ValidatorService(context)


def _is_over(folder: Path) -> bool:
    with closing(sqlite3.connect(folder / "state.db")) as db:
        rows = db.execute("SELECT step, facts FROM steps").fetchall()
    records = [steps.record_of(ROUND_ID, step, json.loads(facts)) for step, facts in rows]
    finished = any(isinstance(record, steps.FinishedStep) for record in records)
    delivered = sum(isinstance(record, steps.DeliveredStep) for record in records)
    return finished and delivered == sum(len(r.envelopes) for r in records if isinstance(r, steps.FeedbackStep))


def result_of(folder: Path) -> dict[str, Any]:
    """Everything that must be the same, however the round was disturbed."""
    with closing(sqlite3.connect(folder / "state.db")) as db:
        rows = {
            "rounds": db.execute("SELECT round_id, facts FROM rounds ORDER BY position").fetchall(),
            "clips": db.execute("SELECT * FROM clip_results ORDER BY round_id, entry_id, clip_id").fetchall(),
            "titles": db.execute("SELECT * FROM titles ORDER BY position").fetchall(),
            "steps": [
                (step, steps.record_of(ROUND_ID, step, json.loads(facts)).reproducible().to_facts())
                for step, facts in db.execute("SELECT step, facts FROM steps ORDER BY step")
            ],
        }
    audio = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "validator").rglob("*.wav"))
    }
    # Incomplete artifacts of killed processes do not count. They are removed with old rounds.
    left = [p.name for p in sorted(folder.rglob("*.part")) if not re.fullmatch(r"tmp\w+\.part", p.name)]
    outcome: dict[str, Any] = json.loads(
        json.dumps(
            {
                "weights": opened_chain(folder).weights(VALIDATOR),
                "feedback": {path.name: path.read_text() for path in sorted((folder / "feedback").iterdir())},
                "database": rows,
                "audio": audio,
                "half-written files": left,
            }
        )
    )
    return outcome


def hub_gone(folder: Path) -> None:
    """From now on the hub answers 404. The process dies."""
    shutil.rmtree(folder / "hub")
    killed(folder)


def cut_off(folder: Path) -> None:
    """The files in the cache are truncated, as after a power cut. The process dies."""
    for path in (folder / "cache").rglob("behaviour"):
        path.chmod(0o644)
        path.write_bytes(b"0")
    killed(folder)


def locked(folder: Path) -> None:
    """Another program takes the database's write lock and keeps it longer than the validator waits."""
    blocker = sqlite3.connect(folder / "state.db", isolation_level=None, check_same_thread=False)
    blocker.execute("BEGIN IMMEDIATE")
    threading.Timer(3 * state_database.BUSY_TIMEOUT_S, blocker.close).start()


def disk_full(_folder: Path) -> None:
    """From now on this process can write only to the database."""
    full = OSError(errno.ENOSPC, "No space left on device")
    for owner, name in ((soundfile, "write"), (Path, "mkdir"), (Path, "write_text"), (os, "fsync")):
        mock.patch.object(owner, name, side_effect=full).start()


def clock_jumps(seconds: float) -> Callable[[Path], None]:
    """Set the clock, as an operator or a time server does."""
    return lambda _folder: CLOCK.jump(seconds)


STATE_CALLS = (*STATE_WRITES, *STATE_READS)
LASTING = 10_000
DISTURBANCES = (
    Disturbance("killed at a write to the state", STATE_WRITES, BOTH, killed),
    Disturbance("killed at a call of the chain", CHAIN_CALLS, BOTH, killed),
    Disturbance("killed at a fetch", ("fetch",), BOTH, killed),
    Disturbance("killed as a model starts", ("run",), BOTH, killed),
    Disturbance("killed as a miner reveals", ("call /reveal",), BOTH, killed),
    Disturbance("killed as feedback is sent", FEEDBACK, BOTH, killed),
    Disturbance("killed as feedback is written", ARTIFACT_CALLS, BOTH, killed),
    Disturbance("database fails", STATE_CALLS, BOTH, raising(StateUnavailable)),
    Disturbance("database gone for long", STATE_WRITES, ("before",), raising(StateUnavailable), LASTING),
    Disturbance("database locked", STATE_WRITES, ("before",), locked),
    Disturbance("disk full", ("fetch", "run", "finish_step"), ("before",), disk_full),
    Disturbance("disk full for artifacts", ARTIFACT_CALLS, ("before",), raising(StateUnavailable), 2),
    Disturbance("chain drops the connection", CHAIN_CALLS, BOTH, raising(ChainUnavailable)),
    Disturbance("chain gone for a while", CHAIN_CALLS, ("before",), raising(ChainUnavailable), 3),
    Disturbance("hub answers 500", ("fetch",), BOTH, raising(HubUnavailable)),
    Disturbance("hub answers 500 for a while", ("fetch",), ("before",), raising(HubUnavailable), 7),
    Disturbance("hub answers 500 for long", ("fetch",), ("before",), raising(HubUnavailable), LASTING),
    Disturbance("hub answers 404 after the fetch", ("run",), ("before",), hub_gone),
    Disturbance("cached model cut off", ("run",), ("before",), cut_off),
    Disturbance("engine fails once", ("run",), ("before",), raising(EngineUnavailable)),
    Disturbance("engine restarting", ("run",), ("before",), raising(EngineUnavailable), 12),
    Disturbance("engine gone for long", ("run",), ("before",), raising(EngineUnavailable), LASTING),
    Disturbance("miner away as feedback is sent", FEEDBACK, BOTH, raising(PeerUnavailable), 3),
    Disturbance("clock jumps a day ahead", ("finish_step",), ("after",), clock_jumps(DAY_S)),
    Disturbance("clock jumps a day back", ("finish_step",), ("after",), clock_jumps(-DAY_S)),
)


def differences(folder: Path, peace: Path, _disturbance: Disturbance) -> str:
    """Run to the end in a new process. Returns the differences from the undisturbed round, or an empty text."""

    def work() -> None:
        serve(folder, lambda _moment, _method: None)
        result, undisturbed = result_of(folder), result_of(peace)
        wrong = [name for name in undisturbed if result[name] != undisturbed[name]]
        (folder / "differs.json").write_text(json.dumps(wrong))

    status = forked(work)
    if status != 0:
        return f"the restarted process ended with status {status}"
    return ", ".join(json.loads((folder / "differs.json").read_text()))


if __name__ == "__main__":
    state_database.BUSY_TIMEOUT_S = 0.05
    sys.exit(planted(__doc__, stage, serve, DISTURBANCES, differences))
