from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import resample

from soundsright.core.audio import Clip, ClipRecipe, Samples, on_pcm16_grid
from soundsright.core.competition import PUBLISHED, Competition
from soundsright.core.errors import AudioFileError
from soundsright.data.clips import corpus_sources, draw_clip
from soundsright.data.corpora import Corpus
from soundsright.data.levels import active_level
from soundsright.data.manifest import recipe_fields, recipe_of, recordings_of
from soundsright.data.recipe import PUBLISHED_RECIPE, SetRecipe, SetTask
from soundsright.data.recordings import Recording, RecordingSet
from soundsright.data.render import render
from soundsright.data.sources import Sources
from soundsright.data.variation import FADE_S, SPEED_CHANGES, equalised

CLIPS = 12
RATE = 16_000


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.open()


def spoken(
    speech: RecordingSet, *, index: int = 0, recipe: SetRecipe = PUBLISHED_RECIPE
) -> tuple[Samples, ClipRecipe]:
    """The clean signal and the recipe of a clip from that speech."""
    noise = corpus_sources(Corpus.open(), RATE, recipe).noise
    sources = Sources(speech, noise, fresh=speech.fresh)
    rendered = render(SetTask.DENOISING, RATE, 5, index, sources=sources, recipe=recipe)
    return rendered.signals["clean"], rendered.recipe


def recorded(folder: Path, name: str, seconds: float, *, speaker: str = "anna", fresh: bool = False) -> Recording:
    """A recording of hiss in bursts."""
    rng = np.random.default_rng(len(name) + round(1_000 * seconds))
    count = round(seconds * RATE)
    bursts = np.sin(2.0 * np.pi * 3.0 * np.arange(count) / RATE) > -0.5
    soundfile.write(folder / f"{name}.wav", 0.1 * rng.standard_normal(count) * bursts, RATE)
    return Recording(name, folder / f"{name}.wav", RATE, seconds, speaker, fresh=fresh)


def remade_by_a_stranger(clip: Clip, corpus: Corpus) -> Samples:
    """The clean signal from the recordings and the recipe alone."""
    rate, recipe = clip.clean.sample_rate_hz, clip.recipe
    source = corpus.speech_for(rate)
    by_id = {recording.id: number for number, recording in enumerate(source.recordings)}
    assert recipe.speed is not None
    # Both lengths are whole, so a Fourier transform resamples without an error.
    periods = len(clip.clean) // 1000 + 20
    joined = np.zeros(round(periods * 1000 * recipe.speed))
    fade = round(FADE_S * rate)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)
    for piece in recipe.pieces:
        start, count, at = (round(s * rate) for s in (piece.offset_s, piece.duration_s, piece.at_s))
        stretch = source.samples(by_id[piece.speech], rate)[start : start + count] * piece.gain
        stretch[:fade] *= ramp
        stretch[-fade:] *= ramp[::-1]
        joined[at : at + count] = stretch
    played = resample(joined, periods * 1000)[: len(clip.clean)]
    spectrum = np.fft.rfft(played, 2 * len(clip.clean))
    hertz = np.fft.rfftfreq(2 * len(clip.clean), 1.0 / rate)
    for delay_s, _ in recipe.equaliser:
        assert 0.00006 - 0.5 / rate <= delay_s <= 0.0006 + 0.5 / rate
    response = 1.0 + sum(2.0 * gain * np.cos(2.0 * np.pi * hertz * delay_s) for delay_s, gain in recipe.equaliser)
    remade = np.fft.irfft(spectrum * response)[: len(clip.clean)]
    level_db = active_level(remade, rate).level_db
    target_db = active_level(clip.clean.samples, rate).level_db
    return on_pcm16_grid(remade * 10.0 ** ((target_db - level_db) / 20.0))


@pytest.mark.parametrize("competition", [PUBLISHED[0], PUBLISHED[2]], ids=lambda c: c.id)
def test_a_stranger_makes_the_clean_signal_from_the_recipe(competition: Competition, corpus: Corpus) -> None:
    for index in range(3):
        clip = draw_clip(competition, 3, index, corpus=corpus)
        error = remade_by_a_stranger(clip, corpus).astype(np.float64) - clip.clean.samples
        # The highest tenth of the band is not resampled exactly.
        assert np.square(error).sum() < 1e-4 * np.square(clip.clean.samples, dtype=np.float64).sum()


def test_every_clip_has_the_drawn_length_and_changes_its_speed(corpus: Corpus) -> None:
    clips = [draw_clip(PUBLISHED[0], 8, index, corpus=corpus) for index in range(CLIPS)]
    assert all(3.0 <= clip.clean.duration_s <= 6.0 for clip in clips)
    assert len({len(clip.clean) for clip in clips}) == CLIPS
    speeds = [clip.recipe.speed or 1.0 for clip in clips]
    assert {round(1_000 * (speed - 1.0)) for speed in speeds} <= set(SPEED_CHANGES)
    assert len(set(speeds)) > 4
    assert (min(np.abs(SPEED_CHANGES)), max(np.abs(SPEED_CHANGES))) == (10, 40)


def test_a_clip_joins_recordings_of_one_speaker_and_names_them_all(corpus: Corpus) -> None:
    speakers = {recording.id: recording.speaker for recording in corpus.speech}
    for index in range(CLIPS):
        recipe = draw_clip(PUBLISHED[0], 8, index, corpus=corpus).recipe
        assert len(recipe.pieces) >= 2
        assert recipe.pieces[0].speech == recipe.speech
        assert recipe.pieces[0].offset_s == recipe.speech_offset_s
        assert {speakers[piece.speech] for piece in recipe.pieces} == {recipe.speaker}
        assert all(a.speech != b.speech for a, b in zip(recipe.pieces, recipe.pieces[1:], strict=False))
        assert set(recordings_of(recipe_fields(recipe))) == {p.speech for p in recipe.pieces} | {recipe.noise}
        assert recipe_of(recipe_fields(recipe)) == recipe


def test_a_clip_is_all_fresh_or_all_used(tmp_path: Path) -> None:
    speech = RecordingSet([recorded(tmp_path, f"{number}", 4.0, fresh=number < 3) for number in range(6)])
    names = {"0", "1", "2"}
    for index in range(CLIPS):
        recipe = spoken(speech, index=index, recipe=SetRecipe(fresh_share=0.5))[1]
        assert recipe.fresh is not None
        assert all((piece.speech in names) is recipe.fresh for piece in recipe.pieces)


def test_joints_and_ends_are_silent(corpus: Corpus) -> None:
    clip = draw_clip(PUBLISHED[0], 8, 1, corpus=corpus)
    assert clip.recipe.speed is not None
    loudest = np.abs(clip.clean.samples).max()
    for piece in clip.recipe.pieces:
        start = round(piece.at_s / clip.recipe.speed * RATE)
        assert np.abs(clip.clean.samples[start : start + 16]).max() < 0.05 * loudest


def test_the_equaliser_changes_the_spectrum_by_a_few_db(corpus: Corpus) -> None:
    changes = []
    for index in range(CLIPS):
        impulse = np.zeros(512, dtype=np.float32)
        impulse[256] = 1.0
        recipe = draw_clip(PUBLISHED[0], 8, index, corpus=corpus).recipe
        echoes = tuple((round(delay_s * RATE), gain) for delay_s, gain in recipe.equaliser)
        spectrum = np.fft.rfft(np.roll(equalised(impulse, echoes, RATE), -256))
        assert np.abs(spectrum.imag).max() < 1e-6  # It delays nothing.
        changes.append(20.0 * np.log10(np.abs(spectrum)))
    assert -6.0 < np.min(changes) < -1.0
    assert 1.0 < np.max(changes) < 4.0


@pytest.mark.parametrize("seconds", [0.01, 0.2, 0.5, 1.0, 2.9])
def test_a_single_short_recording_still_fills_a_clip(tmp_path: Path, seconds: float) -> None:
    speech = RecordingSet([recorded(tmp_path, "short", seconds)])
    samples, recipe = spoken(speech)
    assert 3.0 * RATE <= samples.size <= 6.0 * RATE
    assert {piece.speech for piece in recipe.pieces} == {"short"}
    assert active_level(samples, RATE).level_db > -35.0


def test_recordings_without_a_speaker_are_not_joined(tmp_path: Path) -> None:
    speech = RecordingSet([recorded(tmp_path, f"{number}", 4.0, speaker="") for number in range(4)])
    assert all(len({p.speech for p in spoken(speech, index=i)[1].pieces}) == 1 for i in range(6))


def test_a_long_recording_is_read_only_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speech = RecordingSet([recorded(tmp_path, "chapter", 90.0)])
    monkeypatch.setattr(speech, "samples", None)
    samples, recipe = spoken(speech)
    assert 3.0 * RATE <= samples.size <= 6.0 * RATE
    assert all(0.0 <= piece.offset_s <= 90.0 - piece.duration_s for piece in recipe.pieces)


def test_a_cut_does_not_hit_a_pause(tmp_path: Path) -> None:
    recording = recorded(tmp_path, "pauses", 30.0)
    samples, _ = soundfile.read(recording.path)
    samples[2 * RATE : 17 * RATE] *= 1e-3
    soundfile.write(recording.path, samples, RATE)
    for index in range(CLIPS):
        for piece in spoken(RecordingSet([recording]), index=index)[1].pieces:
            assert piece.offset_s < 2.0 or piece.offset_s + piece.duration_s > 17.0


def test_a_silent_recording_is_named(tmp_path: Path) -> None:
    recording = recorded(tmp_path, "faint", 4.0)
    samples, _ = soundfile.read(recording.path)
    soundfile.write(recording.path, 2e-3 * samples, RATE)
    with pytest.raises(AudioFileError, match="faint: is silent at 8 random places"):
        spoken(RecordingSet([recording]))


def test_an_utterance_that_is_spoken_for_its_clip_is_not_joined(corpus: Corpus) -> None:
    sources = replace(corpus_sources(corpus, RATE, PUBLISHED_RECIPE), in_order=True)
    for index in range(3):
        recipe = render(SetTask.DENOISING, RATE, 5, index, sources=sources, recipe=PUBLISHED_RECIPE).recipe
        assert {piece.speech for piece in recipe.pieces} == {sources.speech.utterance_id(index)}
