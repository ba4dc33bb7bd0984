from . import score_tables, tables
from .card import model_index
from .dataset import read_sources, write_dataset
from .html import report_html, report_html_of
from .tracking import TrackedEntry, track

__all__ = [
    "TrackedEntry",
    "model_index",
    "read_sources",
    "report_html",
    "report_html_of",
    "score_tables",
    "tables",
    "track",
    "write_dataset",
]
