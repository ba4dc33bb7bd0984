"""Private corpora: recordings that are encrypted until they retire.

`PrivateCorpus.open` reads one, and `at` gives the recordings of a round as a `data.Corpus`. A root commits to every
recording and to the round in which it retires; `publish` discloses retired recordings with their proofs.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
