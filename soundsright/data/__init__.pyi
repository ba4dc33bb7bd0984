from .audio_files import SUFFIXES, AudioFacts, facts_of, read_file, resampled
from .catalogue import CATALOGUE, RemoteFile, corpus_entry
from .choice import SourceChoice, measured_share
from .clips import checked_clip_count, draw_clip, draw_clips
from .corpora import Corpus
from .encoding import SetFormat, Subtype
from .installed import corpus_folder, installed_corpora
from .levels import SILENT_DB, active_level
from .making import SetJob, SetReport, clips_of, generate_set
from .manifest import recipe_fields, recordings_of
from .noise_kinds import BABBLE, NOISE_KINDS
from .passages import LONGEST_PASSAGE_CHARS, passage
from .reading import read_set
from .recipe import PUBLISHED_RECIPE, AnySetTask, SetRecipe, SetTask
from .sentences import sentence
from .splits import ORIGIN_KINDS, Split, compared, split_of
from .verify import RECEIPT, verified

__all__ = [
    "BABBLE",
    "CATALOGUE",
    "LONGEST_PASSAGE_CHARS",
    "NOISE_KINDS",
    "ORIGIN_KINDS",
    "PUBLISHED_RECIPE",
    "RECEIPT",
    "SILENT_DB",
    "SUFFIXES",
    "AnySetTask",
    "AudioFacts",
    "Corpus",
    "RemoteFile",
    "SetFormat",
    "SetJob",
    "SetRecipe",
    "SetReport",
    "SetTask",
    "SourceChoice",
    "Split",
    "Subtype",
    "active_level",
    "checked_clip_count",
    "clips_of",
    "compared",
    "corpus_entry",
    "corpus_folder",
    "draw_clip",
    "draw_clips",
    "facts_of",
    "generate_set",
    "installed_corpora",
    "measured_share",
    "passage",
    "read_file",
    "read_set",
    "recipe_fields",
    "recordings_of",
    "resampled",
    "sentence",
    "split_of",
    "verified",
]
