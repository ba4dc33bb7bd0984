"""One round, disturbed at every point where it touches the outside, and what becomes of it.

    python tests/services/crash_driver.py [--every N]

Each disturbance is one process that dies or stops, and a second one that goes on from what the first recorded.
Chain, hub and state are the real ones, in files; models and scores are fakes, so that a round takes a moment.
Afterwards the weights on the chain, the standings, the database and the enhanced audio must equal those of an
undisturbed round.

Prints a table, and ends with the number of fault points. `--every N` takes every N-th of them.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import soundfile

from soundsright.adapters import state_database
from soundsright.adapters.chain_local import LocalChain, seeded_entropy
from soundsright.adapters.hub_folder import FolderHub
from soundsright.adapters.state import SqlState
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import (
    ChainUnavailable,
    EngineUnavailable,
    HubUnavailable,
    InfrastructureFault,
    ModelCrashed,
    StateUnavailable,
)
from soundsright.core.results import Failure
from soundsright.core.schedule import Round
from soundsright.core.submission import ModelRef, Reveal, commitment_digest
from soundsright.ranking.rulesets import SOUNDSRIGHT_V3
from soundsright.services.clipset import draw_to_disk
from soundsright.services.evaluation import Cancelled, score_files
from soundsright.services.round import RoundService
from soundsright.services.round_types import RoundOutcome, RoundPlan
from soundsright.testing import Behaviour, FakeSandbox, InlinePool, VirtualClock
from soundsright.testing.simulated_world import draw_fake_clips, score_fake_clip

COMPETITIONS = (PUBLISHED[0], PUBLISHED[3])
METRICS = ("PESQ_WB", "ESTOI", "SI_SDR")
VALIDATOR = "validator"

STATE_WRITES = ("begin_round", "finish_step", "add_clip_results")
STATE_READS = ("step_done", "clip_results", "rounds")
CHAIN_CALLS = ("finalized", "block_hash", "commitments", "neurons", "set_weights")

CLOCK = VirtualClock(1.9e9)

Disturb = Callable[[str, str], None]
"""Told of every call, as (moment, method), where the moment is `before` or `after` its effect."""


class Watched:
    """A port that tells of each call before and after its effect."""

    def __init__(self, port: object, names: tuple[str, ...], tell: Disturb) -> None:
        self._port, self._names, self._tell = port, names, tell

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in self._names:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._tell("before", name)
            result = found(*args, **kwargs)
            self._tell("after", name)
            return result

        return call


def behaviour(model: Any) -> Behaviour:
    """What the file `behaviour` of a model says."""
    text = (model.path / "behaviour").read_text().split()
    return Behaviour(
        float(text[0]),
        batch_fault=ModelCrashed("The process ended", 139) if "crashes" in text else None,
        clip_failure=Failure("length", "half a second short") if "truncates" in text else None,
    )


def stage(folder: Path) -> None:
    """The round before the validator starts: five entries and a late one."""
    chain = LocalChain(folder / "chain.db", entropy=seeded_entropy(1))
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
    reveals, close = {}, 0
    for name, says, competition in entries:
        chain.register(name)
        source = folder / "source" / name
        source.mkdir(parents=True)
        (source / "Dockerfile").write_text("FROM base\n")
        (source / "behaviour").write_text(says)
        if name == "late":
            close = chain.head().number
        model = hub.publish(name, "model", source)
        chain.publish(name, commitment_digest(model, name, competition.id))
        reveals[name] = [model.namespace, model.name, model.revision, competition.id]
    chain.advance(5)
    (folder / "round.json").write_text(json.dumps({"close": close, "reveals": reveals}))


def run(folder: Path, tell: Disturb) -> RoundOutcome:
    """The validator's process."""
    facts = json.loads((folder / "round.json").read_text())
    reveals = {hotkey: Reveal(ModelRef(*parts[:3]), parts[3]) for hotkey, parts in facts["reveals"].items()}
    state = SqlState(folder / "state.db")
    plan = RoundPlan(
        round=Round("round-1", facts["close"], facts["close"] + 5),
        competitions=COMPETITIONS,
        clips=8,
        metrics=METRICS,
        ruleset=SOUNDSRIGHT_V3,
        floors={"PESQ_WB": 0.0, "ESTOI": -1.0, "SI_SDR": -1.0},
        batch_audio_s=3.0,
        burn_uid=0,
    )
    service = RoundService(
        plan,
        chain=Watched(LocalChain(folder / "chain.db"), CHAIN_CALLS, tell),
        hub=Watched(FolderHub(folder / "hub", folder / "cache"), ("fetch",), tell),
        sandbox=Watched(FakeSandbox(behaviour), ("run",), tell),
        state=Watched(state, (*STATE_WRITES, *STATE_READS), tell),
        pool=InlinePool({draw_to_disk: draw_fake_clips, score_files: score_fake_clip}),
        clock=CLOCK,
        folder=folder / "run",
        validator=VALIDATOR,
        reveals=reveals,
        slots=1,
        workers=1,
    )
    try:
        return service.run()
    finally:
        state.close()


def result_of(folder: Path, outcome: RoundOutcome) -> dict[str, Any]:
    """All that must come out the same, however the round went."""
    with closing(sqlite3.connect(folder / "state.db")) as db:
        rows = {
            "rounds": db.execute("SELECT round_id, facts FROM rounds ORDER BY position").fetchall(),
            "clips": db.execute("SELECT * FROM clip_results ORDER BY round_id, entry_id, clip_id").fetchall(),
            "steps": [
                (step, _lasting(step, json.loads(facts)))
                for step, facts in db.execute("SELECT step, facts FROM steps ORDER BY step")
            ],
        }
    audio = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "run").rglob("*.wav"))
    }
    standings = [
        [b.competition.id, s.submission.hotkey, s.metric, s.estimate.mean, s.share, s.rank, s.needed, s.reason]
        for b in outcome.leaderboards
        for s in b.standings
    ]
    # One that carries the number of the process that died is nobody's; any other would have been written over.
    left = [path.name for path in sorted(folder.rglob("*.part")) if not re.search(r"\.\d+\.part$", path.name)]
    return json.loads(
        json.dumps(
            {
                "weights": LocalChain(folder / "chain.db").weights(VALIDATOR),
                "standings": standings,
                "decisions": [[d.metric, d.sentence] for b in outcome.leaderboards for d in b.decisions],
                "refusals": [[r.hotkey, r.code, r.sentence] for r in outcome.refusals],
                "database": rows,
                "audio": audio,
                "half-written files": left,
            }
        )
    )


def _lasting(step: str, facts: dict[str, Any]) -> object:
    """Without what a restart may change: seconds of work, and the block in which the weights landed."""
    if step.startswith("enhanced:"):
        return facts.get("fault")
    return {name: value for name, value in facts.items() if (step, name) != ("weights", "block")}


def forked(work: Callable[[], None]) -> int:
    """Do the work in a process of its own; its wait status."""
    pid = os.fork()
    if pid == 0:
        code = 4
        try:
            work()
            code = 0
        except (InfrastructureFault, Cancelled):
            code = 3
        finally:
            # Whatever was raised, the child must not go on into the driver's own code.
            if code == 4:
                traceback.print_exc()
            os._exit(code)
    return os.waitpid(pid, 0)[1]


@dataclass(frozen=True)
class Disturbance:
    """What happens at the n-th of the calls that it is about."""

    name: str
    methods: tuple[str, ...]
    moments: tuple[str, ...]
    act: Callable[[Path], Any]

    def at(self, number: int, folder: Path) -> Disturb:
        seen = 0

        def tell(moment: str, method: str) -> None:
            nonlocal seen
            if moment in self.moments and method in self.methods:
                seen += 1
                if seen == number:
                    self.act(folder)

        return tell


def killed(_folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def raising(error: type[InfrastructureFault]) -> Callable[[Path], None]:
    def act(_folder: Path) -> None:
        raise error("planted")

    return act


def locked(folder: Path) -> None:
    """Another program takes the database's write lock and keeps it past our patience."""
    blocker = sqlite3.connect(folder / "state.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    _KEPT.append(blocker)


_KEPT: list[sqlite3.Connection] = []


def disk_full(_folder: Path) -> None:
    """From now on no audio can be written in this process."""
    mock.patch.object(soundfile, "write", side_effect=OSError(errno.ENOSPC, "No space left on device")).start()


def clock_jumps(seconds: float) -> Callable[[Path], None]:
    """What an operator or a time server does to the machine's clock."""
    return lambda _folder: CLOCK.jump(seconds)


BOTH = ("before", "after")
DISTURBANCES = (
    Disturbance("killed at a write to the state", STATE_WRITES, BOTH, killed),
    Disturbance("killed at a call of the chain", CHAIN_CALLS, BOTH, killed),
    Disturbance("killed at a fetch", ("fetch",), BOTH, killed),
    Disturbance("killed as a model starts", ("run",), BOTH, killed),
    Disturbance("database fails", (*STATE_WRITES, *STATE_READS), BOTH, raising(StateUnavailable)),
    Disturbance("database locked", STATE_WRITES, ("before",), locked),
    Disturbance("disk full for audio", ("fetch", "run"), ("before",), disk_full),
    Disturbance("chain drops the connection", CHAIN_CALLS, BOTH, raising(ChainUnavailable)),
    Disturbance("hub unavailable", ("fetch",), BOTH, raising(HubUnavailable)),
    Disturbance("clock jumps a day ahead", ("finish_step",), ("after",), clock_jumps(86_400.0)),
    Disturbance("clock jumps a day back", ("finish_step",), ("after",), clock_jumps(-86_400.0)),
    Disturbance("engine restarting", ("run",), ("before",), raising(EngineUnavailable)),
)


def points_of(disturbance: Disturbance, template: Path, folder: Path) -> int:
    """How many calls an undisturbed round makes of those that the disturbance is about."""
    calls = 0

    def count(moment: str, method: str) -> None:
        nonlocal calls
        calls += moment in disturbance.moments and method in disturbance.methods

    shutil.copytree(template, folder)
    run(folder, count)
    shutil.rmtree(folder)
    return calls


def finished(folder: Path, expected: Path) -> str:
    """Run to the end in a fresh process; what differs from the expected result, or nothing."""

    def work() -> None:
        result = result_of(folder, run(folder, lambda _moment, _method: None))
        wanted = json.loads(expected.read_text())
        wrong = [name for name in wanted if result[name] != wanted[name]]
        (folder / "differs.json").write_text(json.dumps(wrong))

    status = forked(work)
    if status != 0:
        return f"the restarted process ended with status {status}"
    return ", ".join(json.loads((folder / "differs.json").read_text()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="take every N-th fault point of each kind")
    options = parser.parse_args()
    state_database.BUSY_TIMEOUT_S = 0.05
    failures = total = 0
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        root = Path(name)
        template, expected = root / "template", root / "expected.json"
        template.mkdir()
        stage(template)
        shutil.copytree(template, root / "peace")
        outcome = run(root / "peace", lambda _moment, _method: None)
        expected.write_text(json.dumps(result_of(root / "peace", outcome)))
        print(f"{'disturbance':<34}{'points':>8}{'stopped':>9}{'same result':>13}")
        for disturbance in DISTURBANCES:
            points = range(1, points_of(disturbance, template, root / "count") + 1, options.every)
            stopped = same = 0
            for number in points:
                folder = root / "disturbed"
                shutil.copytree(template, folder)
                status = forked(lambda: run(folder, disturbance.at(number, folder)))  # noqa: B023
                stopped += status != 0
                differs = finished(folder, expected)
                same += not differs
                if differs or os.waitstatus_to_exitcode(status) == 4:
                    print(f"    {disturbance.name}, point {number}: {differs or 'an error of the program'}")
                    failures += 1
                shutil.rmtree(folder)
            print(f"{disturbance.name:<34}{len(points):>8}{stopped:>9}{same:>13}", flush=True)
            total += len(points)
    print(f"{total} fault points: {total - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
