"""Sandboxes that need no container engine: bubblewrap, and a plain process.

A sandbox starts a model, bounds what it may use, and hands it clips.
The GPUs and processor cores of this machine are shared out here.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
