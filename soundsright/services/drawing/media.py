"""Audio and spectrograms as bytes for a page. Signals are float32 of shape `(n,)`, levels in dB, times in s."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from soundsright.core.audio import Audio, pcm16
from soundsright.data import pcm16_file

SPECTROGRAM_RANGE_DB = 80.0
_TOP_DB = -20.0


def spectrogram_png(
    audio: Audio, marked: Sequence[tuple[float, float]] = (), *, width_px: int = 420, height_px: int = 130
) -> bytes:
    """The spectrogram as a PNG with axes in kHz and seconds. The colours span -100 to -20 dB re full scale.

    `marked` are stretches that have a frame, each with its start and end in seconds.
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    rate_hz = audio.sample_rate_hz
    window = hann(round(0.032 * rate_hz), sym=False)
    transform = ShortTimeFFT(window, hop=round(0.008 * rate_hz), fs=rate_hz, scale_to="magnitude")
    power_db = 20 * np.log10(np.abs(transform.stft(audio.samples.astype(np.float64))) + 1e-9)
    figure = Figure(figsize=(width_px / 100, height_px / 100), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.1, 0.2, 0.88, 0.76))
    axes.imshow(
        power_db,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=_TOP_DB - SPECTROGRAM_RANGE_DB,
        vmax=_TOP_DB,
        extent=(0.0, audio.duration_s, 0.0, rate_hz / 2000),
        interpolation="nearest",
    )
    for start_s, end_s in marked:
        axes.axvspan(start_s, end_s, fill=False, edgecolor="white", linewidth=1.2)
    axes.tick_params(labelsize=6, length=2, pad=1)
    axes.set_ylabel("kHz", fontsize=6, labelpad=1)
    figure.patch.set_alpha(0.0)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.yaxis.label):
        label.set_color("#888888")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=True, pil_kwargs={"optimize": True})
    return buffer.getvalue()


def data_uri(data: bytes, media_type: str) -> str:
    """The bytes as a `data:` address, which a page can use without a request."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def flac_bytes(audio: Audio) -> bytes:
    """The signal as 16-bit FLAC, a lossless format that browsers play."""
    return pcm16_file(pcm16(audio.samples), audio.sample_rate_hz, "FLAC")
