"""The duties of every sandbox, whether it isolates models or not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from soundsright.core.errors import EngineUnavailable, ModelCrashed, ModelTimeout, ProtocolViolation
from soundsright.core.ports import DegradedClip, Runner, Sandbox, SandboxLimits
from soundsright.core.results import Failure
from soundsright.core.submission import FetchedModel
from soundsright.testing.fakes import Behaviour, FakeSandbox
from tests.conftest import DOCKERFILE, sandbox_named

LIMITS = SandboxLimits(
    memory_bytes=400_000_000,
    pids=32,
    load_timeout_s=20.0,
    step_timeout_s=5.0,
    enhance_fixed_s=3.0,
    enhance_factor=0.5,
)
MakeModel = Callable[..., FetchedModel]
Clips = tuple[DegradedClip, ...]


@pytest.fixture(
    params=[
        "process",
        pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("podman", marks=pytest.mark.docker),
    ]
)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """Each sandbox of this machine; the docker sandbox with Docker and with Podman."""
    return sandbox_named(request.param, request)


def test_an_honest_model_answers_every_clip_in_order(sandbox: Sandbox, make_model: MakeModel, clips: Clips) -> None:
    with sandbox.run(make_model(), limits=LIMITS) as running:
        answers = running.enhance(clips)
    assert [a.clip_id for a in answers] == [c.clip_id for c in clips]
    for answer, clip in zip(answers, clips, strict=True):
        assert answer.audio is not None, answer.failure
        np.testing.assert_array_equal(answer.audio.samples, clip.audio.samples)


def test_every_answer_carries_its_part_of_the_time_that_the_host_waited(
    sandbox: Sandbox, make_model: MakeModel, clips: Clips
) -> None:
    check_times(sandbox, make_model(), clips)


def test_the_answers_of_the_fake_carry_their_times_too(make_model: MakeModel, clips: Clips) -> None:
    model = make_model()
    for behaviour in (Behaviour(), Behaviour(clip_failure=Failure("format", "not a WAV"))):
        check_times(FakeSandbox(always(behaviour)), model, clips)


def always(behaviour: Behaviour) -> Callable[[FetchedModel], Behaviour]:
    return lambda _model: behaviour


def check_times(runner: Runner, model: FetchedModel, clips: Clips) -> None:
    with runner.run(model, limits=LIMITS) as running:
        for batch in (clips, clips[:1]):
            started = time.monotonic()
            answers = running.enhance(batch)
            wall_s = time.monotonic() - started
            times = [answer.elapsed_s for answer in answers if answer.elapsed_s is not None]
            assert len(times) == len(batch)
            assert min(times) >= 0
            assert sum(times) <= wall_s + 0.01


def test_a_running_model_gets_several_batches_and_is_reset_between_them(
    sandbox: Sandbox, make_model: MakeModel, clips: Clips
) -> None:
    with sandbox.run(make_model(), limits=LIMITS) as running:
        first = running.enhance(clips[:2])
        second = running.enhance(clips[2:])
        assert running.enhance(()) == ()
    assert [a.failure for a in (*first, *second)] == [None, None, None]


def test_the_host_measures_load_enhancement_audio_and_memory(
    sandbox: Sandbox, make_model: MakeModel, clips: Clips
) -> None:
    app = """
    import time
    class Slow(Model):
        def upload(self, request):
            super().upload(request)
            time.sleep(0.2)
        def enhance(self, request):
            self.held = b"x" * 60_000_000
            time.sleep(0.4)
            super().enhance(request)
        def archive(self):
            time.sleep(0.2)
            return super().archive()
        def reset(self, request):
            time.sleep(0.5)
            super().reset(request)
    serve(Slow())
    """
    with sandbox.run(make_model(textwrap.dedent(app)), limits=LIMITS) as running:
        assert running.timing.load_s > 0
        assert running.timing.real_time_factor is None
        running.enhance(clips)
        timing = running.timing
    assert timing.audio_s == pytest.approx(sum(c.audio.duration_s for c in clips))
    assert timing.enhance_s >= 0.6, "work counts in every step in which it is hidden"
    assert timing.peak_memory_bytes > 60_000_000


def test_one_bad_answer_fails_only_its_clip(sandbox: Sandbox, make_model: MakeModel, clips: Clips) -> None:
    app = """
    class Forgetful(Model):
        def enhanced(self):
            return {n: d for n, d in self.files.items() if n != "clip-1.wav"}
    serve(Forgetful())
    """
    with sandbox.run(make_model(textwrap.dedent(app)), limits=LIMITS) as running:
        answers = running.enhance(clips)
    assert [a.failure and a.failure.code for a in answers] == [None, "missing", None]


def test_a_model_that_ends_at_once_crashed_with_its_last_line(sandbox: Sandbox, make_model: MakeModel) -> None:
    model = make_model("raise SystemExit('no weights found')")
    with pytest.raises(ModelCrashed, match="no weights found") as caught, sandbox.run(model, limits=LIMITS):
        pass
    assert caught.value.exit_status == 1


def test_a_model_that_dies_in_the_middle_crashed(sandbox: Sandbox, make_model: MakeModel, clips: Clips) -> None:
    app = """
    class Dying(Model):
        def enhance(self, request):
            os._exit(3)
    serve(Dying())
    """
    with sandbox.run(make_model(textwrap.dedent(app)), limits=LIMITS) as running:
        with pytest.raises(ModelCrashed) as caught:
            running.enhance(clips)
        assert caught.value.exit_status == 3
        with pytest.raises(ModelCrashed):
            running.enhance(clips)


def test_a_model_that_never_listens_times_out(sandbox: Sandbox, make_model: MakeModel) -> None:
    model = make_model("import time; time.sleep(600)")
    with (
        pytest.raises(ModelTimeout, match="loading took longer than 1 s"),
        sandbox.run(model, limits=replace(LIMITS, load_timeout_s=1.0)),
    ):
        pass


def test_the_deadline_of_a_batch_grows_with_its_audio(
    sandbox: Sandbox, make_model: MakeModel, clips: Clips
) -> None:
    app = """
    import time
    class Slow(Model):
        def enhance(self, request):
            time.sleep(1.0)
            super().enhance(request)
    serve(Slow())
    """
    tight = replace(LIMITS, enhance_fixed_s=0.2, enhance_factor=0.01)
    with (
        sandbox.run(make_model(textwrap.dedent(app), name="tight"), limits=tight) as running,
        pytest.raises(ModelTimeout, match="enhance"),
    ):
        running.enhance(clips)
    audio_s = sum(c.audio.duration_s for c in clips)
    ample = replace(tight, enhance_factor=20.0 / audio_s)
    with sandbox.run(make_model(textwrap.dedent(app), name="ample"), limits=ample) as running:
        assert all(a.failure is None for a in running.enhance(clips))


def test_a_command_written_for_a_shell_runs(sandbox: Sandbox, make_model: MakeModel, clips: Clips) -> None:
    model = make_model(dockerfile=DOCKERFILE.partition("CMD")[0] + "CMD python app.py\n")
    with sandbox.run(model, limits=LIMITS) as running:
        assert all(a.failure is None for a in running.enhance(clips))


def test_a_dockerfile_without_a_command_is_the_models_fault(sandbox: Sandbox, make_model: MakeModel) -> None:
    model = make_model(dockerfile=DOCKERFILE.partition("CMD")[0])
    with pytest.raises(ProtocolViolation, match="no CMD"), sandbox.run(model, limits=LIMITS):
        pass


def test_the_environment_has_nothing_of_the_harness(
    sandbox: Sandbox, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WALLET_PASSWORD", "correct horse")
    model = make_model("raise SystemExit(' '.join(sorted(os.environ)) + os.environ.get('WALLET_PASSWORD', ''))")
    with pytest.raises(ModelCrashed) as caught, sandbox.run(model, limits=LIMITS):
        pass
    assert "WALLET" not in str(caught.value)
    assert "correct horse" not in str(caught.value)
    assert "SOUNDSRIGHT_CPUS" in str(caught.value)


def test_a_model_that_uses_too_much_memory_is_killed_for_it(
    sandbox: Sandbox, make_model: MakeModel, clips: Clips
) -> None:
    app = """
    import time
    class Hog(Model):
        def enhance(self, request):
            self.held = [bytearray(50_000_000) for _ in range(40) if not time.sleep(0.1)]
            super().enhance(request)
    serve(Hog())
    """
    with sandbox.run(make_model(textwrap.dedent(app)), limits=replace(LIMITS, enhance_fixed_s=20.0)) as running:
        with pytest.raises(ModelCrashed, match="memory"):
            running.enhance(clips)
        assert running.timing.peak_memory_bytes < 2 * LIMITS.memory_bytes


def test_a_long_log_is_cut_to_its_end(sandbox: Sandbox, make_model: MakeModel) -> None:
    model = make_model("print('x' * 20_000_000); print('the last word'); raise SystemExit(1)")
    with (
        pytest.raises(ModelCrashed, match="the last word"),
        sandbox.run(model, limits=replace(LIMITS, log_bytes=100_000)),
    ):
        pass


def test_no_process_is_left_behind_even_if_it_hides(
    sandbox: Sandbox, make_model: MakeModel, left_behind: Callable[[], list[str]]
) -> None:
    app = """
    import signal, time
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(600)
            os._exit(0)
    serve(Model())
    """
    with sandbox.run(make_model(textwrap.dedent(app)), limits=LIMITS):
        assert left_behind(), "the test proves nothing unless it sees the running model"
    assert not left_behind()


def test_an_error_in_the_caller_ends_the_model(
    sandbox: Sandbox, make_model: MakeModel, left_behind: Callable[[], list[str]]
) -> None:
    with pytest.raises(KeyboardInterrupt), sandbox.run(make_model(), limits=LIMITS):
        raise KeyboardInterrupt
    assert not left_behind()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_harness_leaves_nothing(
    sandbox: Sandbox,
    make_model: MakeModel,
    left_behind: Callable[[], list[str]],
    number: signal.Signals,
) -> None:
    if sandbox.name == "docker":
        pytest.skip("an engine outlives the harness; the next harness removes the container")
    folder, kind = make_model().path, type(sandbox)
    trust = "" if sandbox.isolated else "trusted=True"
    script = f"""
    import time
    from pathlib import Path
    from {kind.__module__} import {kind.__name__}
    from soundsright.core.competition import PUBLISHED
    from soundsright.core.ports import SandboxLimits
    from soundsright.core.submission import FetchedModel, Submission
    from soundsright.core.sources import ModelRef
    submission = Submission(1, "hotkey", PUBLISHED[0], ModelRef("ns", "model", "0" * 40), 1)
    model = FetchedModel(submission, Path({str(folder)!r}), "0" * 64, ())
    with {kind.__name__}({trust}).run(model, limits=SandboxLimits()):
        print("ready", flush=True)
        time.sleep(600)
    """
    harness = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE)
    assert harness.stdout is not None
    with harness, harness.stdout:
        assert harness.stdout.readline() == b"ready\n"
        assert left_behind()
        os.kill(harness.pid, number)
        harness.wait(10)
    until = time.monotonic() + 10
    while left_behind() and time.monotonic() < until:
        time.sleep(0.02)
    assert not left_behind()


def test_stopping_ends_a_model_while_it_loads(
    sandbox: Sandbox, make_model: MakeModel, left_behind: Callable[[], list[str]]
) -> None:
    model = make_model("print('loading', flush=True); import time; time.sleep(600)")
    sandbox.prepare(model)
    stopper = threading.Timer(0.7, sandbox.stop)
    stopper.start()
    started = time.monotonic()
    with pytest.raises(ModelCrashed, match="stopped by the harness"), sandbox.run(model, limits=LIMITS):
        pass
    assert time.monotonic() - started < 15, "it did not wait for the deadline of loading"
    stopper.join()
    assert not left_behind()
    with sandbox.run(make_model(name="next"), limits=LIMITS):
        """A stopped sandbox can be used again."""


def test_stopping_ends_a_model_while_it_enhances(sandbox: Sandbox, make_model: MakeModel, clips: Clips) -> None:
    app = """
    import time
    class Slow(Model):
        def enhance(self, request):
            time.sleep(600)
    serve(Slow())
    """
    long = replace(LIMITS, enhance_fixed_s=60.0)
    with sandbox.run(make_model(textwrap.dedent(app)), limits=long) as running:
        stopper = threading.Timer(0.3, sandbox.stop)
        stopper.start()
        with pytest.raises(ModelCrashed, match="stopped by the harness"):
            running.enhance(clips)
        stopper.join()


def test_a_model_on_another_port_gets_a_message_with_the_port(sandbox: Sandbox, make_model: MakeModel) -> None:
    if not sandbox.isolated:
        pytest.skip("a plain process shares the host's ports, so its own cannot be told apart")
    app = "import time; s = socket.create_server(('0.0.0.0', 8000)); time.sleep(600)"
    with (
        pytest.raises(ProtocolViolation, match=r"listens on TCP port 8000\. It must listen on the socket .* 6500"),
        sandbox.run(make_model(app), limits=replace(LIMITS, load_timeout_s=5.0)),
    ):
        pass


def test_a_model_can_be_prepared_while_another_runs(sandbox: Sandbox, make_model: MakeModel, clips: Clips) -> None:
    builds = sandbox.name == "docker"
    with sandbox.run(make_model(name="first"), limits=LIMITS) as running:
        following = make_model("print('the following one')\nserve(Model())", name="following")
        sandbox.prepare(following)
        sandbox.prepare(following)
        assert all(a.failure is None for a in running.enhance(clips))
    with sandbox.run(following, limits=LIMITS) as running:
        assert (running.timing.build_s > 0.0) == builds, "the build in prepare counts for the run"
    with sandbox.run(following, limits=LIMITS) as running:
        assert running.timing.build_s == 0.0
    with pytest.raises(ProtocolViolation, match="no CMD"):
        sandbox.prepare(make_model(name="none", dockerfile=DOCKERFILE.partition("CMD")[0]))


def test_two_models_run_side_by_side(sandbox: Sandbox, make_model: MakeModel, clips: Clips) -> None:
    with (
        sandbox.run(make_model(name="a"), limits=LIMITS) as a,
        sandbox.run(make_model(name="b"), limits=LIMITS) as b,
    ):
        assert [x.failure for x in (*a.enhance(clips), *b.enhance(clips))] == [None] * 6


@pytest.mark.usefixtures("published_port")
def test_a_published_model_on_a_tcp_port_is_reached_by_the_harness_only(
    sandbox: Sandbox, make_model: MakeModel, clips: Clips
) -> None:
    if not sandbox.isolated:
        pytest.skip("a plain process shares the host's ports")
    model = make_model("os.environ['PUBLISHED'] = '1'; serve(Model())")
    with sandbox.run(model, limits=LIMITS) as running:
        assert [a.failure for a in running.enhance(clips)] == [None] * 3
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", 6500), timeout=1.0)


def test_a_model_without_a_web_server_uses_the_protocol_over_files(
    sandbox: Sandbox, make_model: MakeModel, clips: Clips
) -> None:
    app = """
    import time
    from pathlib import Path
    waiting, answers = Path(os.environ["SOUNDSRIGHT_INPUT"]), Path(os.environ["SOUNDSRIGHT_OUTPUT"])
    (answers / "ready").touch()
    done = set()
    while True:
        for batch in waiting.glob("batch-*[0-9]"):
            if batch.name not in done:
                done.add(batch.name)
                out = answers / (batch.name + ".tmp")
                out.mkdir()
                for file in batch.iterdir():
                    (out / file.name).write_bytes(file.read_bytes())
                out.rename(answers / batch.name)
        time.sleep(0.01)
    """
    dockerfile = DOCKERFILE + 'LABEL soundsright.protocol="files"\n'
    with sandbox.run(make_model(textwrap.dedent(app), dockerfile=dockerfile), limits=LIMITS) as running:
        first, second = running.enhance(clips), running.enhance(clips[:1])
        assert running.timing.enhance_s > 0
    for answer, clip in zip((*first, *second), (*clips, clips[0]), strict=True):
        assert answer.audio is not None, answer.failure
        np.testing.assert_array_equal(answer.audio.samples, clip.audio.samples)


def test_a_sandbox_that_does_not_work_here_gives_the_reason(
    monkeypatch: pytest.MonkeyPatch, make_model: MakeModel
) -> None:
    from soundsright.adapters.sandboxes.bubblewrap import BubblewrapSandbox

    monkeypatch.setenv("PATH", "/nonexistent")
    sandbox = BubblewrapSandbox()
    assert sandbox.available() == "bwrap is not installed"
    with pytest.raises(EngineUnavailable, match="bwrap is not installed"), sandbox.run(make_model(), limits=LIMITS):
        pass
