"""The time that counts for a model: from the first byte that it gets to the last byte that it gives."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from soundsright.adapters.protocol import FileModelClient, HttpModelClient
from soundsright.core.ports import SandboxLimits
from tests.conftest import noise_clip
from tests.hostile.kit.server import Model, Request

WORK_S = 0.3
CLIP = noise_clip("clip-0", samples=1_000_000)
"""Its WAV is larger than the buffers of a socket, so sending it takes as long as the model takes to read it."""


def connect_to(
    model: Model, timeout_s: float, *, before_accept: Callable[[], None] = lambda: None
) -> socket.socket:
    """A new connection to a model, which a thread serves."""
    ours, theirs = socket.socketpair()
    ours.settimeout(timeout_s)

    def serve() -> None:
        with theirs:
            Request(theirs, "", cast(Any, SimpleNamespace(model=model)))

    before_accept()
    threading.Thread(target=serve, daemon=True).start()
    return ours


class WorksWhileItReads(Model):
    def upload(self, request: Request) -> None:
        time.sleep(WORK_S)
        super().upload(request)


def enhanced_over_http(model: Model, before_accept: Callable[[], None] = lambda: None) -> float:
    client = HttpModelClient(partial(connect_to, model, before_accept=before_accept), limits=SandboxLimits())
    result = client.enhance([CLIP])
    assert result.answers[0].failure is None
    return result.waited_s


def test_work_during_a_slow_reading_of_the_upload_counts() -> None:
    assert enhanced_over_http(WorksWhileItReads()) >= WORK_S


def test_work_before_the_model_takes_the_next_request_counts() -> None:
    pause = partial(time.sleep, WORK_S)
    assert enhanced_over_http(Model(), before_accept=pause) >= 2 * WORK_S, "before enhance and download"


def test_the_encoding_of_the_clips_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    from soundsright.adapters.protocol import answers, file_client, http_client

    for module, name in ((http_client, "encode_wav"), (file_client, "encode_wav"), (answers, "decode_wav")):
        monkeypatch.setattr(module, name, slowly(getattr(module, name)))
    assert enhanced_over_http(Model()) < 2


def slowly(function: Callable[..., object]) -> Callable[..., object]:
    def slow(*arguments: object) -> object:
        time.sleep(1.5)
        return function(*arguments)

    return slow


@pytest.fixture
def file_client(tmp_path: Path) -> FileModelClient:
    """A client of a model over files, which answers at once."""
    folders = [tmp_path / name for name in ("in", "out")]
    for folder in folders:
        folder.mkdir()

    def answer() -> None:
        while not (folders[0] / "batch-1").is_dir():
            time.sleep(0.001)
        (folders[1] / "x").mkdir()
        for file in (folders[0] / "batch-1").iterdir():
            (folders[1] / "x" / file.name).write_bytes(file.read_bytes())
        (folders[1] / "x").rename(folders[1] / "batch-1")

    threading.Thread(target=answer, daemon=True).start()
    opened = [partial(os.open, folder, os.O_RDONLY | os.O_DIRECTORY) for folder in folders]
    return FileModelClient(*opened, limits=SandboxLimits())


@pytest.mark.parametrize("step", ["fdopen", "rename"])
def test_work_on_a_batch_that_is_not_complete_counts(
    file_client: FileModelClient, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = getattr(os, step)

    def slow(*arguments: object, **more: object) -> object:
        if threading.current_thread() is threading.main_thread():
            time.sleep(WORK_S)
        return whole(*arguments, **more)

    monkeypatch.setattr(os, step, slow)
    result = file_client.enhance([CLIP])
    assert result.answers[0].failure is None
    # Each file is written once and read once; the batch is renamed once.
    assert result.waited_s >= WORK_S * {"fdopen": 2, "rename": 1}[step]
