"""Speech from outside: programs of this machine, an online service, and corpora to download.

`SynthesisedSpeech` is a `SpeechSource`: a seed decides its sentences and voices.
`download_archive` and `unpack_archive` bring a corpus to disk.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
