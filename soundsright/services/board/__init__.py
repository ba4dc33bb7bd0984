"""The leaderboard: static pages, a live server, and the status of the running round.

`build_site` writes the pages to a folder and `board_app` serves them. `RoundWatch` reads the progress of a round.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
