"""The coordinator of the executor: it takes submissions of images, and says which round it is.

`Coordinator` does the work and `subnet_app` is its HTTP API. `SubmissionLog` keeps the submissions.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
