from .bars import Bar, histogram, stacked_bars
from .charts import MAX_SERIES, Interval, Series, history_plot, interval_plot, power_plot, stacked, style_sheet
from .comparisons import clips_by_spread, metric_docs, paired_difference
from .costs import CostPoint, cost_plot
from .figures import competition_plots, entry_plots, history_plots
from .files import checked_suffix, write_drawing
from .frame import ASSETS, HEADERS, Frame, Page, asset
from .media import data_uri, flac_bytes, spectrogram_png
from .places import MAX_SIGNAL_BYTES, places_of
from .strips import Cell, strip_plot
from .templates import template_environment
from .texts import clip_facts, counted, digits, factor, interval_facts, metric_name, set_facts

__all__ = [
    "ASSETS",
    "HEADERS",
    "MAX_SERIES",
    "MAX_SIGNAL_BYTES",
    "Bar",
    "Cell",
    "CostPoint",
    "Frame",
    "Interval",
    "Page",
    "Series",
    "asset",
    "checked_suffix",
    "clip_facts",
    "clips_by_spread",
    "competition_plots",
    "cost_plot",
    "counted",
    "data_uri",
    "digits",
    "entry_plots",
    "factor",
    "flac_bytes",
    "histogram",
    "history_plot",
    "history_plots",
    "interval_facts",
    "interval_plot",
    "metric_docs",
    "metric_name",
    "paired_difference",
    "places_of",
    "power_plot",
    "set_facts",
    "spectrogram_png",
    "stacked",
    "stacked_bars",
    "strip_plot",
    "style_sheet",
    "template_environment",
    "write_drawing",
]
