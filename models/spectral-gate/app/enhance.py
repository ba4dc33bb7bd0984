"""A spectral gate: each bin of the spectrum is attenuated according to its level above the noise. Not trained.

The noise is tracked by the probability that speech is present (T. Gerkmann and R. C. Hendriks, "Unbiased MMSE-Based
Noise Power Estimation With Low Complexity and Low Tracking Delay", IEEE TASLP 20(4), 2012); the gain is the
Wiener gain with the decision-directed estimate of the SNR (Y. Ephraim and D. Malah, IEEE TASSP 32(6), 1984).
"""

import numpy as np

from .audio import istft, sqrt_hann, stft

FRAME_S = 0.032
SNR_WHEN_PRESENT = 10 ** (15 / 10)
SMOOTHING_NOISE = 0.8
SMOOTHING_PRESENCE = 0.9
SMOOTHING_SNR = 0.98
SMALLEST_GAIN = 10 ** (-15 / 20)


def enhance(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    hop = round(FRAME_S * sample_rate) // 2
    window = sqrt_hann(2 * hop)
    spectra = stft(audio, window, hop)
    return istft(spectra * gate(np.abs(spectra) ** 2 + 1e-10), window, hop, len(audio))


def gate(power: np.ndarray) -> np.ndarray:
    """A gain between `SMALLEST_GAIN` and one for each frame and bin of the power spectra `(frames, bins)`."""
    noise = np.percentile(power, 10, axis=0) / -np.log(
        0.9
    )  # The power of noise in a bin has an exponential distribution.
    presence_mean = np.full_like(noise, 0.5)
    speech = np.zeros_like(noise)
    gains = np.empty_like(power)
    for frame, gain in zip(power, gains, strict=True):
        odds_of_absence = (1 + SNR_WHEN_PRESENT) * np.exp(
            -frame / noise * SNR_WHEN_PRESENT / (1 + SNR_WHEN_PRESENT)
        )
        presence = 1 / (1 + odds_of_absence)
        presence_mean += (1 - SMOOTHING_PRESENCE) * (presence - presence_mean)
        presence = np.where(presence_mean > 0.99, np.minimum(presence, 0.99), presence)
        noise = SMOOTHING_NOISE * noise + (1 - SMOOTHING_NOISE) * (presence * noise + (1 - presence) * frame)
        snr = SMOOTHING_SNR * speech / noise + (1 - SMOOTHING_SNR) * np.maximum(frame / noise - 1, 0)
        gain[:] = np.maximum(snr / (1 + snr), SMALLEST_GAIN)
        speech = gain**2 * frame
    return gains
