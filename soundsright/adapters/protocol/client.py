"""The model protocol over HTTP, as its client: docs/reference/protocol.md is the specification.

Signals are float32, shape `(n,)`, full scale ±1; times in seconds, sizes in bytes.

`GET /status/`, `POST /prepare/`, then for each batch `POST /upload-audio/`, `POST /enhance/`, `GET /download-
enhanced/`, with `POST /reset/` between batches. The server is a stranger's: every answer is bounded in time and
size, and every fault becomes a `ModelFault` (the batch has no answer) or a clip's `Failure` (the others are
unharmed).
"""

from __future__ import annotations

import http.client
import io
import json
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from soundsright.adapters.protocol.archive import ArchiveBounds, read_archive
from soundsright.adapters.protocol.http import Body, Connect, TooLarge, exchange
from soundsright.adapters.protocol.wav import HEADER_ALLOWANCE_BYTES, WavRefused, decode_wav, encode_wav
from soundsright.core.errors import (
    AudioRejected,
    ModelCrashed,
    ModelFault,
    ModelTimeout,
    ProtocolViolation,
    printable,
)
from soundsright.core.ports import Answer, DegradedClip, SandboxLimits
from soundsright.core.results import Failure
from soundsright.metrics import checked_enhanced

TRANSFER_FACTOR = 0.2
"""Seconds that an upload or a download may take per second of audio, beyond the fixed part of a step."""

_POLL_S = 0.02
_STATUS_TIMEOUT_S = 5.0
_END_PATIENCE_S = 3.0
_JSON_BYTES = 65_536
_JSON_BYTES_PER_CLIP = 1_024
_SPOOL_BYTES = 1 << 24
_WIDEST_SAMPLE_BYTES = 8
_CLIP_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class ModelClient:
    """Talks to one model.

    `connect` opens a connection; `ended` says whether the model's process is gone, as the fault that tells how.
    """

    def __init__(
        self, connect: Connect, *, limits: SandboxLimits, ended: Callable[[], ModelFault | None] = lambda: None
    ) -> None:
        self._connect = connect
        self._limits = limits
        self._ended = ended

    def wait_until_ready(self, deadline: float) -> None:
        """Ask for the status until the model says that it runs, then have it prepare; both within the deadline.

        Raises:
            ModelCrashed: it ended first.
            ModelTimeout: it never said so.
            ProtocolViolation: it answered something else.
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
        """Have the model forget what was uploaded and enhanced.

        Raises:
            ModelFault: it did not.
        """
        limit_s = self._limits.step_timeout_s
        self._step("reset", "POST", "/reset/", "status", time.monotonic() + limit_s, limit_s)

    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[tuple[Answer, ...], float]:
        """One answer per clip in the order of the batch, and the seconds that the model made the harness wait.

        Waiting counts in whatever step: work may be hidden in the upload's answer or in the archive.

        Raises:
            ModelFault: the batch as a whole got no answer.
        """
        audio_s = sum(clip.audio.duration_s for clip in batch)
        transfer_s = self._limits.step_timeout_s + TRANSFER_FACTOR * audio_s
        files = [(f"{checked_id(clip.clip_id)}.wav", encode_wav(clip.audio)) for clip in batch]
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
                f"POST /upload-audio/ answered {_shown(answer)}, a list of {len(files)} uploaded_files expected"
            )
        enhance_limit_s = self._limits.enhance_fixed_s + self._limits.enhance_factor * audio_s
        deadline = time.monotonic() + enhance_limit_s
        _, enhancing_s = self._step("enhance", "POST", "/enhance/", "status", deadline, enhance_limit_s)
        answers, downloading_s = self._download(batch, transfer_s)
        return answers, uploading_s + enhancing_s + downloading_s

    def _download(self, batch: Sequence[DegradedClip], limit_s: float) -> tuple[tuple[Answer, ...], float]:
        bounds = ArchiveBounds({f"{clip.clip_id}.wav": widest_bytes(clip) for clip in batch})
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
            members = read_archive(file, bounds)
        return tuple(answer_of(clip, members) for clip in batch), waited_s

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
        """One request whose answer must be JSON with `key` true, and the seconds that were waited for it."""
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
                raise ProtocolViolation(f"{method} {path} answered with {e}") from e
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
            raise ProtocolViolation(f"{method} {path} answered with {e}") from e
        except (OSError, http.client.HTTPException) as e:
            raise self._fault_of(step, e) from e

    def _fault_of(self, step: str, error: Exception) -> ModelFault:
        """A connection breaks a moment before its process is seen to be gone: look again before judging."""
        patience = time.monotonic() + _END_PATIENCE_S
        while time.monotonic() < patience:
            if (fault := self._ended()) is not None:
                return fault
            time.sleep(_POLL_S)
        what = str(error) or type(error).__name__
        if isinstance(error, ConnectionRefusedError | FileNotFoundError):
            return ModelCrashed(f"{step}: the model no longer listens")
        return ProtocolViolation(f"{step}: the model broke the connection off ({_text(what.encode())})")


def answer_of(clip: DegradedClip, members: Mapping[str, bytes | None]) -> Answer:
    """The clip's answer among the files that came back; None stands for one larger than its bound."""
    name = f"{clip.clip_id}.wav"
    try:
        if name not in members:
            raise AudioRejected(clip.clip_id, "missing", f"the archive holds no {name}")
        data = members[name]
        if data is None:
            raise AudioRejected(clip.clip_id, "length", f"{name} is larger than its clip could ever be")
        wav = decode_wav(data)
        return Answer(clip.clip_id, checked_enhanced(clip.clip_id, wav.samples, wav.sample_rate_hz, clip.audio))
    except WavRefused as e:
        return Answer(clip.clip_id, failure=Failure("format", f"{name}: {e}"))
    except AudioRejected as e:
        return Answer(clip.clip_id, failure=Failure(e.code, str(e)))


def _multipart(files: Sequence[tuple[str, bytes]]) -> Body:
    """A `multipart/form-data` body with one part `files` for each name (RFC 7578)."""
    boundary = secrets.token_hex(16)
    parts: list[bytes] = []
    for name, data in files:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        parts += [head.encode() + b"Content-Type: audio/wav\r\n\r\n", data, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return Body(f"multipart/form-data; boundary={boundary}", sum(map(len, parts)), parts)


def widest_bytes(clip: DegradedClip) -> int:
    """What the widest coding of a clip, with its header, can weigh."""
    return len(clip.audio) * _WIDEST_SAMPLE_BYTES + HEADER_ALLOWANCE_BYTES


def checked_id(clip_id: str) -> str:
    """The id, if it can safely name a file.

    Raises:
        ValueError: if not.
    """
    if not _CLIP_ID.fullmatch(clip_id):
        raise ValueError(f"clip id {clip_id!r} cannot name a file")
    return clip_id


def _parsed(data: bytes) -> dict[str, Any]:
    """The JSON object, or what was there instead under the key `answer`."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        answer = None
    return answer if isinstance(answer, dict) else {"answer": _text(data[:200])}


def _unexpected(request: str, status: int, answer: Any, expected: str) -> ProtocolViolation:
    fault = ProtocolViolation(f"{request} answered {status} {_shown(answer)}, {expected} expected")
    fault.status = status
    return fault


def _shown(answer: Any) -> str:
    try:
        return _text(repr(answer)[:200].encode())
    except RecursionError:
        return "JSON nested too deep"


def _text(data: bytes) -> str:
    """The bytes as one printable line: a stranger's words may end up on a terminal."""
    return printable(data.decode("utf-8", "replace"))[:200]
