"""The attestation of a replay: a signed document that says who checked which bundle, how, and with what result."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from soundsright.core.text_files import shortened
from soundsright.services.records import DocumentKind, OpenedRound, scoring_versions
from soundsright.services.replay.report import ReplayReport

REPLAY = DocumentKind("replay attestation", "soundsright.replay/1")
_MAX_TEXT = 400
"""Characters of a value that differs: a bundle of a stranger must not make an attestation long."""


def attestation_facts(opened: OpenedRound, report: ReplayReport) -> dict[str, Any]:
    """The document to sign. `bundle` is the SHA-256 of the round document, which covers the whole bundle.

    `same` is None if not all of the depth could be checked, and nothing differs.
    """
    difference = None
    if report.difference is not None:
        difference = {name: _signable(value) for name, value in asdict(report.difference).items()}
    return {
        "schema": REPLAY.schema,
        "round": opened.document.round.id,
        "bundle": opened.sha256,
        "bundle_signer": opened.signer,
        "depth": report.depth.value,
        "same": report.is_same if report.is_checked else None,
        "difference": difference,
        "checked": dict(report.checked),
        "unchecked": [{"part": each.part, "why": each.why} for each in report.unchecked],
        "sample": None if report.sample is None else asdict(report.sample),
        "versions": scoring_versions(),
    }


def _signable(value: object) -> object:
    """The value, if it is a number or None; otherwise its text."""
    return value if isinstance(value, bool | int | float) or value is None else shortened(value, _MAX_TEXT)
