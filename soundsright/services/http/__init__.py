"""HTTP building blocks that several services share.

`HttpService` runs an app, `health_app` answers health checks, and `Throttle` limits the rate of requests.
`chain_app` serves a private chain.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
