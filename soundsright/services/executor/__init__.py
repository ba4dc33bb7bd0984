"""The executor: it runs the images that miners submit, and publishes a table of their scores.

`ExecutorStore` has the submissions and the published tables. `ExecutorService` runs rounds and answers the HTTP
interface as an `ImageExecutor`. `open_results` and `recomputed` check the signed results of a round.
`ExecutorSubsystem` runs inside a validator: it gives the executor the submissions, and pays the best image.
`pulled` pulls an image, and `ImageMeter` measures it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
