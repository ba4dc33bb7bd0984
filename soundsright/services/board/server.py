"""The leaderboard over HTTP: cached pages, audio with range requests, and security headers.

A page is drawn at its first request after the files of a run changed, and then served from memory until they change
again. Audio is served from the WAV files of the run, with range requests and an ETag.
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

from soundsright.core.endpoint import client_network
from soundsright.core.errors import BundleRefused, UsageError
from soundsright.services.board.emission import shown_emission as shown
from soundsright.services.board.federation_page import ShownFederation
from soundsright.services.board.pages import AudioAccess, Site, systems_shown
from soundsright.services.board.record_files import add_record_files
from soundsright.services.board.status_feed import StatusFeed
from soundsright.services.board.streams import Stream, Streams
from soundsright.services.board.tiers_page import ShownTiers
from soundsright.services.drawing import HEADERS, Frame, Page, places_of
from soundsright.services.records import (
    BUNDLE,
    ExecutorHistory,
    OfferedRecord,
    ValidSignature,
    find_runs,
    read_runs,
    run_stamp,
)

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

_REFRESH_S = 2.0
_PAGE_SECONDS = 10
_AUDIO_SECONDS = 3600
_MAX_CACHED_PAGES = 4096
_STATUS_INTERVAL_S = 1.0
_MAX_STREAMS = 200
_MAX_STREAMS_PER_CLIENT = 20


@dataclass(frozen=True)
class CachedPage:
    """A drawn page, plain and compressed, with its ETag."""

    body: bytes
    gzipped: bytes
    media_type: str
    tag: str

    @classmethod
    def of(cls, page: Page) -> CachedPage:
        gzipped = gzip.compress(page.body, 6, mtime=0)
        tag = f'"{hashlib.sha256(page.body).hexdigest()[:24]}"'
        return cls(page.body, gzipped, page.media_type, tag)


class LiveSite:
    """The site of the runs below `paths`. It checks for new and changed runs at most every two seconds.

    `executor` gives the rounds of an executor as they are now, `federation` and `tiers` their pages. They return at
    once. With `valid_signature`, the page of a round shows who signed its record and who replayed it. `log` is the
    hotkey of the log that counts.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        live: bool,
        executor: Callable[[], ExecutorHistory] | None = None,
        federation: Callable[[], ShownFederation] | None = None,
        tiers: Callable[[], ShownTiers] | None = None,
        valid_signature: ValidSignature | None = None,
        log: str | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paths = tuple(paths)
        self._live = live
        self._executor = executor
        self._valid_signature = valid_signature
        self._log = log
        self._federation = federation
        self._tiers = tiers
        self.systems = systems_shown(executor, federation, tiers)
        self._now = now
        self._lock = threading.Lock()
        self._checked_at = float("-inf")
        self._stamp: tuple[object, ...] | None = None
        self._pages: dict[str, CachedPage] = {}
        self._records: dict[str, OfferedRecord] = {}
        self.site = Site((), AudioAccess("file"), live=live)

    def cached(self, path: str) -> CachedPage | None:
        """The page if it is in memory and the runs were checked a moment ago. This never waits or reads a disk."""
        return self._pages.get(path) if self._now() - self._checked_at < _REFRESH_S else None

    def page(self, path: str) -> CachedPage | None:
        """The page at a path, or None. It is drawn at most once for each state of the runs."""
        with self._lock:
            self._refresh()
            cached = self._pages.get(path)
            if cached is None:
                page = self.site.page(path)
                if page is None:
                    return None
                cached = CachedPage.of(page)
                if len(self._pages) >= _MAX_CACHED_PAGES:
                    self._pages.clear()
                self._pages[path] = cached
            return cached

    def signal(self, run_key: str, competition_id: str, clip: str, signal: str) -> Path | None:
        """The WAV file of a signal, or None."""
        with self._lock:
            self._refresh()
            match = self.site.competition_of(run_key, competition_id)
        return match[1].signal(signal, clip) if match else None

    def places(self, run_key: str, competition_id: str, clip: str, signal: str) -> list[dict[str, float | str]]:
        """The places in which a signal looks hallucinated; see `places_of`."""
        with self._lock:
            self._refresh()
            match = self.site.competition_of(run_key, competition_id)
        return places_of(match[1], clip, signal) if match else []

    def bundle(self, run_key: str) -> Path | None:
        """The bundle with audio in the folder of a run, or None."""
        with self._lock:
            self._refresh()
            run = next((run for run in self.site.runs if run.key == run_key), None)
        return run.bundle if run else None

    def record(self, run_key: str) -> OfferedRecord | None:
        """The files of the record of a run, or None. It is opened at most once for each state of the runs."""
        with self._lock:
            self._refresh()
            if run_key not in self._records:
                run = next((run for run in self.site.runs if run.key == run_key), None)
                if run is None:
                    return None
                try:
                    self._records[run_key] = OfferedRecord(run.folder)
                except (UsageError, BundleRefused, OSError):
                    # The disk may answer at the next request.
                    return None
            return self._records[run_key]

    def _refresh(self) -> None:
        if self._now() - self._checked_at < _REFRESH_S:
            return
        self._checked_at = self._now()
        try:
            folders = find_runs(self._paths)
        except UsageError:
            # A folder was moved or deleted while the server runs. Keep the pages that we have.
            return
        history = None if self._executor is None else self._executor()
        federation = None if self._federation is None else self._federation()
        tiers = None if self._tiers is None else self._tiers()
        stamp = (history, federation, tiers, *((folder, run_stamp(folder)) for folder in folders))
        if stamp != self._stamp:
            self._stamp = stamp
            self._pages.clear()
            self._records.clear()
            self.site = Site(
                read_runs(folders),
                AudioAccess("file"),
                live=self._live,
                executor=history,
                federation=federation,
                tiers=tiers,
                valid_signature=self._valid_signature,
                log=self._log,
            )


def board_app(site: LiveSite, feed: StatusFeed | None = None) -> FastAPI:
    """The leaderboard as an ASGI application. With a feed, /status shows the running round, and
    /emission what the validator pays.

    Raises:
        UsageError: FastAPI is not installed.
    """
    try:
        from fastapi import FastAPI
    except ImportError as error:
        raise UsageError(
            "The leaderboard server needs FastAPI, which is not installed", "Run `pip install soundsright`."
        ) from error

    app = FastAPI(title="SoundsRight leaderboard", docs_url=None, redoc_url=None, openapi_url=None)
    if feed is not None:
        _add_status(app, feed, Frame(live=True, systems=site.systems))
    _add_files(app, site)
    # Last, because this route matches every address.
    _add_pages(app, site)
    return app


def _add_files(app: FastAPI, site: LiveSite) -> None:
    """The routes of audio and of bundles."""
    from starlette.responses import FileResponse, JSONResponse, Response

    def places(request: Request) -> Response:
        params = request.path_params
        found = site.places(params["run"], params["competition"], params["clip"], params["signal"])
        return JSONResponse(found, headers={**HEADERS, "Cache-Control": f"public, max-age={_AUDIO_SECONDS}"})

    def audio(request: Request) -> Response:
        params = request.path_params
        path = site.signal(params["run"], params["competition"], params["clip"], params["signal"])
        if path is None:
            return Response("There is no such audio file.\n", 404, HEADERS, "text/plain")
        stat = path.stat()
        tag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
        headers = {**HEADERS, "Cache-Control": f"public, max-age={_AUDIO_SECONDS}", "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return FileResponse(path, media_type="audio/wav", headers=headers)

    def other(request: Request) -> Response:
        params = request.path_params
        page = site.page(f"r/{params['run']}/bundle/{params['name'] or 'index.html'}")
        return _not_found(site) if page is None else _response(page, request)

    def bundle(request: Request) -> Response:
        path = site.bundle(request.path_params["run"])
        if path is not None:
            return FileResponse(path, media_type="application/zip", headers=HEADERS)
        page = site.page(f"r/{request.path_params['run']}/{BUNDLE}")
        return _not_found(site) if page is None else _response(page, request)

    app.add_route("/audio/{run}/{competition}/{clip}/{signal}.wav", audio, methods=["GET", "HEAD"])
    app.add_route("/audio/{run}/{competition}/{clip}/{signal}.places.json", places, methods=["GET"])
    app.add_route(f"/r/{{run}}/{BUNDLE}", bundle, methods=["GET", "HEAD"])
    add_record_files(app, site.record, other)


def _add_pages(app: FastAPI, site: LiveSite) -> None:
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response

    async def page(request: Request) -> Response:
        path = request.path_params["path"] or "index.html"
        if path.endswith("/"):
            path += "index.html"
        # Serve cached pages directly. Only drawing and reading need a thread.
        page = site.cached(path) or await run_in_threadpool(site.page, path)
        if page is not None:
            return _response(page, request)
        # Redirect /history to /history.html and /r/RUN to /r/RUN/, as a server of static files would. The address
        # is relative, so it also works behind a proxy that adds a prefix.
        last = path.rpartition("/")[2]
        for other, address in ((f"{path}/index.html", f"{last}/"), (f"{path}.html", f"{last}.html")):
            if await run_in_threadpool(site.page, other) is not None:
                return Response(status_code=307, headers={**HEADERS, "Location": address})
        return _not_found(site)

    app.add_route("/{path:path}", page, methods=["GET", "HEAD"])


def _add_status(app: FastAPI, feed: StatusFeed, frame: Frame) -> None:
    """The status page and its stream of server-sent events."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response, StreamingResponse

    streams = Streams(most=_MAX_STREAMS, per_client=_MAX_STREAMS_PER_CLIENT)
    no_store = {**HEADERS, "Cache-Control": "no-store"}

    def page(request: Request) -> Response:
        page = frame.page("status.html.j2", "", title="Running now")
        return Response(page.body, 200, no_store, page.media_type)

    def emission(request: Request) -> Response:
        emission, problem = feed.emission()
        page = frame.page("emission.html.j2", "", title="Emission", problem=problem, **shown(emission))
        return Response(page.body, 200, no_store, page.media_type)

    async def events(stream: Stream) -> AsyncIterator[str]:
        last_sent = ""
        while not feed.stopped and not stream.has_ended:
            text = json.dumps(await run_in_threadpool(feed.current))
            # If nothing changed, send a comment to keep the connection open.
            yield f"data: {text}\n\n" if text != last_sent else ": same\n\n"
            last_sent = text
            await asyncio.sleep(_STATUS_INTERVAL_S)

    class Events(StreamingResponse):
        """The events of one stream, which is closed in every case: also if its reader left before the first."""

        def __init__(self, stream: Stream) -> None:
            super().__init__(events(stream), 200, no_store, "text/event-stream")
            self.stream = stream

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await super().__call__(scope, receive, send)
            finally:
                streams.close(self.stream)

    async def follow(request: Request) -> Response:
        stream = streams.opened(client_network(request.client.host if request.client else ""))
        if stream is None:
            return Response(
                f"{_MAX_STREAMS} readers already follow this page. Try again later.\n", 503, no_store, "text/plain"
            )
        return Events(stream)

    app.add_route("/emission", emission, methods=["GET"])
    app.add_route("/status", page, methods=["GET"])
    app.add_route("/status/events", follow, methods=["GET"])


def _not_found(site: LiveSite) -> Response:
    from starlette.responses import Response

    body = site.site.message("Page not found", "There is no page at this address.")
    return Response(body, 404, HEADERS, "text/html")


def _response(page: CachedPage, request: Request) -> Response:
    """The page, compressed if the browser accepts that, or 304 if it has the current version."""
    from starlette.responses import Response

    headers = {
        **HEADERS,
        "Cache-Control": f"public, max-age={_PAGE_SECONDS}",
        "ETag": page.tag,
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("if-none-match") == page.tag:
        return Response(status_code=304, headers=headers)
    accepts_gzip = "gzip" in request.headers.get("accept-encoding", "")
    if accepts_gzip:
        headers["Content-Encoding"] = "gzip"
    return Response(page.gzipped if accepts_gzip else page.body, 200, headers, page.media_type)
