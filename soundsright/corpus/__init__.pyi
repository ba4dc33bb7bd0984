from .building import BuildReport, Plan, add_to_corpus, build_corpus, check_new_folder, key_of
from .cards import KeyCard, new_card, read_card
from .checking import Check, check_private, check_published
from .encoding import Known
from .keys import CorpusKey
from .layout import is_private_corpus
from .life import Life
from .material import FoundRecordings, NewRecording, Origin, made_noise, recordings_in, spoken_recordings
from .private import PrivateCorpus
from .published import public_corpora
from .publishing import PublishReport, publish_retired
from .records import Batch, Statement, checked_root
from .replaying import published_at
from .transfer import export_corpus, import_corpus

__all__ = [
    "Batch",
    "BuildReport",
    "Check",
    "CorpusKey",
    "FoundRecordings",
    "KeyCard",
    "Known",
    "Life",
    "NewRecording",
    "Origin",
    "Plan",
    "PrivateCorpus",
    "PublishReport",
    "Statement",
    "add_to_corpus",
    "build_corpus",
    "check_new_folder",
    "check_private",
    "check_published",
    "checked_root",
    "export_corpus",
    "import_corpus",
    "is_private_corpus",
    "key_of",
    "made_noise",
    "new_card",
    "public_corpora",
    "publish_retired",
    "published_at",
    "read_card",
    "recordings_in",
    "spoken_recordings",
]
