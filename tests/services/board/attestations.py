"""Attestations of replays in the folder of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from soundsright.core.ports import Account
from soundsright.services.records import open_bundle, sign_document
from soundsright.services.replay import REPLAY, Depth, ReplayReport, Sample, attestation_facts
from soundsright.services.rounds import Difference


def attested(
    folder: Path,
    account: Account,
    depth: Depth = Depth.DECIDE,
    difference: Difference | None = None,
    sample: Sample | None = None,
    changes: Mapping[str, object] | None = None,
) -> Path:
    """An attestation of that validator in the run's folder."""
    report = ReplayReport(
        depth, {"steps": 9, "scores computed again": 12, "answers given again": 12}, difference, sample=sample
    )
    with open_bundle(folder / "bundle") as bundle:
        facts = {**attestation_facts(bundle.opened, report), **(changes or {})}
    (folder / "attestations").mkdir(exist_ok=True)
    path = folder / "attestations" / f"{len(list((folder / 'attestations').iterdir()))}.json"
    path.write_text(sign_document(REPLAY, facts, account))
    return path
