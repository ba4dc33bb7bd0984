"""The gateway: listeners get enhanced speech from the best provers that a verifier watches.

`gateway_app` serves recordings (`POST /v1/enhance`), live audio (`/v1/stream`) and the page `/try`, within
`GatewayLimits`. `GatewayAccess` says who may use it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
