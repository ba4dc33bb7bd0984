"""A bucket that shows different verdicts to different peers is found out when the peers' views are compared."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from soundsright.adapters.peers import valid_signature
from soundsright.core.federation import View
from soundsright.services.federation import (
    Equivocation,
    Sought,
    evidence_of,
    mirror_key,
    open_verdict,
    sign_verdict,
)
from soundsright.services.federation.contradictions import MAX_PER_VIEW, Contradictions
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

SIGNER = account_of(TASK)
ONE, TWO = (sign_verdict(verdict(miners=miners), SIGNER) for miners in (3, 4))
DIGEST_ONE, DIGEST_TWO = (open_verdict(raw, valid_signature=valid_signature).digest for raw in (ONE, TWO))
READERS = [hotkey for hotkey in ADDRESSES if hotkey != SIGNER.address]
FOUND = Equivocation(TASK, SIGNER.address, *sorted((DIGEST_ONE, DIGEST_TWO)))


@pytest.fixture
def buckets(tmp_path: Path) -> dict[str, Watched]:
    return folders(tmp_path / "buckets")


@pytest.fixture
def machine(tmp_path: Path, buckets: dict[str, Watched]) -> Machine:
    return Machine(tmp_path / "machine", buckets)


def listing(hotkey: str, digest: str, task: int = TASK) -> View:
    account = VALIDATORS[ADDRESSES.index(hotkey)]
    return view(account, {task: {SIGNER.address: digest}})


def views_of(first: str, second: str) -> dict[str, View]:
    return {READERS[0]: listing(READERS[0], first), READERS[1]: listing(READERS[1], second)}


def test_two_peers_that_were_shown_different_verdicts_prove_it_together(
    machine: Machine, buckets: dict[str, Watched]
) -> None:
    buckets[READERS[0]].put(mirror_key(DIGEST_ONE), ONE)
    buckets[READERS[1]].put(mirror_key(DIGEST_TWO), TWO)
    compared = Contradictions(machine.verdicts, machine.mirror)
    assert compared.equivocations(views_of(DIGEST_ONE, DIGEST_TWO)) == (FOUND,)
    raws = [machine.contents.get(digest) for digest in (FOUND.first, FOUND.second)]
    assert raws[0] is not None
    assert raws[1] is not None
    assert evidence_of(raws[0], raws[1], valid_signature=valid_signature).validator == SIGNER.address


def test_a_peer_that_was_shown_another_verdict_than_this_machine_proves_it(
    machine: Machine, buckets: dict[str, Watched]
) -> None:
    buckets[SIGNER.address].put(f"{TASK}/evaluation_results/{SIGNER.address}.json", ONE)
    machine.read([(task_facts(), SIGNER.address)])
    buckets[READERS[1]].put(mirror_key(DIGEST_TWO), TWO)
    compared = Contradictions(machine.verdicts, machine.mirror)
    assert compared.equivocations({READERS[1]: listing(READERS[1], DIGEST_TWO)}) == (FOUND,)


def test_views_that_agree_are_not_looked_into(machine: Machine, buckets: dict[str, Watched]) -> None:
    compared = Contradictions(machine.verdicts, machine.mirror)
    assert compared.equivocations(views_of(DIGEST_ONE, DIGEST_ONE)) == ()
    assert [bucket.reads for bucket in buckets.values()] == [[], [], []]


@pytest.mark.parametrize(
    "shown",
    [b"", b"{}", ONE, sign_verdict(verdict(TASK + 3), SIGNER)],
    ids=["empty", "no envelope", "the first verdict", "another task"],
)
def test_a_digest_that_nobody_can_show_proves_nothing(
    machine: Machine, buckets: dict[str, Watched], shown: bytes
) -> None:
    buckets[READERS[0]].put(mirror_key(DIGEST_ONE), ONE)
    buckets[READERS[1]].put(mirror_key(sha("made up")), shown)
    compared = Contradictions(machine.verdicts, machine.mirror)
    assert compared.equivocations(views_of(DIGEST_ONE, sha("made up"))) == ()


def test_a_verdict_on_another_task_under_its_own_digest_proves_nothing(
    machine: Machine, buckets: dict[str, Watched]
) -> None:
    other = sign_verdict(verdict(TASK + 3), SIGNER)
    digest = open_verdict(other, valid_signature=valid_signature).digest
    buckets[READERS[0]].put(mirror_key(DIGEST_ONE), ONE)
    buckets[READERS[1]].put(mirror_key(digest), other)
    compared = Contradictions(machine.verdicts, machine.mirror)
    assert compared.equivocations(views_of(DIGEST_ONE, digest)) == ()


def test_a_view_full_of_made_up_digests_hides_no_equivocation(
    machine: Machine, buckets: dict[str, Watched]
) -> None:
    honest, liar = READERS
    made_up = {task: {SIGNER.address: sha(f"made up {task}")} for task in range(13, 300)}
    right = {task: {SIGNER.address: sha(f"right {task}")} for task in range(13, 300)} | {
        300: {SIGNER.address: DIGEST_ONE}
    }
    late = [sign_verdict(verdict(300, miners=miners), SIGNER) for miners in (1, 2)]
    digests = [open_verdict(raw, valid_signature=valid_signature).digest for raw in late]
    for reader, digest, raw in zip(READERS, digests, late, strict=True):
        buckets[reader].put(mirror_key(digest), raw)
    views = {
        honest: view(VALIDATORS[ADDRESSES.index(honest)], right | {300: {SIGNER.address: digests[0]}}),
        liar: view(VALIDATORS[ADDRESSES.index(liar)], made_up | {300: {SIGNER.address: digests[1]}}),
    }
    compared = Contradictions(machine.verdicts, machine.mirror)
    found: tuple[Equivocation, ...] = ()
    calls = 0
    while not found and calls < 20:
        asked = len(buckets[liar].reads)
        found = compared.equivocations(views)
        assert len(buckets[liar].reads) - asked <= MAX_PER_VIEW
        calls += 1
    assert [(each.task, each.validator) for each in found] == [(300, SIGNER.address)]


def test_two_validators_that_make_up_the_same_digests_cost_no_more_than_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sought: list[str] = []

    def fetch(wanted: Iterable[Sought], _accept: object) -> tuple[str, ...]:
        sought.extend(each.digest for each in wanted)
        return tuple(sought)

    monkeypatch.setattr(machine.mirror, "fetch", fetch)
    made_up, real = {}, {}
    for task in range(300):
        made_up[task] = {SIGNER.address: sha(f"made up {task}")}
        real[task] = {SIGNER.address: sha(f"real {task}")}
    liars = {f"liar {number}": view(SIGNER, made_up) for number in range(2)}
    honest = {f"honest {number}": view(SIGNER, real) for number in range(3)}
    Contradictions(machine.verdicts, machine.mirror).equivocations(liars | honest)
    assert (
        len([digest for digest in sought if digest in {sha(f"made up {task}") for task in made_up}]) <= MAX_PER_VIEW
    )
