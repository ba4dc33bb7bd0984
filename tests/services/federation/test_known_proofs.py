"""A validator fetches the proofs that peers list, and no peer can take the places of the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.peers import valid_signature
from soundsright.core.federation import View
from soundsright.services.federation import (
    Equivocation,
    Evidence,
    TaskFacts,
    evidence_of,
    mirror_key,
    open_verdict,
    sign_verdict,
    verdict_key,
)
from soundsright.services.federation.known_proofs import MAX_FETCHED, KnownProofs
from tests.services.federation.places import Machine, Watched, folders
from tests.services.federation.published import (
    ADDRESSES,
    TASK,
    VALIDATORS,
    account_of,
    sha,
    task_facts,
    verdict,
    view,
)

OWN, SECOND, THIRD = ADDRESSES


@pytest.fixture
def buckets(tmp_path: Path) -> dict[str, Watched]:
    return folders(tmp_path / "buckets")


def known_proofs(machine: Machine, facts: Callable[[int], TaskFacts | None] = task_facts) -> KnownProofs:
    return KnownProofs(
        machine.buckets[machine.own],
        machine.contents,
        machine.mirror,
        machine.records,
        facts=facts,
        valid_signature=valid_signature,
    )


def proof_on(task: int) -> Evidence:
    account = account_of(task)
    raws = (sign_verdict(verdict(task, miners=miners), account) for miners in (2, 3))
    return evidence_of(*raws, valid_signature=valid_signature)


def listing(number: int, proofs: dict[int, dict[str, str]]) -> View:
    return view(VALIDATORS[number], {}, evidence=proofs)


def made_up(number: int) -> dict[int, dict[str, str]]:
    """Proofs that nobody has, on many tasks."""
    return {task: {OWN: sha(f"{number} {task}")} for task in range(2 * MAX_FETCHED)}


@pytest.mark.parametrize("liar_is_first", [True, False])
def test_a_view_full_of_proofs_that_nobody_has_does_not_keep_the_others_out(
    tmp_path: Path, buckets: dict[str, Watched], liar_is_first: bool
) -> None:
    machine = Machine(tmp_path / OWN, buckets, OWN)
    real = {task: proof_on(task) for task in range(TASK, TASK + MAX_FETCHED // 2)}
    for each in real.values():
        buckets[SECOND].put(mirror_key(each.digest), each.raw)
    honest = listing(1, {task: {each.validator: each.digest} for task, each in real.items()})
    views = {THIRD: listing(2, made_up(2)), SECOND: honest}
    known = known_proofs(machine)
    known.learn(views if liar_is_first else dict(reversed(views.items())))
    assert known.within(range(1_000)) == {task: {each.validator: each.digest} for task, each in real.items()}
    assert len(buckets[THIRD].reads) == MAX_FETCHED // 2


def test_more_views_than_places_still_have_a_place_each(tmp_path: Path, buckets: dict[str, Watched]) -> None:
    machine = Machine(tmp_path / OWN, buckets, OWN)
    proof = proof_on(TASK)
    buckets[SECOND].put(mirror_key(proof.digest), proof.raw)
    liars = {f"liar {number}": listing(2, made_up(number)) for number in range(MAX_FETCHED + 10)}
    known = known_proofs(machine)
    known.learn({**liars, SECOND: listing(1, {TASK: {proof.validator: proof.digest}})})
    assert known.within(range(1_000)) == {TASK: {proof.validator: proof.digest}}


def test_a_proof_that_several_list_is_fetched_from_any_of_them(tmp_path: Path, buckets: dict[str, Watched]) -> None:
    machine = Machine(tmp_path / OWN, buckets, OWN)
    proof = proof_on(TASK)
    buckets[THIRD].put(mirror_key(proof.digest), proof.raw)
    listed = {TASK: {proof.validator: proof.digest}}
    known = known_proofs(machine)
    known.learn({SECOND: listing(1, listed), THIRD: listing(2, listed)})
    assert known.within(range(1_000)) == listed


@pytest.mark.parametrize(
    "elsewhere",
    [{"allowlist": sha("list")}, {"rules": sha("rules of others")}, {"block_hash": "0x" + sha("another network")}],
    ids=["another list", "other rules", "another network"],
)
def test_a_proof_of_another_federation_convicts_nobody_here(
    tmp_path: Path, buckets: dict[str, Watched], elsewhere: dict[str, Any]
) -> None:
    machine, account = Machine(tmp_path / OWN, buckets, OWN), account_of(TASK)
    raws = [sign_verdict(verdict(miners=miners, **elsewhere), account) for miners in (2, 3)]
    proof = evidence_of(*raws, valid_signature=valid_signature)
    buckets[SECOND].put(mirror_key(proof.digest), proof.raw)
    known = known_proofs(machine)
    known.learn({SECOND: listing(1, {TASK: {proof.validator: proof.digest}})})
    for digest, raw in zip(proof.digests, sorted(raws, key=digest_of), strict=True):
        machine.contents.put(digest, raw)
    known.prove([Equivocation(TASK, proof.validator, *proof.digests)])
    assert known.within(range(1_000)) == {}


def digest_of(raw: bytes) -> str:
    return open_verdict(raw, valid_signature=valid_signature).digest


def test_verdicts_of_two_federations_are_no_equivocation(tmp_path: Path, buckets: dict[str, Watched]) -> None:
    machine, account = Machine(tmp_path / OWN, buckets, OWN), account_of(TASK)
    here, there = verdict(), verdict(allowlist=sha("list"), rules=sha("rules of others"))
    buckets[account.address].put(verdict_key(TASK, account.address), sign_verdict(here, account))
    machine.read([(task_facts(), account.address)])
    other = machine.verdicts.take(sign_verdict(there, account))
    assert machine.verdicts.equivocations == ()
    known = known_proofs(machine)
    first = machine.verdicts.first_digest(TASK, account.address)
    assert first is not None
    known.prove([Equivocation(TASK, account.address, first, other.digest)])
    assert known.within(range(1_000)) == {}


def test_a_proof_on_a_task_whose_facts_are_unknown_waits(tmp_path: Path, buckets: dict[str, Watched]) -> None:
    machine, proof = Machine(tmp_path / OWN, buckets, OWN), proof_on(TASK)
    buckets[SECOND].put(mirror_key(proof.digest), proof.raw)
    views = {SECOND: listing(1, {TASK: {proof.validator: proof.digest}})}
    known = known_proofs(machine, lambda _task: None)
    known.learn(views)
    assert known.within(range(1_000)) == {}
    machine.restart()
    known = known_proofs(machine)
    known.learn(views)
    assert known.within(range(1_000)) == views[SECOND].evidence
