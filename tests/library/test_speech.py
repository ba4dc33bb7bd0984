"""The speech that a validator chooses, its price, and the sentence about it."""

import shutil
from pathlib import Path

import pytest

from soundsright.adapters.speech import FreshSpeech, OpenAISynthesiser
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import UsageError
from soundsright.library import SpeechChoice, check_price, chosen_speech, installed_speech, speech_description
from tests.adapters.speech.test_fresh import Hummer


def program(folder: Path, name: str) -> None:
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("installed", "key", "corpus", "engine"),
    [
        (["espeak-ng", "flite"], "", None, "flite"),
        (["espeak-ng"], "", None, "espeak-ng"),
        ([], "", None, "recordings"),
        (["espeak-ng"], "", Path("mine"), "recordings"),
        (["espeak-ng"], "sk-1", Path("mine"), "openai"),
    ],
)
def test_auto_takes_the_first_that_is_configured(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    installed: list[str],
    key: str,
    corpus: Path | None,
    engine: str,
) -> None:
    for name in installed:
        program(tmp_path, name)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert SpeechChoice(corpus=corpus, openai_key=key).engine == engine


def test_recordings_need_no_engine() -> None:
    assert chosen_speech(SpeechChoice("recordings", openai_key="sk-1")) is None


@pytest.mark.parametrize("engine", ["flite", "espeak-ng"])
def test_the_program_that_spoke_an_old_round_is_found_by_its_facts(engine: str) -> None:
    if shutil.which(engine) is None:
        pytest.skip(f"{engine} is not installed")
    speech = chosen_speech(SpeechChoice(engine))
    assert speech is not None
    assert installed_speech(speech.facts) == speech


def test_speech_of_a_service_or_an_unknown_program_is_not_spoken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [installed_speech({"engine": name}) for name in ("openai", "flite", "../../bin/sh", "")] == [None] * 4


def test_a_chosen_engine_that_is_missing_is_an_error_and_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"espeak-ng is not installed.*apt-get install espeak-ng"):
        chosen_speech(SpeechChoice("espeak-ng"))
    with pytest.raises(UsageError, match=r"OPENAI_API_KEY is not set"):
        chosen_speech(SpeechChoice("openai"))


def test_the_workers_together_keep_to_the_rate_of_the_service() -> None:
    speech = chosen_speech(SpeechChoice("openai", openai_key="sk-1", workers=10))
    assert speech is not None
    assert isinstance(speech.engine, OpenAISynthesiser)
    assert speech.engine.requests_per_s == pytest.approx(0.5)
    assert "sk-1" not in repr(speech)


def test_a_round_that_can_cost_more_than_the_limit_is_refused() -> None:
    speech = FreshSpeech(OpenAISynthesiser(key="sk-1"))
    # Only the two competitions at 16 kHz are spoken.
    check_price(speech, PUBLISHED, clips=200, max_usd=2.01 * speech.highest_price_usd(200))
    with pytest.raises(
        UsageError, match=r"can cost 1\.\d\d USD with openai, more than SOUNDSRIGHT_SPEECH_MAX_USD=1"
    ):
        check_price(speech, PUBLISHED, clips=200, max_usd=1.0)
    check_price(speech, PUBLISHED[2:], clips=200, max_usd=0.0)
    check_price(None, PUBLISHED, clips=200, max_usd=0.0)


def test_the_description_names_the_sets_that_stay_recorded_and_the_price() -> None:
    text = speech_description(FreshSpeech(Hummer(price_usd_per_char=0.0)), PUBLISHED, 200)
    assert "New speech in each round by hummer (1.0, sound ssssssssssss)." in text
    assert "of DENOISING_48000HZ, DEREVERBERATION_48000HZ, whose speech is recorded" in text
    assert "USD" not in text
    paid = speech_description(FreshSpeech(OpenAISynthesiser(key="k")), PUBLISHED, 200)
    assert f"at most {2 * FreshSpeech(OpenAISynthesiser(key='k')).highest_price_usd(200):.2f} USD per round" in paid
    assert "Other validators draw different sets" in paid
    assert speech_description(None, PUBLISHED, 200) == "The speech of rounds is recorded."
