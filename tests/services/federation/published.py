"""Verdicts and views of a small federation: two validators in turns of 100 blocks, and some miners."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from soundsright.adapters.peers import Hotkey
from soundsright.core.canonical import canonical_json
from soundsright.core.federation import JudgedRow, StatedMaterial, Verdict, View, allowlist_digest, row_order
from soundsright.core.ports import Account
from soundsright.core.sources import ModelRef
from soundsright.services.federation import EpochFacts, TaskFacts, verdict_facts, view_facts
from soundsright.services.records import DocumentKind, sign_document

INTERVAL = 100
COMPETITIONS = ("DENOISING_16000HZ", "DEREVERBERATION_16000HZ")
METRICS = ("ESTOI", "PESQ_WB", "SI_SDR")
VALIDATORS: tuple[Hotkey, ...] = tuple(
    sorted((Hotkey.of_seed(f"validator {n}") for n in range(3)), key=lambda account: account.address)
)
ADDRESSES = tuple(account.address for account in VALIDATORS)
TASK = 12
EPOCH = 1_260


def sha(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


ALLOWLIST = allowlist_digest(ADDRESSES, INTERVAL)
RULES = sha("rules")


def sampler(block: int, task: int) -> str | None:
    """The validator whose turn the block of a task is: after half the interval the second one's."""
    if block // INTERVAL != task:
        return None
    return ADDRESSES[(task + (block % INTERVAL >= INTERVAL // 2)) % len(ADDRESSES)]


def account_of(task: int, step: int = 0) -> Hotkey:
    """The validator with that turn at a task."""
    return VALIDATORS[(task + step) % len(VALIDATORS)]


def task_facts(task: int = TASK, **changes: Any) -> TaskFacts:
    facts = TaskFacts(
        task=task,
        validators=ADDRESSES,
        allowlist=ALLOWLIST,
        rules=RULES,
        block_hash="0x" + sha(f"block {task * INTERVAL}"),
        competitions=frozenset(COMPETITIONS),
        clips=8,
        sampler=lambda block: sampler(block, task),
    )
    return replace(facts, **changes)


def row(number: int) -> JudgedRow:
    """A miner's result. Every third one does not beat the unprocessed input."""
    lead = 0.3 if number % 3 else 0.0
    return JudgedRow(
        competition=COMPETITIONS[number % 2],
        hotkey=f"5Miner{number:03d}",
        uid=number,
        model=ModelRef("lab", f"model-{number}", sha(number)[:40]),
        block=100 + number,
        passed=number % 3 != 0,
        failures=0,
        means={metric: round(lead + 0.1 * place + number / 2_000, 6) for place, metric in enumerate(METRICS)},
        answers=sha(f"answers {number}"),
    )


def verdict(task: int = TASK, step: int = 0, *, miners: int = 4, **changes: Any) -> Verdict:
    """A valid verdict of the validator with that turn."""
    made = Verdict(
        task=task,
        validator=account_of(task, step).address,
        block=task * INTERVAL + 50 * step + 1,
        block_hash="0x" + sha(f"block {task * INTERVAL}"),
        allowlist=ALLOWLIST,
        rules=RULES,
        sets={name: sha(f"{name} {task}") for name in COMPETITIONS},
        unprocessed={name: dict.fromkeys(METRICS, 0.25) for name in COMPETITIONS},
        rows=tuple(sorted((row(number) for number in range(miners)), key=row_order)),
        material=StatedMaterial(sha("corpus"), COMPETITIONS[:1], 90, {"engine": "espeak-ng", "sound": ""}),
    )
    return replace(made, **changes)


def view(account: Account, listed: Mapping[int, Mapping[str, str]], **changes: Any) -> View:
    made = View(EPOCH, account.address, ALLOWLIST, RULES, listed, {}, {COMPETITIONS[0]: "5Miner001"})
    return replace(made, **changes)


def epoch_facts(**changes: Any) -> EpochFacts:
    facts = EpochFacts(EPOCH, ADDRESSES, ALLOWLIST, RULES, COMPETITIONS, range(EPOCH // INTERVAL + 1))
    return replace(facts, **changes)


def signed_facts(
    kind: DocumentKind, document: Verdict | View, account: Account, change: Callable[[Any], object]
) -> bytes:
    """The document with changed facts, signed as its signer would sign it who lies."""
    facts = json.loads(
        canonical_json(verdict_facts(document) if isinstance(document, Verdict) else view_facts(document))
    )
    change(facts)
    return sign_document(kind, facts, account).encode()
