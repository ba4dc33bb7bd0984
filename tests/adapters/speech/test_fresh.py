"""New speech for a round: its texts and voices, its cache, and engines that fail."""

import pickle
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundsright.adapters.speech import FreshSpeech, OpenAISynthesiser, varied_program
from soundsright.adapters.speech.cache import audio_digest
from soundsright.adapters.speech.programs import _PROGRAMS
from soundsright.core.audio import Audio
from soundsright.core.errors import InfrastructureFault, UsageError


@dataclass(frozen=True)
class Hummer:
    """An engine that hums: the pitch depends on the voice, the length on the text."""

    name: str = "hummer"
    model: str = "1.0"
    voices: tuple[str, ...] = ("low", "mid", "high")
    sample_rate_hz: int = 16_000
    parallel: int = 2
    sound: str = "s" * 64
    error: Exception | None = None
    price_usd_per_char: float = 0.001

    def drawn_voice(self, rng: np.random.Generator) -> str:
        return f"{self.voices[int(rng.integers(3))]} {int(rng.integers(50, 200))}"

    def speak(self, text: str, voice: str) -> Audio:
        if self.error is not None:
            raise self.error
        time_s = np.arange(200 * len(text)) / self.sample_rate_hz
        f0_hz = float(voice.split()[1])
        return Audio((0.1 * np.sin(2 * np.pi * f0_hz * time_s)).astype(np.float32), self.sample_rate_hz)

    def price_usd(self, texts: Any) -> float:
        return self.price_usd_per_char * sum(map(len, texts))


def test_text_and_voice_depend_on_seed_and_number_alone(tmp_path: Path) -> None:
    one = FreshSpeech(Hummer()).of_set(7, 30, tmp_path / "one")
    two = FreshSpeech(Hummer()).of_set(7, 30, tmp_path / "two")
    backwards = [(two.voice(i), two.text(i), two.read(i, 16_000).samples) for i in reversed(range(30))][::-1]
    for i, (voice, text, samples) in enumerate(backwards):
        assert (one.voice(i), one.text(i)) == (voice, text)
        assert np.array_equal(one.read(i, 16_000).samples, samples)


def test_two_seeds_share_no_text(tmp_path: Path) -> None:
    speech = FreshSpeech(Hummer())
    first, second = (speech.of_set(seed, 200, tmp_path) for seed in (1, 2))
    assert not {first.text(i) for i in range(200)} & {second.text(i) for i in range(200)}
    assert len({first.voice(i) for i in range(200)}) > 100


def test_an_utterance_is_named_by_its_content(tmp_path: Path) -> None:
    utterances = FreshSpeech(Hummer()).of_set(7, 3, tmp_path)
    assert utterances.utterance_id(1).startswith(f"{utterances.speaker(1)}/unspoken-")
    audio = utterances.read(1, 16_000)
    assert utterances.utterance_id(1) == f"{utterances.speaker(1)}/{audio_digest(audio)[:16]}"
    file = tmp_path / "audio" / audio_digest(audio)[:2] / f"{audio_digest(audio)}.flac"
    assert file.is_file()


@pytest.mark.parametrize("damage", ["cut", "other audio", "request"])
def test_a_damaged_cache_is_spoken_again(tmp_path: Path, damage: str) -> None:
    utterances = FreshSpeech(Hummer()).of_set(7, 3, tmp_path)
    audio = utterances.read(0, 16_000)
    utterances.read(1, 16_000)
    key = utterances.key(0)
    files = {path.stem: path for path in (tmp_path / "audio").rglob("*.flac")}
    file = files.pop(audio_digest(audio))
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:200])
    elif damage == "other audio":
        shutil.copy(files.popitem()[1], file)
    else:
        (tmp_path / "requests" / key[:2] / key).write_text("../../etc/passwd")
    assert np.array_equal(utterances.read(0, 16_000).samples, audio.samples)
    assert utterances.missing(range(3)) == [2]


def test_another_sound_or_version_of_an_engine_is_another_utterance(tmp_path: Path) -> None:
    keys = {
        FreshSpeech(engine).of_set(1, 1, tmp_path).key(0)
        for engine in (Hummer(), Hummer(model="1.1"), Hummer(sound="t" * 64))
    }
    assert len(keys) == 3


def test_the_facts_show_a_difference_in_engine_version_voices_and_sound() -> None:
    changes: list[dict[str, Any]] = [{}, {"name": "other"}, {"model": "2"}, {"voices": ("a",)}, {"sound": "t"}]
    facts = [FreshSpeech(Hummer(**change)).facts for change in changes]
    assert len({tuple(sorted(f.items())) for f in facts}) == len(changes)


@pytest.mark.parametrize(
    "error",
    [UsageError("The speech service refused the key", "Check OPENAI_API_KEY."), InfrastructureFault("it hangs")],
)
def test_a_failing_engine_stops_the_round_and_not_an_entry(tmp_path: Path, error: Exception) -> None:
    utterances = FreshSpeech(Hummer(error=error)).of_set(7, 3, tmp_path)
    with pytest.raises(InfrastructureFault, match=str(error).split(".")[0]):
        utterances.read(0, 16_000)
    assert list(tmp_path.rglob("*")) == []


def test_a_cache_that_cannot_be_written_is_an_infrastructure_fault(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(InfrastructureFault, match=r"cache cannot be written.*space"):
        FreshSpeech(Hummer()).of_set(7, 3, tmp_path / "cache").read(0, 16_000)


@pytest.mark.parametrize(
    ("engine_hz", "set_hz", "fills"),
    [(16_000, 16_000, True), (22_050, 16_000, True), (8_000, 16_000, False), (22_050, 48_000, False),
     (24_000, 48_000, False),
     (44_100, 48_000, True)],
)  # fmt: skip
def test_an_engine_fills_the_band_or_not(engine_hz: int, set_hz: int, fills: bool) -> None:
    assert FreshSpeech(Hummer(sample_rate_hz=engine_hz)).fills(set_hz) is fills


def test_the_highest_price_bounds_the_price_of_every_set(tmp_path: Path) -> None:
    speech = FreshSpeech(Hummer())
    utterances = speech.of_set(3, 300, tmp_path)
    assert speech.engine.price_usd([utterances.text(i) for i in range(300)]) <= speech.highest_price_usd(300)


def test_fresh_speech_can_be_sent_to_a_worker_and_compared() -> None:
    for engine in (Hummer(), OpenAISynthesiser(key="k")):
        speech = FreshSpeech(engine)
        assert pickle.loads(pickle.dumps(speech)) == speech
        assert hash(pickle.loads(pickle.dumps(speech))) == hash(speech)


@pytest.mark.parametrize("name", ["flite", "espeak-ng"])
def test_a_program_speaks_the_same_samples_each_time_in_many_voices(tmp_path: Path, name: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    speech = FreshSpeech(varied_program(name))
    assert speech.repeats_itself
    one, two = (speech.of_set(5, 8, tmp_path / folder) for folder in "ab")
    for i in range(8):
        audio = one.read(i, 16_000)
        assert np.array_equal(audio.samples, two.read(i, 16_000).samples)
        assert 2.0 < audio.duration_s < 20.0
    assert FreshSpeech(varied_program(name)).facts == speech.facts


def test_a_program_without_its_voices_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which("espeak-ng")
    if real is None:
        pytest.skip("espeak-ng is not installed")
    # A program that ignores the voice, as espeak-ng does for a variant that is not installed.
    wrapper = tmp_path / "espeak-ng"
    wrapper.write_text(f'#!/bin/bash\nif [ "$1" = -v ]; then shift 2; fi\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    known = _PROGRAMS["espeak-ng"]
    monkeypatch.setitem(_PROGRAMS, "espeak-ng", replace(known, probed_voices=known.probed_voices[:5]))
    with pytest.raises(UsageError, match="lacks 4 of the 5 voices"):
        varied_program("espeak-ng")
