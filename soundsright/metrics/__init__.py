"""Metrics of enhanced speech: PESQ, STOI, ESTOI, SI-SDR and more.

`score_clip` scores one clip with any metrics of the registry.
Signals are float32 arrays of shape `(n,)`, full scale ±1.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
