from .audit import audited
from .audit_rows import AuditPorts
from .context import SCOPE, SamplerContext
from .reveals import REVEALS_SCOPE, MinerReveals
from .sampler import POLL_S, Sampler, sole_sampler
from .task import GATED_METRICS, TaskSettings, drawn_sets, seed_of_task
from .task_files import generated_stem, metadata_key, original_stem, verdict_key
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

__all__ = [
    "GATED_METRICS",
    "MAX_VERDICT_BYTES",
    "MAX_VIEW_BYTES",
    "POLL_S",
    "REVEALS_SCOPE",
    "SCOPE",
    "VERDICT",
    "VIEW",
    "AuditPorts",
    "EpochFacts",
    "MinerReveals",
    "Sampler",
    "SamplerContext",
    "SignedVerdict",
    "SignedView",
    "TaskFacts",
    "TaskSettings",
    "audited",
    "check_verdict",
    "check_view",
    "drawn_sets",
    "generated_stem",
    "metadata_key",
    "open_verdict",
    "open_view",
    "original_stem",
    "row_facts",
    "seed_of_task",
    "sign_verdict",
    "sign_view",
    "sole_sampler",
    "verdict_facts",
    "verdict_key",
    "view_digest",
    "view_facts",
]
