from . import stats
from .charts import Interval, Series, history_plot, interval_plot, stacked, style_sheet, trade_plot
from .files import checked_suffix, write_drawing
from .frame import ASSETS, HEADERS, Frame, Page, asset
from .plots import box_plot, data_uri, flac_bytes, spectrogram_png
from .stats import clips_by_spread
from .templates import environment
from .texts import clip_facts, counted, digits, factor, metric_name, set_facts

__all__ = [
    "ASSETS",
    "HEADERS",
    "Frame",
    "Interval",
    "Page",
    "Series",
    "asset",
    "box_plot",
    "checked_suffix",
    "clip_facts",
    "clips_by_spread",
    "counted",
    "data_uri",
    "digits",
    "environment",
    "factor",
    "flac_bytes",
    "history_plot",
    "interval_plot",
    "metric_name",
    "set_facts",
    "spectrogram_png",
    "stacked",
    "stats",
    "style_sheet",
    "trade_plot",
    "write_drawing",
]
