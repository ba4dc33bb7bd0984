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
from typing import IO, Any

from soundsright.adapters.protocol.answers import answer_of, max_wav_bytes, wav_name
from soundsright.adapters.protocol.archive import ArchiveBounds, read_archive
from soundsright.adapters.protocol.http_exchange import Body, Connect, TooLarge, exchange
from soundsright.adapters.protocol.wav import encode_wav
from soundsright.core.errors import (
    ModelCrashed,
    ModelFault,
    ModelTimeout,
    ProtocolViolation,
    printable,
)
from soundsright.core.ports import Answer, DegradedClip, SandboxLimits

TRANSFER_FACTOR = 0.2
"""An upload or a download may take this many seconds per second of audio, besides the fixed limit of a step."""

_POLL_S = 0.02
_STATUS_TIMEOUT_S = 5.0
_END_WAIT_S = 3.0
_JSON_BYTES = 65_536
_JSON_BYTES_PER_CLIP = 1_024
_SPOOL_BYTES = 1 << 24


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
                raise ModelTimeout("loading", self._limits.load_timeout_s)
            try:
                status, answer = self._json("GET", "/status/", min(deadline, time.monotonic() + _STATUS_TIMEOUT_S))
            except (OSError, http.client.HTTPException):
                time.sleep(_POLL_S)
                continue
            if status == 200 and answer.get("container_running") is True:
                break
            if status not in (404, 425, 429, 503) and not (
                status == 200 and answer.get("container_running") is False
            ):
                raise _unexpected("GET /status/", status, answer, '{"container_running": true}')
            time.sleep(_POLL_S)
        self._step("prepare", "POST", "/prepare/", "preparations", deadline, self._limits.load_timeout_s)

    def reset(self) -> None:
        """Make the model delete the uploaded and enhanced clips.

        Raises:
            ModelFault: the model did not confirm.
        """
        limit_s = self._limits.step_timeout_s
        self._step("reset", "POST", "/reset/", "status", time.monotonic() + limit_s, limit_s)

    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[tuple[Answer, ...], float]:
        """One answer per clip in the order of the batch, and how many seconds the harness waited for the model.

        The waits of all steps count, because a model could do its work during the upload or the download.

        Raises:
            ModelFault: the batch as a whole got no answer.
        """
        audio_s = sum(clip.audio.duration_s for clip in batch)
        transfer_s = self._limits.step_timeout_s + TRANSFER_FACTOR * audio_s
        files = [(wav_name(clip.clip_id), encode_wav(clip.audio)) for clip in batch]
        answer, uploading_s = self._step(
            "upload",
            "POST",
            "/upload-audio/",
            "status",
            time.monotonic() + transfer_s,
            transfer_s,
            _multipart(files),
            answer_bytes=_JSON_BYTES + _JSON_BYTES_PER_CLIP * len(files),
        )
        names = answer.get("uploaded_files")
        if not isinstance(names, list) or len(names) != len(files):
            raise ProtocolViolation(
                f"POST /upload-audio/ answered {_shown(answer)}; expected a list of {len(files)} uploaded_files"
            )
        enhance_limit_s = self._limits.enhance_fixed_s + self._limits.enhance_factor * audio_s
        deadline = time.monotonic() + enhance_limit_s
        _, enhancing_s = self._step("enhance", "POST", "/enhance/", "status", deadline, enhance_limit_s)
        answers, downloading_s = self._download(batch, transfer_s)
        return answers, uploading_s + enhancing_s + downloading_s

    def _download(self, batch: Sequence[DegradedClip], limit_s: float) -> tuple[tuple[Answer, ...], float]:
        bounds = ArchiveBounds({f"{clip.clip_id}.wav": max_wav_bytes(clip) for clip in batch})
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as file:
            status, waited_s = self._exchange(
                "download",
                "GET",
                "/download-enhanced/",
                time.monotonic() + limit_s,
                limit_s,
                file,
                bounds.archive_bytes,
            )
            if status != 200:
                file.seek(0)
                raise _unexpected("GET /download-enhanced/", status, _text(file.read(200)), "a ZIP archive")
            wav_files = read_archive(file, bounds)
        return tuple(answer_of(clip, wav_files) for clip in batch), waited_s

    def _step(
        self,
        step: str,
        method: str,
        path: str,
        key: str,
        deadline: float,
        limit_s: float,
        body: Body | None = None,
        answer_bytes: int = _JSON_BYTES,
    ) -> tuple[dict[str, Any], float]:
        """The JSON answer to a request, in which `key` must be true, and how many seconds it took to come."""
        with io.BytesIO() as sink:
            status, waited_s = self._exchange(step, method, path, deadline, limit_s, sink, answer_bytes, body)
            answer = _parsed(sink.getvalue())
        if status != 200 or answer.get(key) is not True:
            raise _unexpected(f"{method} {path}", status, answer, f'{{"{key}": true}}')
        return answer, waited_s

    def _json(self, method: str, path: str, deadline: float) -> tuple[int, dict[str, Any]]:
        with io.BytesIO() as sink:
            try:
                status, _ = exchange(
                    self._connect, method, path, deadline=deadline, sink=sink, max_bytes=_JSON_BYTES
                )
            except TooLarge as e:
                raise ProtocolViolation(f"{method} {path}: {e}") from e
            return status, _parsed(sink.getvalue())

    def _exchange(
        self,
        step: str,
        method: str,
        path: str,
        deadline: float,
        limit_s: float,
        sink: IO[bytes],
        max_bytes: int,
        body: Body | None = None,
    ) -> tuple[int, float]:
        try:
            return exchange(
                self._connect, method, path, deadline=deadline, sink=sink, max_bytes=max_bytes, body=body
            )
        except TimeoutError as e:
            raise self._ended() or ModelTimeout(step, limit_s) from e
        except TooLarge as e:
            raise ProtocolViolation(f"{method} {path}: {e}") from e
        except (OSError, http.client.HTTPException) as e:
            raise self._fault_of(step, e) from e

    def _fault_of(self, step: str, error: Exception) -> ModelFault:
        """The fault behind a broken connection. It waits a moment, because the process may end only later."""
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


def _unexpected(request: str, status: int, answer: Any, expected: str) -> ProtocolViolation:
    fault = ProtocolViolation(f"{request} answered {status} {_shown(answer)}; expected {expected}")
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
