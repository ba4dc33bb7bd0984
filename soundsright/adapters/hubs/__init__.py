"""Model hubs: a local folder and the Hugging Face Hub.

Each class fetches a repository at one commit, within limits, and keeps it by content hash.
`HubPush` publishes a model or a data set.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
