"""Checks of a finished round from its bundle alone: decided again, scored again, run again, at a chosen depth.

`decided_again(bundle)` needs the scores, `scored_again` the audio, and `run_again` the models and the recordings.
Each gives a `ReplayReport` with the first difference and with what could not be checked. A report can be signed.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
