"""Attacks on a competition, as entries and clients of our own, and what they earn.

`measured(attack_by_name("parrot"), ruleset, folder, rounds=100)` plays one over real rounds.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
