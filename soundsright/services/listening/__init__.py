"""Blind listening tests on the entries of a run.

`ListeningTest` is the plan, `ListeningRoom` gives raters their trials, and `listening_app` serves the test.
`summaries_below` gives the mean ratings with confidence intervals.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
