"""The proof beside a bundle that its round is in a log, for `bundle verify`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.errors import LogRefused, UsageError

if TYPE_CHECKING:
    from soundsright.services.log import SavedProof
    from soundsright.services.records import BundleStore


def log_lines(store: BundleStore, sha256: str, log: str) -> list[str]:
    """The lines about the proof in a bundle, or beside it. `log` is the hotkey of the log that counts, or empty.

    `sha256` is that of the round document.

    Raises:
        LogRefused: the proof is false; or `log` is named, and nothing proves that the round is in that log.
    """
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.log import check_proof, counted

    try:
        proof = _found(store)
        if proof is None:
            raise UsageError("There is no log.json in the bundle or beside it", _REMEDY)
        if proof.sha256 != sha256:
            raise UsageError(f"log.json proves another document: {proof.sha256[:16]}", _REMEDY)
    except LogRefused:
        raise
    except UsageError as error:
        if log:
            raise LogRefused(
                f"Nothing proves that the round is in the log {log}: {error.problem}", _REMEDY
            ) from error
        return [f"Log        not checked: {error.problem}"]
    check_proof(proof, store.read("round.json"), valid_signature=valid_signature, log=log or None)
    head = proof.head
    signed = datetime.fromtimestamp(head.time_s, UTC).strftime("%Y-%m-%d %H:%M")
    lines = [
        f"Log        entry {proof.index} of {counted(head.size)} in the log {head.log}, signed {signed} UTC",
    ]
    if not log:
        lines.append("           Anyone can keep a log. Name the one that you trust with --log.")
    return lines


def _found(store: BundleStore) -> SavedProof | None:
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.log import open_proof, read_proof
    from soundsright.services.records import LOG_PROOF

    if LOG_PROOF in store.sizes:
        return open_proof(store.read(LOG_PROOF), valid_signature=valid_signature)
    return read_proof(Path(store.path).resolve().parent, valid_signature=valid_signature)


_REMEDY = "Ask the signer of the round for it, or omit --log."
