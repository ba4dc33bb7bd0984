"""Reports of one run: HTML, Markdown, LaTeX, CSV, a data set, a model card.

`report_html` writes one self-contained page; the tables and citations come in every other format.
`track` sends results to an experiment tracker.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
