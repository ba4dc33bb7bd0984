"""Finds out whether this machine draws the clips and computes the scores that every validator must have.

A machine whose libraries round differently draws other sets. It is refused before it judges on them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
