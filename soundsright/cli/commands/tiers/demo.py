"""`soundsright tiers demo`: six provers climb and fall on this machine, by real programs.

Times are in seconds. The demo makes the chain's blocks: an interval ends as soon as every prover has answered all
clips of its bank, so that a slow machine decides the same.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.demos import RULES_FILE, claim_folder, started_chain
from soundsright.cli.shared.options import ANY_PATH, option
from soundsright.cli.shared.programs import Programs, free_port
from soundsright.cli.shared.stopping import stopping_at_once
from soundsright.cli.shared.tiers_service import TIERS
from soundsright.core.tiers_rules import tier_index

if TYPE_CHECKING:
    from rich.table import Table

    from soundsright.adapters.chains import HttpChain
    from soundsright.core.ports import Reply
    from soundsright.services.verifier import PastInterval, TiersHistory


@dataclass(frozen=True)
class _Part:
    """A prover of the demo: the folder of `models/` that it commits to, and what it does, in words."""

    model: str
    does: str


PROVERS: Mapping[str, _Part] = {
    "honest": _Part("gtcrn", "serves the model that it committed"),
    "threads": _Part("baseline-denoising-16k", "serves it on two threads, with other kernels"),
    "slow": _Part("dtln", "serves it, 1.5 s later than it could"),
    "better": _Part("spectral-gate", "serves it for two intervals, then a better model"),
    "input": _Part("nsnet2", "returns the recording as it came"),
    "proxy": _Part("rnnoise", "lets the honest prover answer"),
}
VERIFIER = "verifier"

_COMPETITION = "DENOISING_16000HZ"
_INTERVAL_BLOCKS, _INTERVALS, _CLIPS = 20, 4, 8
_HONEST_INTERVALS = 2
"""The intervals in which the prover `better` serves its own model."""
_SLOW_S = 1.5
_BETTER = "gtcrn"
_BLOCK_S = 60.0
_RUN_S, _START_S, _INTERVAL_S, _CLOSE_S = 60.0, 300.0, 600.0, 120.0
_FIRST_INTERVAL_S = 25.0
"""A guess for the time left, before the first interval is over."""
_LOOK_S = 0.5
_KEY = "a-listener-of-the-demo"
_RULES = f"""\
# The rules of the demo: short intervals with few clips, and tiers that need few successes.
[ruleset]
base = "soundsright-v5"

[emission]
competitions = 0.0
tiers = 1.0

[entries]
commitment = "plain"

[tiers]
interval_blocks = {_INTERVAL_BLOCKS}
step_s = 0.5
timeout_s = 5.0
bank_clips = {_CLIPS}
repeat_clips = 2
min_attempts = 4

[tiers.Silver]
min_successes = 5
[tiers.Gold]
min_successes = 10
[tiers.Platinum]
min_successes = 15
[tiers.Diamond]
min_successes = 20

[[competition]]
task = "DENOISING"
sample_rate_hz = 16_000
max_score = 90.0
remainder = 10.0
metrics = {{ PESQ_WB = 1.0 }}
"""


@click.command("demo")
@option(
    "--out",
    type=ANY_PATH,
    default="runs/tiers",
    help="Folder for the programs' state, their logs and the pages. It must be new, empty or an earlier demo's.",
)
def command(out: Path) -> None:
    """Run six provers, a verifier and a gateway on this machine.

    \b
    soundsright tiers demo

    One prover serves the model that it committed, and one does so with other threads and kernels. One is slow. The
    others return the input, swap their model for a better one, or let the honest prover answer. After four short
    intervals you see the ladder, and what a listener gets from the gateway. It takes one to three minutes. Ctrl-C
    ends all programs.
    """
    started_s = time.monotonic()
    claim_folder(out, "tiers", _RULES)
    folder = out.absolute()
    with stopping_at_once(), Programs(folder, {}) as programs:
        click.echo(f"Starting a chain, a verifier with its gateway, and {len(PROVERS)} provers.")
        chain = started_chain(folder, programs, (VERIFIER,), tuple(PROVERS), block_s=_BLOCK_S)
        demo = _Demo(folder, programs, chain)
        demo.start_provers()
        demo.start_verifier()
        with _reading(folder / VERIFIER) as read:
            demo.watch(read)
            demo.show(read())
    click.echo(f"The demo took {time.monotonic() - started_s:.0f} s. The programs' logs are in {out}.")


@dataclass
class _Demo:
    """The programs of the demo, and the ports on which they listen."""

    folder: Path
    programs: Programs
    chain: HttpChain
    ports: dict[str, int] = field(default_factory=dict)

    def start_provers(self) -> None:
        """Publish each prover's model, and start the prover, which commits to it."""
        from soundsright.core.shipped import models_folder

        self.programs.set(
            SOUNDSRIGHT_RULESET=str(self.folder / RULES_FILE),
            SOUNDSRIGHT_HUB=str(self.folder / "hub"),
            SOUNDSRIGHT_POLL_S="0.5",
            SOUNDSRIGHT_SANDBOX="process",
            SOUNDSRIGHT_TRUST="true",
            SOUNDSRIGHT_SPEECH="recordings",
            SOUNDSRIGHT_PEER_NETWORKS="loopback",
            SOUNDSRIGHT_WORKERS="1",
            AXON_EXTERNAL_IP="127.0.0.1",
        )
        self.ports = {name: free_port() for name in PROVERS}
        for name, part in PROVERS.items():
            click.echo(f"  {name} commits to {part.model}, and {part.does}")
            self.programs.start(
                name,
                ["tiers", "prove"],
                PROVER_PORT=str(self.ports[name]),
                # Otherwise the prover `proxy` could not ask the honest one.
                BLACKLIST_FORCE_VERIFIER_PERMIT="false",
                VALIDATOR_MIN_STAKE="0",
                **self._served(name, models_folder()),
                **self._entry(name, models_folder() / part.model),
            )
        self.programs.wait(self._all_serve, "the provers", timeout_s=_START_S, every_s=_LOOK_S)

    def _entry(self, name: str, model: Path) -> dict[str, str]:
        """Publish a model. Returns the settings that enter it."""
        from soundsright.adapters.hubs import FolderHub

        hub = FolderHub(self.folder / "hub", self.folder / "cache")
        revision = str(hub.publish(name, model.name, model)).rpartition("@")[2]
        prefix = f"{_COMPETITION}_HF_MODEL"
        return {f"{prefix}_NAMESPACE": name, f"{prefix}_NAME": model.name, f"{prefix}_REVISION": revision}

    def _served(self, name: str, models: Path) -> dict[str, str]:
        """Start what the prover serves in place of its model in a sandbox. Returns the setting for it."""
        own, port = str(models / PROVERS[name].model), free_port()
        ask = (f"http://127.0.0.1:{self.ports['honest']}", self.programs.address("honest"), self._key_file("proxy"))
        words: Mapping[str, list[str]] = {
            "threads": [own, "--plain"],
            "slow": [own, "--delay-s", f"{_SLOW_S:g}"],
            "better": [own, "--other", str(models / _BETTER), "--after", str(_HONEST_INTERVALS * _CLIPS)],
            "input": [str(models / "degraded")],
            "proxy": [own, "--ask", *ask],
        }
        if name not in words:
            return {}
        folder, *options = words[name]
        self.programs.start(
            f"{name}-model",
            [folder, str(port), *options],
            module="soundsright.testing.false_model",
            SOUNDSRIGHT_CPUS="2" if name == "threads" else "1",
        )
        return {"PROVER_MODEL_ENDPOINT": f"http://127.0.0.1:{port}"}

    def _key_file(self, name: str) -> str:
        self.programs.address(name)
        return str(self.folder / "wallets" / name / "hotkeys" / "default")

    def _all_serve(self) -> bool | None:
        """Whether all provers serve, and the chain shows their commitments and endpoints."""
        from soundsright.adapters.peers import request
        from soundsright.core.errors import PeerUnavailable

        head = self.chain.advance()
        snapshot = self.chain.snapshot(head.number)
        committed = {each.hotkey for each in snapshot.commitments}
        named = {neuron.hotkey for neuron in snapshot.neurons if neuron.endpoint}
        if not {self.programs.address(name) for name in PROVERS} <= committed & named:
            return None
        try:
            for port in self.ports.values():
                if request(f"http://127.0.0.1:{port}", "GET", "/v1/model", timeout_s=2.0).status != 200:
                    return None
        except PeerUnavailable:
            return None
        return True

    def start_verifier(self) -> None:
        """Start the verifier at the beginning of an interval."""
        self._end_interval()
        self.ports["gateway"] = free_port()
        self.programs.start(
            VERIFIER,
            ["tiers", "verify"],
            GATEWAY_HOST="127.0.0.1",
            GATEWAY_PORT=str(self.ports["gateway"]),
            TIERS_API_KEYS=_KEY,
        )
        self.programs.wait(
            lambda: True if "verifies provers" in self.programs.output(VERIFIER) else None,
            "the verifier",
            timeout_s=_START_S,
        )

    def _end_interval(self) -> None:
        self.chain.advance(_INTERVAL_BLOCKS - self.chain.head().number % _INTERVAL_BLOCKS)

    def watch(self, read: Callable[[], TiersHistory]) -> None:
        """Follow the intervals, and end each once all clips are used."""
        click.echo(f"{_INTERVALS} intervals; in each of them {_CLIPS} clips for each prover")
        began_s = time.monotonic()
        for done in range(_INTERVALS):
            mean_s = (time.monotonic() - began_s) / done if done else _FIRST_INTERVAL_S
            click.echo(f"  interval {done + 1} of {_INTERVALS}, about {mean_s * (_INTERVALS - done):.0f} s left")
            self.programs.wait(
                lambda: is_used_up(read()), "the attempts of an interval", timeout_s=_INTERVAL_S, every_s=_LOOK_S
            )
            if done + 1 == _INTERVALS:
                answer = self.ask_as_listener()  # In a new interval, nobody is served before a model has run again.
            self._end_interval()
            self.programs.wait(
                lambda count=done + 1: True if len(_closed(read())) >= count else None,  # type: ignore[misc]
                "the end of an interval",
                timeout_s=_CLOSE_S,
                every_s=_LOOK_S,
            )
            self._tell_moves(_closed(read())[-1])
        click.echo(answer)

    def _tell_moves(self, past: PastInterval) -> None:
        for name in PROVERS:
            move = past.decided.get(self.programs.address(name))
            if move is not None and move.before != move.after:
                verb = "climbs" if tier_index(move.after) > tier_index(move.before) else "falls"
                click.echo(f"    {name} {verb} from {move.before} to {move.after}")

    def ask_as_listener(self) -> str:
        """Send a recording to the gateway. Returns who answered, in words."""
        from soundsright.adapters.peers import request
        from soundsright.core.wav import encode_wav
        from soundsright.library import generate

        noisy = next(iter(generate(count=1, task="denoising", sample_rate_hz=16_000, seed=7))).degraded
        before, after = self.folder / "before.wav", self.folder / "after.wav"
        before.write_bytes(encode_wav(noisy))
        headers = {"Authorization": f"Bearer {_KEY}", "Content-Type": "audio/wav"}
        url = f"http://127.0.0.1:{self.ports['gateway']}"

        def asked() -> Reply | None:
            body = before.read_bytes()
            reply = request(url, "POST", "/v1/enhance", body=body, headers=headers, timeout_s=_RUN_S)
            return reply if reply.status == 200 else None

        reply = self.programs.wait(asked, "an answer for a listener", timeout_s=_START_S, every_s=2 * _LOOK_S)
        after.write_bytes(reply.body)
        seen = {name: reply.headers[f"x-{name}"] for name in ("prover", "tier", "latency-ms", "verified")}
        name = next(name for name in PROVERS if self.programs.address(name) == seen["prover"])
        checked = "verified" if seen["verified"] == "true" else "not verified"
        return (
            f"A listener sent {noisy.duration_s:.1f} s of noisy speech to the gateway: {name} ({seen['tier']})"
            f" answered in {float(seen['latency-ms']):.0f} ms, {checked}. Compare {before} with {after.name}."
        )

    def show(self, history: TiersHistory) -> None:
        """Print the ladder, and write the pages."""
        from rich.console import Console

        from soundsright.services.board import ShownTiers, build_site
        from soundsright.services.verifier import failures_in

        names = {self.programs.address(name): name for name in PROVERS}
        click.echo()
        Console().print(ladder_table(history, names))
        shown = ShownTiers(history, failures_in(self.folder / VERIFIER / TIERS))
        build_site((), self.folder / "site", audio_bytes=0, tiers=shown)
        click.echo(f"The pages: {self.folder / 'site' / 'tiers' / 'index.html'}")


@contextmanager
def _reading(folder: Path) -> Iterator[Callable[[], TiersHistory]]:
    """Reads what the verifier with that folder recorded so far, whatever this user's settings are."""
    from soundsright.adapters.state import SqlCounters, SqlRecords, SqlState
    from soundsright.services.verifier import SCOPE, TiersReader

    with closing(SqlState(folder / "state.db")) as state:
        counters = SqlCounters.beside(state, scope=TIERS)
        yield TiersReader(state.scoped(SCOPE), SqlRecords.beside(state), counters).read


def is_used_up(history: TiersHistory) -> bool | None:
    """Whether every prover was asked all clips of its bank in the open interval."""
    past = history.intervals[-1] if history.intervals else None
    if past is None or past.is_closed or len(past.banks) < len(PROVERS):
        return None
    asked = Counter(each.attempt.hotkey for each in past.attempts)
    used = all(bank.code or asked[hotkey] >= len(bank.answers) for hotkey, bank in past.banks.items())
    return True if used else None


def _closed(history: TiersHistory) -> list[PastInterval]:
    return [past for past in history.intervals if past.is_closed]


def ladder_table(history: TiersHistory, names: Mapping[str, str]) -> Table:
    """The provers, best first, with the attempts and failures of all intervals."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="The ladder")
    for title in ("prover", "hotkey", "tier", "passes", "failures", "score", "weight"):
        table.add_column(title, justify="right" if title in ("passes", "score", "weight") else "left")
    for row in history.rows:
        attempts = [each.attempt.result for each in history.attempts_of(row.hotkey)]
        passes = sum(result.passed for result in attempts)
        failed = Counter(result.value for result in attempts if not result.passed)
        table.add_row(
            names.get(row.hotkey, Text(row.hotkey)),
            Text(f"{row.hotkey[:8]}…"),
            row.standing.tier,
            f"{passes}/{len(attempts)}",
            ", ".join(f"{count} {reason}" for reason, count in failed.most_common()) or "–",
            f"{row.standing.score:.3f}",
            f"{row.weight:.1%}",
        )
    return table
