from .audio_files import SUFFIXES, AudioFacts, facts_of, read_file, read_flac, resampled
from .catalogue import CATALOGUE, RemoteFile, corpus_entry
from .choice import SourceChoice, measured_share
from .clips import VALUES_VERSION, checked_clip_count, draw_clip, draw_clips
from .corpora import FULL_BAND_HZ, Corpus
from .counts import sharing_line
from .directories import Listing, noise_listing, rir_listing, speech_listing
from .encoding import SetFormat, Subtype, pcm16_file
from .golden import golden_clips, library_traces
from .installed import PRIVATE_MARK, corpus_folder, installed_corpora
from .jobs import SetJob, SetReport
from .journal import written_atomically
from .levels import SILENT_DB, active_level
from .making import clips_of, generate_set
from .manifest import groups_of, recipe_fields, recordings_of
from .noise_kinds import BABBLE, NOISE_KINDS
from .origins import ORIGIN_KINDS, compared
from .passages import LONGEST_PASSAGE_CHARS, passage
from .reading import read_set
from .recipe import PUBLISHED_RECIPE, AnySetTask, SetRecipe, SetTask
from .recordings import Recording, RecordingSet
from .render import Rendered
from .sentences import sentence
from .spectrum import bandwidth_hz
from .splits import Split, split_of
from .turns import BALANCE_VERSION
from .verify import RECEIPT, verified

__all__ = [
    "BABBLE",
    "BALANCE_VERSION",
    "CATALOGUE",
    "FULL_BAND_HZ",
    "LONGEST_PASSAGE_CHARS",
    "NOISE_KINDS",
    "ORIGIN_KINDS",
    "PRIVATE_MARK",
    "PUBLISHED_RECIPE",
    "RECEIPT",
    "SILENT_DB",
    "SUFFIXES",
    "VALUES_VERSION",
    "AnySetTask",
    "AudioFacts",
    "Corpus",
    "Listing",
    "Recording",
    "RecordingSet",
    "RemoteFile",
    "Rendered",
    "SetFormat",
    "SetJob",
    "SetRecipe",
    "SetReport",
    "SetTask",
    "SourceChoice",
    "Split",
    "Subtype",
    "active_level",
    "bandwidth_hz",
    "checked_clip_count",
    "clips_of",
    "compared",
    "corpus_entry",
    "corpus_folder",
    "draw_clip",
    "draw_clips",
    "facts_of",
    "generate_set",
    "golden_clips",
    "groups_of",
    "installed_corpora",
    "library_traces",
    "measured_share",
    "noise_listing",
    "passage",
    "pcm16_file",
    "read_file",
    "read_flac",
    "read_set",
    "recipe_fields",
    "recordings_of",
    "resampled",
    "rir_listing",
    "sentence",
    "sharing_line",
    "speech_listing",
    "split_of",
    "verified",
    "written_atomically",
]
