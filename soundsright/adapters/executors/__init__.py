"""Clients of the two services of the executor.

`HttpScoreTable` is an executor's table of scores, over signed HTTP.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
