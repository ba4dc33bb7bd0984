from .http_provers import HttpProvers

__all__ = ["HttpProvers"]
