"""Degradations beyond noise and rooms: signals float64 `(n,)`, full scale ±1, frequencies in Hz, times in seconds.

Each keeps the signal's length and alignment to the sample, and returns notes on what it did. They are applied in
the order of a call: the microphone clips, the line limits the band, the codec compresses, the network loses
packets.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from soundsright.core.errors import UsageError
from soundsright.data.recipe import SetRecipe

Signal = NDArray[np.float64]
Notes = dict[str, float | str]

BAND_LIMITS_HZ = (2_000, 3_400, 4_000, 5_500, 8_000, 11_025, 16_000)
CODECS = ("mulaw", "g722", "mp3", "opus")

_PACKET_S = 0.02
_MAX_LAG_S = 0.1


def degraded_further(
    rng: np.random.Generator, samples: Signal, sample_rate_hz: int, recipe: SetRecipe
) -> tuple[Signal, Notes]:
    """The signal after the degradations that are drawn for it, with notes on each.

    A share of 0 uses no random number, so a set without these degradations does not depend on them.
    """
    steps: tuple[tuple[float, Callable[[np.random.Generator, Signal, int], tuple[Signal, Notes]]], ...] = (
        (recipe.clipping, clipped),
        (recipe.band_limit, band_limited),
        (recipe.codec, coded),
        (recipe.packet_loss, with_lost_packets),
    )
    notes: Notes = {}
    for share, step in steps:
        if share > 0.0 and rng.random() < share:
            samples, note = step(rng, samples, sample_rate_hz)
            notes |= note
    return samples, notes


def clipped(rng: np.random.Generator, samples: Signal, sample_rate_hz: int) -> tuple[Signal, Notes]:
    """Hard clipping at a level that 0.5 to 10 % of the samples exceed."""
    share = float(rng.uniform(0.005, 0.1))
    level = float(np.quantile(np.abs(samples), 1.0 - share))
    return np.clip(samples, -level, level), {"clipped_share": share}


def band_limited(rng: np.random.Generator, samples: Signal, sample_rate_hz: int) -> tuple[Signal, Notes]:
    """A linear-phase low-pass at a drawn telephone, radio or broadcast bandwidth below the signal's bandwidth."""
    from scipy.signal import fftconvolve, firwin

    choices = [f for f in BAND_LIMITS_HZ if f <= 0.45 * sample_rate_hz]
    cut_hz = int(rng.choice(choices))
    taps = firwin(255, cut_hz, fs=sample_rate_hz)
    out: Signal = fftconvolve(samples, taps, mode="full")[127 : 127 + samples.shape[0]]
    return out, {"band_limit_hz": float(cut_hz)}


def with_lost_packets(rng: np.random.Generator, samples: Signal, sample_rate_hz: int) -> tuple[Signal, Notes]:
    """Packets of 20 ms set to zero, in bursts: a two-state chain (Gilbert) with a loss of 2 to 20 %."""
    packet = round(_PACKET_S * sample_rate_hz)
    count = -(-samples.shape[0] // packet)
    loss, stay = float(rng.uniform(0.02, 0.2)), 0.5
    enter = loss * (1.0 - stay) / (1.0 - loss)
    draws = rng.random(count)
    lost = np.zeros(count, dtype=bool)
    state = False
    for index in range(count):
        state = bool(draws[index] < (stay if state else enter))
        lost[index] = state
    out = samples * ~np.repeat(lost, packet)[: samples.shape[0]]
    return out, {"packet_loss": float(lost.mean())}


def coded(rng: np.random.Generator, samples: Signal, sample_rate_hz: int) -> tuple[Signal, Notes]:
    """The signal after a drawn codec at a drawn bit rate in bit/s."""
    codec = str(rng.choice(CODECS))
    bit_rate = int(rng.choice((16_000, 24_000, 32_000, 48_000)))
    if codec == "mulaw":
        return telephone(samples, sample_rate_hz), {"codec": "mulaw"}
    if codec == "g722":
        return through_codec(samples, sample_rate_hz, "adpcm_g722", "g722", 16_000, 64_000), {"codec": "g722"}
    name, container = ("libmp3lame", "mp3") if codec == "mp3" else ("libopus", "ogg")
    out = through_codec(samples, sample_rate_hz, name, container, sample_rate_hz, bit_rate)
    return out, {"codec": codec, "codec_bit_rate": float(bit_rate)}


def telephone(samples: Signal, sample_rate_hz: int) -> Signal:
    """The signal after ITU-T G.711 at 8 kHz, resampled to its original rate."""
    from soundsright.data.audio_files import resampled

    narrow = mulaw(resampled(samples.astype(np.float32), sample_rate_hz, 8_000).astype(np.float64))
    back = resampled(narrow.astype(np.float32), 8_000, sample_rate_hz).astype(np.float64)
    return _fitted(back, samples.shape[0])


def mulaw(samples: Signal, mu: float = 255.0) -> Signal:
    """The signal in eight bits a sample, compressed and expanded by the curve of ITU-T G.711.

    >>> bool(np.abs(mulaw(np.linspace(-1, 1, 101)) - np.linspace(-1, 1, 101)).max() < 0.03)
    True
    """
    limited = np.clip(samples, -1.0, 1.0)
    compressed = np.sign(limited) * np.log1p(mu * np.abs(limited)) / np.log1p(mu)
    coarse = np.rint(compressed * 127.0) / 127.0
    out: Signal = np.sign(coarse) * np.expm1(np.abs(coarse) * np.log1p(mu)) / mu
    return out


def through_codec(
    samples: Signal, sample_rate_hz: int, codec: str, container: str, codec_rate_hz: int, bit_rate: int
) -> Signal:
    """The signal after encoding and decoding by FFmpeg, with the codec's delay removed.

    Raises:
        UsageError: PyAV is not installed or lacks the codec.
    """
    from soundsright.data.audio_files import resampled

    at_codec = resampled(samples.astype(np.float32), sample_rate_hz, codec_rate_hz)
    decoded, decoded_hz = _round_trip(at_codec, codec, container, codec_rate_hz, bit_rate)
    back = resampled(decoded, decoded_hz, sample_rate_hz).astype(np.float64)
    return _aligned(back, samples, round(_MAX_LAG_S * sample_rate_hz))


def _round_trip(
    samples: NDArray[np.float32], codec: str, container: str, rate: int, bit_rate: int
) -> tuple[NDArray[np.float32], int]:
    try:
        import av
    except ImportError as error:
        raise UsageError(
            "Codecs need PyAV, which is not installed", "Run `pip install 'soundsright[validator]'`."
        ) from error
    data = io.BytesIO()
    try:
        with av.open(data, "w", format=container) as out:
            stream = out.add_stream(codec, rate=rate)
            stream.layout = "mono"
            if codec != "adpcm_g722":
                stream.bit_rate = bit_rate
            pcm = np.clip(np.rint(samples * 32767.0), -32768, 32767).astype(np.int16)[None, :]
            frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
            frame.sample_rate = rate
            for packet in stream.encode(frame):
                out.mux(packet)
            for packet in stream.encode(None):
                out.mux(packet)
        data.seek(0)
        parts = []
        with av.open(data, format=container) as source:
            audio = source.streams.audio[0]
            resampler = av.AudioResampler(format="fltp", layout="mono")
            for decoded in source.decode(audio):
                parts += [piece.to_ndarray()[0] for piece in resampler.resample(decoded)]
            decoded_hz = int(audio.rate)
    except (av.FFmpegError, ValueError) as error:
        raise UsageError(f"The codec {codec} cannot be used ({error})", "Install a PyAV that has it.") from error
    return np.concatenate(parts).astype(np.float32), decoded_hz


def _aligned(decoded: Signal, original: Signal, max_lag: int) -> Signal:
    """The decoded signal, shifted to its best match with the original, and cut or padded to its length."""
    from scipy.signal import correlate

    lags = correlate(decoded, original, mode="full", method="fft")
    zero = original.shape[0] - 1
    lag = int(np.argmax(lags[zero - max_lag : zero + max_lag + 1])) - max_lag
    return _fitted(decoded[lag:] if lag >= 0 else np.concatenate([np.zeros(-lag), decoded]), original.shape[0])


def _fitted(samples: Signal, count: int) -> Signal:
    """The signal cut or padded with silence to `count` samples."""
    return np.pad(samples[:count], (0, max(0, count - samples.shape[0])))
