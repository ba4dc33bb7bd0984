"""Clients of the two services of the executor, over signed HTTP.

`HttpSubmissionBoard` is the coordinator's board of submissions, and `HttpScoreTable` an executor's table of scores.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
