from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundsright.core.audio import ClipRecipe
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import UsageError
from soundsright.data.choice import SourceChoice
from soundsright.data.clips import corpus_sources, draw_clip
from soundsright.data.corpora import Corpus
from soundsright.data.noise_kinds import NOISE_KINDS, FormulaNoise, NoiseMenu
from soundsright.data.recipe import PUBLISHED_RECIPE, SetRecipe, SetTask
from soundsright.data.recordings import Recording, RecordingSet
from soundsright.data.render import render
from soundsright.data.sources import RecordedNoise, Rooms, Sources
from soundsright.data.splits import Split
from soundsright.data.turns import NOISE, SPEECH, Turn

SHORT = SetRecipe(duration_s=(0.5, 0.5))
RATE = 16_000


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.open()


def recipes(
    sources: Sources, count: int, *, seed: int = 1, task: SetTask = SetTask.DENOISING, recipe: SetRecipe = SHORT
) -> Iterator[ClipRecipe]:
    for index in range(count):
        yield render(task, RATE, seed, index, sources=sources, recipe=recipe).recipe


def noise_of(recipe: ClipRecipe) -> str:
    return str(recipe.noise).partition(":")[0]


def hiss(folder: Path, name: str, seconds: float) -> Recording:
    samples = 0.1 * np.random.default_rng(len(name)).standard_normal(round(seconds * RATE))
    soundfile.write(folder / f"{name}.wav", samples, RATE)
    return Recording(name, folder / f"{name}.wav", RATE, seconds)


@pytest.mark.parametrize("count", [1, 2, 31, 1_000])
def test_every_block_has_every_element_once(count: int) -> None:
    for block in range(3):
        picked = [Turn(5, block * count + place, series=(NOISE,)).of(count) for place in range(count)]
        assert sorted(each.number for each in picked) == list(range(count))
        assert {each.use for each in picked} == {block}


def test_blocks_seeds_splits_and_series_have_their_own_orders() -> None:
    turns = [
        Turn(5, 0, series=(NOISE,)), Turn(5, 50, series=(NOISE,)), Turn(6, 0, series=(NOISE,)),
        Turn(5, 0, Split.TEST, (NOISE,)), Turn(5, 0, series=(SPEECH,)), Turn(5, 0, series=(NOISE, 1)),
    ]  # fmt: skip
    orders = {tuple(replace(turn, index=turn.index + i).of(50).number for i in range(50)) for turn in turns}
    assert len(orders) == len(turns)


@pytest.mark.parametrize("share", [0.0, 0.07, 0.2, 0.5, 1.0])
def test_a_part_has_its_share_of_every_stretch_of_the_set_and_is_numbered_without_gaps(share: float) -> None:
    parted = [Turn(9, index, series=(SPEECH,)).parted(share) for index in range(400)]
    assert [turn.index for belongs, turn in parted if belongs] == list(range(sum(b for b, _ in parted)))
    assert [turn.index for belongs, turn in parted if not belongs] == list(range(sum(not b for b, _ in parted)))
    for start in range(0, 400, 20):
        assert abs(sum(belongs for belongs, _ in parted[start : start + 20]) - 20 * share) < 1.0
    assert len({series for belongs, turn in parted if belongs and (series := turn.series)}) <= 1


def test_no_part_of_the_set_is_fresh_at_foreseeable_places() -> None:
    places = {
        tuple(Turn(seed, index, series=(SPEECH,)).parted(0.2)[0] for index in range(20)) for seed in range(30)
    }
    assert len(places) == 30


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_round_has_every_noise_and_every_recording_of_speech_once_before_one_comes_twice(
    corpus: Corpus, rate: int
) -> None:
    sources = corpus_sources(corpus, rate, SHORT)
    noises = len(corpus.noise_for(rate)) + len(NOISE_KINDS) + 1
    drawn = [
        render(SetTask.DENOISING, rate, 4, index, sources=sources, recipe=SHORT).recipe
        for index in range(2 * noises)
    ]
    assert set(Counter(map(noise_of, drawn)).values()) == {2}
    assert {noise_of(each) for each in drawn} >= {*NOISE_KINDS, "babble"}
    for half in (drawn[:noises], drawn[noises:]):
        assert len(set(map(noise_of, half))) == noises
    assert max(Counter(each.speech for each in drawn).values()) <= 1 + (2 * noises - 1) // len(sources.speech)


def test_an_organiser_can_choose_recordings_alone(corpus: Corpus) -> None:
    recordings = {recording.id for recording in corpus.noise_for(RATE).recordings}
    sources = corpus_sources(corpus, RATE, SHORT, noise="recordings")
    drawn = [each.noise for each in recipes(sources, len(recordings))]
    assert sorted(map(str, drawn)) == sorted(recordings)
    with pytest.raises(UsageError, match=r"no noise 'loud'.*mixed or recordings"):
        corpus_sources(corpus, RATE, SHORT, noise="loud")


def test_a_recording_that_comes_again_begins_elsewhere(tmp_path: Path) -> None:
    for seconds in (1.3, 4.0, 75.0):
        recording = hiss(tmp_path, f"{seconds}", seconds)
        sources = Sources(RecordingSet([hiss(tmp_path, "s", 3.0)]), RecordedNoise(RecordingSet([recording])))
        begins = sorted(each.noise_offset_s or 0.0 for each in recipes(sources, 8))
        assert 0.0 <= begins[0] <= begins[-1] < seconds
        assert min(np.diff(begins)) > 0.04 * seconds


def test_names_share_the_clips_equally_and_their_recordings_take_turns(tmp_path: Path) -> None:
    many = RecordedNoise(RecordingSet([hiss(tmp_path, f"{number}", 1.0) for number in range(6)]))
    sources = Sources(RecordingSet([hiss(tmp_path, "s", 3.0)]), NoiseMenu((FormulaNoise("pink"), many)))
    drawn = Counter(map(noise_of, recipes(sources, 24)))
    assert drawn == {"pink": 12, **{f"{number}": 2 for number in range(6)}}


def test_a_set_without_balance_draws_independently(corpus: Corpus) -> None:
    sources = corpus_sources(corpus, RATE, SHORT)
    drawn = Counter(map(noise_of, recipes(sources, 32, recipe=replace(SHORT, balance=False))))
    assert max(drawn.values()) > 2


def test_measured_rooms_take_turns_in_their_share_of_the_clips(corpus: Corpus, tmp_path: Path) -> None:
    taps = np.zeros(4_000)
    for number in range(4):
        taps[0], taps[1:] = 1.0, 0.1 * np.random.default_rng(number).standard_normal(3_999)
        soundfile.write(tmp_path / f"{number}.wav", taps * np.exp(-np.arange(4_000) / 800.0), RATE)
    rirs = RecordingSet([Recording(f"{n}", tmp_path / f"{n}.wav", RATE, 0.25) for n in range(4)])
    sources = Sources(corpus.speech_for(RATE), rooms=Rooms(rirs, 0.2, (0.1, 2.0)))
    drawn = Counter(each.rir for each in recipes(sources, 40, task=SetTask.DEREVERBERATION))
    assert [drawn[name] for name in "0123"] == [2, 2, 2, 2]


def test_fresh_and_used_speech_take_turns_in_their_pools(corpus: Corpus) -> None:
    sources = replace(corpus_sources(corpus, RATE, SHORT), fresh=(3, 40, 41))
    drawn = list(recipes(sources, 60))
    fresh = Counter(each.speech for each in drawn if each.fresh)
    assert sorted(fresh.values()) == [4, 4, 4]
    assert set(Counter(each.speech for each in drawn if not each.fresh).values()) == {1}


def test_an_unusable_recording_gives_its_clips_to_the_others(corpus: Corpus, tmp_path: Path) -> None:
    good = [hiss(tmp_path, f"{number}", 3.0) for number in range(5)]
    missing = Recording("missing", tmp_path / "missing.wav", RATE, 3.0)
    sources = replace(corpus_sources(corpus, RATE, SHORT), speech=RecordingSet([*good, missing]))
    skipped: dict[str, str] = {}
    drawn = Counter(
        render(SetTask.DENOISING, RATE, 3, i, sources=sources, recipe=SHORT, skipped=skipped).recipe.speech
        for i in range(30)
    )
    assert set(skipped) == {str(missing.path)}
    assert set(drawn) == {each.id for each in good}
    assert min(drawn.values()) >= 5


def test_a_silent_recording_of_noise_gives_its_clips_to_the_others(tmp_path: Path) -> None:
    quiet = tmp_path / "quiet.wav"
    samples = np.zeros(8 * RATE)
    samples[:100] = 0.1
    soundfile.write(quiet, samples, RATE)
    noises = [Recording("quiet", quiet, RATE, 8.0), hiss(tmp_path, "loud", 3.0)]
    sources = Sources(RecordingSet([hiss(tmp_path, "s", 3.0)]), RecordedNoise(RecordingSet(noises)))
    assert {noise_of(each) for each in recipes(sources, 6)} == {"loud"}


def test_the_words_for_shipped_noise(corpus: Corpus) -> None:
    counts = {}
    for words in ("shipped", "recordings", "recordings,pink"):
        choice = SourceChoice(RATE)
        sources = choice.sources(SetTask.DENOISING, SHORT, noise=words)
        counts[words] = len(set(map(noise_of, recipes(sources, 62))))
        assert [note["name"] for note in choice.provenance["noise"]] == {
            "shipped": ["shipped", *NOISE_KINDS, "babble"],
            "recordings": ["shipped"],
            "recordings,pink": ["shipped", "pink"],
        }[words]
    recorded = len(corpus.noise_for(RATE))
    assert counts == {"shipped": recorded + 8, "recordings": recorded, "recordings,pink": recorded + 1}


def test_generate_and_a_validator_draw_the_same_clips(corpus: Corpus) -> None:
    sources = SourceChoice(RATE).sources(SetTask.DENOISING, PUBLISHED_RECIPE)
    for index in range(10):
        clip = draw_clip(PUBLISHED[0], 6, index, corpus=corpus)
        rendered = render(SetTask.DENOISING, RATE, 6, index, sources=sources, recipe=PUBLISHED_RECIPE)
        assert rendered.as_clip().digest == clip.digest


def test_a_folder_named_recordings_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recordings").mkdir()
    hiss(tmp_path / "recordings", "rain", 2.0)
    monkeypatch.chdir(tmp_path)
    choice = SourceChoice(RATE)
    choice.noise("recordings", choice.speech())
    assert choice.provenance["noise"][0]["layout"] == "files"
