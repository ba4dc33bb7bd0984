"""The site over HTTP: pages drawn once and kept, audio with ranges, headers that let nothing foreign run.

A page is drawn when it is first asked for after a run's files have changed, and answered from memory until they
change again. Audio is the run's own WAV, answered by range and revalidated by its tag.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError
from soundsright.services.board.pages import AudioAccess, Site
from soundsright.services.board.status_feed import StatusFeed
from soundsright.services.drawing import HEADERS, Frame, Page
from soundsright.services.records import BUNDLE, find_runs, read_runs, run_stamp

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

_LOOK_AGAIN_S = 2.0
_PAGE_SECONDS = 10
_AUDIO_SECONDS = 3600
_KEPT_PAGES = 4096
_STATUS_EVERY_S = 1.0
_MAX_STREAMS = 200


@dataclass(frozen=True)
class Answer:
    """A drawn page in both forms, with its tag."""

    body: bytes
    packed: bytes
    media_type: str
    tag: str

    @classmethod
    def of(cls, page: Page) -> Answer:
        packed = gzip.compress(page.body, 6, mtime=0)
        tag = f'"{hashlib.sha256(page.body).hexdigest()[:24]}"'
        return cls(page.body, packed, page.media_type, tag)


class LiveSite:
    """The site of the runs that the paths hold now: looked at again every two seconds at most."""

    def __init__(self, paths: Sequence[Path], *, live: bool, now: Callable[[], float] = time.monotonic) -> None:
        self._paths = tuple(paths)
        self._live = live
        self._now = now
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._stamp: tuple[object, ...] | None = None
        self._answers: dict[str, Answer] = {}
        self.site = Site((), AudioAccess("file"), live=live)

    def kept(self, path: str) -> Answer | None:
        """The page if it was drawn and the runs were looked at a moment ago: no wait, no disk."""
        return self._answers.get(path) if self._now() - self._looked_at < _LOOK_AGAIN_S else None

    def answer(self, path: str) -> Answer | None:
        """The page at a path, drawn at most once for each state of the runs."""
        with self._lock:
            self._refresh()
            found = self._answers.get(path)
            if found is None:
                page = self.site.page(path)
                if page is None:
                    return None
                found = Answer.of(page)
                if len(self._answers) >= _KEPT_PAGES:
                    self._answers.clear()
                self._answers[path] = found
            return found

    def signal(self, run_key: str, competition_id: str, clip: str, signal: str) -> Path | None:
        with self._lock:
            self._refresh()
            found = self.site.competition_of(run_key, competition_id)
        return found[1].signal(signal, clip) if found else None

    def bundle(self, run_key: str) -> Path | None:
        """The bundle with audio that lies in a run's folder."""
        with self._lock:
            self._refresh()
            run = next((run for run in self.site.runs if run.key == run_key), None)
        return run.bundle if run else None

    def _refresh(self) -> None:
        if self._now() - self._looked_at < _LOOK_AGAIN_S:
            return
        self._looked_at = self._now()
        try:
            folders = find_runs(self._paths)
        except UsageError:
            # A folder was moved away while we serve: what was read stays.
            return
        stamp = tuple((folder, run_stamp(folder)) for folder in folders)
        if stamp != self._stamp:
            self._stamp = stamp
            self._answers.clear()
            self.site = Site(read_runs(folders), AudioAccess("file"), live=self._live)


def board_app(site: LiveSite, feed: StatusFeed | None = None) -> FastAPI:
    """The leaderboard as an ASGI application; with a feed, the running round at /status, live.

    Raises:
        UsageError: FastAPI is not installed.
    """
    try:
        from fastapi import FastAPI
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import FileResponse, Response
    except ImportError as error:
        raise UsageError("The server needs FastAPI", "pip install soundsright") from error

    app = FastAPI(title="SoundsRight leaderboard", docs_url=None, redoc_url=None, openapi_url=None)

    def audio(request: Request) -> Response:
        asked = request.path_params
        path = site.signal(asked["run"], asked["competition"], asked["clip"], asked["signal"])
        if path is None:
            return Response("No such audio.\n", 404, HEADERS, "text/plain")
        facts = path.stat()
        tag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
        headers = {**HEADERS, "Cache-Control": f"public, max-age={_AUDIO_SECONDS}", "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return FileResponse(path, media_type="audio/wav", headers=headers)

    def bundle(request: Request) -> Response:
        path = site.bundle(request.path_params["run"])
        if path is not None:
            return FileResponse(path, media_type="application/zip", headers=HEADERS)
        answer = site.answer(f"r/{request.path_params['run']}/{BUNDLE}")
        return missing() if answer is None else _answered(answer, request)

    def missing() -> Response:
        body = site.site.message("Not here", "There is no page at this address.")
        return Response(body, 404, HEADERS, "text/html")

    async def page(request: Request) -> Response:
        path = request.path_params["path"] or "index.html"
        # What is in memory is answered at once; a thread is for what must be read or drawn.
        if path.endswith("/"):
            path += "index.html"
        answer = site.kept(path) or await run_in_threadpool(site.answer, path)
        if answer is not None:
            return _answered(answer, request)
        # As where the same pages lie in folders: to the folder, or the page of that name. Relative, so that a
        # prefix before a proxy stays.
        last = path.rpartition("/")[2]
        for there, address in ((f"{path}/index.html", f"{last}/"), (f"{path}.html", f"{last}.html")):
            if await run_in_threadpool(site.answer, there) is not None:
                return Response(status_code=307, headers={**HEADERS, "Location": address})
        return missing()

    if feed is not None:
        _add_status(app, site, feed)
    app.add_route("/audio/{run}/{competition}/{clip}/{signal}.wav", audio, methods=["GET", "HEAD"])
    app.add_route(f"/r/{{run}}/{BUNDLE}", bundle, methods=["GET", "HEAD"])
    app.add_route("/{path:path}", page, methods=["GET", "HEAD"])
    return app


def _add_status(app: FastAPI, site: LiveSite, feed: StatusFeed) -> None:
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response, StreamingResponse

    open_streams = 0
    fresh = {**HEADERS, "Cache-Control": "no-store"}

    def page(request: Request) -> Response:
        found = Frame(live=True).page("status.html.j2", "", title="Running now")
        return Response(found.body, 200, fresh, found.media_type)

    async def events() -> AsyncIterator[str]:
        nonlocal open_streams
        open_streams += 1
        said = ""
        try:
            while not feed.stopped:
                text = json.dumps(await run_in_threadpool(feed.current))
                # A comment keeps the line open where nothing has changed.
                yield f"data: {text}\n\n" if text != said else ": same\n\n"
                said = text
                await asyncio.sleep(_STATUS_EVERY_S)
        finally:
            open_streams -= 1

    async def stream(request: Request) -> Response:
        if open_streams >= _MAX_STREAMS:
            return Response("Too many readers; load the page again later.\n", 503, fresh, "text/plain")
        return StreamingResponse(events(), 200, fresh, "text/event-stream")

    app.add_route("/status", page, methods=["GET"])
    app.add_route("/status/events", stream, methods=["GET"])


def _answered(answer: Answer, request: Request) -> Response:
    from starlette.responses import Response

    headers = {
        **HEADERS,
        "Cache-Control": f"public, max-age={_PAGE_SECONDS}",
        "ETag": answer.tag,
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("if-none-match") == answer.tag:
        return Response(status_code=304, headers=headers)
    packed = "gzip" in request.headers.get("accept-encoding", "")
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(answer.packed if packed else answer.body, 200, headers, answer.media_type)
