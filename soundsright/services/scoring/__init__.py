"""Score a folder of enhanced clips against clean references.

`score_set` pairs the files, measures them on a pool of workers, and gives each clip scores or a named failure.
`ScoreReport` summarises the scores and is written as JSON, Parquet or text.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
