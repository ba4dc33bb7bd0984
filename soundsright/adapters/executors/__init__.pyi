from .score_table import HttpScoreTable
from .submission_board import HttpSubmissionBoard

__all__ = ["HttpScoreTable", "HttpSubmissionBoard"]
