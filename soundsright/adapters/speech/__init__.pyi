from .corpus_fetch import fetched, unpack
from .openai import VOICES, OpenAISynthesiser
from .programs import synthesiser_of
from .synthesis import SynthesisedSpeech, cache_directory, voices_of_split

__all__ = [
    "VOICES",
    "OpenAISynthesiser",
    "SynthesisedSpeech",
    "cache_directory",
    "fetched",
    "synthesiser_of",
    "unpack",
    "voices_of_split",
]
