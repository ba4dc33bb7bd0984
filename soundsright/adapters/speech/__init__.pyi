from .corpus_fetch import download_archive, unpack_archive
from .fresh import FreshSpeech
from .openai import OPENAI_VOICES, OpenAISynthesiser
from .programs import program_synthesiser, varied_program
from .synthesis import SynthesisedSpeech, speech_cache_folder, voices_of_split

__all__ = [
    "OPENAI_VOICES",
    "FreshSpeech",
    "OpenAISynthesiser",
    "SynthesisedSpeech",
    "download_archive",
    "program_synthesiser",
    "speech_cache_folder",
    "unpack_archive",
    "varied_program",
    "voices_of_split",
]
