"""Synthesised speech: requests, prices, the cache, and engines that fail."""

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from soundsright.adapters.speech.programs import program_synthesiser
from soundsright.adapters.speech.synthesis import SynthesisedSpeech, checked_speech
from soundsright.core.audio import Audio
from soundsright.core.errors import InfrastructureFault, UsageError

openai = pytest.importorskip("openai", reason="the openai package is not installed")

from soundsright.adapters.speech.openai import OpenAISynthesiser  # noqa: E402
from tests.adapters.speech.speech_service import SpeechService  # noqa: E402


@pytest.fixture
def service() -> Iterator[SpeechService]:
    service = SpeechService()
    yield service
    service.server.shutdown()
    service.server.server_close()


def engine_of(service: SpeechService, **settings: Any) -> OpenAISynthesiser:
    settings = {"voices": ("alloy", "nova"), "requests_per_s": 500.0, "first_pause_s": 0.01, **settings}
    return OpenAISynthesiser(key="test-key", base_url=service.url, **settings)


def speech_of(service: SpeechService, tmp_path: Path, count: int = 4, **settings: Any) -> SynthesisedSpeech:
    return SynthesisedSpeech(engine_of(service, **settings), seed=1, count=count, cache=tmp_path / "cache")


def test_a_request_has_text_voice_and_model_and_its_audio_is_resampled(
    service: SpeechService, tmp_path: Path
) -> None:
    speech = speech_of(service, tmp_path)
    audio = speech.read(1, 16_000)
    assert (audio.sample_rate_hz, len(audio)) == (16_000, 24_000)
    request = service.requests[0]
    assert request["path"] == "/v1/audio/speech"
    assert request["key"] == "Bearer test-key"
    assert (request["voice"], request["model"], request["input"]) == ("nova", "gpt-4o-mini-tts", speech.text(1))
    assert speech.speaker(1) == "nova"


def test_an_utterance_in_the_cache_is_not_requested_again(service: SpeechService, tmp_path: Path) -> None:
    first = speech_of(service, tmp_path).read(0, 16_000)
    again = speech_of(service, tmp_path).read(0, 16_000)
    assert np.array_equal(first.samples, again.samples)
    assert len(service.requests) == 1
    speech_of(service, tmp_path, model="tts-1").read(0, 16_000)
    assert len(service.requests) == 2


def test_filling_the_cache_requests_only_missing_utterances(service: SpeechService, tmp_path: Path) -> None:
    speech = speech_of(service, tmp_path, count=12)
    speech.read(3, 16_000)
    progress = []
    missing = speech.missing(range(12))
    speech.fill(missing, lambda done, total: progress.append((done, total)))
    assert 3 not in missing
    assert len(service.requests) == 12
    assert progress[-1] == (11, 11)
    assert speech.missing(range(12)) == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_service_is_tried_again(service: SpeechService, tmp_path: Path, status: int) -> None:
    service.answers = [(status, {}, b'{"error": {"message": "busy"}}')] * 2
    assert len(speech_of(service, tmp_path).read(0, 16_000)) == 24_000
    assert len(service.requests) == 3


def test_the_pause_that_the_service_asks_for_is_kept(
    service: SpeechService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("soundsright.adapters.speech.openai.time.sleep", pauses.append)
    service.answers = [(429, {"retry-after": "7"}, b"{}")]
    speech_of(service, tmp_path).read(0, 16_000)
    assert 7.0 in pauses


def test_a_service_that_stays_busy_is_an_infrastructure_fault(service: SpeechService, tmp_path: Path) -> None:
    service.answers = [(503, {}, b"{}")] * 6
    with pytest.raises(InfrastructureFault, match="6 tries"):
        speech_of(service, tmp_path).read(0, 16_000)


def test_a_refused_key_is_an_error_at_once(service: SpeechService, tmp_path: Path) -> None:
    service.answers = [(401, {}, b'{"error": {"message": "bad key"}}')] * 6
    with pytest.raises(UsageError, match=r"refused the key.*OPENAI_API_KEY"):
        speech_of(service, tmp_path).read(0, 16_000)
    assert len(service.requests) == 1


def test_an_account_without_credit_is_not_tried_again(service: SpeechService, tmp_path: Path) -> None:
    body = b'{"error": {"message": "no credit", "code": "insufficient_quota"}}'
    service.answers = [(429, {"content-type": "application/json"}, body)] * 6
    with pytest.raises(UsageError, match="no credit"):
        speech_of(service, tmp_path).read(0, 16_000)
    assert len(service.requests) == 1


@pytest.mark.parametrize(("model", "field"), [("gpt-4o-mini-tts", "instructions"), ("tts-1", "speed")])
def test_a_drawn_voice_asks_for_a_manner_of_speaking(service: SpeechService, model: str, field: str) -> None:
    engine = engine_of(service, model=model)
    voices = {engine.drawn_voice(np.random.default_rng(seed)) for seed in range(60)}
    assert len(voices) > 15
    engine.speak("Hello there.", "nova 2")
    request = service.requests[0]
    assert request["voice"] == "nova"
    assert {"instructions", "speed"} & request.keys() == {field}


def test_an_utterance_in_the_cache_of_an_earlier_version_is_not_requested(
    service: SpeechService, tmp_path: Path
) -> None:
    speech = speech_of(service, tmp_path)
    audio = speech.read(0, 24_000)
    cache, key = tmp_path / "cache", speech.key(0)
    earlier = cache / key[:2] / f"{key}.flac"
    earlier.parent.mkdir(exist_ok=True)
    next((cache / "audio").rglob("*.flac")).rename(earlier)
    shutil.rmtree(cache / "audio")
    shutil.rmtree(cache / "requests")
    assert np.array_equal(speech.read(0, 24_000).samples, audio.samples)
    assert len(service.requests) == 1
    assert speech.missing([0]) == []


def test_an_unknown_voice_is_a_usage_error(service: SpeechService, tmp_path: Path) -> None:
    service.answers = [(400, {}, b'{"error": {"message": "voice not found"}}')]
    with pytest.raises(UsageError, match=r"'alloy'.*voice not found"):
        speech_of(service, tmp_path).read(0, 16_000)


@pytest.mark.parametrize("data", [b"", b"this is no audio"])
def test_an_answer_that_is_no_audio_is_an_infrastructure_fault(
    service: SpeechService, tmp_path: Path, data: bytes
) -> None:
    service.answers = [(200, {}, data)]
    with pytest.raises(InfrastructureFault):
        speech_of(service, tmp_path).read(0, 16_000)
    assert not list((tmp_path / "cache").rglob("*.flac"))


def test_an_incomplete_file_in_the_cache_is_spoken_again(service: SpeechService, tmp_path: Path) -> None:
    speech = speech_of(service, tmp_path)
    first = speech.read(0, 16_000)
    path = next((tmp_path / "cache").rglob("*.flac"))
    path.write_bytes(path.read_bytes()[:100])
    assert np.array_equal(speech.read(0, 16_000).samples, first.samples)
    assert len(service.requests) == 2


def test_the_error_about_a_missing_key_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UsageError, match="OPENAI_API_KEY is not set"):
        OpenAISynthesiser.from_environment(model="tts-1")


def test_the_price_grows_with_the_text_and_needs_no_request(service: SpeechService) -> None:
    assert engine_of(service, model="tts-1").price_usd(["x" * 1_000_000]) == pytest.approx(15.0)
    assert engine_of(service, model="tts-1-hd").price_usd(["x" * 500_000, "y" * 500_000]) == pytest.approx(30.0)
    assert engine_of(service).price_usd([]) == 0.0
    assert service.requests == []


def test_requests_keep_to_their_rate() -> None:
    from soundsright.adapters.speech.openai import _Pace

    now = [0.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = _Pace(4.0, lambda: now[0], sleep)
    for _ in range(9):
        pace.wait()
    assert now[0] == pytest.approx(2.0)
    assert slept == pytest.approx([0.25] * 8)


def test_an_engine_is_pickled_without_its_connection_and_hides_its_key(
    service: SpeechService, tmp_path: Path
) -> None:
    engine = engine_of(service)
    engine.speak("Hello there.", "alloy")
    assert pickle.loads(pickle.dumps(engine)) == engine
    assert "test-key" not in repr(engine)


@pytest.mark.parametrize(
    ("samples", "message"),
    [(np.zeros(24_000), "silence"), (np.full(24_000, np.nan), "not finite"), (np.ones(100), "0.00 s")],
)
def test_implausible_audio_is_refused(samples: NDArray[np.float64], message: str) -> None:
    with pytest.raises(InfrastructureFault, match=message):
        checked_speech(Audio(samples.astype(np.float32), 24_000), "engine")


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
def test_flite_speaks_a_text_the_same_way_each_time(tmp_path: Path) -> None:
    engine = program_synthesiser("flite", ("slt",))
    one, two = (SynthesisedSpeech(engine, seed=1, count=2, cache=tmp_path / name) for name in "ab")
    assert np.array_equal(one.read(0, 16_000).samples, two.read(0, 16_000).samples)
    assert one.utterance_id(0).startswith("flite/slt/")


def test_the_error_about_a_missing_program_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match=r"flite is not installed.*apt-get install flite"):
        program_synthesiser("flite")


def test_unknown_synthesisers_and_voices_are_refused() -> None:
    with pytest.raises(UsageError, match="Unknown synthesiser 'hal'"):
        program_synthesiser("hal")
    with pytest.raises(UsageError, match="flite has no voice 'hal'"):
        program_synthesiser("flite", ("hal",))
