"""A stranger checks a round: two validators' bundles compared, planted differences named, and replays elsewhere.

    python -m tests.system.stranger [--clips N] [--folder FOLDER]

Real processes run a private competition on this machine: a chain, two miners and two validators. Both validators
judge one round and make a bundle of it. The bundles must agree. Then each of eight differences is planted in one of
them, and `soundsright bundle compare` must name its step. The miners and validators end, and their folders are
deleted. A stranger with another checkout of the code, an empty home and one bundle verifies it with the chain,
follows an entry, and replays the round at each depth. It prints every command with its output, and exits with 1 if
one of them says something else than it should.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from soundsright.adapters.chains.http import HttpChain
from soundsright.adapters.peers import Hotkey
from tests.services.records.planting import STEPS, plant
from tests.services.records.signing import signed_again
from tests.system.world import HOURS_A_DAY, World, running_world, until

ROOT = Path(__file__).parents[2]
VALIDATORS = ("victor", "wanda")
MINERS = {"alice": "smooth", "bob": "copy"}
BLOCKS_UNTIL_SAMPLE = 12
"""A sample is drawn by the tenth block after the commitment."""
Say = Callable[[str], None]


class Unexpected(Exception):
    """A command that says something else than it should."""


@dataclass(frozen=True)
class Terminal:
    """Runs commands of the checkout in `code`, in the folder `work`, with an empty home, and prints both."""

    code: Path
    work: Path
    say: Say

    def run(self, *arguments: str, expect: str, code: int = 0) -> str:
        """The output of `soundsright ARGUMENTS`, which must have the expected text and exit code.

        Raises:
            Unexpected: it has not.
        """
        home = self.work / ".home"
        home.mkdir(parents=True, exist_ok=True)
        environment = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(self.code)}
        self.say(f"$ soundsright {shlex.join(arguments)}")
        done = subprocess.run(
            [sys.executable, "-m", "soundsright", *arguments],
            cwd=self.work,
            env=environment | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=1_200,
            check=False,
        )
        said = done.stdout + done.stderr
        for line in said.splitlines():
            self.say(f"  {line}")
        if done.returncode != code or expect not in said:
            raise Unexpected(f"It should end with {code} and say {expect!r}; it ended with {done.returncode}")
        return said


def judged_round(world: World, clips: int) -> dict[str, Path]:
    """A round that both validators judged: each one's folder of it. The chain has their commitments."""
    chain = world.start_chain()
    for name in VALIDATORS:
        chain.register(world.key(name).address, stake=2_000.0, permit=True)
    for name, kind in MINERS.items():
        chain.register(world.key(name).address)
        world.start_miner(name, world.model(kind, name))
    for name in VALIDATORS:
        # Nobody else has speech that is synthesised for the round, so nobody could run the models on it again.
        world.start_validator(name, SOUNDSRIGHT_CLIPS=str(clips), SOUNDSRIGHT_SPEECH="recordings")
    until(lambda: len(chain.commitments()) == len(MINERS), "all commitments")
    until(lambda: sum(neuron.endpoint is not None for neuron in chain.neurons()) == 4, "all endpoints")
    until(lambda: all((world.health(v, "/readyz") or {}).get("status") for v in VALIDATORS), "validators ready")
    chain.advance(2 * HOURS_A_DAY)
    for name in VALIDATORS:
        until(partial(chain.weights, world.key(name).address), "weights", timeout_s=600)
    return {
        name: until(partial(_recorded, world.folder / name), "a record", timeout_s=60)[0] for name in VALIDATORS
    }


def _recorded(state: Path) -> list[Path]:
    """The folders of the rounds of which the validator has a signed record and a commitment."""
    return [found.parents[1] for found in state.glob("rounds/*/bundle/committed.json")]


def show_comparison(
    terminal: Terminal, first: Path, second: Path, liar: Hotkey, steps: Sequence[str] = STEPS
) -> None:
    """Two bundles of one round agree, and a difference planted in the second is named at each of the steps.

    Raises:
        Unexpected: they do not agree, or another step is named.
    """
    terminal.run("bundle", "compare", str(first), str(second), expect="all steps and weights agree")
    for step in steps:
        folder = terminal.work / f"planted-{step}"
        shutil.unpack_archive(second, folder)
        signed_again(folder, liar, plant(step, folder))
        terminal.run("bundle", "compare", str(first), str(folder), expect=f"Different  {step}: ", code=3)
        shutil.rmtree(folder)


def show_walk(terminal: Terminal, bundle: Path, signer: str, miner: str, network: str) -> None:
    """The walk of somebody who has a bundle and the address of a chain, and nothing else.

    Raises:
        Unexpected: a step of the walk fails.
    """
    name = str(bundle)
    signed = ("--signer", signer)
    terminal.run(
        "bundle", "verify", name, *signed, "--audio", "--network", network, expect=f"Committed  by {signer}"
    )
    terminal.run("bundle", "show", name, expect="Weight")
    terminal.run("bundle", "show", name, miner, expect="Weight")
    part = ("--clip", "000001", "--entry", miner, "--out", "clip")
    terminal.run("bundle", "fetch", name, *part, *signed, expect="clip")
    terminal.run("bundle", "verify", "clip", *signed, expect="Proved     clip 000001")
    same = "Same       Nothing that was checked differs."
    terminal.run("replay", name, *signed, "--decide", expect=same)
    terminal.run("replay", name, *signed, "--score", expect=same)
    sample = ("--sample", "5", "--network", network)
    terminal.run("replay", name, *signed, "--score", *sample, expect="Sample     5 results, drawn by block")


def other_checkout(folder: Path) -> Path:
    """Another checkout of the last commit. Without Git's files, a copy of the program and its recordings."""
    if (ROOT / ".git").exists():
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)], check=True)
    else:
        for name in ("soundsright", "datasets"):
            shutil.copytree(ROOT / name, folder / name)
    return folder


def walk(folder: Path, clips: int, say: Say) -> None:
    """The whole walk in a folder, from the chain to the replays.

    Raises:
        Unexpected: a step of it fails.
    """
    for world in running_world(folder / "competition"):
        say(f"# Two validators judge one round of {len(MINERS)} miners, {clips} clips")
        runs = judged_round(world, clips)
        here = Terminal(ROOT, folder / "desk", say)
        here.work.mkdir()
        for name, run in runs.items():
            here.run("bundle", "make", str(run), "--out", f"{name}.zip", expect=f"{name}.zip")
        say("# Their bundles agree. One difference at a time is planted in the second, which wanda signs")
        show_comparison(here, here.work / "victor.zip", here.work / "wanda.zip", world.key("wanda"))
        say("# The miners and the validators are gone. The chain and one bundle stay")
        for name in (*MINERS, *VALIDATORS):
            world.services[name].stop()
            shutil.rmtree(world.folder / name, ignore_errors=True)
        HttpChain(world.url, world.key("organiser")).advance(BLOCKS_UNTIL_SAMPLE)
        stranger = Terminal(other_checkout(folder / "elsewhere"), folder / "stranger", say)
        stranger.work.mkdir()
        shutil.move(here.work / "victor.zip", stranger.work / "round.zip")
        signer, miner = world.key("victor").address, world.key("alice").address
        show_walk(stranger, Path("round.zip"), signer, miner, world.url)
        say("# The models of the round are on the competition's hub, so the stranger can run them")
        hub = ("--soundsright-hub", str(world.folder / "hub"), "--sandbox", "process", "--trust")
        same = "Same       Nothing that was checked differs."
        stranger.run("replay", "round.zip", "--signer", signer, "--run", *hub, expect=same)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=12, help="number of clips in the set")
    parser.add_argument("--folder", type=Path, help="new folder to work in and to keep")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soundsright-stranger-") as temporary:
        folder = options.folder or Path(temporary)
        (folder / "competition").mkdir(parents=True)
        try:
            walk(folder, options.clips, partial(print, flush=True))
        except Unexpected as failed:
            print(failed, file=sys.stderr)
            sys.exit(1)
    print("# Everything says what it should.")


if __name__ == "__main__":
    main()
