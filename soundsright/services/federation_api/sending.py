"""The routes on which validators send samples of their verdicts and reports on the miners."""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and these name classes inside a function.

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from soundsright.core.errors import RequestRefused
from soundsright.services.federation_api.answers import Counted, Replaced
from soundsright.services.federation_api.samples import (
    MAX_MINERS,
    MAX_NUMBER,
    MAX_SAMPLES,
    MAX_UID,
    read_report,
    read_samples,
)
from soundsright.services.federation_api.shown import FederationShown
from soundsright.services.http import Admit, Throttle, described_body, refusals, signed_body, vouch

if TYPE_CHECKING:
    from fastapi import FastAPI

MAX_BATCH_BYTES = 262_144
"""Enough for 100 samples with the longest texts and usual means."""
MAX_REPORT_BYTES = 524_288


@dataclass(frozen=True)
class FederationAccess:
    """The checks of requests.

    `admit` verifies the signature of an admin's request, and `admit_sender` that of a validator's, in any dialect.
    `throttle` counts the requests of an address. `check_admin` raises `RequestRefused` if the hotkey is no admin.
    """

    admit: Admit
    admit_sender: Admit
    throttle: Throttle
    check_admin: Callable[[str], None]


def admins_only(hotkeys: frozenset[str]) -> Callable[[str], None]:
    """A check that raises `RequestRefused` with `not_admin` for all but these hotkeys."""

    def check(hotkey: str) -> None:
        if hotkey not in hotkeys:
            raise RequestRefused("not_admin", "Only a hotkey of ADMIN_HOTKEYS may do this")

    return check


def write_refusals(**more: str) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route that needs a signature."""
    meanings = {
        "s400": "The body is not JSON",
        "s401": "The request is not signed, or not for this service, or not now",
        "s403": "The sender may not do this",
        "s409": "It contradicts what is recorded",
        "s413": "The request is too large",
    }
    return refusals(**(meanings | more))


_HOTKEY = {"type": "string", "pattern": "^[1-9A-HJ-NP-Za-km-z]{48}$"}
_UID = {"type": ["integer", "null"], "minimum": 0, "maximum": MAX_UID}
_COUNT = {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER}
_DIGEST = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_NAME = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"}


def _form(title: str, **properties: Any) -> dict[str, Any]:
    return {
        "title": title,
        "type": "object",
        "additionalProperties": False,
        "required": sorted(properties),
        "properties": properties,
    }


SAMPLE_FORM = _form(
    "Sample",
    task=_COUNT,
    competition=_NAME,
    miner_hotkey=_HOTKEY,
    uid=_UID,
    model={"type": "string", "minLength": 1, "maxLength": 400},
    block=_COUNT,
    passed={"type": "boolean"},
    failures={"type": "integer", "minimum": 0, "maximum": 4_096},
    means={"type": "object", "maxProperties": 16, "additionalProperties": {"type": "number"}},
    answers=_DIGEST,
    verdict=_DIGEST,
)
SAMPLE_FORM["properties"]["unprocessed"] = SAMPLE_FORM["properties"]["means"]
_BATCH_FORM = _form(
    "Samples", samples={"type": "array", "minItems": 1, "maxItems": MAX_SAMPLES, "items": SAMPLE_FORM}
)
_MINER_FORM = _form(
    "Miner",
    hotkey=_HOTKEY,
    uid=_UID,
    valid={"type": "boolean"},
    reason={"type": "string", "pattern": "^([a-z][a-z0-9_]{0,63})?$"},
)
_REPORT_FORM = _form(
    "Report",
    miners={"type": "array", "maxItems": MAX_MINERS, "items": _MINER_FORM},
    winners={
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": ["string", "null"], "pattern": _HOTKEY["pattern"]},
    },
)


def add_sending(app: "FastAPI", shown: FederationShown, access: FederationAccess) -> None:
    """Add the two routes of validators."""
    from fastapi import Request
    from starlette.concurrency import run_in_threadpool

    async def sent(request: Request, max_bytes: int) -> tuple[str, bytes]:
        length = request.headers.get("content-length", "")
        if length.isdigit() and len(length) < 20 and int(length) > max_bytes:
            raise RequestRefused("too_large", f"A request may have at most {max_bytes} bytes", status=413)
        return await signed_body(request, admit=access.admit_sender, throttle=access.throttle, max_bytes=max_bytes)

    def take_samples(sender: str, body: bytes) -> Counted:
        shown.check_validator(sender)
        samples = read_samples(body)
        shown.check_samples(samples)
        return Counted(count=len(samples), new=shown.store.add_samples(sender, samples))

    def take_report(sender: str, body: bytes) -> Replaced:
        shown.check_validator(sender)
        report = read_report(body)
        shown.store.replace_report(sender, report)
        return Replaced(count=len(report.miners))

    @app.post("/samples/batch", openapi_extra=described_body(_BATCH_FORM), responses=write_refusals())
    async def samples_batch(request: Request) -> Counted:
        """Add the rows of one's own verdict on one task. The first sample of an entry stays."""
        sender, body = await sent(request, MAX_BATCH_BYTES)
        counted = await run_in_threadpool(take_samples, sender, body)
        vouch(request)
        return counted

    @app.post("/miners/report", openapi_extra=described_body(_REPORT_FORM), responses=write_refusals())
    async def miners_report(request: Request) -> Replaced:
        """Replace one's own report on the miners."""
        sender, body = await sent(request, MAX_REPORT_BYTES)
        replaced = await run_in_threadpool(take_report, sender, body)
        vouch(request)
        return replaced
