from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from soundsright.core.errors import UsageError
from soundsright.data import formulas
from soundsright.data.levels import power_db
from soundsright.data.noise_kinds import NOISE_KINDS, Babble, FormulaNoise, NoiseMenu
from soundsright.data.recordings import Recording, RecordingSet
from soundsright.data.turns import Turn

from .conftest import write_speech

in_both_versions = pytest.mark.parametrize("turn", [None, Turn(1, 0)], ids=["earlier", "present"])


def slope_db_per_octave(samples: NDArray[np.floating], rate: int) -> float:
    power = np.abs(np.fft.rfft(samples * np.hanning(samples.size))) ** 2
    frequency = np.fft.rfftfreq(samples.size, 1 / rate)
    bands = [100 * 2**k for k in range(6)]
    levels = [10 * np.log10(power[(frequency >= f) & (frequency < 2 * f)].mean()) for f in bands]
    return float(np.polyfit(range(6), levels, 1)[0])


@pytest.mark.parametrize(("kind", "slope"), [("white", 0.0), ("pink", -3.01), ("brown", -6.02), ("blue", 3.01)])
@in_both_versions
def test_colours_fall_as_their_names_say(kind: str, slope: float, turn: Turn | None) -> None:
    noise = FormulaNoise(kind).draw(np.random.default_rng(1), 160_000, 16_000, turn=turn)
    assert slope_db_per_octave(noise.samples, 16_000) == pytest.approx(slope, abs=0.4)


@pytest.mark.parametrize("kind", NOISE_KINDS)
@pytest.mark.parametrize("rate", [16_000, 48_000])
@in_both_versions
def test_every_kind_is_finite_level_and_repeatable(kind: str, rate: int, turn: Turn | None) -> None:
    first, again = (FormulaNoise(kind).draw(np.random.default_rng(2), 30_001, rate, turn=turn) for _ in range(2))
    assert first.samples.shape == (30_001,)
    assert first.samples.dtype == np.float32
    assert power_db(first.samples) == pytest.approx(-20.0, abs=0.01)
    assert np.array_equal(first.samples, again.samples)


@in_both_versions
def test_hum_has_the_mains_frequency(turn: Turn | None) -> None:
    noise = FormulaNoise("hum").draw(np.random.default_rng(3), 160_000, 16_000, turn=turn)
    spectrum = np.abs(np.fft.rfft(noise.samples))
    strongest = np.argmax(spectrum) * 16_000 / 160_000
    assert any(abs(strongest - harmonic * mains) < 2 for mains in (50, 60) for harmonic in (1, 2, 3))


def test_hum_is_steady_and_has_nothing_between_its_harmonics() -> None:
    samples = formulas.hum(np.random.default_rng(3), 160_000, 16_000).astype(np.float64)
    power = np.abs(np.fft.rfft(samples * np.blackman(samples.size))) ** 2
    near_harmonics = np.zeros(power.size, bool)
    mains_hz = np.argmax(power[400:700]) / 10 + 40
    for harmonic in range(1, 24):
        at = round(harmonic * mains_hz * 10)
        near_harmonics[at - 8 - harmonic : at + 9 + harmonic] = True
    assert power[~near_harmonics].sum() < 1e-3 * power.sum()


def test_clicks_are_short_and_rare() -> None:
    samples = formulas.clicks(np.random.default_rng(4), 160_000, 16_000)
    loud = np.abs(samples) > 0.1 * np.abs(samples).max()
    assert 0.001 < loud.mean() < 0.08


def test_noise_by_formula_is_another_one_for_each_clip() -> None:
    for make in formulas.FORMULAS.values():
        first, second = (make(np.random.default_rng(seed), 50_000, 16_000) for seed in (1, 2))
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.3


@pytest.mark.parametrize("seed", range(4))
@in_both_versions
def test_wind_rumbles_and_comes_in_gusts(seed: int, turn: Turn | None) -> None:
    noise = FormulaNoise("wind").draw(np.random.default_rng(seed), 160_000, 16_000, turn=turn).samples
    power = np.abs(np.fft.rfft(noise)) ** 2
    assert power[: 500 * 10].sum() > 0.9 * power.sum()
    levels = [power_db(part) for part in noise.reshape(50, -1)]
    assert np.std(levels) > 2.5


def test_an_unknown_kind_is_refused_with_the_choices() -> None:
    with pytest.raises(UsageError, match=r"'purple'.*white"):
        FormulaNoise("purple")


def voices(tmp_path: Path) -> RecordingSet:
    paths = [write_speech(tmp_path / f"{n}.wav", seed=n) for n in range(6)]
    return RecordingSet([Recording(f"u{n}", p, 16_000, 3.5, speaker=f"s{n % 3}") for n, p in enumerate(paths)])


@in_both_versions
def test_babble_has_several_voices_but_not_that_of_the_clip(tmp_path: Path, turn: Turn | None) -> None:
    babble = Babble(voices(tmp_path))
    for seed in range(20):
        noise = babble.draw(np.random.default_rng(seed), 64_000, 16_000, avoid="s0", turn=turn)
        names = noise.id.removeprefix("babble:").split("+")
        assert 3 <= len(names) <= 8
        assert not {"u0", "u3"} & set(names)


def test_a_menu_serves_all_its_sources(tmp_path: Path) -> None:
    menu = NoiseMenu((FormulaNoise("white"), FormulaNoise("hum")))
    drawn = {menu.draw(np.random.default_rng(seed), 100, 16_000).id for seed in range(20)}
    assert drawn == {"white", "hum"}
