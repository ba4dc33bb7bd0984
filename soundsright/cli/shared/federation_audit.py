"""The parts of `soundsright federation audit`: the verdict to audit, and what is needed to compute it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.cli.shared.federation_parts import AgreedRules, peer_buckets, source_bucket
from soundsright.core.errors import BucketMissing, RequestRefused, UsageError

if TYPE_CHECKING:
    from soundsright.config import FederationSettings
    from soundsright.core.ports import Bucket, LiveChain
    from soundsright.services.federation import AuditPorts, SignedVerdict, TaskSettings


@dataclass(frozen=True)
class PublishedVerdict:
    """A verdict that was verified, the bucket in which it stands, and the hash of its task's first block."""

    signed: SignedVerdict
    bucket: Bucket
    block_hash: str


def published_verdict(
    settings: FederationSettings, agreed: AgreedRules, chain: LiveChain, task: int, validator: str
) -> PublishedVerdict:
    """The verdict of `validator` on a task. If that is empty, the first valid one in the order of the turns.

    Raises:
        UsageError: there is none, PEER_VALIDATORS lacks the validator, or no list of validators held.
        RequestRefused: the verdict of `validator` is not a valid one.
        BucketForbidden, BucketUnavailable: a bucket cannot be read.
        ChainUnavailable: the chain does not answer.
    """
    from soundsright.adapters.machine import SystemClock
    from soundsright.services.federation import DOCUMENTS, Allowlists, Contents, TaskBook, metric_ranges

    contents = Contents(settings.folder / DOCUMENTS)
    lists = Allowlists(chain, source_bucket(settings), agreed.rules, contents, SystemClock())
    ranges = metric_ranges(agreed.organiser.competitions)
    book = TaskBook(chain, agreed.rules, agreed.rules_digest, lists, ranges)
    finalized = chain.finalized().number
    if task * agreed.rules.interval_blocks > finalized:
        raise UsageError(
            f"Task {task} begins with block {task * agreed.rules.interval_blocks}, and the last final block is"
            f" {finalized}",
            "Give a task that has begun.",
        )
    facts = book.facts(task)
    if facts is None:
        raise UsageError(
            f"No list of validators is known for task {task}", "Check R2_SOURCE_BUCKET, or give a younger task."
        )
    buckets = peer_buckets(settings)
    for hotkey in [validator] if validator else book.turns(facts):
        if hotkey not in buckets:
            raise UsageError(f"PEER_VALIDATORS has no entry for {hotkey}", "Add the validator with its bucket.")
        try:
            signed = _verdict(buckets[hotkey], task, hotkey)
            _check(signed, facts, hotkey, finalized)
        except BucketMissing:
            continue
        except RequestRefused:
            if validator:
                raise
            continue
        return PublishedVerdict(signed, buckets[hotkey], facts.block_hash)
    whose = f"Validator {validator} has" if validator else "The validators have"
    raise UsageError(f"{whose} no valid verdict on task {task}", "Give another task, or another --validator.")


def _verdict(bucket: Bucket, task: int, hotkey: str) -> SignedVerdict:
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.federation import MAX_VERDICT_BYTES, open_verdict, verdict_key

    raw = bucket.get(verdict_key(task, hotkey), MAX_VERDICT_BYTES)
    return open_verdict(raw, valid_signature=valid_signature)


def _check(signed: SignedVerdict, facts: object, hotkey: str, finalized: int) -> None:
    from soundsright.services.federation import TaskFacts, check_verdict

    assert isinstance(facts, TaskFacts)
    check_verdict(signed.verdict, facts, validator=hotkey, finalized=finalized)


def settings_of_task(
    settings: FederationSettings, agreed: AgreedRules, chain: LiveChain, task: int
) -> TaskSettings:
    """The settings with which this machine would judge a task.

    Raises:
        UsageError: a speech that the settings name is not installed or has no key.
        ChainUnavailable: the chain does not give the time of the task's block, which a private corpus needs.
    """
    from soundsright.cli.shared.opening import schedule_of
    from soundsright.cli.shared.speech_settings import material_of
    from soundsright.services.federation import TaskSettings
    from soundsright.services.rounds import material_of_round

    material = material_of(settings, agreed.organiser, agreed.competitions)
    if material.is_private:
        seeded_s = chain.timestamp_s(task * agreed.rules.interval_blocks)
        material = material_of_round(material, schedule_of(settings, agreed.organiser), seeded_s)
    return TaskSettings(agreed.rules, agreed.organiser, material)


@contextmanager
def audit_ports(
    settings: FederationSettings, bucket: Bucket, folder: Path, *, runs_models: bool
) -> Iterator[AuditPorts]:
    """The workers, and with `runs_models` the hub and the sandbox, of an audit in the folder.

    Raises:
        UsageError: no sandbox can be used here.
    """
    from soundsright.adapters.machine import ProcessPool
    from soundsright.adapters.sandboxes import usable_cpus
    from soundsright.cli.shared.opening import opened_hub, opened_sandbox, sandbox_choice
    from soundsright.metrics import warm_up
    from soundsright.services.federation import AuditPorts

    hub = sandbox = None
    if runs_models:
        hub = opened_hub(settings)
        sandbox = opened_sandbox(settings, sandbox_choice(settings), round_id="federation-audit")
    workers = settings.soundsright_workers or len(usable_cpus())
    with closing(ProcessPool(workers, warm_up=warm_up)) as pool:
        yield AuditPorts(bucket, pool, folder, workers, hub, sandbox)
