from .building import BuildReport, Plan, add_to_corpus, build_corpus, key_of
from .encoding import Known
from .keys import CorpusKey
from .layout import is_private_corpus, read_statement
from .life import DEFAULT_FRESH, DEFAULT_USES, Life
from .material import Material, Origin, folder_material, made_noise, spoken_material
from .private import PrivateCorpus
from .published import is_published_digest, public_corpora
from .records import Batch, Statement, checked_root

__all__ = [
    "DEFAULT_FRESH",
    "DEFAULT_USES",
    "Batch",
    "BuildReport",
    "CorpusKey",
    "Known",
    "Life",
    "Material",
    "Origin",
    "Plan",
    "PrivateCorpus",
    "Statement",
    "add_to_corpus",
    "build_corpus",
    "checked_root",
    "folder_material",
    "is_private_corpus",
    "is_published_digest",
    "key_of",
    "made_noise",
    "public_corpora",
    "read_statement",
    "spoken_material",
]
