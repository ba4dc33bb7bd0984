"""HTTP building blocks that several services share.

`HttpService` runs an app behind a front with `Limits`, and `server_config` is the front for a server of your own.
`health_app` answers health checks, `Throttle` limits the rate of requests, and `chain_app` serves a private chain.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
