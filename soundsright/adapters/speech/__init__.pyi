from .corpus_fetch import download_archive, unpack_archive
from .openai import OPENAI_VOICES, OpenAISynthesiser
from .programs import program_synthesiser
from .synthesis import SynthesisedSpeech, speech_cache_folder, voices_of_split

__all__ = [
    "OPENAI_VOICES",
    "OpenAISynthesiser",
    "SynthesisedSpeech",
    "download_archive",
    "program_synthesiser",
    "speech_cache_folder",
    "unpack_archive",
    "voices_of_split",
]
