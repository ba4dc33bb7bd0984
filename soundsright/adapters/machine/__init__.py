"""This machine: its workers, clock, memory, and the experiment trackers on it.

`ProcessPool` runs jobs in worker processes with a deadline and a memory limit for each job.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
