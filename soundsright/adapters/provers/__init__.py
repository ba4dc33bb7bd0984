"""Clients of provers: miners that serve the model they committed to.

`HttpProvers` asks them over signed HTTP and keeps the signatures of their answers. `HttpLiveProvers` streams live
audio through them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
