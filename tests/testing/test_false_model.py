"""The false model serves a shipped model first, and another one after the agreed number of recordings."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from soundsright.adapters.peers import Hotkey
from soundsright.adapters.sandboxes import EndpointRunner
from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.ports import DegradedClip, SandboxLimits
from soundsright.core.shipped import models_folder
from soundsright.testing.false_model import Swapped, delayed, loaded_app
from soundsright.testing.provers import fetched_reference
from tests.ports import free_port


def test_another_model_answers_after_the_agreed_number_of_recordings() -> None:
    swapped = Swapped(lambda samples, rate_hz: samples, lambda samples, rate_hz: -samples, 2)
    one = np.ones(1, np.float32)
    assert [float(swapped(one, 16_000)[0]) for _ in range(4)] == [1.0, 1.0, -1.0, -1.0]


def test_a_delayed_model_gives_the_same_answer() -> None:
    one = np.ones(1, np.float32)
    began_s = time.monotonic()
    assert delayed(lambda samples, rate_hz: samples, 0.05)(one, 16_000) is one
    assert time.monotonic() - began_s >= 0.05


def test_a_folder_without_an_app_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"datasets has no app/__init__\.py"):
        loaded_app(models_folder().parent / "datasets", "nothing")


def test_its_server_speaks_the_protocol_of_models() -> None:
    port = free_port()
    degraded, gate = (str(models_folder() / name) for name in ("degraded", "spectral-gate"))
    words = [degraded, str(port), "--other", gate, "--after", "1"]
    process = subprocess.Popen([sys.executable, "-m", "soundsright.testing.false_model", *words])
    try:
        noise = np.random.default_rng(0).standard_normal(8_000) * 0.1
        audio = Audio(on_pcm16_grid(noise), 16_000)
        with EndpointRunner(f"http://127.0.0.1:{port}").run(
            fetched_reference(Hotkey.of_seed("prover")), limits=SandboxLimits()
        ) as model:
            first, second = (model.enhance([DegradedClip(f"clip-{n}", audio)])[0].audio for n in range(2))
    finally:
        process.terminate()
        process.wait(20)
    assert first is not None
    assert second is not None
    assert np.array_equal(first.samples, audio.samples)
    assert not np.array_equal(second.samples, audio.samples)
