"""Speech from outside: synthesisers, an online service, and corpora to download.

`SynthesisedSpeech` is a source of utterances whose sentences and voices follow from a seed.
`fetched` downloads a corpus and checks every file.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
