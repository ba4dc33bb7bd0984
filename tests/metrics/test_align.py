from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundsright.metrics.align import aligned

REFERENCE = np.random.default_rng(0).standard_normal(4_000).astype(np.float32)


@settings(deadline=None, max_examples=40)
@given(delay=st.integers(-4_00, 4_00), gain=st.sampled_from([1.0, -0.5, 1e-20, 1e20]))
def test_any_delay_within_half_a_second_is_removed(delay: int, gain: float) -> None:
    late = np.concatenate([np.zeros(max(delay, 0)), REFERENCE[max(-delay, 0) :]]) * gain
    alignment = aligned(late.astype(np.float32), REFERENCE, 8_000)
    assert alignment.delay == delay
    assert len(alignment.samples) == len(REFERENCE)
    kept = alignment.samples[max(-delay, 0) :]
    np.testing.assert_allclose(kept, REFERENCE[max(-delay, 0) :] * np.float32(gain), rtol=1e-5)


def test_a_longer_delay_is_not_looked_for() -> None:
    late = np.concatenate([np.zeros(500, np.float32), REFERENCE])
    assert abs(aligned(late, REFERENCE, 900).delay) <= 450


@pytest.mark.parametrize("n", [0, 1, 4_100])
def test_silence_of_any_length_becomes_silence_of_the_right_length(n: int) -> None:
    alignment = aligned(np.zeros(n, np.float32), REFERENCE, 8_000)
    assert alignment.delay == 0
    assert not alignment.samples.any()
