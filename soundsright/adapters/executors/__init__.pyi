from .score_table import HttpScoreTable

__all__ = ["HttpScoreTable"]
