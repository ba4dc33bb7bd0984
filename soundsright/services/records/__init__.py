"""The records that a round leaves: results, runs on disk, feedback and bundles.

`results.json` and feedback documents are written and read here and nowhere else.
`Run` is a folder of results, read back and checked.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
