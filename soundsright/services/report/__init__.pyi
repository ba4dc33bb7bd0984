from . import score_tables, tables
from .card import model_index
from .dataset import read_sources, write_dataset
from .html import competition_plots, report_html, report_html_of
from .tracking import TrackedEntry, track

__all__ = [
    "TrackedEntry",
    "competition_plots",
    "model_index",
    "read_sources",
    "report_html",
    "report_html_of",
    "score_tables",
    "tables",
    "track",
    "write_dataset",
]
