"""Blind listening tests on the entries of a run.

`ListeningTest` decides who hears which clips in which order, and `listening_app` plays them.
Votes are kept beside the run and summarised with confidence intervals.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
