"""The log's HTTP interface. Everybody may read; a document that is appended carries its own signature.

Each request is counted for its address and limited in size. Every answer is bounded.
"""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and these name classes inside a function.

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel

from soundsright.core.canonical import canonical_json
from soundsright.core.endpoint import client_network
from soundsright.core.errors import RequestRefused
from soundsright.services.http import TaggedBody, Throttle, answer_refusals, bounded_body, described_body, refusals
from soundsright.services.log.admission import Admission
from soundsright.services.log.entries import MAX_DOCUMENT_BYTES, MAX_ENTRIES
from soundsright.services.log.tree_log import OwnLog, TransparencyLog

if TYPE_CHECKING:
    from fastapi import FastAPI


class _Page(BaseModel):
    """Entries from `start` on, and the size of the log."""

    start: int
    size: int
    entries: list[dict[str, Any]]


class _Inclusion(BaseModel):
    index: int
    size: int
    leaf: str
    proof: list[str]


class _Consistency(BaseModel):
    first: int
    second: int
    proof: list[str]


class _Equivocation(BaseModel):
    kind: str
    signer: str
    round: str
    indexes: list[int]


class _Appended(BaseModel):
    """An entry in the log, with a head that has it and the proof. `others` are documents that contradict it."""

    index: int
    is_new: bool
    others: list[int]
    size: int
    proof: list[str]
    head: dict[str, str]


_ENVELOPE_FORM = {
    "title": "Signed document",
    "type": "object",
    "required": ["schema", "signer", "signature", "document"],
    "properties": {name: {"type": "string"} for name in ("schema", "signer", "signature", "document")},
}


def log_app(
    log: TransparencyLog,
    *,
    throttle: Throttle,
    throttle_writes: Throttle = lambda _network: None,
    admission: Admission | None = None,
) -> "FastAPI":
    """The app of a log. It takes documents if there is an `admission`, and the log is an `OwnLog`.

    `throttle` counts all requests of an address. `throttle_writes` counts the documents of an address, before they
    are read, and then those of each signer.
    """
    from fastapi import Depends, FastAPI, Request
    from fastapi.exceptions import RequestValidationError
    from starlette.responses import JSONResponse

    def counted(request: Request) -> None:
        throttle(client_network(request.client.host if request.client else ""))

    def malformed(_request: Request, error: Any) -> JSONResponse:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))[:100]
        return JSONResponse({"code": "malformed", "sentence": f"{field}: {str(first['msg'])[:200]}"}, 422)

    app = FastAPI(
        title="SoundsRight log of signed documents",
        version="1",
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(counted)],
        responses=refusals(
            s404="There is no such entry or proof",
            s422="The request is malformed",
            s429="Too many requests from this client",
            s503="The log cannot answer now",
        ),
    )
    answer_refusals(app)
    app.add_exception_handler(RequestValidationError, malformed)
    _add_reads(app, log)
    _add_proofs(app, log)
    if admission is not None and isinstance(log, OwnLog):
        _add_append(app, log, admission, throttle_writes)
    return app


_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Not changed since that ETag"}}


def _add_reads(app: "FastAPI", log: TransparencyLog) -> None:
    from fastapi import Query, Request, Response

    index = Query(ge=0, le=MAX_ENTRIES)

    @app.get("/head", response_model=dict[str, str], responses=_NOT_MODIFIED)
    def head(request: Request) -> Response:
        """The signed head."""
        return TaggedBody.of(log.head().envelope.encode()).answer(request)

    @app.get("/entries", response_model=_Page, responses=_NOT_MODIFIED)
    def entries(request: Request, start: Annotated[int, index], end: Annotated[int, index]) -> Response:
        """The entries from `start` up to, and not including, `end`. A page may end earlier: ask for the rest."""
        texts = log.entries(start, end)
        body = f'{{"entries":[{",".join(texts)}],"size":{log.size},"start":{start}}}'
        return TaggedBody.of(body.encode()).answer(request)

    @app.get("/equivocations", response_model=list[_Equivocation], responses=_NOT_MODIFIED)
    def equivocations(request: Request) -> Response:
        """The signers who signed different documents for one round."""
        rows = [
            {"kind": each.kind, "signer": each.signer, "round": each.round, "indexes": list(each.indexes)}
            for each in log.equivocations()
        ]
        return TaggedBody.of(canonical_json(rows).encode()).answer(request)


def _add_proofs(app: "FastAPI", log: TransparencyLog) -> None:
    from fastapi import Query, Request, Response

    number = Query(ge=0, le=MAX_ENTRIES)

    @app.get("/proof/inclusion", response_model=_Inclusion, responses=_NOT_MODIFIED)
    def inclusion(
        request: Request,
        index: Annotated[int | None, number] = None,
        sha256: Annotated[str | None, Query(pattern="^[0-9a-f]{64}$")] = None,
        size: Annotated[int | None, number] = None,
    ) -> Response:
        """The proof that an entry is in the log. Name it by `index`, or by the SHA-256 of its document."""
        if (index is None) == (sha256 is None):
            raise RequestRefused("malformed", "Give either index or sha256", status=422)
        at = log.index_of(sha256) if sha256 is not None else index or 0
        proof = log.inclusion(at, size)
        facts = {"index": at, "size": proof.size, "leaf": proof.leaf.hex(), "proof": _hex(proof.hashes)}
        return TaggedBody.of(canonical_json(facts).encode()).answer(request)

    @app.get("/proof/consistency", response_model=_Consistency, responses=_NOT_MODIFIED)
    def consistency(request: Request, first: Annotated[int, number], second: Annotated[int, number]) -> Response:
        """The proof that the log only grew from `first` to `second` entries."""
        facts = {"first": first, "second": second, "proof": _hex(log.consistency(first, second))}
        return TaggedBody.of(canonical_json(facts).encode()).answer(request)


def _add_append(app: "FastAPI", log: OwnLog, admission: Admission, throttle: Throttle) -> None:
    import json

    from fastapi import Request
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse

    def take(raw: bytes) -> tuple[_Appended, int]:
        entry = admission.entry(raw)
        throttle(entry.signer)
        appended = log.append(entry)
        head = log.head()
        proof = log.inclusion(appended.index, head.size)
        answer = _Appended(
            index=appended.index,
            is_new=appended.is_new,
            others=list(appended.others),
            size=head.size,
            proof=_hex(proof.hashes),
            head=json.loads(head.envelope),
        )
        return answer, 201 if appended.is_new else 200

    @app.post(
        "/entries",
        status_code=201,
        response_model=_Appended,
        openapi_extra=described_body(_ENVELOPE_FORM),
        responses={
            **refusals(
                s403="The signature is wrong, or its signer may not add documents",
                s409="The log is full",
                s413="The document is too large",
            ),
            200: {"model": _Appended, "description": "The log had this document already"},
        },
    )
    async def append(request: Request) -> JSONResponse:
        """Add a signed document. The same document again gives the same index."""
        throttle(client_network(request.client.host if request.client else ""))
        raw = await bounded_body(request, MAX_DOCUMENT_BYTES)
        answer, status = await run_in_threadpool(take, raw)
        return JSONResponse(answer.model_dump(), status)


def _hex(hashes: tuple[bytes, ...]) -> list[str]:
    return [each.hex() for each in hashes]
