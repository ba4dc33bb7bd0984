"""`soundsright federation demo`: five validators share the work on this machine, by real programs.

Times are in seconds. A block lasts `_BLOCK_S`, so that three epochs pass in minutes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.demos import ORGANISER, RULES_FILE, claim_folder, started_chain
from soundsright.cli.shared.options import ANY_PATH, option
from soundsright.cli.shared.programs import Programs

if TYPE_CHECKING:
    from soundsright.adapters.chains import HttpChain
    from soundsright.services.records import FederationTable

VALIDATORS = ("aachen", "bergen", "cork", "delft", "espoo")
LIAR = "espoo"
MINERS: Mapping[str, str] = {
    "heritage": "spectral-gate",
    "kestrel": "gtcrn",
    "rainier": "rnnoise",
    "mirror": "degraded",
}
"""The miners and their folders of `models/`. The last one returns its input."""
FRIEND, ENEMY = "mirror", "kestrel"
"""The miners that the liar lies for, and against."""

_COMPETITION = "DENOISING_16000HZ"
_BLOCK_S = 1.0
_INTERVAL_BLOCKS, _EPOCH_BLOCKS, _EPOCHS = 15, 45, 3
_OWNER_BUCKET = "organiser"
_READ_KEY, _WRITE_KEY = "READER-OF-ALL", "WRITER-OF-ALL"
_RUN_S = 60.0
_LOOK_S = 1.0
_RULES = f"""\
# The rules of the demo: short turns and epochs, few clips, and entries that everybody can read.
[ruleset]
base = "soundsright-v5"

[emission]
competitions = 0.0
federation = 1.0

[entries]
commitment = "plain"

[federation]
interval_blocks = {_INTERVAL_BLOCKS}
epoch_blocks = {_EPOCH_BLOCKS}
settle_margin = 0
min_validators = 0.4
clips = 4
pay_on_public = true
competitions = ["{_COMPETITION}"]

[[competition]]
task = "DENOISING"
sample_rate_hz = 16_000
max_score = 90.0
remainder = 10.0
metrics = {{ PESQ_WB = 0.5, ESTOI = 0.3, SI_SDR = 0.2 }}
"""


@click.command("demo")
@option(
    "--out",
    type=ANY_PATH,
    default="runs/federation",
    help="Folder for the programs' state, their logs and the pages. It must be new, empty or an earlier demo's.",
)
def command(out: Path) -> None:
    """Run a federation of five validators on this machine.

    \b
    soundsright federation demo

    It starts a private chain, two services with the validators' buckets, four miners and five validators. One
    validator is killed in its turn, and one lies about two miners. After three epochs it shows the turns, the
    ranks, the agreement of the validators and the weights that each of them set.
    """
    started_s = time.monotonic()
    claim_folder(out, "federation", _RULES)
    folder = out.absolute()
    _compile_once()
    with ExitStack() as stack:
        programs = stack.enter_context(Programs(folder, {}))
        demo = _Demo(folder, programs, started_chain(folder, programs, VALIDATORS, tuple(MINERS), block_s=_BLOCK_S))
        demo.serve_buckets(stack)
        demo.enter_miners()
        demo.publish_allowlist()
        demo.start_validators()
        demo.watch()
        demo.show()
    click.echo(f"The demo took {time.monotonic() - started_s:.0f} s. The programs' logs are in {out}.")


@dataclass
class _Demo:
    """The programs of the demo. `killed` is the validator that was killed, once it is."""

    folder: Path
    programs: Programs
    chain: HttpChain
    killed: str = ""
    read_url: str = ""
    write_url: str = ""

    def serve_buckets(self, stack: ExitStack) -> None:
        """Serve one folder of buckets twice: with a key that writes, and with one that only reads."""
        from soundsright.testing.bucket_servers import bucket_server

        buckets = self.folder / "buckets"
        for name in (*VALIDATORS, _OWNER_BUCKET):
            (buckets / name).mkdir(parents=True)
        secret = _secret_of(self.folder)
        self.write_url = stack.enter_context(bucket_server(buckets, access_key=_WRITE_KEY, secret_key=secret))
        self.read_url = stack.enter_context(
            bucket_server(buckets, access_key=_READ_KEY, secret_key=secret, read_only=True)
        )
        self.programs.set(
            SOUNDSRIGHT_RULESET=str(self.folder / RULES_FILE),
            SOUNDSRIGHT_HUB=str(self.folder / "hub"),
            SOUNDSRIGHT_POLL_S="1",
            R2_ENDPOINT=self.write_url,
            R2_REGION="us-east-1",
            R2_OWN_WRITE_ACCESS_KEY=_WRITE_KEY,
            R2_OWN_WRITE_SECRET_KEY=secret,
        )

    def enter_miners(self) -> None:
        """Publish each miner's model, and commit to it."""
        from soundsright.core.shipped import models_folder

        for miner, model in MINERS.items():
            click.echo(f"{miner} commits to {model}")
            words = ["federation", "miner", "push", str(models_folder() / model), f"{miner}/{model}"]
            revision = self.programs.run(miner, words, timeout_s=_RUN_S).strip().rpartition("@")[2]
            settings = {
                f"{_COMPETITION}_HF_MODEL_NAMESPACE": miner,
                f"{_COMPETITION}_HF_MODEL_NAME": model,
                f"{_COMPETITION}_HF_MODEL_REVISION": revision,
            }
            self.programs.run(miner, ["federation", "miner", "commit"], timeout_s=_RUN_S, **settings)

    def publish_allowlist(self) -> None:
        """Let the organiser list the validators, and commit to the list."""
        hotkeys = [self.programs.address(name) for name in VALIDATORS]
        own = {"R2_OWN_BUCKET": _OWNER_BUCKET}
        self._as_organiser(["federation", "validator", "add", *hotkeys], own)
        self._as_organiser(["federation", "validator", "publish"], own)
        # A list holds from the next epoch on.
        self.chain.advance(_EPOCH_BLOCKS - self.chain.head().number % _EPOCH_BLOCKS)
        click.echo(f"The organiser publishes the list of {len(VALIDATORS)} validators")

    def _as_organiser(self, words: list[str], settings: Mapping[str, str]) -> str:
        return self.programs.run(ORGANISER, words, timeout_s=_RUN_S, WALLET=ORGANISER, **settings)

    def start_validators(self) -> None:
        """Start five validators. One of them is a program that lies."""
        peers = json.dumps([self._peer(name) for name in VALIDATORS])
        self.programs.set(
            PEER_VALIDATORS=peers,
            R2_SOURCE_BUCKET=_OWNER_BUCKET,
            R2_VIDEOS_READ_ACCESS_KEY=_WRITE_KEY,
            R2_VIDEOS_READ_SECRET_KEY=_secret_of(self.folder),
            SOUNDSRIGHT_SANDBOX="process",
            SOUNDSRIGHT_TRUST="true",
            SOUNDSRIGHT_SPEECH="recordings",
            SAMPLER_POLL_INTERVAL="1",
        )
        click.echo("The demo pays on the shipped recordings, which a model could contain. Do not do so for money.")
        click.echo(f"Starting five validators. {LIAR} lies for {FRIEND} and against {ENEMY}.")
        for name in VALIDATORS:
            settings = {"R2_OWN_BUCKET": name}
            module = "soundsright"
            if name == LIAR:
                module = "soundsright.testing.lying_validator"
                settings["LIES_FOR"] = self.programs.address(FRIEND)
                settings["LIES_AGAINST"] = self.programs.address(ENEMY)
            self.programs.start(name, ["federation", "serve"], module=module, **settings)

    def _peer(self, name: str) -> dict[str, str]:
        return {
            "hotkey": self.programs.address(name),
            "bucket": name,
            "endpoint": self.read_url,
            "region": "us-east-1",
            "read_access_key": _READ_KEY,
            "read_secret_key": _secret_of(self.folder),
        }

    def watch(self) -> None:
        """Follow the tasks until three epochs are decided, and kill a validator in its turn on the way."""
        first = self.chain.finalized().number // _EPOCH_BLOCKS
        last_block = (first + _EPOCHS) * _EPOCH_BLOCKS
        judged: set[tuple[int, str]] = set()

        def over() -> bool | None:
            block = self.chain.finalized().number
            self._tell_verdicts(judged)
            self._kill_once(block, first * _EPOCH_BLOCKS + _EPOCH_BLOCKS)
            return True if block >= last_block and self._agreed() is not None else None

        self.programs.wait(over, "three epochs", timeout_s=20 * _EPOCHS * _EPOCH_BLOCKS * _BLOCK_S, every_s=_LOOK_S)

    def _kill_once(self, block: int, after_block: int) -> None:
        """Kill the validator whose turn begins, at the start of a turn of an honest one."""
        from soundsright.ranking import turn

        if self.killed or block < after_block or block % _INTERVAL_BLOCKS > 2:
            return
        order = sorted(VALIDATORS, key=self.programs.address)
        name = order[turn(block, len(order), _INTERVAL_BLOCKS).sampler]
        if name != LIAR:
            self.killed = name
            self.programs.kill(name)
            click.echo(f"  block {block}: {name} is killed in its turn")

    def _tell_verdicts(self, judged: set[tuple[int, str]]) -> None:
        """Print each verdict once, as it appears in a bucket."""
        for path in sorted((self.folder / "buckets").glob("*/[0-9]*/evaluation_results/*.json")):
            task, name = int(path.parent.parent.name), path.parents[2].name
            if (task, name) not in judged:
                judged.add((task, name))
                click.echo(f"  block {self.chain.finalized().number}: {name} judged task {task}")

    def _agreed(self) -> dict[str, dict[int, float]] | None:
        """The weights of the validators that live, once all of them are set and equal."""
        weights = {
            name: dict(self.chain.weights(self.programs.address(name)))
            for name in VALIDATORS
            if name != self.killed
        }
        first, *others = weights.values()
        return weights if any(first.values()) and all(each == first for each in others) else None

    def show(self) -> None:
        """Print the table, and build the pages."""
        from rich.console import Console

        from soundsright.cli.shared.federation_words import print_federation
        from soundsright.services.board import ShownFederation, build_site
        from soundsright.services.records import read_federation_table, write_federation_table

        saved = self.folder / "table"
        honest = next(name for name in VALIDATORS if name not in (LIAR, self.killed))
        words = ["federation", "get-rank", "--save", str(saved)]
        self.programs.run(honest, words, timeout_s=_RUN_S, R2_OWN_BUCKET=honest)
        names = {self.programs.address(name): name for name in (*VALIDATORS, *MINERS)}
        table = read_federation_table(saved).model_copy(update={"names": names})
        write_federation_table(saved, table)
        click.echo()
        print_federation(Console(), table)
        self._print_weights(table)
        build_site((), self.folder / "site", audio_bytes=0, federation=ShownFederation.read(saved))
        click.echo(f"The pages: {self.folder / 'site' / 'federation' / 'index.html'}")

    def _print_weights(self, table: FederationTable) -> None:
        hotkeys = {neuron.uid: table.name(neuron.hotkey) for neuron in self.chain.neurons()}
        weights = self._agreed() or {}
        click.echo()
        for validator, by_uid in weights.items():
            shares = ", ".join(f"{hotkeys[uid]} {weight:.0%}" for uid, weight in by_uid.items() if weight > 0)
            click.echo(f"weights of {validator}: {shares}")
        click.echo("All validators that live set the same weights." if weights else "The weights differ.")


def _compile_once() -> None:
    """Compile the loops of the metrics. Otherwise five validators would do so in their first turn, at once."""
    from soundsright.metrics import warm_up

    click.echo("Preparing the metrics. The first time on a machine this takes up to a minute.")
    warm_up()


def _secret_of(folder: Path) -> str:
    """A secret of this demo alone."""
    import hashlib

    return hashlib.sha256(f"buckets of {folder}".encode()).hexdigest()[:32]
