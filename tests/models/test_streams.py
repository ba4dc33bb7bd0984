"""Models that stream: the output of a stream is that of the whole clip, later by the look-ahead."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from soundsright.adapters.sandboxes import ModelSession, ProcessSandbox
from soundsright.core.audio import Audio, on_pcm16_grid, pcm16
from soundsright.core.competition import competition_by_id
from soundsright.core.ports import DegradedClip, SandboxLimits, StreamingModel
from soundsright.core.sources import ModelRef
from soundsright.core.submission import FetchedModel, Submission
from soundsright.core.tiers import lookahead_frames
from tests.models.conftest import MODELS, skip_without_its_package

FRAME = 320


def fetched(name: str) -> FetchedModel:
    source = ModelRef("lab", name, "a" * 40)
    submission = Submission(0, "5F", competition_by_id("DENOISING_16000HZ"), source, block=1)
    return FetchedModel(submission, MODELS / name, "0" * 64, ())


@pytest.fixture(scope="module", params=["template", "gtcrn", "dtln"])
def session(request: pytest.FixtureRequest) -> Iterator[ModelSession]:
    skip_without_its_package(request.param)
    with ProcessSandbox(trusted=True).run(fetched(request.param), limits=SandboxLimits()) as running:
        yield running


def noise(samples: int, seed: int = 0) -> Audio:
    return Audio(on_pcm16_grid(np.random.default_rng(seed).normal(0, 0.1, samples)), 16_000)


def streamed(session: ModelSession, audio: Audio) -> np.ndarray:
    frames = pcm16(audio.samples).astype("<i2").reshape(-1, FRAME)
    with session.open_stream(16_000) as stream:
        answers = [stream.exchange(frame.tobytes()) for frame in frames]
        answers += stream.finish()
    return np.frombuffer(b"".join(answers), "<i2")


@pytest.mark.parametrize("frames", [1, 7, 50, 133])
def test_a_stream_gives_what_the_file_gives_later_by_the_look_ahead(session: ModelSession, frames: int) -> None:
    assert isinstance(session, StreamingModel)
    lookahead_ms = session.stream_lookahead_ms()
    assert lookahead_ms is not None
    audio = noise(frames * FRAME, seed=frames)
    (answer,) = session.enhance([DegradedClip("clip", audio)])
    assert answer.audio is not None
    output = streamed(session, audio)
    lag = FRAME * lookahead_frames(lookahead_ms)
    np.testing.assert_array_equal(output[:lag], 0)
    np.testing.assert_array_equal(output[lag:], pcm16(answer.audio.samples))


def test_streams_and_files_do_not_disturb_each_other(session: ModelSession) -> None:
    first, second = noise(20 * FRAME, 1), noise(20 * FRAME, 2)
    alone = streamed(session, first), streamed(session, second)
    with session.open_stream(16_000) as one, session.open_stream(16_000) as two:
        outputs: tuple[list[bytes], list[bytes]] = ([], [])
        for number in range(20):
            for stream, audio, output in ((one, first, outputs[0]), (two, second, outputs[1])):
                frame = pcm16(audio.samples[number * FRAME : (number + 1) * FRAME]).astype("<i2")
                output.append(stream.exchange(frame.tobytes()))
            session.enhance([DegradedClip("clip", noise(800))])
        for stream, output in ((one, outputs[0]), (two, outputs[1])):
            output.extend(stream.finish())
    for output, expected in zip(outputs, alone, strict=True):
        np.testing.assert_array_equal(np.frombuffer(b"".join(output), "<i2"), expected)
