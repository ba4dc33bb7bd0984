"""Recordings through a gateway: the best prover that answers, and nothing of it but samples."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from soundsright.adapters.peers import Hotkey, RateLimit
from soundsright.core.audio import Audio
from soundsright.core.errors import StateUnavailable
from soundsright.core.wav import decode_wav, encode_wav
from soundsright.services.gateway import GatewayAccess, GatewayLimits
from soundsright.testing.provers import ProverKind, RunningProver, reference_model, running_prover
from tests.services.gateway.world import KEY, OTHER_KEY, FixedServing, running_gateway, serving
from tests.services.prover.callers import noise

WAV = encode_wav(noise())
EXPECTED = encode_wav(reference_model(noise()))


@pytest.fixture(scope="module")
def honest() -> Iterator[RunningProver]:
    with running_prover(slots=4) as running:
        yield running


def test_the_answer_is_the_models_and_names_its_prover(honest: RunningProver) -> None:
    with running_gateway([serving(honest)]) as gateway:
        answer = gateway.enhance(WAV)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")
        assert answer.content == EXPECTED
        assert answer.headers["x-prover"] == honest.hotkey
        assert (answer.headers["x-tier"], answer.headers["x-verified"]) == ("Gold", "true")
        assert 0 < float(answer.headers["x-latency-ms"]) < 10_000
        assert gateway.serving.taken == {honest.hotkey: 1}


def test_who_failed_its_last_check_is_not_verified(honest: RunningProver) -> None:
    with running_gateway([serving(honest, verified=False)]) as gateway:
        assert gateway.enhance(WAV).headers["x-verified"] == "false"


@pytest.mark.parametrize("kind", [ProverKind.CRASH, ProverKind.DRIP, ProverKind.SLOW])
def test_a_prover_that_fails_gives_way_to_the_next_best(honest: RunningProver, kind: ProverKind) -> None:
    limits = GatewayLimits(timeout_s=1.0)
    with ExitStack() as stack:
        failing = stack.enter_context(running_prover(kind, slow_s=3.0))
        both = [serving(failing, "Challenger"), serving(honest)]
        gateway = stack.enter_context(running_gateway(both, limits=limits))
        answer = gateway.enhance(WAV)
        assert (answer.status_code, answer.headers["x-prover"]) == (200, honest.hotkey)
        assert gateway.serving.taken == {failing.hotkey: 1, honest.hotkey: 1}
        assert gateway.enhance(WAV).status_code == 200
        assert gateway.serving.taken[failing.hotkey] == 1, "it is asked last for a while"


def test_an_answer_that_is_signed_by_nobody_is_not_passed_on(honest: RunningProver) -> None:
    """Somebody else answers at the address of this prover."""
    impostor = serving(honest)
    other = Hotkey.of_seed("somebody").address
    with running_gateway([replace(impostor, hotkey=other)]) as gateway:
        assert gateway.enhance(WAV).status_code == 503


def test_without_a_prover_the_listener_is_asked_to_wait() -> None:
    with running_gateway([]) as gateway:
        answer = gateway.enhance(WAV)
        assert (answer.status_code, answer.json()["code"]) == (503, "no_prover")
        assert int(answer.headers["retry-after"]) > 0


def test_nobody_is_asked_beyond_the_limit_of_its_tier_or_while_counters_are_away(honest: RunningProver) -> None:
    fixed = FixedServing([serving(honest)], limit=1)
    with running_gateway([], fixed=fixed) as gateway:
        assert gateway.enhance(WAV).status_code == 200
        assert gateway.enhance(WAV).json()["code"] == "no_prover"
        fixed.fault = StateUnavailable("The counters are away")
        assert (gateway.enhance(WAV).status_code, gateway.enhance(WAV).json()["code"]) == (503, "unavailable")


@pytest.mark.parametrize(
    ("wav", "status", "code"),
    [
        (b"", 422, "malformed"),
        (b"RIFF" + bytes(100), 422, "malformed"),
        (WAV[:-2], 422, "malformed"),
        (encode_wav(noise(rate_hz=48_000)), 422, "rate"),
        (encode_wav(Audio(np.zeros(0, np.float32), 16_000)), 422, "malformed"),
        (encode_wav(Audio(np.zeros(16_000 * 31, np.float32), 16_000)), 413, "too_large"),
        (bytes(2_000_000), 413, "too_large"),
    ],
)
def test_a_recording_of_another_form_is_refused_with_a_sentence(
    honest: RunningProver, wav: bytes, status: int, code: str
) -> None:
    with running_gateway([serving(honest)]) as gateway:
        answer = gateway.enhance(wav)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.json()["sentence"].count(".") <= 1
        assert gateway.serving.taken == {}


def test_an_unknown_competition_is_not_found(honest: RunningProver) -> None:
    with running_gateway([serving(honest)]) as gateway:
        answer = gateway.enhance(WAV, path="/v1/enhance?competition=SINGING")
        assert (answer.status_code, answer.json()["code"]) == (404, "no_competition")
        assert gateway.enhance(WAV, path="/v1/enhance?competition=DENOISING_16000HZ").status_code == 200


def test_only_listeners_with_a_key_are_served(honest: RunningProver) -> None:
    with running_gateway([serving(honest)]) as gateway:
        assert (gateway.enhance(WAV, key=None).status_code, gateway.enhance(WAV, key="x").status_code) == (401, 401)
        assert gateway.enhance(WAV, key=KEY + "x").json()["code"] == "wrong_key"
        assert gateway.enhance(WAV, key=None).json()["code"] == "no_key"
        assert gateway.enhance(WAV, key=None, Authorization=f"Bearer {OTHER_KEY}").status_code == 200
        assert gateway.serving.taken == {honest.hotkey: 1}


def test_the_open_demo_has_small_limits_and_is_for_its_own_page(honest: RunningProver) -> None:
    access = GatewayAccess((KEY,), open_demo=True, per_demo=RateLimit(per_minute=1, burst=2).check)
    limits = GatewayLimits(demo_max_audio_s=1.0)
    with running_gateway([serving(honest)], access=access, limits=limits) as gateway:
        foreign = gateway.enhance(WAV, key=None, Origin="https://elsewhere.example")
        assert (foreign.status_code, foreign.json()["code"]) == (403, "foreign_page")
        assert gateway.enhance(WAV, key=None, Origin=gateway.url).status_code == 200
        assert gateway.enhance(encode_wav(noise(1.5)), key=None).json()["code"] == "too_large"
        assert gateway.enhance(WAV, key=None).json()["code"] == "busy"
        assert gateway.enhance(WAV).status_code == 200


def test_limits_hold_for_each_key_and_each_address(honest: RunningProver) -> None:
    access = GatewayAccess(
        (KEY, OTHER_KEY),
        per_address=RateLimit(per_minute=1, burst=6).check,
        per_key=RateLimit(per_minute=1, burst=2).check,
    )
    with running_gateway([serving(honest)], access=access) as gateway:
        assert [gateway.enhance(WAV).status_code for _ in range(3)] == [200, 200, 429]
        assert gateway.enhance(WAV, key=OTHER_KEY).status_code == 200
        assert gateway.enhance(WAV, key="guess").status_code == 401
        assert gateway.enhance(WAV, key=OTHER_KEY).status_code == 200
        assert gateway.enhance(WAV, key="guess").json()["code"] == "busy", "a key cannot be guessed in a hurry"


def test_requests_at_the_same_time_are_bounded_and_the_rest_is_told_at_once() -> None:
    with running_prover(ProverKind.SLOW, slow_s=1.0, slots=8) as slow:
        limits = GatewayLimits(requests=4, requests_per_key=2)
        with running_gateway([serving(slow)], limits=limits) as gateway:
            answers: list[Any] = []
            threads = [threading.Thread(target=lambda: answers.append(gateway.enhance(WAV))) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429, 429]
            refused = next(answer for answer in answers if answer.status_code == 429)
            assert refused.headers["retry-after"] == "2"


def test_all_tries_together_end_in_time() -> None:
    limits = GatewayLimits(timeout_s=1.0, total_s=1.6, tries=5)
    with ExitStack() as stack:
        keys = [Hotkey.of_seed(f"slow-{n}") for n in range(4)]
        slow = [stack.enter_context(running_prover(ProverKind.SLOW, key, slow_s=5.0)) for key in keys]
        gateway = stack.enter_context(running_gateway([serving(each) for each in slow], limits=limits))
        started_s = time.monotonic()
        assert gateway.enhance(WAV).status_code == 503
        assert time.monotonic() - started_s < 4.0


def test_the_ladder_in_short_needs_no_key(honest: RunningProver) -> None:
    with running_gateway([serving(honest)]) as gateway:
        answer = httpx.get(gateway.url + "/v1/provers").json()
        assert (answer["competition"], answer["sample_rate_hz"]) == ("DENOISING_16000HZ", 16_000)
        (row,) = answer["provers"]
        assert (row["hotkey"], row["tier"], row["verified"]) == (honest.hotkey, "Gold", True)
        assert (row["latency_ms"], row["requests_left"], row["streams"]) == (200.0, 400, None)


def test_the_answer_can_be_decoded(honest: RunningProver) -> None:
    with running_gateway([serving(honest)]) as gateway:
        wav = decode_wav(gateway.enhance(WAV).content)
        assert (wav.sample_rate_hz, wav.samples.shape) == (16_000, (8_000, 1))
