"""Simulated rounds: the real round service on a made-up subnet with planted faults, checked by invariants.

`simulate(seed, rounds=5)` plays rounds of models, `simulate_images(seed, rounds=20)` the executor's rounds of
images, and `simulate_federation(seed, epochs=300)` a federation's epochs. All raise `Violation` if an invariant
does not hold.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
