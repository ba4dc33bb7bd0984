import importlib
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundsright.data import products
from soundsright.data.products import Spectrum, fused_product, numpy_fuses, product

NUMPY = importlib.import_module("numpy._core._multiarray_umath")
SCRIPT = """
import hashlib
import numpy as np
from soundsright.data.products import product
parts = (np.random.default_rng(2).integers(-2**23, 2**23, (4, 3, 5_001)) / 2**20).astype(np.float32)
one, other = parts[0] + 1j * parts[1], parts[2] + 1j * parts[3]
print(hashlib.sha256(product(one, other[:1]).tobytes()).hexdigest())
"""
NUMBERS = st.floats(-(2.0**20), 2.0**20, width=32).map(lambda x: 0.0 if abs(x) < 2.0**-40 else x)


def spectrum(seed: int) -> Spectrum:
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((2, 10, 1_001)) * np.exp(rng.uniform(-9.0, 9.0, (2, 10, 1_001)))
    found: Spectrum = (parts[0] + 1j * parts[1]).astype(np.complex64)
    return found


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS))
def test_each_part_is_rounded_as_by_a_fused_operation(parts: tuple[float, float, float, float]) -> None:
    """Fractions are exact, and only the last step rounds."""
    a, b, c, d = parts
    got = fused_product(np.array([complex(a, b)], np.complex64), np.array([complex(c, d)], np.complex64))[0]
    for part, first, second in (
        (got.real, Fraction(a) * Fraction(c), -np.float32(b) * np.float32(d)),
        (got.imag, Fraction(a) * Fraction(d), np.float32(b) * np.float32(c)),
    ):
        wanted = first + Fraction(float(second))
        near = [part, np.nextafter(part, np.float32(np.inf)), np.nextafter(part, np.float32(-np.inf))]
        errors = [abs(Fraction(float(each)) - wanted) for each in near]
        assert errors[0] == min(errors)


def test_numpy_gives_the_same_bits_where_it_fuses() -> None:
    if not numpy_fuses():
        pytest.skip("NumPy's product is not fused on this processor")
    np.testing.assert_array_equal(fused_product(spectrum(1), spectrum(2)), spectrum(1) * spectrum(2))


def test_the_slow_product_is_taken_where_numpy_rounds_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "numpy_fuses", lambda: False)
    np.testing.assert_array_equal(
        product(spectrum(1), spectrum(2)[:1]), fused_product(spectrum(1), spectrum(2)[:1])
    )


def test_a_processor_without_fused_operations_gives_the_same_bits() -> None:
    present = [name for name in NUMPY.__cpu_dispatch__ if NUMPY.__cpu_features__[name]]
    here, plain = (
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(disabled)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for disabled in ([], present)
    )
    assert plain == here
