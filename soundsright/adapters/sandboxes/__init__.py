"""Sandboxes without a container engine (bubblewrap, and a plain process), and what every sandbox needs.

`BubblewrapSandbox` and `ProcessSandbox` start a model, limit what it may use, and send it clips. Other packages can
add sandboxes, which `plugged_sandbox` makes. The room also assigns this machine's GPUs and CPU cores to models.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
