"""The client of the model protocol over HTTP, which docs/reference/protocol.md specifies.

Signals are float32 arrays of shape `(n,)`, full scale ±1; times are in seconds, sizes in bytes.

The client requests `GET /status/` and `POST /prepare/`, then for each batch `POST /upload-audio/`, `POST /enhance/`
and `GET /download-enhanced/`, with `POST /reset/` between batches. The server is not trusted: every answer has a
limit in time and size. A fault becomes a `ModelFault` if the whole batch has no answer, or the `Failure` of one
clip.
"""

from __future__ import annotations

import http.client
import io
import json
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

from soundsright.adapters.protocol.answers import BatchAnswers, answer_of, max_wav_bytes, wav_name
from soundsright.adapters.protocol.archive import ArchiveBounds, read_archive
from soundsright.adapters.protocol.http_exchange import Body, Connect, HttpReply, TooLarge, exchange
from soundsright.adapters.protocol.stream_client import HttpModelStream, offered_lookahead_ms, opened_stream
from soundsright.core.errors import (
    ModelCrashed,
    ModelFault,
    ModelTimeout,
    ProtocolViolation,
    printable,
)
from soundsright.core.ports import DegradedClip, SandboxLimits
from soundsright.core.wav import encode_wav

TRANSFER_FACTOR = 0.2
"""An upload or a download may take this many seconds per second of audio, besides the fixed limit of a step."""

_POLL_S = 0.02
_STATUS_TIMEOUT_S = 5.0
_END_WAIT_S = 3.0
_JSON_BYTES = 65_536
_JSON_BYTES_PER_CLIP = 1_024
_SPOOL_BYTES = 1 << 24
_NOT_READY_STATUSES = (404, 425, 429, 503)
"""A server answers with these while it starts: not found, too early, too many requests, unavailable."""


@dataclass(frozen=True)
class _Step:
    """One request of the protocol. The field `confirmed_by` of its JSON answer must be true."""

    name: str
    method: str
    path: str
    confirmed_by: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


_STATUS = _Step("loading", "GET", "/status/", "container_running")
_PREPARE = _Step("prepare", "POST", "/prepare/", "preparations")
_UPLOAD = _Step("upload", "POST", "/upload-audio/", "status")
_ENHANCE = _Step("enhance", "POST", "/enhance/", "status")
_DOWNLOAD = _Step("download", "GET", "/download-enhanced/")
_RESET = _Step("reset", "POST", "/reset/", "status")


class _JsonAnswer(NamedTuple):
    fields: dict[str, Any]
    reply: HttpReply


class HttpModelClient:
    """Talks to one model over HTTP.

    `connect` opens a connection. `ended` returns the model's fault if its process has ended, otherwise None.
    """

    def __init__(
        self, connect: Connect, *, limits: SandboxLimits, ended: Callable[[], ModelFault | None] = lambda: None
    ) -> None:
        self._connect = connect
        self._limits = limits
        self._ended = ended

    def wait_until_ready(self, deadline: float) -> None:
        """Request the status until the model reports that it runs, then prepare it, all within the deadline.

        Raises:
            ModelCrashed: the model ended first.
            ModelTimeout: the model was not ready in time.
            ProtocolViolation: the protocol does not allow its answer.
        """
        while True:
            if (fault := self._ended()) is not None:
                raise fault
            if time.monotonic() >= deadline:
                raise ModelTimeout(_STATUS.name, self._limits.load_timeout_s)
            try:
                answer = self._status(min(deadline, time.monotonic() + _STATUS_TIMEOUT_S))
            except (OSError, http.client.HTTPException):
                time.sleep(_POLL_S)
                continue
            is_running = answer.fields.get(_STATUS.confirmed_by)
            if answer.reply.status == 200 and is_running is True:
                break
            status = answer.reply.status
            if status not in _NOT_READY_STATUSES and not (status == 200 and is_running is False):
                raise _unexpected(_STATUS, status, answer.fields, '{"container_running": true}')
            time.sleep(_POLL_S)
        self._step(_PREPARE, deadline, self._limits.load_timeout_s)

    def reset(self) -> None:
        """Make the model delete the uploaded and enhanced clips.

        Raises:
            ModelFault: the model did not confirm.
        """
        limit_s = self._limits.step_timeout_s
        self._step(_RESET, time.monotonic() + limit_s, limit_s)

    def enhance(self, batch: Sequence[DegradedClip]) -> BatchAnswers:
        """One answer per clip, and the seconds from the first byte of the upload to the last of the download.

        A model could do its work in any step, or between two, so no part of that time is left out. The harness
        encodes the clips before and decodes the answers afterwards, so that its own work does not count.

        Raises:
            ModelFault: the batch as a whole got no answer.
        """
        audio_s = sum(clip.audio.duration_s for clip in batch)
        transfer_s = self._limits.step_timeout_s + TRANSFER_FACTOR * audio_s
        began_s = self._upload(batch, transfer_s)
        limit_s = self._limits.enhance_fixed_s + self._limits.enhance_factor * audio_s
        self._step(_ENHANCE, time.monotonic() + limit_s, limit_s)
        return self._download(batch, transfer_s, began_s)

    def stream_lookahead_ms(self) -> float | None:
        """By how much the answer to a stream lags; None if the model does not stream.

        Raises:
            ModelFault: the model gave no valid answer.
        """
        answer = self._step(_STATUS, time.monotonic() + _STATUS_TIMEOUT_S, _STATUS_TIMEOUT_S)
        return offered_lookahead_ms(answer.fields)

    def open_stream(self, sample_rate_hz: int) -> HttpModelStream:
        """A new stream. Close it.

        Raises:
            ModelFault: the model does not stream, or did not begin one.
        """
        lookahead_ms = self.stream_lookahead_ms()
        if lookahead_ms is None:
            raise ProtocolViolation("GET /status/ does not say that the model streams")
        return opened_stream(
            self._connect,
            sample_rate_hz,
            lookahead_ms,
            timeout_s=self._limits.step_timeout_s,
            fault_of=self._fault_of,
        )

    def _upload(self, batch: Sequence[DegradedClip], limit_s: float) -> float:
        """Upload the clips. Returns the `time.monotonic()` before the first byte."""
        files = [(wav_name(clip.clip_id), encode_wav(clip.audio)) for clip in batch]
        answer = self._step(
            _UPLOAD,
            time.monotonic() + limit_s,
            limit_s,
            _multipart(files),
            max_bytes=_JSON_BYTES + _JSON_BYTES_PER_CLIP * len(files),
        )
        names = answer.fields.get("uploaded_files")
        if not isinstance(names, list) or len(names) != len(files):
            raise ProtocolViolation(
                f"{_UPLOAD} answered {_shown(answer.fields)}; expected a list of {len(files)} uploaded_files"
            )
        return answer.reply.began_s

    def _download(self, batch: Sequence[DegradedClip], limit_s: float, began_s: float) -> BatchAnswers:
        bounds = ArchiveBounds({f"{clip.clip_id}.wav": max_wav_bytes(clip) for clip in batch})
        deadline = time.monotonic() + limit_s
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as file:
            reply = self._exchange(_DOWNLOAD, deadline, limit_s, file, max_bytes=bounds.archive_bytes)
            if reply.status != 200:
                file.seek(0)
                raise _unexpected(_DOWNLOAD, reply.status, _text(file.read(200)), "a ZIP archive")
            wav_files = read_archive(file, bounds)
        return BatchAnswers(tuple(answer_of(clip, wav_files) for clip in batch), reply.ended_s - began_s)

    def _step(
        self,
        step: _Step,
        deadline: float,
        limit_s: float,
        body: Body | None = None,
        *,
        max_bytes: int = _JSON_BYTES,
    ) -> _JsonAnswer:
        """The JSON answer to a step, which must confirm it."""
        with io.BytesIO() as sink:
            reply = self._exchange(step, deadline, limit_s, sink, body, max_bytes=max_bytes)
            fields = _parsed(sink.getvalue())
        if reply.status != 200 or fields.get(step.confirmed_by) is not True:
            raise _unexpected(step, reply.status, fields, f'{{"{step.confirmed_by}": true}}')
        return _JsonAnswer(fields, reply)

    def _status(self, deadline: float) -> _JsonAnswer:
        with io.BytesIO() as sink:
            try:
                reply = exchange(
                    self._connect, _STATUS.method, _STATUS.path, deadline=deadline, sink=sink, max_bytes=_JSON_BYTES
                )
            except TooLarge as e:
                raise ProtocolViolation(f"{_STATUS}: {e}") from e
            return _JsonAnswer(_parsed(sink.getvalue()), reply)

    def _exchange(
        self,
        step: _Step,
        deadline: float,
        limit_s: float,
        sink: IO[bytes],
        body: Body | None = None,
        *,
        max_bytes: int,
    ) -> HttpReply:
        """One exchange whose errors become the model's faults."""
        try:
            return exchange(
                self._connect,
                step.method,
                step.path,
                deadline=deadline,
                sink=sink,
                max_bytes=max_bytes,
                body=body,
            )
        except TimeoutError as e:
            raise self._ended() or ModelTimeout(step.name, limit_s) from e
        except TooLarge as e:
            raise ProtocolViolation(f"{step}: {e}") from e
        except (OSError, http.client.HTTPException) as e:
            raise self._fault_of(step.name, e) from e

    def _fault_of(self, step: str, error: Exception) -> ModelFault:
        """The fault behind a broken connection. It waits a moment, because the process can end a little later."""
        deadline = time.monotonic() + _END_WAIT_S
        while time.monotonic() < deadline:
            if (fault := self._ended()) is not None:
                return fault
            time.sleep(_POLL_S)
        reason = _text((str(error) or type(error).__name__).encode())
        if isinstance(error, ConnectionRefusedError | FileNotFoundError):
            return ModelCrashed(f"{step}: the model does not listen any more")
        return ProtocolViolation(f"{step}: the model broke the connection ({reason})")


def _multipart(files: Sequence[tuple[str, bytes]]) -> Body:
    """A `multipart/form-data` body with one part called `files` for each file (RFC 7578)."""
    boundary = secrets.token_hex(16)
    parts: list[bytes] = []
    for name, data in files:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        parts += [head.encode() + b"Content-Type: audio/wav\r\n\r\n", data, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return Body(f"multipart/form-data; boundary={boundary}", sum(map(len, parts)), parts)


def _parsed(data: bytes) -> dict[str, Any]:
    """The JSON object. If the data is not one, its text under the key `answer`."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        answer = None
    return answer if isinstance(answer, dict) else {"answer": _text(data[:200])}


def _unexpected(step: _Step, status: int, answer: Any, expected: str) -> ProtocolViolation:
    fault = ProtocolViolation(f"{step} answered {status} {_shown(answer)}; expected {expected}")
    fault.status = status
    return fault


def _shown(answer: Any) -> str:
    try:
        return _text(repr(answer)[:200].encode())
    except RecursionError:
        return "JSON nested too deep"


def _text(data: bytes) -> str:
    """The bytes as one printable line, because text of an untrusted model may be shown on a terminal."""
    return printable(data.decode("utf-8", "replace"))[:200]
