"""The owner's API: everybody reads it, validators send samples and reports, and admins keep its two lists.

Each request is counted for its address and limited in size. A signed one is verified before it is parsed. Sizes are
in bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from soundsright.services.federation_api.changing import add_lists
from soundsright.services.federation_api.reading import add_reads
from soundsright.services.federation_api.sending import FederationAccess, add_sending
from soundsright.services.federation_api.shown import FederationShown
from soundsright.services.http import answer_refusals, refusals, sign_answers

if TYPE_CHECKING:
    from fastapi import FastAPI, Request


def federation_api_app(
    shown: FederationShown,
    access: FederationAccess,
    *,
    origins: Collection[str] = (),
    sign: Callable[[bytes], bytes] | None = None,
) -> FastAPI:
    """The app of a federation's owner. `sign` signs its answers to signed requests, by the owner's hotkey.

    Pages of the `origins` may read it from a browser.
    """
    from fastapi import FastAPI
    from fastapi.exceptions import RequestValidationError
    from starlette.responses import JSONResponse

    def malformed(_request: Request, error: Any) -> JSONResponse:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))[:100]
        return JSONResponse({"code": "malformed", "sentence": f"{field}: {str(first['msg'])[:200]}"}, 422)

    app = FastAPI(
        title="SoundsRight federation",
        version="1",
        docs_url=None,
        redoc_url=None,
        responses=refusals(
            s422="The request is malformed",
            s429="Too many requests from this client",
            s503="The database or the chain does not answer",
        ),
    )
    answer_refusals(app)
    app.add_exception_handler(RequestValidationError, malformed)
    add_reads(app, shown, access.throttle)
    add_sending(app, shown, access)
    add_lists(app, shown.store, access)
    if sign is not None:
        sign_answers(app, sign)
    if origins:
        _allow(app, origins)
    return app


def _allow(app: FastAPI, origins: Collection[str]) -> None:
    """Let pages of these origins read. No page may send: nothing that a browser knows signs a request."""
    from starlette.middleware.cors import CORSMiddleware

    app.add_middleware(CORSMiddleware, allow_origins=sorted(origins), allow_methods=["GET"], max_age=600)
