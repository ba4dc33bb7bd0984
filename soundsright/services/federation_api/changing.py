"""The routes on which admins read and change the blacklist, and change the list of validators."""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and these name classes inside a function.

from typing import TYPE_CHECKING, Annotated

from soundsright.core.errors import RequestRefused
from soundsright.core.ss58 import is_address
from soundsright.services.federation_api.answers import Changed, Listed
from soundsright.services.federation_api.lists import MAX_REASON, checked_reason
from soundsright.services.federation_api.samples import MAX_UID, read_object
from soundsright.services.federation_api.sending import FederationAccess, write_refusals
from soundsright.services.federation_api.store import FederationStore
from soundsright.services.http import described_body, refusals, signed_body

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

_MAX_BYTES = 2_000
_HOTKEY = {"type": "string", "pattern": "^[1-9A-HJ-NP-Za-km-z]{48}$"}
_BLACKLIST_FORM = {
    "title": "Blacklisted",
    "type": "object",
    "additionalProperties": False,
    "required": ["hotkey"],
    "properties": {"hotkey": _HOTKEY, "reason": {"type": "string", "maxLength": MAX_REASON}},
}
_VALIDATOR_FORM = {
    "title": "Validator",
    "type": "object",
    "additionalProperties": False,
    "required": ["hotkey", "uid"],
    "properties": {"hotkey": _HOTKEY, "uid": {"type": "integer", "minimum": 0, "maximum": MAX_UID}},
}
_GONE = refusals(s404="The hotkey is not in the list")


def add_lists(app: "FastAPI", store: FederationStore, access: FederationAccess) -> None:
    """Add the routes of admins."""
    _add_blacklist(app, store, access)
    _add_validators(app, store, access)


async def _admitted(request: "Request", access: FederationAccess, *, writes: bool = True) -> bytes:
    """The body of an admin's request."""
    admit = access.admit if writes else access.admit_sender
    sender, body = await signed_body(request, admit=admit, throttle=access.throttle, max_bytes=_MAX_BYTES)
    access.check_admin(sender)
    return body


def _add_blacklist(app: "FastAPI", store: FederationStore, access: FederationAccess) -> None:
    from fastapi import Query, Request
    from starlette.concurrency import run_in_threadpool

    @app.get("/blacklist", responses=write_refusals())
    async def blacklist(request: Request) -> list[Listed]:
        """The miners that are not listed as active."""
        await _admitted(request, access, writes=False)
        members = await run_in_threadpool(store.blacklist.members)
        return [Listed(hotkey=hotkey, reason=reason) for hotkey, reason in members.items()]

    @app.post("/blacklist", openapi_extra=described_body(_BLACKLIST_FORM), responses=write_refusals())
    async def add(request: Request) -> Changed:
        """Add a miner, or give another reason."""
        values = read_object(await _admitted(request, access), {"hotkey"}, {"reason"})
        hotkey, reason = checked_hotkey(values["hotkey"]), checked_reason(values.get("reason", ""))
        return Changed(hotkey=hotkey, changed=await run_in_threadpool(store.blacklist.add, hotkey, reason))

    @app.delete("/blacklist", responses=write_refusals() | _GONE)
    async def remove(request: Request, hotkey: Annotated[str, Query(max_length=64)]) -> Changed:
        """Remove a miner."""
        await _admitted(request, access)
        return Changed(hotkey=hotkey, changed=_found(await run_in_threadpool(store.blacklist.remove, hotkey)))


def _add_validators(app: "FastAPI", store: FederationStore, access: FederationAccess) -> None:
    from fastapi import Query, Request
    from starlette.concurrency import run_in_threadpool

    @app.post("/validators", openapi_extra=described_body(_VALIDATOR_FORM), responses=write_refusals())
    async def add(request: Request) -> Changed:
        """Let a validator write, or give it another uid."""
        values = read_object(await _admitted(request, access), {"hotkey", "uid"})
        hotkey, uid = checked_hotkey(values["hotkey"]), checked_uid(values["uid"])
        return Changed(hotkey=hotkey, changed=await run_in_threadpool(store.validators.add, hotkey, uid))

    @app.delete("/validators", responses=write_refusals() | _GONE)
    async def remove(request: Request, hotkey: Annotated[str, Query(max_length=64)]) -> Changed:
        """Let a validator write no longer. Its samples stay."""
        await _admitted(request, access)
        return Changed(hotkey=hotkey, changed=_found(await run_in_threadpool(store.validators.remove, hotkey)))


def _found(was_listed: bool) -> bool:
    if not was_listed:
        raise RequestRefused("not_listed", "The hotkey is not in the list", status=404)
    return True


def checked_hotkey(value: object) -> str:
    """The address of a hotkey.

    Raises:
        RequestRefused: `malformed`.
    """
    if not isinstance(value, str) or not is_address(value):
        raise RequestRefused("malformed", "hotkey: give the SS58 address of a hotkey", status=422)
    return value


def checked_uid(value: object) -> int:
    """The uid of a validator.

    Raises:
        RequestRefused: `malformed`.
    """
    if type(value) is not int or not 0 <= value <= MAX_UID:
        raise RequestRefused("malformed", f"uid: give a whole number from 0 to {MAX_UID}", status=422)
    return value
