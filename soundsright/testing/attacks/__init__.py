"""Attacks on a competition, as entries and clients of our own, and what they earn.

`Arena(ruleset, folder).measured(attack_by_name("parrot"), rounds=100)` plays one over real rounds.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
