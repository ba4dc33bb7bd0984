"""The leaderboard: static pages, a live server, and the status of the running round.

`Site` maps paths to pages, `build_site` writes them to a folder, and `board_app` serves them.
`RoundWatch` reads how far the running round is.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
