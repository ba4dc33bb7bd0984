from .allowlist import (
    MAX_ALLOWLIST_BYTES,
    Allowlist,
    NoAllowlist,
    NoListReason,
    allowlist_prefix,
    parsed_allowlist,
    publish_allowlist,
    read_allowlist,
)
from .audit import audited
from .audit_rows import AuditPorts
from .bucket_reader import Absent, Answer, BucketReader, ObjectOf, TooLarge, Unknown
from .contents import Contents
from .context import SCOPE, SamplerContext
from .equivocation import EVIDENCE_SCHEMA, MAX_EVIDENCE_BYTES, Evidence, evidence_of, open_evidence
from .first_seen import FirstSeen, SeenVerdict
from .known_lists import Allowlists, TaskBook
from .known_verdicts import KnownVerdicts
from .machine_beats import machine_of, sole_machine
from .mirror import Mirror, Sought
from .object_keys import (
    ALLOWLIST_KEY,
    allowlist_key,
    claim_key,
    evidence_key,
    metadata_key,
    mirror_key,
    verdict_key,
    view_key,
)
from .publishing import create_once
from .reporting import OwnReports
from .sampler import POLL_S, Sampler, sole_sampler
from .saving import save_table
from .set_checks import drawing_settings
from .set_drawing import SetDrawing
from .table_making import EpochReading, reading_of, table_of
from .task import TaskSettings, drawn_sets, seed_of_task
from .task_facts import epoch_facts_of, metric_ranges, task_facts_of
from .task_files import generated_stem, original_stem
from .verdict import (
    MAX_VERDICT_BYTES,
    VERDICT,
    SignedVerdict,
    TaskFacts,
    check_verdict,
    open_verdict,
    row_facts,
    sign_verdict,
    verdict_facts,
)
from .verdict_reader import Equivocation, Found, ReadVerdict, Refused, VerdictReader
from .view_commitments import commit_view, commitments_to_views, committed_views
from .view_publishing import ViewPublisher
from .view_reader import ViewReader
from .views import (
    MAX_VIEW_BYTES,
    VIEW,
    EpochFacts,
    SignedView,
    check_view,
    open_view,
    sign_view,
    view_digest,
    view_facts,
)
from .weights import FEDERATION, FederationSubsystem
from .weights_context import DOCUMENTS, FederationMemory, WeightsContext

__all__ = [
    "ALLOWLIST_KEY",
    "DOCUMENTS",
    "EVIDENCE_SCHEMA",
    "FEDERATION",
    "MAX_ALLOWLIST_BYTES",
    "MAX_EVIDENCE_BYTES",
    "MAX_VERDICT_BYTES",
    "MAX_VIEW_BYTES",
    "POLL_S",
    "SCOPE",
    "VERDICT",
    "VIEW",
    "Absent",
    "Allowlist",
    "Allowlists",
    "Answer",
    "AuditPorts",
    "BucketReader",
    "Contents",
    "EpochFacts",
    "EpochReading",
    "Equivocation",
    "Evidence",
    "FederationMemory",
    "FederationSubsystem",
    "FirstSeen",
    "Found",
    "KnownVerdicts",
    "Mirror",
    "NoAllowlist",
    "NoListReason",
    "ObjectOf",
    "OwnReports",
    "ReadVerdict",
    "Refused",
    "Sampler",
    "SamplerContext",
    "SeenVerdict",
    "SetDrawing",
    "SignedVerdict",
    "SignedView",
    "Sought",
    "TaskBook",
    "TaskFacts",
    "TaskSettings",
    "TooLarge",
    "Unknown",
    "VerdictReader",
    "ViewPublisher",
    "ViewReader",
    "WeightsContext",
    "allowlist_key",
    "allowlist_prefix",
    "audited",
    "check_verdict",
    "check_view",
    "claim_key",
    "commit_view",
    "commitments_to_views",
    "committed_views",
    "create_once",
    "drawing_settings",
    "drawn_sets",
    "epoch_facts_of",
    "evidence_key",
    "evidence_of",
    "generated_stem",
    "machine_of",
    "metadata_key",
    "metric_ranges",
    "mirror_key",
    "open_evidence",
    "open_verdict",
    "open_view",
    "original_stem",
    "parsed_allowlist",
    "publish_allowlist",
    "read_allowlist",
    "reading_of",
    "row_facts",
    "save_table",
    "seed_of_task",
    "sign_verdict",
    "sign_view",
    "sole_machine",
    "sole_sampler",
    "table_of",
    "task_facts_of",
    "verdict_facts",
    "verdict_key",
    "view_digest",
    "view_facts",
    "view_key",
]
