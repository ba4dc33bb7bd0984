"""Model hubs: a local folder, the Hugging Face Hub, container images, and hubs of other packages.

Each hub implements the port `ModelHub`: it fetches a model at one commit, within limits, and caches it by its hash.
`HubPush` writes data sets and model cards to the Hugging Face Hub.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
