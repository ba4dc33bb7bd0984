from .http_provers import HttpProvers
from .live_provers import HttpLiveProvers

__all__ = ["HttpLiveProvers", "HttpProvers"]
