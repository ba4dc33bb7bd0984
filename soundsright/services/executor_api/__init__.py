"""The executor's HTTP interface for validators: they give it the images that stand, and read its table.

`executor_app` is the app over an `ImageExecutor`. `PermittedValidators` says which hotkeys may call it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
