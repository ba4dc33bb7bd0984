from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from soundsright.data import degradations as more
from soundsright.data.recipe import PUBLISHED_RECIPE, SetRecipe
from soundsright.data.spectrum import share_above_db

Step = Callable[[np.random.Generator, NDArray[np.float64], int], tuple[NDArray[np.float64], more.Notes]]


@pytest.fixture
def signal() -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    time_s = np.arange(48_000) / 16_000
    tones = sum(np.sin(2 * np.pi * f * time_s + f) / f**0.5 for f in (150, 310, 620, 1_100, 2_300, 3_100))
    gated: NDArray[np.float64] = 0.05 * tones * (0.3 + np.abs(np.sin(3 * time_s)))
    return gated + 0.002 * rng.standard_normal(time_s.size)


def lag_of(a: NDArray[np.float64], b: NDArray[np.float64]) -> int:
    size = 2 * a.size
    return int(np.argmax(np.roll(np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size))), 800))) - 800


def test_the_published_recipe_adds_nothing_and_draws_nothing(signal: NDArray[np.float64]) -> None:
    rng = np.random.default_rng(1)
    before = rng.bit_generator.state
    out, notes = more.degraded_further(rng, signal, 16_000, PUBLISHED_RECIPE)
    assert out is signal
    assert notes == {}
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("step", [more.clipped, more.band_limited, more.with_lost_packets, more.coded])
@pytest.mark.parametrize("seed", range(8))
def test_each_keeps_length_and_alignment_and_notes_its_parameters(
    signal: NDArray[np.float64], step: Step, seed: int
) -> None:
    pytest.importorskip("av", reason="PyAV is not installed")
    out, notes = step(np.random.default_rng(seed), signal, 16_000)
    assert out.shape == signal.shape
    assert np.isfinite(out).all()
    assert lag_of(out, signal) == 0
    assert notes


def test_clipping_flattens_the_stated_share(signal: NDArray[np.float64]) -> None:
    out, notes = more.clipped(np.random.default_rng(2), signal, 16_000)
    at_limit = np.mean(np.isclose(np.abs(out), np.abs(out).max()))
    assert at_limit == pytest.approx(notes["clipped_share"], abs=0.005)


def test_a_limited_band_has_no_content_above_its_edge() -> None:
    noise = np.random.default_rng(3).standard_normal(48_000)
    out, notes = more.band_limited(np.random.default_rng(4), noise, 16_000)
    assert share_above_db(out, 16_000, above_hz=1.2 * float(notes["band_limit_hz"]) + 100) < -40


def test_lost_packets_are_whole_and_as_many_as_stated(signal: NDArray[np.float64]) -> None:
    out, notes = more.with_lost_packets(np.random.default_rng(5), signal + 1.0, 16_000)
    packets = out.reshape(-1, 320)
    lost = (packets == 0).all(axis=1)
    assert lost.mean() == pytest.approx(notes["packet_loss"])
    assert (packets[~lost] != 0).all()


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_telephone_passes_nothing_above_4_khz_and_keeps_the_speech(
    signal: NDArray[np.float64], rate: int
) -> None:
    noise = 0.1 * np.random.default_rng(6).standard_normal(48_001)
    out = more.telephone(noise, rate)
    assert out.shape == noise.shape
    assert share_above_db(out, rate, above_hz=4_400) < -50
    speech = more.telephone(signal, 16_000)
    assert np.corrcoef(speech[800:-800], signal[800:-800])[0, 1] > 0.9


@pytest.mark.parametrize(
    ("codec", "container", "rate"), [("libmp3lame", "mp3", 16_000), ("libopus", "ogg", 16_000)]
)
def test_codecs_change_the_signal_but_keep_the_speech(
    signal: NDArray[np.float64], codec: str, container: str, rate: int
) -> None:
    pytest.importorskip("av", reason="PyAV is not installed")
    out = more.through_codec(signal, rate, codec, container, rate, 32_000)
    assert not np.allclose(out, signal)
    assert np.corrcoef(out[800:-800], signal[800:-800])[0, 1] > 0.9


def test_shares_decide_how_many_items_are_degraded(signal: NDArray[np.float64]) -> None:
    recipe = SetRecipe(clipping=0.5)
    touched = sum(
        bool(more.degraded_further(np.random.default_rng(seed), signal, 16_000, recipe)[1]) for seed in range(200)
    )
    assert 70 < touched < 130
