"""The reveals for a task: of the last round that closed, from miners, from the validator, or from the chain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from soundsright.adapters.chains.local import LocalChain, seeded_block_entropy
from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import PeerUnavailable
from soundsright.core.ports import Reply
from soundsright.core.schedule import Schedule
from soundsright.core.sources import ModelRef
from soundsright.core.submission import CommitmentKind, Reveal
from soundsright.services.http import Health
from soundsright.services.records import sign_reveal
from soundsright.services.validator import REVEALS_SCOPE, MinerReveals
from soundsright.testing import MemoryState, VirtualClock, salted_reveal

DAY_S = 86_400.0
SCHEDULE = Schedule(time_of_day_s=0, every_days=1, first_day=10, seed_delay_blocks=3)
MINERS = {name: Hotkey.of_seed(name) for name in ("alice", "bob")}
COMPETITION = PUBLISHED[0].id


class Miners:
    """The `Peers` port: miners that show the round of `closed`, and those in `away` that do not answer."""

    def __init__(self) -> None:
        self.closed = SCHEDULE.id_of(1)
        self.away: set[str] = set()
        self.calls: list[str] = []
        self.reveals: dict[str, Reveal] = {}

    def call(self, _endpoint: str, receiver: str, _path: str, body: bytes, **_: Any) -> Reply:
        self.calls.append(receiver)
        if receiver in self.away:
            raise PeerUnavailable("It does not answer")
        if json.loads(body)["round"] != self.closed:
            return Reply(409, b"{}")
        key = next(key for key in MINERS.values() if key.address == receiver)
        return Reply(200, json.dumps(sign_reveal(self.reveals[receiver], key, self.closed)).encode())


class Bench:
    """A private chain on day 11 of the schedule, two miners that serve, and a sampler's reveals."""

    def __init__(self, folder: Path) -> None:
        self.chain = LocalChain(
            folder / "chain.db", entropy=seeded_block_entropy(1), block_s=3_600.0, now_s=lambda: 11 * DAY_S
        )
        self.miners, self.state, clock = Miners(), MemoryState(), VirtualClock(11 * DAY_S)
        for number, key in enumerate(MINERS.values()):
            self.chain.register(key.address)
            self.chain.publish_endpoint(key.address, f"127.0.0.1:{9_000 + number}")
            model = ModelRef("lab", f"gate-{number}", f"{number:040x}")
            reveal = salted_reveal(model, key.address, COMPETITION, f"{number:064x}")
            self.miners.reveals[key.address] = reveal
            self.commit(key, reveal)
        self.chain.advance(2)
        self.options: dict[str, Any] = {
            "chain": self.chain,
            "peers": self.miners,
            "state": self.state.scoped(REVEALS_SCOPE),
            "clock": clock,
            "health": Health(clock),
            "valid_signature": valid_signature,
            "schedule": SCHEDULE,
        }

    def commit(self, key: Hotkey, reveal: Reveal) -> None:
        self.chain.publish(key.address, reveal.digest(key.address))

    def revealed(self, **changes: Any) -> dict[str, str]:
        """The models and refusals by the miners' names."""
        found = MinerReveals(**{**self.options, **changes})(self.chain.snapshot())
        shown = {
            hotkey: each.model.name if isinstance(each, Reveal) else each.code for hotkey, each in found.items()
        }
        return {name: shown[key.address] for name, key in MINERS.items() if key.address in shown}


def test_miners_are_asked_for_the_round_that_closed_last(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.revealed() == {"alice": "gate-0", "bob": "gate-1"}


def test_nobody_is_asked_twice_for_the_same_round(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.revealed()
    bench.miners.calls.clear()
    assert bench.revealed() == {"alice": "gate-0", "bob": "gate-1"}
    assert bench.miners.calls == []


def test_a_silent_miner_is_left_out_and_asked_again_for_the_next_task(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.miners.away = {MINERS["bob"].address}
    assert bench.revealed() == {"alice": "gate-0"}
    bench.miners.away = set()
    assert bench.revealed() == {"alice": "gate-0", "bob": "gate-1"}


def test_a_miner_whose_entry_is_not_closed_yet_reveals_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.miners.closed = SCHEDULE.id_of(0)
    assert bench.revealed() == {}


def test_before_the_first_round_nothing_is_revealed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    later = Schedule(time_of_day_s=0, every_days=1, first_day=20)
    assert bench.revealed(schedule=later) == bench.revealed(schedule=None) == {}
    assert bench.miners.calls == []


def test_reveals_that_the_validators_own_round_has_are_used(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    own = MemoryState()
    own.begin_round(SCHEDULE.id_of(1), {})
    MinerReveals(**{**bench.options, "state": own})(bench.chain.snapshot())
    bench.miners.calls.clear()
    bench.miners.away = {key.address for key in MINERS.values()}
    assert bench.revealed(validator_state=own) == {"alice": "gate-0", "bob": "gate-1"}
    assert bench.miners.calls == []


def test_a_reveal_of_another_model_is_a_refusal(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    alice = MINERS["alice"].address
    bench.miners.reveals[alice] = salted_reveal(ModelRef("lab", "better", "a" * 40), alice, COMPETITION, "f" * 64)
    assert bench.revealed() == {"alice": "digest_mismatch", "bob": "gate-1"}


def test_plain_commitments_are_read_from_the_chain(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    alice = MINERS["alice"]
    bench.chain.publish(alice.address, bench.miners.reveals[alice.address].text(alice.address))
    assert bench.revealed(kind=CommitmentKind.PLAIN) == {"alice": "gate-0", "bob": "bad_reveal"}
    assert bench.miners.calls == []
