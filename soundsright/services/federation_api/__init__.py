"""The owner's API of a federation: it shows what validators send, and decides nothing.

`federation_api_app` is the app over a `FederationStore`. `FederationReporter` sends samples and reports to it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
