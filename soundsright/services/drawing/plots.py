"""Small plots as SVG and PNG, drawn from numbers alone. Signals are float32 `(n,)`; spectrograms in dB, time in s.

Colours come from the page's style sheet, so that one drawing serves light and dark.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from soundsright.core.audio import Audio
from soundsright.services.drawing.texts import MINUS

SPECTROGRAM_RANGE_DB = 80.0
# Narrow, so that a telephone shows the text at a size that can be read.
_ROW_PX, _LEFT_PX, _WIDTH_PX, _AXIS_PX = 24, 150, 282, 26
# So many fit beside a plot in the widest of the usual fonts.
_LABEL_CHARACTERS = 19


@dataclass(frozen=True)
class Box:
    """One row of a box plot."""

    label: str
    values: tuple[float, ...]
    emphasis: bool = False


def box_plot(boxes: Sequence[Box], *, title: str, unit: str) -> str:
    """Horizontal box plots as SVG: quartiles, whiskers to 1.5 IQR (Tukey 1977), the mean as a dot, outliers.

    >>> "<svg" in box_plot([Box("a", (1.0, 2.0, 3.0))], title="t", unit="dB")
    True
    """
    low = min(min(box.values) for box in boxes)
    high = max(max(box.values) for box in boxes)
    span = (high - low) or 1.0
    low, high = low - 0.03 * span, high + 0.03 * span
    top = _ROW_PX
    height = top + len(boxes) * _ROW_PX + _AXIS_PX

    def x(value: float) -> str:
        return f"{_LEFT_PX + (value - low) / (high - low) * _WIDTH_PX:.1f}"

    parts = [
        f'<svg class="plot boxes" viewBox="0 0 {_LEFT_PX + _WIDTH_PX + 12} {height}" role="img"'
        f' aria-label="{escape(title)}">'
    ]
    for tick in ticks(low, high):
        parts.append(f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="{top}" y2="{height - _AXIS_PX}"/>')
        parts.append(
            f'<text class="tick" x="{x(tick)}" y="{height - 8}" text-anchor="middle">{tick_text(tick)}</text>'
        )
    for row, box in enumerate(boxes):
        middle = top + row * _ROW_PX + _ROW_PX / 2
        values = np.asarray(box.values, dtype=np.float64)
        first, median, third = (float(q) for q in np.percentile(values, (25, 50, 75)))
        reach = 1.5 * (third - first)
        inside = values[(values >= first - reach) & (values <= third + reach)]
        kind = "box best" if box.emphasis else "box"
        name = escape(shortened(box.label))
        parts.append(f'<text class="label" x="{_LEFT_PX - 8}" y="{middle + 4}" text-anchor="end">{name}</text>')
        parts.append(
            f'<line class="whisker" x1="{x(inside.min())}" x2="{x(inside.max())}" y1="{middle}" y2="{middle}"/>'
        )
        width = max(float(x(third)) - float(x(first)), 1.0)
        parts.append(
            f'<rect class="{kind}" x="{x(first)}" y="{middle - 7}" width="{width:.1f}" height="14" rx="2"/>'
        )
        parts.append(
            f'<line class="median" x1="{x(median)}" x2="{x(median)}" y1="{middle - 7}" y2="{middle + 7}"/>'
        )
        parts.append(f'<circle class="mean" cx="{x(float(values.mean()))}" cy="{middle}" r="2.6"/>')
        parts.extend(
            f'<circle class="outlier" cx="{x(float(v))}" cy="{middle}" r="1.8"/>'
            for v in values[(values < first - reach) | (values > third + reach)]
        )
    parts.append(f'<text class="title" x="8" y="15">{escape(f"{title}, {unit}" if unit else title)}</text></svg>')
    return "".join(parts)


def shortened(label: str, characters: int = _LABEL_CHARACTERS) -> str:
    """A label that fits beside a plot.

    >>> shortened("a-very-long-namespace/model", 12)
    'a-very-long…'
    """
    return label if len(label) <= characters else label[: characters - 1] + "…"


def ticks(low: float, high: float) -> list[float]:
    """Four to nine round numbers between the ends."""
    raw = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(float(power * m) for m in (1, 2, 5, 10) if power * m >= raw)
    # Plus zero: no tick is called -0.
    return [float(round(v, 10)) + 0.0 for v in np.arange(np.ceil(low / step) * step, high, step)]


def tick_text(value: float) -> str:
    """A number beside an axis.

    >>> tick_text(-0.5)
    '\u22120.5'
    """
    return f"{value:g}".replace("-", MINUS)


def spectrogram_png(audio: Audio, *, width_px: int = 420, height_px: int = 130) -> bytes:
    """The short-time spectrum in dB below its own maximum, as a PNG with a frequency and a time axis."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    rate = audio.sample_rate_hz
    window = hann(round(0.032 * rate), sym=False)
    transform = ShortTimeFFT(window, hop=round(0.008 * rate), fs=rate, scale_to="magnitude")
    power_db = 20 * np.log10(np.abs(transform.stft(audio.samples.astype(np.float64))) + 1e-9)
    figure = Figure(figsize=(width_px / 100, height_px / 100), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.1, 0.2, 0.88, 0.76))
    axes.imshow(
        power_db,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-20 - SPECTROGRAM_RANGE_DB,
        vmax=-20,
        extent=(0.0, audio.duration_s, 0.0, rate / 2000),
        interpolation="nearest",
    )
    axes.tick_params(labelsize=6, length=2, pad=1)
    axes.set_ylabel("kHz", fontsize=6, labelpad=1)
    figure.patch.set_alpha(0.0)
    for item in (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.yaxis.label):
        item.set_color("#888888")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=True, pil_kwargs={"optimize": True})
    return buffer.getvalue()


def data_uri(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def flac_bytes(audio: Audio) -> bytes:
    """The signal as 16-bit FLAC, which browsers play and which loses nothing."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, audio.samples, audio.sample_rate_hz, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
