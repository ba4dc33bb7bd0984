import numpy as np
import pytest
from numpy.typing import NDArray

from soundsright.data.reverb import direct_path
from soundsright.data.rooms import Shoebox, random_shoebox, simulate, simulated_room


def t30_by_hand(h: NDArray[np.float64], rate: int) -> float:
    """Backward integration and a fit from -5 to -35 dB, without the package's corrections."""
    energy = np.cumsum(h[::-1] ** 2)[::-1]
    curve = 10 * np.log10(energy / energy[0] + 1e-30)
    span = (curve <= -5) & (curve >= -35)
    slope = np.polyfit(np.flatnonzero(span) / rate, curve[span], 1)[0]
    return float(-60 / slope)


@pytest.mark.parametrize("rate", [16_000, 48_000])
@pytest.mark.parametrize("asked_s", [0.2, 0.35, 0.6, 1.0, 1.5, 2.0])
def test_the_measured_time_is_within_ten_percent_of_the_requested_one(rate: int, asked_s: float) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        h = simulate(random_shoebox(rng, rt60_s=(asked_s, asked_s)), rate, rng)
        assert t30_by_hand(h, rate) == pytest.approx(asked_s, rel=0.10)


def test_the_direct_path_is_a_single_tap_of_amplitude_one() -> None:
    rng = np.random.default_rng(1)
    h = simulate(random_shoebox(rng, rt60_s=(0.5, 0.5)), 16_000, rng)
    assert direct_path(h, 16_000) == 32
    assert h[32] == pytest.approx(1.0, abs=0.25)
    assert np.abs(h[:20]).max() < 0.2


def test_the_first_reflection_arrives_when_geometry_says() -> None:
    # Source and microphone 1 m apart amid a large room, 1.5 m above the floor: the floor reflects first.
    box = Shoebox((10.0, 10.0, 6.0), (4.5, 5.0, 1.5), (5.5, 5.0, 1.5), 1.0)
    h = simulate(box, 48_000, np.random.default_rng(2))
    path = np.hypot(1.0, 3.0)
    expected = 32 + (path - 1.0) / 343.0 * 48_000
    strongest = 40 + int(np.argmax(np.abs(h[40:500])))
    assert strongest == pytest.approx(expected, abs=1.0)
    assert np.abs(h[strongest]) == pytest.approx(box.reflection / path, rel=0.35)


def test_a_longer_distance_lowers_the_direct_sound_against_the_room() -> None:
    def direct_to_reverberant_db(distance: float) -> float:
        box = Shoebox((8.0, 6.0, 3.0), (2.0, 3.0, 1.5), (2.0 + distance, 3.0, 1.5), 0.6)
        h = simulate(box, 16_000, np.random.default_rng(3))
        return float(10 * np.log10(np.sum(h[:50] ** 2) / np.sum(h[50:] ** 2)))

    near, far = direct_to_reverberant_db(0.5), direct_to_reverberant_db(4.0)
    # Distance times 8 is 18 dB in free field.
    assert near - far == pytest.approx(18.0, abs=4.0)


def test_the_same_generator_gives_the_same_room() -> None:
    a = simulated_room(np.random.default_rng(4), 16_000, rt60_s=(0.2, 2.0))
    b = simulated_room(np.random.default_rng(4), 16_000, rt60_s=(0.2, 2.0))
    assert a.id == b.id
    assert np.array_equal(a.taps, b.taps)


def test_a_source_outside_the_room_is_refused() -> None:
    with pytest.raises(ValueError, match="is not in a room"):
        Shoebox((4.0, 4.0, 3.0), (5.0, 1.0, 1.0), (1.0, 1.0, 1.0), 0.5)
