from .admission import Admission, any_signer
from .api import log_app
from .appending import LogWriter, Placed, append_to
from .auditing import AuditReport, LogSource, audit, check_same_view, hashes_of, read_head
from .entries import KINDS, MAX_DOCUMENT_BYTES, LogEntry, entry_of, open_entry
from .heads import LOG_HEAD, HeadSigner, LogHead, counted, open_head, sign_head
from .keeping import LogKeeper, signed_record
from .memory import MEMORY_FILE, AuditMemory, MirrorLog, MirrorWriter, read_memory, write_memory
from .proofs import SavedProof, check_proof, checked_address, open_proof, proof_of, read_proof, write_proof
from .statements import statement_of
from .stores import EntryStore, FolderStore, RecordStore
from .tree_log import Appended, Equivocation, InclusionProof, LogLimits, OwnLog, TransparencyLog

__all__ = [
    "KINDS",
    "LOG_HEAD",
    "MAX_DOCUMENT_BYTES",
    "MEMORY_FILE",
    "Admission",
    "Appended",
    "AuditMemory",
    "AuditReport",
    "EntryStore",
    "Equivocation",
    "FolderStore",
    "HeadSigner",
    "InclusionProof",
    "LogEntry",
    "LogHead",
    "LogKeeper",
    "LogLimits",
    "LogSource",
    "LogWriter",
    "MirrorLog",
    "MirrorWriter",
    "OwnLog",
    "Placed",
    "RecordStore",
    "SavedProof",
    "TransparencyLog",
    "any_signer",
    "append_to",
    "audit",
    "check_proof",
    "check_same_view",
    "checked_address",
    "counted",
    "entry_of",
    "hashes_of",
    "log_app",
    "open_entry",
    "open_head",
    "open_proof",
    "proof_of",
    "read_head",
    "read_memory",
    "read_proof",
    "sign_head",
    "signed_record",
    "statement_of",
    "write_memory",
    "write_proof",
]
