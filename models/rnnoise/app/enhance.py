"""RNNoise: a recurrent network that sets the gains of 32 bands, with a comb filter between the harmonics.

J.-M. Valin, "A Hybrid DSP/Deep Learning Approach to Real-Time Full-Band Speech Enhancement", MMSP 2018; version 0.2
of the library, which contains the weights. 48 kHz, frames of 10 ms.
"""

import ctypes
from functools import cache

import numpy as np

from .audio import advanced, at_native_rate
from .runtime import package_file

NATIVE_RATE = 48_000
FRAME = 480
DELAY = 960  # One frame of overlap and one of look-ahead.


@cache
def load() -> ctypes.CDLL:
    library = ctypes.CDLL(str(package_file("pyrnnoise", "librnnoise.so")))
    library.rnnoise_create.argtypes = [ctypes.c_void_p]
    library.rnnoise_create.restype = ctypes.c_void_p
    library.rnnoise_process_frame.argtypes = [ctypes.c_void_p] * 3
    library.rnnoise_process_frame.restype = ctypes.c_float
    library.rnnoise_destroy.argtypes = [ctypes.c_void_p]
    library.rnnoise_destroy.restype = None
    return library


def enhance(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    return at_native_rate(lambda x: advanced(stream, x, DELAY, FRAME), audio, sample_rate, NATIVE_RATE)


def stream(audio: np.ndarray) -> np.ndarray:
    """Whole frames through the library, which works in place on floats in the range of 16-bit integers."""
    library = load()
    samples = np.ascontiguousarray(audio * 32768.0, np.float32)
    state = library.rnnoise_create(None)
    for start in range(0, len(samples), FRAME):
        frame = samples[start : start + FRAME].ctypes.data
        library.rnnoise_process_frame(state, frame, frame)
    library.rnnoise_destroy(state)
    return samples / np.float32(32768.0)
