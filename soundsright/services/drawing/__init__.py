"""Plots, spectrograms, templates and wording for pages and reports.

`competition_plots`, `entry_plots` and `history_plots` draw a run as SVG, which needs no script and no network.
`Frame` renders the templates of the pages.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
