"""A verifier and real provers over signed HTTP: every kind that it must tell from an honest one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from soundsright.adapters.peers import Hotkey
from soundsright.adapters.provers import HttpProvers
from soundsright.core.endpoint import PeerNetworks
from soundsright.core.ports import Neuron
from soundsright.core.tiers import AttemptResult
from soundsright.core.tiers_rules import tiers_rules
from soundsright.services.verifier import SCOPE, VerifierContext, recorded_steps
from soundsright.testing.provers import FunctionRunner, ProverKind, RunningProver, reference_model, running_prover
from soundsright.testing.served import Manner
from tests.services.verifier.world import INTERVAL, World

VERIFIER = Hotkey.of_seed("verifier")
RULES = tiers_rules(
    interval_blocks=INTERVAL, bank_clips=2, repeat_clips=1, timeout_s=3.0, inference_share=0.5, sample_size=20
)
EXPECTED = {
    ProverKind.HONEST: {AttemptResult.HASH},
    ProverKind.OTHER_THREADS: {AttemptResult.SIMILAR},
    ProverKind.INPUT: {AttemptResult.DIFFERENT, AttemptResult.GAIN},
    ProverKind.LOUDER: {AttemptResult.GAIN},
    ProverKind.BETTER: {AttemptResult.DIFFERENT, AttemptResult.GAIN},
    ProverKind.PROXY: {AttemptResult.DIFFERENT, AttemptResult.GAIN},
    ProverKind.SLOW: {AttemptResult.SILENT},
    ProverKind.DRIP: {AttemptResult.SILENT},
    ProverKind.CRASH: {AttemptResult.STATUS},
}


@pytest.fixture(scope="module")
def provers() -> Iterator[dict[str, RunningProver]]:
    """Running provers by hotkey. The proxy asks one that runs a better model."""
    with ExitStack() as stack:
        running: dict[ProverKind, RunningProver] = {}
        for kind in (each for each in EXPECTED if each is not ProverKind.PROXY):
            running[kind] = stack.enter_context(
                running_prover(kind, slow_s=0.4 if kind is ProverKind.DRIP else 8.0)
            )
        running[ProverKind.PROXY] = stack.enter_context(
            running_prover(ProverKind.PROXY, behind=running[ProverKind.BETTER])
        )
        yield {prover.hotkey: prover for prover in running.values()}


class HttpWorld(World):
    """A world whose provers are asked over HTTP."""

    def context(self) -> VerifierContext:
        context = super().context()
        networks = PeerNetworks.of("loopback")
        return replace(
            context, provers=HttpProvers(VERIFIER, networks), sandbox=FunctionRunner(reference_model), hotkey="v"
        )


def test_over_http_only_the_committed_model_passes(provers: dict[str, RunningProver], tmp_path: Path) -> None:
    world = HttpWorld(tmp_path, dict.fromkeys(provers, Manner.HONEST), rules=RULES)
    kinds = {Hotkey.of_seed(f"prover-{kind}").address: kind for kind in EXPECTED}
    world.neurons = [
        Neuron(neuron.uid, neuron.hotkey, 0, endpoint=provers[neuron.hotkey].url.removeprefix("http://"))
        for neuron in world.neurons
    ]
    world.restart()
    world.work(INTERVAL, times=len(provers) + 3)
    results: dict[ProverKind, set[AttemptResult]] = {}
    for step in recorded_steps(world.state.scoped(SCOPE), 1).values():
        for each in step.attempts:
            results.setdefault(kinds[each.attempt.hotkey], set()).add(each.attempt.result)
    assert set(results) == set(EXPECTED)
    for kind, found in results.items():
        assert found <= EXPECTED[kind], kind
    signed = [facts["signed"] for facts in world.failures() if facts["signed"] is not None]
    assert signed
    assert all(each["is_valid"] for each in signed if each["status"] == 200)
    queued = [
        each.attempt
        for step in recorded_steps(world.state.scoped(SCOPE), 1).values()
        for each in step.attempts
        if each.attempt.result.passed
    ]
    assert all(attempt.busy_s > 0 for attempt in queued)


def test_ten_provers_are_asked_at_the_same_time(tmp_path: Path) -> None:
    with ExitStack() as stack:
        running = [
            stack.enter_context(running_prover(ProverKind.SLOW, Hotkey.of_seed(f"slow-{n}"), slow_s=1.0))
            for n in range(10)
        ]
        rules = tiers_rules(interval_blocks=INTERVAL, bank_clips=1, repeat_clips=1, step_s=1000.0)
        world = HttpWorld(tmp_path, dict.fromkeys((p.hotkey for p in running), Manner.HONEST), rules=rules)
        world.neurons = [
            Neuron(uid, each.hotkey, 0, endpoint=each.url.removeprefix("http://"))
            for uid, each in enumerate(running)
        ]
        world.restart()
        for _ in range(12):  # The step is due at the first work only, before there is any bank.
            world.verifier.work(INTERVAL, world.neurons)
            world.verifier.settle(10.0)
        started_s = time.monotonic()
        world.work(INTERVAL)
        took_s = time.monotonic() - started_s
        attempts = [a for step in recorded_steps(world.state.scoped(SCOPE), 1).values() for a in step.attempts]
        assert [a.attempt.result for a in attempts] == [AttemptResult.HASH] * 10
        assert took_s < 5.0, "one after another they take ten seconds"
