"""The signed view: the verdicts that a validator had read, checked and mirrored by the block of an epoch.

The validator commits to the digest of its view on the chain within half an epoch. So nobody can show different
views to different validators, and which views exist is the same for all. Sizes are in bytes, blocks are counted.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from soundsright.core.errors import RequestRefused
from soundsright.core.federation import View
from soundsright.core.ports import Account
from soundsright.services.federation.documents import SignedDocument, check_keys, object_of, read_or_refuse
from soundsright.services.records import (
    DocumentKind,
    ValidSignature,
    open_document,
    open_envelope,
    sign_document,
)

VIEW = DocumentKind("view of an epoch", "soundsright.view/1")
MAX_VIEW_BYTES = 4 << 20
"""The most bytes of a view. One over 300 tasks has about 40 000."""

_KEYS = frozenset({"schema", "epoch_block", "validator", "allowlist", "rules", "verdicts", "evidence", "winners"})
_TASK = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class SignedView(SignedDocument):
    """A view whose signature was verified."""

    view: View


@dataclass(frozen=True)
class EpochFacts:
    """The facts of an epoch, which must stand in each view of it.

    `allowlist` and `rules` are digests. `tasks` are those that can count in the epoch.
    """

    epoch_block: int
    validators: tuple[str, ...]
    allowlist: str
    rules: str
    competitions: Collection[str]
    tasks: range


def sign_view(view: View, account: Account) -> bytes:
    """The view in its envelope, as it is published."""
    return sign_document(VIEW, view_facts(view), account).encode()


def open_view(raw: bytes, *, valid_signature: ValidSignature) -> SignedView:
    """Verify an envelope, and read the view in it. Nothing is known yet of its epoch.

    Raises:
        RequestRefused: `too_large`, `malformed`, `bad_signature` or `wrong_signer`.
    """
    opened = open_document(VIEW, raw, valid_signature=valid_signature, max_bytes=MAX_VIEW_BYTES)
    view = read_or_refuse(VIEW, _view_of, opened.facts)
    if view.validator != opened.signer:
        raise RequestRefused("wrong_signer", f"A view of {view.validator} is signed by {opened.signer}")
    return SignedView(opened.envelope, raw, view)


def view_digest(raw: bytes, *, valid_signature: ValidSignature) -> str:
    """The digest of the document in a signed envelope, whatever the document says.

    Raises:
        RequestRefused: `too_large`, `malformed` or `bad_signature`.
    """
    return open_envelope(VIEW, raw, valid_signature=valid_signature, max_bytes=MAX_VIEW_BYTES).digest


def check_view(view: View, known: EpochFacts, *, validator: str) -> None:
    """Check that this is a view of `validator` on that epoch. All validators come to the same result.

    Raises:
        RequestRefused: `wrong_signer`, `wrong_epoch`, `wrong_allowlist`, `wrong_rules`, `wrong_task` or
            `wrong_competition`.
    """
    if view.validator != validator or validator not in known.validators:
        raise RequestRefused("wrong_signer", f"This is a view of {view.validator}, not of {validator}")
    if view.epoch_block != known.epoch_block:
        raise RequestRefused("wrong_epoch", f"This is a view of the epoch {view.epoch_block}")
    if view.allowlist != known.allowlist:
        raise RequestRefused("wrong_allowlist", "The view was made for another allowlist")
    if view.rules != known.rules:
        raise RequestRefused("wrong_rules", "The view was made by other rules")
    if any(task not in known.tasks for task in (*view.verdicts, *view.evidence)):
        raise RequestRefused("wrong_task", "The view lists a task that is not in the lookback of its epoch")
    if not set(view.winners) <= set(known.competitions):
        raise RequestRefused(
            "wrong_competition", "The view names a winner of a competition that the rules do not name"
        )


def view_facts(view: View) -> dict[str, Any]:
    """The view as JSON values: the document."""
    return {
        "schema": VIEW.schema,
        "epoch_block": view.epoch_block,
        "validator": view.validator,
        "allowlist": view.allowlist,
        "rules": view.rules,
        "verdicts": {str(task): dict(digests) for task, digests in view.verdicts.items()},
        "evidence": {str(task): dict(digests) for task, digests in view.evidence.items()},
        "winners": dict(view.winners),
    }


def _view_of(facts: Mapping[str, Any]) -> View:
    check_keys(facts, _KEYS)
    return View(
        epoch_block=facts["epoch_block"],
        validator=facts["validator"],
        allowlist=facts["allowlist"],
        rules=facts["rules"],
        verdicts=_by_task(facts["verdicts"]),
        evidence=_by_task(facts["evidence"]),
        winners=object_of(facts["winners"]),
    )


def _by_task(value: object) -> dict[int, dict[str, str]]:
    listed = object_of(value)
    if not all(_TASK.fullmatch(task) and digests for task, digests in listed.items()):
        raise ValueError("a task is no number, or has no digests")
    return {int(task): object_of(digests) for task, digests in listed.items()}
