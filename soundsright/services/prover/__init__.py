"""The prover: it keeps a committed model running and answers verifiers and listeners with it.

`Prover` keeps the model and its queue, `prover_app` is its HTTP interface, and `PermittedCallers` says which
hotkeys may call it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
