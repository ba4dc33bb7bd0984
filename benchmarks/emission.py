"""Measures what other systems cost a validator: the time to combine their payees, and the memory when idle.

    python benchmarks/emission.py

Four systems pay 256 hotkeys each. A validator ticks on a private chain with a state on disk. The output has the
part of a tick that combining takes, when payees are unchanged and when those of one system change at each tick, and
the resident memory of a validator with four systems as a multiple of that of one without.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil

from soundsright.adapters.chains.local import LocalChain, seeded_block_entropy
from soundsright.adapters.state import SqlRecords, SqlState
from soundsright.core.competition import PUBLISHED
from soundsright.core.competition_rules import CompetitionRules, Measures
from soundsright.core.emission import DEFAULT_EMISSION, EmissionRules
from soundsright.core.ports import Neuron
from soundsright.core.rulesets import SOUNDSRIGHT_V5
from soundsright.core.schedule import Schedule
from soundsright.ranking import combined_emission
from soundsright.services.http import Health
from soundsright.services.rounds import steps
from soundsright.services.validator import SubnetSettings, ValidatorContext, ValidatorService
from soundsright.testing import VirtualClock

HOTKEYS = [f"hotkey-{number}" for number in range(256)]
NAMES = ("executor", "federation", "tiers", "tournaments")
SHARES = {"competitions": 0.2, **dict.fromkeys(NAMES, 0.2)}
TICKS = 40


class System:
    """A system that pays all hotkeys. `turn` changes its payees."""

    def __init__(self, name: str) -> None:
        self.name, self.turn = name, 0

    def tick(self, finalized: int, neurons: Sequence[Neuron]) -> None:
        pass

    def payees(self) -> dict[str, float]:
        parts = {hotkey: 1.0 + (number + self.turn) % 7 for number, hotkey in enumerate(HOTKEYS)}
        total = sum(parts.values()) * (1 + 1e-9)
        return {hotkey: part / total for hotkey, part in parts.items()}

    def close(self) -> None:
        pass


def validator(folder: Path, systems: Sequence[System]) -> tuple[ValidatorService, LocalChain]:
    """A validator that waits for its next round, after one that paid all hotkeys."""
    chain = LocalChain(folder / "chain.db", entropy=seeded_block_entropy(1), now_s=lambda: 0.0)
    chain.register("validator", stake=2_000.0, permit=True)
    for hotkey in HOTKEYS[:-1]:
        chain.register(hotkey)
    state = SqlState(folder / "state.db")
    state.begin_round("first", {})
    steps.write(state, "first", steps.PAYEES, steps.PayeesStep(System("rounds").payees()))
    clock = VirtualClock(1e9)
    unused: Any = None
    account: Any = type("Account", (), {"address": "validator"})()
    settings = SubnetSettings(
        CompetitionRules((PUBLISHED[0],), SOUNDSRIGHT_V5),
        Measures(8, ("PESQ_WB",), {"PESQ_WB": 0.0}),
        Schedule(time_of_day_s=0, every_days=1, first_day=40_000),
        emission=EmissionRules(SHARES) if systems else DEFAULT_EMISSION,
    )
    context = ValidatorContext(
        settings,
        unused,
        chain=chain,
        account=account,
        state=state,
        records=SqlRecords.beside(state),
        peers=unused,
        clock=clock,
        health=Health(clock),
        valid_signature=unused,
    )
    return ValidatorService(context, systems), chain


def seconds_per_tick(folder: Path, systems: Sequence[System], *, changes: bool) -> float:
    folder.mkdir()
    service, chain = validator(folder, systems)
    with closing(chain):
        service.tick()
        start = time.perf_counter()
        for turn in range(TICKS):
            for system in systems[:1]:
                system.turn = turn if changes else 0
            service.tick()
            chain.advance()
        return (time.perf_counter() - start) / TICKS


def resident_bytes(systems: int) -> int:
    """The memory of a process with an idle validator."""
    code = (
        "import sys, tempfile; from pathlib import Path; from benchmarks import emission\n"
        f"systems = [emission.System(name) for name in emission.NAMES[:{systems}]]\n"
        "service, chain = emission.validator(Path(tempfile.mkdtemp()), systems)\n"
        "for _ in range(20): service.tick(); chain.advance()\n"
        "print('idle', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1], text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "idle\n"
        used = int(psutil.Process(process.pid).memory_info().rss)
        process.communicate("")
    return used


def main() -> None:
    payees = {name: System(name).payees() for name in SHARES}
    start = time.perf_counter()
    for _ in range(100):
        combined_emission(SHARES, payees, burn=True)
    combining_s = (time.perf_counter() - start) / 100
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        systems = [System(each) for each in NAMES]
        alone_s = seconds_per_tick(folder / "alone", (), changes=False)
        same_s = seconds_per_tick(folder / "same", systems, changes=False)
        changed_s = seconds_per_tick(folder / "changed", systems, changes=True)
    print(f"tick without other systems  {1e3 * alone_s:8.2f} ms")
    print(f"tick, unchanged payees      {1e3 * same_s:8.2f} ms")
    print(f"tick, changed payees        {1e3 * changed_s:8.2f} ms")
    print(
        f"combining once              {1e3 * combining_s:8.2f} ms: {combining_s / 12:.3%} of the 12 s between ticks"
    )
    print(f"idle memory, ratio          {resident_bytes(4) / resident_bytes(0):8.2f}")


if __name__ == "__main__":
    main()
