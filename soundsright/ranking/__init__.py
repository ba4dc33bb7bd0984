"""Statistics and decisions: who wins each prize, and the weights that follow.

Everything here is pure: the same scores and the same ruleset give the same result on any machine.
`decide` ranks one competition, and `weights_of` turns leaderboards into weights.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
