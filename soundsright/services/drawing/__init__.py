"""Charts, plots and the words beside them, for pages and reports.

Every drawing is a string of SVG or HTML that needs no script and no network.
`environment` gives the Jinja templates, and `stats` the numbers that pages show.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
