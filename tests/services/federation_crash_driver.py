"""Disturbs the samplers of a federation at every point where they touch the outside, and checks that results stay.

    python tests/services/federation_crash_driver.py [--every N]

One process has two validators, each with its own database and bucket, on a private chain in a file. They judge
three tasks in turn, and after each one the other validator looks whether it has to step in. Each disturbance kills
that process (`kill -9`) or fails a call, and a second process continues from what the first one recorded. Clips,
models and scores are imitated; admitting, judging, signing and publishing are the real ones.

Afterwards both buckets must have the same objects as those of undisturbed validators: audio and lists byte for
byte, and the documents of the verdicts, whose signatures are random. The signature and the claim in a bucket must
be the recorded ones, and each verdict must name the one before it. At most one batch of clips may have been given
to a model twice, unless a fault lasts: a database that is gone cannot record an answer.

The output is a table, and then the number of fault points. `--every N` uses every N-th point, and at least one of
each kind.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundsright.adapters.buckets import FolderBucket, new_bucket_folder
from soundsright.adapters.chains.local import LocalChain, seeded_block_entropy
from soundsright.adapters.state.store import SqlState
from soundsright.core.competition import PUBLISHED
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.errors import (
    BucketMissing,
    BucketUnavailable,
    ChainUnavailable,
    EngineUnavailable,
    HubUnavailable,
    InfrastructureFault,
    ModelCrashed,
    StateUnavailable,
)
from soundsright.core.federation import allowlist_digest
from soundsright.core.federation_rules import federation_rules
from soundsright.core.ports import Answer, DegradedClip, SandboxLimits
from soundsright.core.rulesets import SOUNDSRIGHT_V5
from soundsright.core.sources import ModelRef
from soundsright.core.submission import FetchedModel, Reveal
from soundsright.services.federation import SCOPE, Sampler, SamplerContext, open_verdict, verdict_key
from soundsright.services.federation.federation_steps import CLAIM, SIGNED
from soundsright.services.rounds import draw_to_disk, score_files, steps
from soundsright.testing import (
    Behaviour,
    FakeHub,
    FakeRepository,
    FakeSandbox,
    InlinePool,
    VirtualClock,
    salted_reveal,
)
from soundsright.testing.disturbing import BOTH, Disturb, Disturbance, Watched, forked, killed, raising
from soundsright.testing.fakes import FakeRunningModel
from soundsright.testing.planting import planted
from soundsright.testing.simulation.world import draw_fake_clips, score_fake_clip

START_S = 1.8e9
INTERVAL = 20
COMPETITIONS = PUBLISHED[:2]
RULES = federation_rules(interval_blocks=INTERVAL, clips=4, competitions=tuple(c.id for c in COMPETITIONS))
VALIDATORS = ("v0", "v1")
TASKS = (3, 4, 5)
MINERS = {
    "alice": (0, FakeRepository("content-alice", behaviour=Behaviour(0.8))),
    "bob": (0, FakeRepository("content-bob", behaviour=Behaviour(0.4))),
    "copycat": (0, FakeRepository("content-alice", behaviour=Behaviour(0.8))),
    "dora": (1, FakeRepository("content-dora", behaviour=Behaviour(batch_fault=ModelCrashed("It crashed")))),
}
STATE_WRITES = ("begin_round", "finish_step", "add_clip_results")
STATE_READS = ("step_done", "clip_results", "rounds")
CHAIN_CALLS = ("finalized", "block_hash", "snapshot", "neurons")
BUCKET_CALLS = ("put", "get", "list")
HUB_CALLS = ("fetch", "cached")
MOST_TICKS = 12
LASTING = 10_000


@dataclass(frozen=True)
class Account:
    """A hotkey whose signatures differ each time, as those of Bittensor do."""

    address: str

    def sign(self, message: bytes) -> bytes:
        salt = os.urandom(32)
        return salt + hashlib.sha256(salt + self.address.encode() + message).digest()


def valid_signature(address: str, message: bytes, signature: bytes) -> bool:
    salt = signature[:32]
    return signature == salt + hashlib.sha256(salt + address.encode() + message).digest()


@dataclass(frozen=True)
class Allowlist:
    validators: tuple[str, ...] = VALIDATORS
    digest: str = allowlist_digest(VALIDATORS, INTERVAL)


class Models(FakeSandbox):
    """A sandbox that tells each batch, before and after, and notes those that it answered."""

    def __init__(self, hub: FakeHub, folder: Path, tell: Disturb) -> None:
        super().__init__(hub.behaviour)
        self._folder, self._tell = folder, tell

    @contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[FakeRunningModel]:
        self._tell("before", "start")
        with super().run(model, limits=limits):
            yield _Model(self, model, self._behaviour(model))

    def batch(self, hotkey: str, clips: Sequence[DegradedClip], answer: Callable[[], Any]) -> Any:
        self._tell("before", "run")
        answers = answer()
        with (self._folder / "runs.log").open("a") as log:
            level = ",".join(f"{float(clip.audio.samples.sum()):.3f}" for clip in clips)
            log.write(f"{hotkey} {','.join(clip.clip_id for clip in clips)} {level}\n")
        self._tell("after", "run")
        return answers


class _Model(FakeRunningModel):
    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[Answer, ...]:
        sandbox: Any = self._sandbox
        answers: tuple[Answer, ...] = sandbox.batch(
            self._model.submission.hotkey, batch, lambda: super(_Model, self).enhance(batch)
        )
        return answers


class StillClock(VirtualClock):
    """A clock that only the driver sets."""

    def sleep(self, seconds: float) -> None:
        pass


def opened_chain(folder: Path) -> LocalChain:
    return LocalChain(folder / "chain.db", entropy=seeded_block_entropy(1), block_s=12.0, now_s=lambda: START_S)


def reveals_of() -> dict[str, Reveal]:
    return {
        hotkey: salted_reveal(_model(hotkey), hotkey, COMPETITIONS[place].id, repository.content_hash)
        for hotkey, (place, repository) in MINERS.items()
    }


def _model(hotkey: str) -> ModelRef:
    return ModelRef(hotkey, "gate", f"{list(MINERS).index(hotkey):040x}")


def stage(folder: Path) -> None:
    """Register everybody, and let the miners commit."""
    with closing(opened_chain(folder)) as chain:
        for hotkey in VALIDATORS:
            chain.register(hotkey, permit=True)
        for hotkey, reveal in reveals_of().items():
            chain.register(hotkey)
            chain.publish(hotkey, reveal.digest(hotkey))
    (folder / "model").mkdir()
    (folder / "model" / "Dockerfile").write_text("FROM base\n")


def bucket_of(folder: Path, hotkey: str) -> FolderBucket:
    return FolderBucket(new_bucket_folder(folder / "buckets" / hotkey))


def opened(folder: Path, tell: Disturb, stack: ExitStack) -> tuple[Any, dict[str, Sampler]]:
    """The chain and the samplers of one life."""
    chain: Any = Watched(stack.enter_context(closing(opened_chain(folder))), CHAIN_CALLS, tell)
    hub = FakeHub(folder / "model")
    hub.repositories.update({_model(hotkey): repository for hotkey, (_, repository) in MINERS.items()})
    reveals = reveals_of()

    def shown(task: int, hotkey: str) -> bool | None:
        bucket: Any = Watched(bucket_of(folder, hotkey), ("get",), tell, lambda name, _args: f"peer {name}")
        try:
            open_verdict(bucket.get(verdict_key(task, hotkey), 1 << 20), valid_signature=valid_signature)
        except BucketMissing:
            return False
        except BucketUnavailable:
            return None
        return True

    samplers = {}
    for hotkey in VALIDATORS:
        state = stack.enter_context(closing(SqlState(folder / f"{hotkey}.db"))).scoped(SCOPE)
        watched: Any = Watched(state, (*STATE_WRITES, *STATE_READS), tell)
        own_bucket: Any = Watched(bucket_of(folder, hotkey), BUCKET_CALLS, tell)
        own_hub: Any = Watched(hub, HUB_CALLS, tell)
        context = SamplerContext(
            RULES,
            CompetitionRules(COMPETITIONS, SOUNDSRIGHT_V5),
            chain,
            Account(hotkey),
            own_hub,
            Models(hub, folder, tell),
            InlinePool({draw_to_disk: draw_fake_clips, score_files: score_fake_clip}),
            StillClock(START_S),
            watched,
            own_bucket,
            folder / hotkey,
            lambda _block: Allowlist(),
            shown,
            lambda _closed: reveals,
            retry_pauses_s=(),
        )
        samplers[hotkey] = Sampler(context)
    return chain, samplers


class NotOver(InfrastructureFault):
    """The samplers did not come to their end within the number of ticks."""


def serve(folder: Path, tell: Disturb) -> None:
    """Run the samplers until all tasks have their verdict, and nobody has stepped in.

    Raises:
        InfrastructureFault: they do not come to an end, or the start failed.
    """
    with ExitStack() as stack:
        chain, samplers = opened(folder, tell, stack)
        for task in TASKS:
            if chain.head().number >= (task + 1) * INTERVAL:
                continue  # The process before this one came to the next task.
            hotkey, other = VALIDATORS[task % 2], VALIDATORS[(task + 1) % 2]
            _advance_to(chain, task * INTERVAL + 1)
            _repeat(samplers[hotkey], lambda: _is_published(folder, task, hotkey))  # noqa: B023
            _advance_to(chain, task * INTERVAL + INTERVAL // 2)
            _repeat(samplers[other], lambda: _has_looked(samplers[other], task))  # noqa: B023


def _advance_to(chain: Any, block: int) -> None:
    head = chain.head().number
    if head < block:
        chain.advance(block - head)


def _repeat(sampler: Sampler, is_done: Callable[[], bool]) -> None:
    for _ in range(MOST_TICKS):
        sampler._retry.succeeded()
        sampler.tick()
        if is_done():
            return
    raise NotOver("The samplers do not come to an end")


def _is_published(folder: Path, task: int, hotkey: str) -> bool:
    """Whether the verdict stands in the bucket, and the state knows it."""
    if not (folder / "buckets" / hotkey / verdict_key(task, hotkey)).is_file():
        return False
    with closing(SqlState(folder / f"{hotkey}.db")) as state:
        return "published" in state.scoped(SCOPE).steps(f"task-{task}")


def _has_looked(sampler: Sampler, task: int) -> bool:
    """Whether the backup knows that it has nothing to do, or its next turn has come."""
    return f"task {task} has a verdict" in str(sampler.status()["waits_for"])


def result_of(folder: Path) -> dict[str, Any]:
    """Everything that must be the same, however the samplers were disturbed."""
    objects: dict[str, str] = {}
    unlike_recorded = []
    broken_chains = []
    for hotkey in VALIDATORS:
        root, last = folder / "buckets" / hotkey, ""
        for path in sorted(root.rglob("*")):
            key = str(path.relative_to(root))
            if not path.is_file() or "@" in key:
                continue
            raw = path.read_bytes()
            if key.startswith("claims/"):
                with closing(SqlState(folder / f"{hotkey}.db")) as state:
                    claim = steps.read(state.scoped(SCOPE), f"task-{path.stem}", CLAIM)
                if claim is None or json.loads(raw).pop("claim") != claim.claim:
                    unlike_recorded.append(key)
                raw = b""  # It is random.
            if "evaluation_results" in key:
                document = json.loads(raw)["document"]
                signed_verdict = open_verdict(raw, valid_signature=valid_signature)
                if signed_verdict.verdict.previous != last:
                    broken_chains.append(key)
                last = signed_verdict.digest
                with closing(SqlState(folder / f"{hotkey}.db")) as state:
                    signed = steps.read(state.scoped(SCOPE), f"task-{key.partition('/')[0]}", SIGNED)
                if signed is None or signed.envelope.encode() != raw:
                    unlike_recorded.append(key)
                raw = document.encode()
            objects[f"{hotkey}/{key}"] = hashlib.sha256(raw).hexdigest()
    return {
        "objects": objects,
        "verdicts and claims unlike the recorded ones": unlike_recorded,
        "verdicts that do not name the one before": broken_chains,
    }


def model_runs(folder: Path) -> Counter[str]:
    """The number of times that each model was given each batch."""
    return Counter((folder / "runs.log").read_text().splitlines())


DISTURBANCES = (
    Disturbance("killed at a write to a state", STATE_WRITES, BOTH, killed),
    Disturbance("killed at a batch of a model", ("run",), BOTH, killed),
    Disturbance("killed at a call of the chain", CHAIN_CALLS, BOTH, killed),
    Disturbance("killed at a call of the hub", HUB_CALLS, BOTH, killed),
    Disturbance("killed at a call of the own bucket", BUCKET_CALLS, BOTH, killed),
    Disturbance("killed at a look into a bucket", ("peer get",), BOTH, killed),
    Disturbance("database fails", (*STATE_WRITES, *STATE_READS), BOTH, raising(StateUnavailable)),
    Disturbance("database gone for long", STATE_WRITES, ("before",), raising(StateUnavailable), LASTING),
    Disturbance("chain drops the connection", CHAIN_CALLS, BOTH, raising(ChainUnavailable)),
    Disturbance("hub away", HUB_CALLS, ("before",), raising(HubUnavailable)),
    Disturbance("own bucket fails", BUCKET_CALLS, BOTH, raising(BucketUnavailable)),
    Disturbance("own bucket gone for long", BUCKET_CALLS, ("before",), raising(BucketUnavailable), LASTING),
    Disturbance("a bucket cannot be read", ("peer get",), ("before",), raising(BucketUnavailable), 3),
    Disturbance("engine fails in a batch", ("run",), BOTH, raising(EngineUnavailable)),
    Disturbance("engine gone for long", ("start",), ("before",), raising(EngineUnavailable), LASTING),
)


def differences(folder: Path, peace: Path, most_repeated: int) -> str:
    """Let a new process run to the end. Returns how the result differs, or an empty text.

    `most_repeated` is the number of batches that models may have been given again.
    """
    status = forked(lambda: serve(folder, lambda _moment, _method: None))
    if status != 0:
        return f"the restarted process ended with status {status}"
    result, expected = result_of(folder), result_of(peace)
    wrong = [name for name in expected if result[name] != expected[name]]
    made, needed = model_runs(folder), model_runs(peace)
    if needed - made or (made - needed).total() > most_repeated:
        wrong.append(f"{(made - needed).total()} batches were repeated, and {(needed - made).total()} are missing")
    return ", ".join(wrong)


def main() -> int:
    def differ(folder: Path, peace: Path, disturbance: Disturbance) -> str:
        return differences(folder, peace, LASTING if disturbance.calls == LASTING else 1)

    return planted(__doc__, stage, serve, DISTURBANCES, differ)


if __name__ == "__main__":
    sys.exit(main())
