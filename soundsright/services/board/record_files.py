"""The record of each round over HTTP, file by file: `/r/RUN/bundle/NAME`.

With ranges, a stranger reads one clip of a large round: `soundsright bundle fetch ADDRESS --clip ID`. Only names
that the bundle itself has are answered.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from soundsright.services.drawing import HEADERS
from soundsright.services.records import OfferedRecord

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

_AUDIO_SECONDS = 3600
_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")
_MEDIA = {
    "json": "application/json",
    "jsonl": "application/jsonl",
    "flac": "audio/flac",
    "wav": "audio/wav",
}


def add_record_files(
    app: FastAPI, record_of: Callable[[str], OfferedRecord | None], otherwise: Callable[[Request], Response]
) -> None:
    """Add the route. `record_of` gives the record of a run by its key; `otherwise` answers all other names."""
    from starlette.responses import FileResponse

    def file(request: Request) -> Response:
        params = request.path_params
        name = params["name"]
        record = record_of(params["run"])
        media_type = _MEDIA.get(name.rpartition(".")[2], "")
        path = record.file(name) if record and media_type else None
        if path is not None:
            return FileResponse(path, media_type=media_type, headers=HEADERS)
        raw = record.made(name) if record and media_type else None
        return otherwise(request) if raw is None else _part_of(raw, request, media_type)

    app.add_route("/r/{run}/bundle/{name:path}", file, methods=["GET", "HEAD"])


def _part_of(raw: bytes, request: Request, media_type: str) -> Response:
    """The bytes that the request asks for: one range, or all."""
    from starlette.responses import Response

    headers = {**HEADERS, "Accept-Ranges": "bytes", "Cache-Control": f"public, max-age={_AUDIO_SECONDS}"}
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or not any(match.groups()):
        return Response(raw, 200, headers, media_type)
    size = len(raw)
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return Response(raw[start:end], 206, headers, media_type)
