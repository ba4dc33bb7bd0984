"""An append-only log of signed documents, which anyone can follow, check and serve again.

`TransparencyLog` keeps the tree over its entries, `log_app` serves it, and `audit` follows one from outside. An
entry's proof can be saved in a run's folder. `statement_of` makes an attestation in the in-toto shape.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
