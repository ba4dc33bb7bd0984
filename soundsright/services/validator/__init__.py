"""The validator: rounds on schedule, weights on the chain, feedback to miners.

`ValidatorService` follows one chain and runs one round at a time.
Only one validator process at a time works on a state; `sole_process` enforces this.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
