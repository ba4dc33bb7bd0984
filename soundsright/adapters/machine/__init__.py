"""This machine: worker processes, the clock, the memory in use, and experiment trackers.

`ProcessPool` runs jobs in worker processes with a deadline and a memory limit for each job.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
