import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest

from soundsright.core.audio import Clip, digest_of_digests, on_pcm16_grid
from soundsright.core.competition import PUBLISHED, Competition, Task
from soundsright.core.errors import UsageError
from soundsright.data.clips import SetRecipe, checked_clip_count, draw_clip, draw_clips
from soundsright.data.corpora import Corpus
from soundsright.data.levels import active_level, power_db
from soundsright.data.manifest import clip_line, recipe_of

by_id = pytest.mark.parametrize("competition", PUBLISHED, ids=lambda c: c.id)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.open()


@by_id
def test_a_clip_is_the_same_alone_in_any_order_and_from_another_copy(
    competition: Competition, corpus: Corpus
) -> None:
    in_order = [clip.digest for clip in draw_clips(competition, 11, 6, corpus=corpus)]
    alone = [draw_clip(competition, 11, i, corpus=Corpus.open()).digest for i in (5, 2, 0)]
    assert alone == [in_order[5], in_order[2], in_order[0]]
    assert len(set(in_order)) == 6


def test_a_clip_is_the_same_in_other_processes(corpus: Corpus) -> None:
    competition = PUBLISHED[0]
    in_this_process = [draw_clip(competition, 11, i, corpus=corpus).digest for i in range(4)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(draw_clip, competition, 11, i, corpus=corpus) for i in range(4)]
        in_workers = [job.result().digest for job in jobs]
    assert in_workers == in_this_process


@by_id
def test_another_seed_gives_another_set(competition: Competition, corpus: Corpus) -> None:
    sets = [{c.id: c.digest for c in draw_clips(competition, seed, 3, corpus=corpus)} for seed in (1, 2, 2**63)]
    assert len({digest_of_digests(s) for s in sets}) == 3


@by_id
def test_both_signals_lie_on_the_16_bit_grid_below_full_scale(competition: Competition, corpus: Corpus) -> None:
    for clip in draw_clips(competition, 5, 8, corpus=corpus):
        for audio in (clip.clean, clip.degraded):
            assert np.array_equal(audio.samples, on_pcm16_grid(audio.samples))
            assert np.abs(audio.samples).max() <= 0.99 + 1 / 32768
        assert 2.5 <= clip.clean.duration_s <= 6.0
        assert clip.clean.sample_rate_hz == competition.sample_rate_hz


@pytest.mark.parametrize("competition", [c for c in PUBLISHED if c.task is Task.DENOISING], ids=lambda c: c.id)
def test_noisy_clips_have_the_ratio_that_their_recipe_states(competition: Competition, corpus: Corpus) -> None:
    ratios = []
    for clip in draw_clips(competition, 9, 12, corpus=corpus):
        clean, noisy = (a.samples.astype(np.float64) for a in (clip.clean, clip.degraded))
        measured = active_level(clean, competition.sample_rate_hz).level_db - power_db(noisy - clean)
        assert clip.recipe.snr_db is not None
        assert measured == pytest.approx(clip.recipe.snr_db, abs=0.5)
        ratios.append(clip.recipe.snr_db)
    assert -2.5 <= min(ratios) < 5.0 < max(ratios) <= 17.5


@pytest.mark.parametrize(
    "competition", [c for c in PUBLISHED if c.task is Task.DEREVERBERATION], ids=lambda c: c.id
)
def test_reverberant_clips_keep_the_level_and_stay_in_step(competition: Competition, corpus: Corpus) -> None:
    rate = competition.sample_rate_hz
    for clip in draw_clips(competition, 4, 10, corpus=corpus, recipe=SetRecipe(measured_rirs=0.0)):
        clean, wet = clip.clean.samples.astype(np.float64), clip.degraded.samples.astype(np.float64)
        assert active_level(wet, rate).level_db == pytest.approx(active_level(clean, rate).level_db, abs=0.6)
        assert clip.recipe.rt60_s is not None
        assert 0.1 < clip.recipe.rt60_s <= 2.2
        # Dividing by the speech leaves the room: its direct sound is at lag 0.
        dry = np.fft.rfft(clean, 2 * clean.size)
        power = np.abs(dry) ** 2
        lags = np.fft.irfft(np.fft.rfft(wet, 2 * clean.size) * np.conj(dry) / (power + 1e-5 * power.max()))
        assert np.argmax(lags[: rate // 100]) == 0
        assert lags[0] > np.abs(lags[-rate // 100 :]).max()


def test_the_target_with_early_reflections_is_part_of_the_reverberant_signal(corpus: Corpus) -> None:
    competition = PUBLISHED[1]
    dry = draw_clip(competition, 4, 1, corpus=corpus)
    early = draw_clip(competition, 4, 1, corpus=corpus, recipe=SetRecipe(early_reflections_s=0.05))
    assert dry.recipe.extra["target"] == "dry"
    assert early.recipe.extra["target"] == "early"
    late = early.degraded.samples - early.clean.samples
    assert power_db(late) < power_db(early.degraded.samples)
    assert power_db(dry.degraded.samples - dry.clean.samples) > power_db(late)


def test_48_khz_sets_use_speech_and_noise_that_fill_the_band(corpus: Corpus) -> None:
    for recording in (*corpus.speech_for(48_000).recordings, *corpus.noise_for(48_000).recordings):
        assert recording.sample_rate_hz >= 44_100
        assert recording.bandwidth_hz is not None
        assert recording.bandwidth_hz >= 12_000


def test_a_recipe_is_equal_after_json(corpus: Corpus) -> None:
    import json

    clip = draw_clip(PUBLISHED[0], 1, 3, corpus=corpus)
    line = json.loads(json.dumps(clip_line(clip)))
    fields = {k: v for k, v in line.items() if k not in ("id", "sample_rate_hz", "samples", "digest")}
    assert recipe_of(fields) == clip.recipe
    assert line["samples"] == len(clip.clean)


def test_a_corpus_is_pickled_without_its_decoded_recordings(corpus: Corpus) -> None:
    draw_clip(PUBLISHED[2], 1, 0, corpus=corpus)
    assert len(pickle.dumps(corpus)) < 200_000


@pytest.mark.parametrize("count", [0, -1, 100_001])
def test_a_count_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match="Ask for 1 to 100000"):
        checked_clip_count(count)


def test_negative_seeds_are_refused(corpus: Corpus) -> None:
    with pytest.raises(UsageError, match="negative"):
        draw_clip(PUBLISHED[0], -1, 0, corpus=corpus)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"snr_db": (5.0, -5.0)},
            "--snr 5 -5 is not a valid range. Give the lower number first, both between -60 and 100.",
        ),
        (
            {"rt60_s": (0.0, 1.0)},
            "--rt60 0 1 is not a valid range. Give the lower number first, both between 0.1 and 5.",
        ),
        ({"measured_rirs": 2.0}, "--measured-rirs 2 is not a share. Choose a number from 0 to 1."),
        ({"early_reflections_s": 0.5}, "--early 0.5 is out of bounds. Choose between 0 and 0.2."),
    ],
)
def test_an_impossible_recipe_is_refused_by_the_name_of_its_flag(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        SetRecipe(**change)
    assert str(refused.value) == message


def test_a_clip_that_is_fit_keeps_its_bytes_and_another_is_drawn_in_its_place(corpus: Corpus) -> None:
    plain = draw_clip(PUBLISHED[0], 3, 1, corpus=corpus)
    assert draw_clip(PUBLISHED[0], 3, 1, corpus=corpus, unfit=lambda clip: "").digest == plain.digest

    def only_another(clip: Clip) -> str:
        return "is the first" if clip.digest == plain.digest else ""

    second = draw_clip(PUBLISHED[0], 3, 1, corpus=corpus, unfit=only_another)
    assert second.id == plain.id
    assert second.digest != plain.digest
    assert second.digest == draw_clip(PUBLISHED[0], 3, 1, corpus=corpus, unfit=only_another).digest
