import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from soundsright.data.corpora import Corpus
from soundsright.data.reverb import Room, decay_curve_db, direct_path, reverberant, rt60_s
from soundsright.data.rooms import simulated_room


def decaying_noise(
    rng: np.random.Generator, rate: int, rt60: float, seconds: float, floor_db: float | None = None
) -> NDArray[np.float64]:
    t = np.arange(int(rate * seconds)) / rate
    h = rng.standard_normal(t.size) * np.exp(-6.907755 * t / rt60)
    if floor_db is not None:
        h += rng.standard_normal(t.size) * 10 ** (floor_db / 20)
    return h


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("true_s", [0.2, 0.5, 1.0, 1.5, 2.0])
def test_the_time_of_a_synthetic_decay_is_measured_at_every_rate(rate: int, true_s: float) -> None:
    h = decaying_noise(np.random.default_rng(5), rate, true_s, 1.5 * true_s)
    assert rt60_s(h, rate) == pytest.approx(true_s, rel=0.05)


def test_a_pure_exponential_is_measured_exactly() -> None:
    h = np.exp(-6.907755 / 0.8 * np.arange(32_000) / 16_000)
    assert rt60_s(h, 16_000) == pytest.approx(0.8, rel=2e-3)


@pytest.mark.parametrize("floor_db", [-50, -60])
def test_background_noise_of_a_recording_does_not_lengthen_its_decay(floor_db: int) -> None:
    h = decaying_noise(np.random.default_rng(6), 48_000, 0.6, 3.0, floor_db)
    assert rt60_s(h, 48_000) == pytest.approx(0.6, rel=0.08)


def test_a_recording_cut_before_its_end_keeps_its_time() -> None:
    h = decaying_noise(np.random.default_rng(7), 16_000, 1.0, 0.7)
    assert rt60_s(h, 16_000) == pytest.approx(1.0, rel=0.08)


def test_an_anechoic_response_has_no_reverberation_time() -> None:
    h = np.zeros(1_000)
    h[10] = 1.0
    assert rt60_s(h, 16_000) == 0.0


def test_the_decay_curve_starts_at_zero_and_never_rises() -> None:
    curve = decay_curve_db(decaying_noise(np.random.default_rng(8), 16_000, 0.4, 0.8), 16_000)
    assert curve[0] == 0.0
    assert (np.diff(curve) <= 1e-12).all()


def test_the_direct_path_is_the_first_strong_arrival_not_the_strongest_reflection() -> None:
    h = np.zeros(4_000)
    h[100], h[900] = 0.7, -1.0
    assert direct_path(h, 16_000) == 100


@pytest.mark.parametrize("later", [3, 20, 38])
def test_reflections_that_arrive_together_are_not_mistaken_for_the_direct_path(later: int) -> None:
    h = np.zeros(4_000)
    h[98:101], h[100 + later] = [0.1, 0.2, 0.5], 1.0
    assert direct_path(h, 16_000) == 100


def test_every_simulated_room_keeps_the_direct_path_that_it_was_built_with() -> None:
    rng = np.random.default_rng(0)
    starts = {simulated_room(rng, 16_000, rt60_s=(0.2, 2.0)).direct for _ in range(300)}
    assert starts == {32}


def test_the_microphones_of_a_measured_room_hear_the_direct_path_at_one_moment() -> None:
    rirs = Corpus.open().rirs_for(48_000)
    direct = {rirs.utterance_id(n): rirs.room(n, 48_000).direct for n in range(len(rirs))}
    assert abs(direct["rir-sanctuary-a"] - direct["rir-sanctuary-b"]) <= 1


def test_reverberant_speech_stays_in_step_to_the_sample() -> None:
    rng = np.random.default_rng(9)
    dry = rng.standard_normal(8_000)
    h = decaying_noise(rng, 16_000, 0.3, 0.5) * 0.05
    h[:237] = 0.0
    h[237] = 1.0
    wet = reverberant(dry, h, direct_path(h, 16_000))
    assert wet.shape == dry.shape
    lags = np.correlate(wet, dry, "full")
    assert np.argmax(np.abs(lags)) == dry.size - 1
    assert np.abs(wet - np.convolve(dry, h)[237 : 237 + dry.size]).max() < 1e-6 * np.abs(wet).max()


@pytest.mark.parametrize(("count", "taps", "direct"), [(50_000, 30_001, 9_000), (3, 20_000, 2), (40_960, 5, 4)])
def test_reverberant_speech_is_the_whole_convolution_for_any_lengths(count: int, taps: int, direct: int) -> None:
    rng = np.random.default_rng(11)
    dry, h = rng.standard_normal(count), rng.standard_normal(taps)
    expected = fftconvolve(dry, h)[direct : direct + count]
    wet = reverberant(dry, h, direct)
    assert wet.shape == expected.shape
    assert np.abs(wet - expected).max() < 2e-6 * np.abs(expected).max()


def test_a_room_turns_an_inverted_recording_round_and_cuts_its_inaudible_end() -> None:
    h = -decaying_noise(np.random.default_rng(10), 16_000, 0.3, 3.0) * 0.1
    h[0] = -1.0
    room = Room.of("inverted", h, 16_000)
    assert room.taps[room.direct] == 1.0
    assert room.taps.size < 0.4 * 16_000
    assert room.rt60_s == pytest.approx(0.3, rel=0.05)


def test_early_reflections_end_at_the_requested_time() -> None:
    h = np.ones(16_000)
    assert Room.of("flat", h, 16_000).early(0.05).size == 801
