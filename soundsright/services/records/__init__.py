"""The records of a round: results, scores, signed feedback and bundles.

`Results` and `Feedback` are the documents that a round writes and everyone reads.
`Run` is a folder with the results of a round, read back and checked.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
