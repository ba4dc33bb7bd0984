"""Verdicts of a small federation, built from numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from soundsright.core.competition import PUBLISHED
from soundsright.core.federation import JudgedRow, Verdict, rounded_means, row_order
from soundsright.core.sources import ModelRef

COMPETITION = PUBLISHED[0]
"""Denoising at 16 kHz, by PESQ_WB and ESTOI."""
DIGEST = "ab" * 32
UNPROCESSED = {"PESQ_WB": 1.5, "ESTOI": 0.5}

Means = Mapping[str, float]


def model(name: str, version: int = 0) -> ModelRef:
    return ModelRef("lab", name, f"{version:040x}")


def row(
    hotkey: str, *, passed: bool = True, means: Means | None = None, block: int = 100, version: int = 0
) -> JudgedRow:
    own = rounded_means(means or {"PESQ_WB": 2.0, "ESTOI": 0.7})
    return JudgedRow(COMPETITION.id, hotkey, 0, model(hotkey, version), block, passed, 0, own, DIGEST)


def verdict(
    task: int, validator: str, rows: Sequence[JudgedRow], *, unprocessed: Means | None = None, rules: str = DIGEST
) -> Verdict:
    return Verdict(
        task=task,
        validator=validator,
        block=task * 100 + 10,
        block_hash=f"0x{task:064x}",
        allowlist=DIGEST,
        rules=rules,
        sets={COMPETITION.id: DIGEST},
        unprocessed={COMPETITION.id: unprocessed or UNPROCESSED},
        rows=tuple(sorted(rows, key=row_order)),
    )
