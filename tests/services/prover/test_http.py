"""A prover over its port: a verifier gets enhanced audio with a signature, and strangers get refusals."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import soundfile

from soundsright.adapters.peers import Hotkey, signed_headers
from soundsright.core.errors import RequestRefused
from soundsright.core.tiers import INFERENCE_SCHEMA, served_model
from soundsright.core.wav import encode_wav, mono_pcm16
from soundsright.services.prover import ProverLimits
from soundsright.services.prover.keeping import QueueLimits
from soundsright.testing.provers import (
    MODEL,
    ProverKind,
    RunningProver,
    challenge_body,
    reference_model,
    running_prover,
)
from tests.services.prover.callers import Heard, noise, pcm_sha256, post

EVE = Hotkey.of_seed("eve")


@pytest.fixture(scope="module")
def prover() -> Iterator[RunningProver]:
    def check(hotkey: str) -> None:
        if hotkey == EVE.address:
            raise RequestRefused("no_permit", "Only validators with a permit get an answer")

    with running_prover(check_caller=check, max_audio_s=2.0) as running:
        yield running


def code_of(heard: Heard) -> str:
    return str(json.loads(heard.body)["code"])


def test_a_prover_says_which_model_it_serves(prover: RunningProver) -> None:
    heard = post(prover, "/v1/model", b"", method="GET")
    assert (heard.status, heard.signed) == (200, True)
    assert served_model(heard.body) == prover.offer
    assert post(prover, "/v1/model", b"", method="GET", headers={}).status == 200


def test_a_challenge_is_answered_by_the_committed_model_and_signed(prover: RunningProver) -> None:
    audio = noise()
    heard = post(prover, "/challenge", challenge_body(audio, "r-1"))
    values = json.loads(heard.body)
    assert (heard.status, heard.signed, values["request_id"], values["model"]) == (200, True, "r-1", str(MODEL))
    expected = reference_model(audio)
    assert base64.b64decode(values["audio"]) == encode_wav(expected)
    assert values["sha256"] == pcm_sha256(expected)
    assert 0 <= values["queued_s"] <= 5
    assert 0 <= values["busy_s"] <= 5


def test_the_digest_is_that_of_the_worked_example() -> None:
    samples = np.array([0, 1, -1, 32_767, -32_768]) / 32_768
    audio = noise(5 / 16_000)
    audio.samples[:] = samples
    assert pcm_sha256(audio).startswith("c8a5c83a")
    assert pcm_sha256(audio).endswith("166f")


def test_an_inference_comes_in_chunks_and_its_signature_in_the_trailer(prover: RunningProver) -> None:
    audio = noise(1.9)
    heard = post(prover, "/inference", challenge_body(audio, "r-2", schema=INFERENCE_SCHEMA))
    assert (heard.status, heard.headers["content-type"]) == (200, "audio/wav")
    assert heard.headers["transfer-encoding"] == "chunked"
    assert "x-answer-signature" in heard.trailers
    assert heard.signed
    assert heard.body == encode_wav(reference_model(audio))


def test_a_request_is_answered_once(prover: RunningProver) -> None:
    body = challenge_body(noise(), "r-3")
    headers = signed_headers(
        Hotkey.of_seed("v"), method="POST", path="/challenge", body=body, receiver=prover.hotkey
    )
    assert post(prover, "/challenge", body, headers=headers).status == 200
    again = post(prover, "/challenge", body, headers=headers)
    assert (again.status, code_of(again)) == (401, "replayed")


def test_strangers_are_refused(prover: RunningProver) -> None:
    body = challenge_body(noise(), "r-4")
    unsigned = post(prover, "/challenge", body, headers={})
    assert (unsigned.status, code_of(unsigned)) == (401, "unsigned")
    stranger = post(prover, "/challenge", body, key=EVE)
    assert (stranger.status, code_of(stranger), stranger.signed) == (403, "no_permit", True)


def wav_of(subtype: str = "PCM_16", channels: int = 1, rate_hz: int = 16_000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros((100, channels)), rate_hz, subtype=subtype, format="WAV")
    return file.getvalue()


def with_audio(audio: object, **changes: object) -> bytes:
    values = json.loads(challenge_body(noise(0.01), "r-5")) | {"audio": audio} | changes
    return json.dumps(values).encode()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


GOOD = encoded(encode_wav(noise(0.01)))


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"not json", 422, "malformed"),
        (b"[" * 100_000, 422, "malformed"),
        (b'{"schema": NaN}', 422, "malformed"),
        (with_audio(5), 422, "malformed"),
        (with_audio("%%%"), 422, "malformed"),
        (with_audio(encoded(b"RIFF")), 422, "malformed"),
        (with_audio(encoded(encode_wav(noise(0.01))[:44])), 422, "malformed"),
        (with_audio(encoded(wav_of("FLOAT"))), 422, "malformed"),
        (with_audio(encoded(wav_of(channels=2))), 422, "malformed"),
        (with_audio(encoded(wav_of(rate_hz=48_000))), 422, "rate"),
        (with_audio(GOOD, competition="DENOISING_48000HZ"), 422, "malformed"),
        (with_audio(GOOD, schema=INFERENCE_SCHEMA), 422, "malformed"),
        (with_audio(GOOD, request_id="../x"), 422, "malformed"),
        (with_audio(GOOD, seed=-1), 422, "malformed"),
        (with_audio(GOOD, seed=True), 422, "malformed"),
        (with_audio(GOOD, more=1), 422, "malformed"),
        (challenge_body(noise(2.01), "r-6"), 413, "too_large"),
    ],
)
def test_a_body_of_another_form_is_refused(prover: RunningProver, body: bytes, status: int, code: str) -> None:
    heard = post(prover, "/challenge", body)
    assert (heard.status, code_of(heard)) == (status, code)


def test_a_body_that_announces_too_much_is_refused_before_it_comes(prover: RunningProver) -> None:
    heard = post(prover, "/challenge", b"", headers={"Content-Length": "400000"})
    assert (heard.status, code_of(heard)) == (413, "too_large")


def test_a_header_that_claims_gigabytes_costs_nothing(prover: RunningProver) -> None:
    data = bytearray(encode_wav(noise(0.01)))
    data[40:44] = (0xFFFF_FFF0).to_bytes(4, "little")
    heard = post(prover, "/challenge", with_audio(encoded(bytes(data))))
    assert (heard.status, code_of(heard)) == (422, "malformed")


@pytest.mark.parametrize("value", ["NaN", "-1", "1e9", "9" * 300, "Infinity"])
def test_headers_without_meaning_are_refused(prover: RunningProver, value: str) -> None:
    body = challenge_body(noise(0.01), "r-8")
    headers = signed_headers(EVE, method="POST", path="/challenge", body=body, receiver=prover.hotkey)
    headers["X-Bittensor-Nonce"] = value
    heard = post(prover, "/challenge", body, headers=headers)
    assert (heard.status, code_of(heard)) in [(401, "unsigned"), (401, "stale")]


def test_a_full_queue_says_when_to_try_again() -> None:
    limits = ProverLimits(queue=QueueLimits(waiting=2, per_sender=2))
    with running_prover(ProverKind.SLOW, slow_s=1.0, limits=limits) as slow:
        answers: list[Heard] = []

        def ask(number: int) -> None:
            answers.append(post(slow, "/challenge", challenge_body(noise(), f"q-{number}")))

        together([lambda number=number: ask(number) for number in range(8)])  # type: ignore[misc]
    statuses = Counter(each.status for each in answers)
    assert statuses[200] >= 2
    assert statuses[200] + statuses[429] == 8
    busy = next(each for each in answers if each.status == 429)
    assert (code_of(busy), busy.signed) == ("busy", True)
    assert 1 <= int(busy.headers["retry-after"]) <= 60


def together(actions: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("kind", [kind for kind in ProverKind if kind not in ("crash", "drip", "slow", "proxy")])
def test_each_kind_of_prover_answers_in_its_own_way(kind: ProverKind) -> None:
    audio, other = noise(seed=1), noise(seed=2)
    with running_prover(kind) as running:
        first = post(running, "/challenge", challenge_body(audio, "k-1"))
        second = post(running, "/challenge", challenge_body(other, "k-2"))
    expected = encode_wav(reference_model(other))
    got = base64.b64decode(json.loads(second.body)["audio"])
    assert first.signed
    assert len(got) == len(expected)
    assert (got == expected) == (kind is ProverKind.HONEST)
    if kind is ProverKind.OTHER_THREADS:
        steps = mono_pcm16(got)[0].astype(int) - mono_pcm16(expected)[0]
        assert np.abs(steps).max() == 1
    if kind is ProverKind.CACHED:
        assert got == base64.b64decode(json.loads(first.body)["audio"])


def test_a_proxy_passes_another_provers_answer_on() -> None:
    audio = noise(seed=3)
    with running_prover() as honest, running_prover(ProverKind.PROXY, behind=honest) as proxy:
        heard = post(proxy, "/challenge", challenge_body(audio, "p-1"))
    assert base64.b64decode(json.loads(heard.body)["audio"]) == encode_wav(reference_model(audio))


def test_a_model_that_crashes_answers_500_and_the_prover_goes_on() -> None:
    with running_prover(ProverKind.CRASH) as crashing:
        heard = post(crashing, "/challenge", challenge_body(noise(), "c-1"))
        assert (heard.status, code_of(heard), heard.signed) == (500, "model_failed", True)
        assert post(crashing, "/v1/model", b"", method="GET").status in (200, 503)


def test_a_drip_sends_its_answer_byte_by_byte() -> None:
    with running_prover(ProverKind.DRIP, slow_s=0.2) as drip, pytest.raises(TimeoutError):
        post(drip, "/challenge", challenge_body(noise(), "d-1"), timeout_s=0.1)
