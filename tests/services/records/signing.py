"""Sign the document of a bundle again, as a signer who lies would."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from soundsright.core.ports import Account
from soundsright.services.records import RoundDocument, open_bundle
from soundsright.services.records.round_document import round_file


def signed_again(folder: Path, account: Account, change: Callable[[Any], object] = lambda facts: None) -> None:
    """Sign the document with the present digests of its files, after a change of its facts."""
    with open_bundle(folder) as bundle:
        facts = bundle.document.facts()
    for name in facts["files"]:
        raw = (folder / name).read_bytes()
        facts["files"][name] = {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
    change(facts)
    (folder / "round.json").write_text(round_file(RoundDocument.model_validate(facts), account))
