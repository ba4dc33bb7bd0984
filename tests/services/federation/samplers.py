"""Validators of a federation on one fake chain, each with its own state and a bucket in a folder.

Two miners, `alice` and `bob`, have models of different quality. Clips and scores are imitated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from soundsright.adapters.buckets import FolderBucket, new_bucket_folder
from soundsright.core.competition import PUBLISHED
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.errors import BucketMissing, BucketUnavailable, EntryRefused, RequestRefused
from soundsright.core.federation import Verdict, allowlist_digest
from soundsright.core.federation_rules import FederationRules, federation_rules
from soundsright.core.material import Material
from soundsright.core.ports import Bucket, Snapshot, StateStore
from soundsright.core.rulesets import SOUNDSRIGHT_V5
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Reveal
from soundsright.services.federation.context import SamplerContext
from soundsright.services.federation.object_keys import verdict_key
from soundsright.services.federation.sampler import Sampler
from soundsright.services.federation.task import TaskSettings
from soundsright.services.federation.verdict import MAX_VERDICT_BYTES, SignedVerdict, open_verdict
from soundsright.services.rounds import draw_to_disk, score_files
from soundsright.testing import (
    Behaviour,
    FakeChain,
    FakeHub,
    FakeRepository,
    FakeSandbox,
    InlinePool,
    MemoryState,
    VirtualClock,
    salted_reveal,
)
from soundsright.testing.simulation.world import draw_fake_clips, score_fake_clip

COMPETITIONS = PUBLISHED[:2]
RULES = federation_rules(interval_blocks=20, clips=4, competitions=tuple(c.id for c in COMPETITIONS))
START_S = 1_000_000.0


@dataclass(frozen=True)
class Account:
    address: str

    def sign(self, message: bytes) -> bytes:
        return hashlib.sha512(self.address.encode() + message).digest()


def valid_signature(address: str, message: bytes, signature: bytes) -> bool:
    return signature == Account(address).sign(message)


@dataclass(frozen=True)
class Allowlist:
    validators: tuple[str, ...]

    @property
    def digest(self) -> str:
        return allowlist_digest(self.validators, RULES.interval_blocks)


class Buckets:
    """The buckets of all validators. Those in `away` do not answer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.away: set[str] = set()

    def of(self, hotkey: str) -> Bucket:
        if hotkey in self.away:
            raise BucketUnavailable(f"The bucket of {hotkey} does not answer")
        return FolderBucket(new_bucket_folder(self._folder / hotkey))

    def verdict(self, task: int, hotkey: str) -> SignedVerdict:
        raw = self.of(hotkey).get(verdict_key(task, hotkey), MAX_VERDICT_BYTES)
        return open_verdict(raw, valid_signature=valid_signature)

    def before(self, task: int) -> list[Verdict]:
        found = []
        for hotkey in sorted(path.name for path in self._folder.iterdir() if "@" not in path.name):
            for earlier in range(1, task):
                with suppress(BucketMissing, BucketUnavailable):
                    found.append(self.verdict(earlier, hotkey).verdict)
        return found

    def shown(self, task: int, hotkey: str) -> bool | None:
        try:
            self.verdict(task, hotkey)
        except (BucketMissing, RequestRefused):
            return False
        except BucketUnavailable:
            return None
        return True


@dataclass
class Federation:
    """The chain, the miners, the hub and the buckets. `validators` is the allowlist; None if there is none."""

    folder: Path
    names: tuple[str, ...] = ("v0", "v1", "v2")
    rules: FederationRules = RULES
    material: Material = field(default_factory=Material)
    reveals: dict[str, Reveal | EntryRefused] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chain = FakeChain(start_s=START_S, unfinal=0)
        self.organiser = CompetitionRules(COMPETITIONS, SOUNDSRIGHT_V5)
        self.allowlist: Allowlist | None = Allowlist(self.names)
        model = self.folder / "model"
        model.mkdir(parents=True, exist_ok=True)
        (model / "Dockerfile").write_text("FROM base\n")
        self.hub = FakeHub(model)
        self.buckets = Buckets(self.folder / "buckets")
        for name in self.names:
            self.chain.register(name, permit=True)
        self.enter("alice", Behaviour(0.8))
        self.enter("bob", Behaviour(0.4))

    def enter(self, hotkey: str, behaviour: Behaviour, *, content: str = "", competition: int = 0) -> None:
        """Register, publish a model with that behaviour, and commit to it."""
        self.chain.register(hotkey)
        model = ModelRef(hotkey, "gate", f"{len(self.hub.repositories):040x}")
        content = content or f"content-{hotkey}"
        self.hub.repositories[model] = FakeRepository(content, behaviour=behaviour)
        reveal = salted_reveal(model, hotkey, COMPETITIONS[competition].id, content)
        self.reveals[hotkey] = reveal
        self.chain.publish(hotkey, reveal.digest(hotkey))

    def reach(self, block: int) -> None:
        """Make blocks until that one is final."""
        self.chain.advance(block - self.chain.head().number)
        assert self.chain.finalized().number == block

    def validator(self, name: str, state: StateStore | None = None, **changes: Any) -> Validator:
        return Validator(self, name, state or MemoryState(), changes)

    def settings(self) -> TaskSettings:
        return TaskSettings(self.rules, self.organiser, self.material)


@dataclass
class Validator:
    """One validator. Another one with the same name and state is a restart."""

    federation: Federation
    name: str
    state: StateStore
    changes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        world = self.federation
        self.clock = VirtualClock(START_S)
        self.sandbox = FakeSandbox(world.hub.behaviour)
        self.problems: list[str] = []
        self.published: list[int] = []
        context = SamplerContext(
            world.rules,
            world.organiser,
            world.chain,  # type: ignore[arg-type]
            Account(self.name),
            world.hub,
            self.sandbox,
            fake_pool(),
            self.clock,
            self.state,
            world.buckets.of(self.name),
            world.folder / self.name,
            lambda _block: world.allowlist,
            world.buckets.shown,
            self.revealed,
            material=world.material,
            verdicts_before=world.buckets.before,
        )
        self.context = replace(context, **self.changes)
        self.sampler = Sampler(self.context, problem=self._problem, published=self.published.append)

    def revealed(self, _closed: Snapshot) -> Mapping[str, Reveal | EntryRefused]:
        return self.federation.reveals

    def _problem(self, sentence: str | None) -> None:
        if sentence is not None:
            self.problems.append(sentence)

    def tick(self) -> None:
        """Let the longest pause pass, and do what is due."""
        self.clock.sleep(1_000)
        self.sampler.tick()

    def verdict(self, task: int) -> Verdict:
        return self.federation.buckets.verdict(task, self.name).verdict


def fake_pool(draw: Callable[..., Any] = draw_fake_clips) -> InlinePool:
    return InlinePool({draw_to_disk: draw, score_files: score_fake_clip})


def bucket_content(folder: Path) -> dict[str, bytes]:
    """Every object of a bucket in a folder, by key."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "@" not in str(path.relative_to(folder))
    }


def metadata_of(federation: Federation, task: int, name: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(federation.buckets.of(name).get(f"{task}/metadata.json", 1 << 20))
    return facts
