"""One round of a competition, from the commitments on a chain to weights.

`RoundService(RoundContext(plan, ...), reveals).run()` fetches every entry, runs it on the round's clips, scores the
enhanced audio, decides the prizes and gives a `RoundOutcome`. Each finished step is recorded, so a round that was
stopped resumes where it stopped. `steps` reads and writes these records.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
