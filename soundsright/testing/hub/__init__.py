"""A Hugging Face Hub in this process, for tests, with faults that a test can plant.

`served_hub` starts a server without repositories, which the test fills.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
