"""Validators of a federation as programs of their own, on a private chain whose blocks a test adds.

Buckets are folders. One miner has a model that waits in a place that a test chooses. Times are in seconds.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from soundsright.adapters.buckets import new_bucket_folder
from soundsright.adapters.chains import HttpChain
from soundsright.cli.shared.demos import ORGANISER, RULES_FILE, claim_folder, started_chain
from soundsright.cli.shared.programs import Programs
from soundsright.core.shipped import models_folder
from soundsright.ranking import turn

COMPETITION = "DENOISING_16000HZ"
INTERVAL, EPOCH = 20, 40
RUN_S = 120.0
RULES = f"""\
[ruleset]
base = "soundsright-v5"

[emission]
competitions = 0.0
federation = 1.0

[entries]
commitment = "plain"

[federation]
interval_blocks = {INTERVAL}
epoch_blocks = {EPOCH}
settle_margin = 0
window_tasks = 4
clips = 2
pay_on_public = true
competitions = ["{COMPETITION}"]

[[competition]]
task = "DENOISING"
sample_rate_hz = 16_000
max_score = 90.0
remainder = 10.0
metrics = {{ ESTOI = 0.6, SI_SDR = 0.4 }}
"""
_WAITING = """
def _wait():
    import os, pathlib, time
    gate = pathlib.Path({gate!r})
    (gate / f"{{os.getpid()}}.waits").touch()
    while not (gate / "open").exists():
        time.sleep(0.05)
"""
LOADING, ANSWERING = "loading", "answering"
_OWNERS_BUCKET = "lists"


class Federation:
    """A chain, a list of validators, and one miner's entry. No validator is started.

    The miner's model waits in `waits` until the file `gate/open` is there.
    """

    def __init__(self, folder: Path, programs: Programs, names: Sequence[str], *, waits: str) -> None:
        claim_folder(folder, "federation", RULES)
        self._folder, self.programs, self.names = folder, programs, tuple(names)
        self._gate = folder / "gate"
        self._gate.mkdir()
        self.chain: HttpChain = started_chain(folder, programs, self.names, ["miner"], block_s=0.0)
        for name in (*self.names, _OWNERS_BUCKET):
            new_bucket_folder(self.bucket(name))
        self._set_settings()
        self._enter(waits)
        hotkeys = [programs.address(name) for name in self.names]
        for words in (["add", *hotkeys], ["publish"]):
            own = {"WALLET": ORGANISER, "R2_OWN_BUCKET": self.bucket(_OWNERS_BUCKET).name}
            programs.run(ORGANISER, ["federation", "validator", *words], timeout_s=RUN_S, **own)
        # A list holds from the next epoch on.
        self.advance_to(EPOCH + 1)

    def bucket(self, name: str) -> Path:
        """The folder of a validator's bucket."""
        return self._folder / f"bucket-{name}"

    def _set_settings(self) -> None:
        endpoint = f"file://{self._folder}"
        peers = [
            {"hotkey": self.programs.address(name), "bucket": self.bucket(name).name, "endpoint": endpoint}
            for name in self.names
        ]
        self.programs.set(
            SOUNDSRIGHT_RULESET=str(self._folder / RULES_FILE),
            SOUNDSRIGHT_HUB=str(self._folder / "hub"),
            SOUNDSRIGHT_POLL_S="0.2",
            SOUNDSRIGHT_SANDBOX="process",
            SOUNDSRIGHT_TRUST="true",
            SOUNDSRIGHT_SPEECH="recordings",
            SOUNDSRIGHT_WORKERS="1",
            SAMPLER_POLL_INTERVAL="0.2",
            R2_ENDPOINT=endpoint,
            R2_SOURCE_BUCKET=self.bucket(_OWNERS_BUCKET).name,
            PEER_VALIDATORS=json.dumps(peers),
        )

    def _enter(self, waits: str) -> None:
        """Publish the miner's model, and commit to it."""
        model = self._folder / "model"
        shutil.copytree(models_folder() / "degraded", model)
        waiting = _WAITING.format(gate=str(self._gate))
        answer = "def enhance(audio, sample_rate):\n    _wait()\n    return 0.9 * audio\n"
        if waits == LOADING:
            answer = "_wait()\n\n\ndef enhance(audio, sample_rate):\n    return 0.9 * audio\n"
        (model / "app" / "enhance.py").write_text(f"{waiting}\n\n{answer}")
        words = ["federation", "miner", "push", str(model), "lab/gate"]
        revision = self.programs.run("miner", words, timeout_s=RUN_S).strip().rpartition("@")[2]
        entry = {"NAMESPACE": "lab", "NAME": "gate", "REVISION": revision}
        settings = {f"{COMPETITION}_HF_MODEL_{part}": value for part, value in entry.items()}
        self.programs.run("miner", ["federation", "miner", "commit"], timeout_s=RUN_S, **settings)

    def advance_to(self, block: int) -> None:
        """Let blocks pass until this one is final."""
        self.chain.advance(max(0, block - self.chain.finalized().number))

    def begin_turn_of(self, name: str) -> int:
        """Let blocks pass until a turn of this validator begins. Returns the number of its task."""
        order = sorted(self.names, key=self.programs.address)
        task = self.chain.finalized().number // INTERVAL + 1
        while order[turn(task * INTERVAL, len(order), INTERVAL).sampler] != name:
            task += 1
        self.advance_to(task * INTERVAL)
        return task

    def judge(self, name: str) -> tuple[int, str]:
        """Let a turn of this validator begin unless it has one, and wait for its verdict. Returns the two."""
        order = sorted(self.names, key=self.programs.address)
        now = turn(self.chain.finalized().number, len(order), INTERVAL)
        task = now.task if order[now.sampler] == name else self.begin_turn_of(name)
        self.programs.wait(
            lambda: True if (task, name) in self.verdicts() else None,
            f"the verdict on task {task}",
            timeout_s=RUN_S,
        )
        return task, name

    def serve(self, name: str, *, program: str = "", **settings: str) -> None:
        """Start a validator. `program` is the name of a second one with the same hotkey."""
        own = {"WALLET": name, "STATE_FOLDER": str(self._folder / name), "R2_OWN_BUCKET": self.bucket(name).name}
        self.programs.start(program or name, ["federation", "serve"], **{**own, **settings})

    def log(self, program: str) -> str:
        """The output so far of a program that has been started."""
        return (self._folder / f"{program}.log").read_text()

    def wait_for_model(self) -> int:
        """Wait until a model waits that has not waited before. Returns the id of its process."""

        def waiting() -> int | None:
            for path in self._gate.glob("*.waits"):
                path.unlink()
                return int(path.stem)
            return None

        return self.programs.wait(waiting, "a model that runs", timeout_s=RUN_S)

    def open_gate(self) -> None:
        """Let models answer from now on."""
        (self._gate / "open").touch()

    def verdicts(self) -> set[tuple[int, str]]:
        """The tasks that have a verdict, each with the validator in whose bucket it stands."""
        found = set()
        for name in self.names:
            for path in self.bucket(name).glob("[0-9]*/evaluation_results/*.json"):
                found.add((int(path.parent.parent.name), name))
        return found


@contextmanager
def federation(folder: Path, *names: str, waits: str = LOADING) -> Iterator[Federation]:
    """A federation in a folder of its own. Its programs are stopped at the end."""
    with Programs(folder, {}) as programs:
        yield Federation(folder, programs, names, waits=waits)


def is_running(process: int) -> bool:
    """Whether a process runs. One that has ended and that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")
