"""Work on one machine, without a chain: check a model, or stage a whole competition.

`verify` runs your model the way a validator will and tells you what to fix.
`stage` puts entries from a file on a local chain.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
