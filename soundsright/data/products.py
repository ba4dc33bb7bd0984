"""Products of spectra, complex64 arrays of one shape, with the same bits on every processor.

Each part of a complex product is the sum of two products. A processor with fused operations rounds once where
another rounds twice, and NumPy uses them where it finds them: AVX2 and later, and every 64-bit ARM. The recorded
sets were drawn on such processors. A processor without them computes the same bits more slowly.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Spectrum = NDArray[np.complex64]
Samples = NDArray[np.float32]


def product(one: Spectrum, other: Spectrum) -> Spectrum:
    """The complex product, of which each part is rounded as by a fused multiplication and subtraction.

    The real part is `fma(a.re, b.re, -(a.im b.im))`, the imaginary part `fma(a.re, b.im, a.im b.re)`.

    >>> product(np.array([1 + 2j], np.complex64), np.array([3 - 1j], np.complex64)).tolist()
    [(5+5j)]
    """
    return one * other if numpy_fuses() else fused_product(one, other)


@cache
def numpy_fuses() -> bool:
    """Whether NumPy's product has the bits of fused operations on this processor."""
    integers = np.random.default_rng(1).integers(-(2**23), 2**23, (2, 2, 1_003)) + 0.0
    one, other = (pair[0] + 1j * pair[1] for pair in integers)
    one, other = one.astype(np.complex64), other.astype(np.complex64)
    return bool((one * other == fused_product(one, other)).all())


def fused_product(one: Spectrum, other: Spectrum) -> Spectrum:
    """As `product`, from IEEE additions and multiplications only."""
    out: Spectrum = np.empty(np.broadcast_shapes(one.shape, other.shape), np.complex64)
    out.real = _fused(one.real, other.real, -(one.imag * other.imag))
    out.imag = _fused(one.real, other.imag, one.imag * other.real)
    return out


def _fused(one: Samples, other: Samples, added: Samples) -> Samples:
    """`one x other + added`, rounded once.

    Float64 has room for the product. The sum is rounded to odd: if it is not exact, its last bit becomes 1. Float64
    has more than two bits beyond those of float32, so the second rounding gives what one rounding would
    (S. Boldo, G. Melquiond, "Emulation of a FMA and correctly rounded sums", IEEE Trans. Computers 57, 2008).
    """
    exact = one.astype(np.float64) * other
    wide = added.astype(np.float64)
    total = exact + wide
    # The error of the sum, exactly (D. E. Knuth, "The Art of Computer Programming", volume 2, section 4.2.2).
    back = total - exact
    error = (exact - (total - back)) + (wide - back)
    is_even = (total.view(np.int64) & 1) == 0
    beyond = np.nextafter(total, np.where(error > 0.0, np.inf, -np.inf))
    rounded: Samples = np.where((error != 0.0) & is_even, beyond, total).astype(np.float32)
    return rounded
