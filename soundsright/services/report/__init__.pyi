from . import score_tables, tables
from .card import model_index
from .dataset import read_sources, write_dataset
from .disclosure import Disclosure, disclose
from .html import report_html, write_round
from .set_check import SetCheck, check_sets
from .tracking import TrackedEntry, track

__all__ = [
    "Disclosure",
    "SetCheck",
    "TrackedEntry",
    "check_sets",
    "disclose",
    "model_index",
    "read_sources",
    "report_html",
    "score_tables",
    "tables",
    "track",
    "write_dataset",
    "write_round",
]
