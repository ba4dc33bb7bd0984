"""One round of a competition, from the commitments on a chain to weights.

`RoundService` fetches every entry, runs it on the round's clips, scores the answers and decides the prizes.
Each finished step is recorded, so a round that was stopped resumes where it stopped.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
