"""Real models in real sandboxes: what the host measures, whatever a model says of itself."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from soundsright.adapters.sandboxes.process import ProcessSandbox
from soundsright.core.executor_rules import ExecutorRules, executor_rules
from soundsright.core.images import MeasuredImage
from soundsright.core.ports import Runner, Sandbox
from soundsright.core.submission import FetchedModel
from soundsright.services.executor import ReferenceModel, built_in_reference, sandbox_limits
from soundsright.services.rounds import ClipSet
from tests.conftest import DOCKERFILE, MakeModel, fetched, sandbox_named
from tests.engines import BASE
from tests.services.executor.sets import meter, small_set, step_log

MODELS = Path(__file__).parents[3] / "models"
RULES = executor_rules(
    warmup_runs=1, scoring_runs=2, run_audio_s=1, ready_timeout_s=60, run_timeout_s=30, memory_gb=1, cpus=8
)
LIAR = """
import time
class Liar(Model):
    def enhance(self, request):
        time.sleep(0.25)
        request.json({"status": True, "time_sec": 0.0001, "peak_vram_gb": 0.0, "inference_time_sec": 0.0001})
serve(Liar())
"""
GREEDY = """
import time
class Greedy(Model):
    def enhance(self, request):
        block = b"1" * 300_000_000
        time.sleep(0.6)
        super().enhance(request)
serve(Greedy())
"""
SLOW = """
import time
class Slow(Model):
    runs = 0
    def enhance(self, request):
        self.runs += 1
        time.sleep(0 if self.runs < 3 else 60)
        super().enhance(request)
serve(Slow())
"""
BY_FILES = """
import time
from pathlib import Path
waiting, answers = Path(os.environ["SOUNDSRIGHT_INPUT"]), Path(os.environ["SOUNDSRIGHT_OUTPUT"])
(answers / "ready").touch()
number = 1
while True:
    batch = waiting / f"batch-{number}"
    if batch.is_dir():
        time.sleep(0.1)
        out = answers / f"{batch.name}.tmp"
        out.mkdir()
        for file in batch.iterdir():
            (out / file.name).write_bytes(file.read_bytes())
        out.rename(answers / batch.name)
        number += 1
    time.sleep(0.01)
"""


@pytest.fixture
def clips(tmp_path: Path) -> ClipSet:
    return small_set(tmp_path / "set", clips=6)


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def runner(request: pytest.FixtureRequest) -> Sandbox:
    return sandbox_named(request.param, request)


def measured(runner: Runner, model: FetchedModel, clips: ClipSet, rules: ExecutorRules = RULES) -> MeasuredImage:
    return meter(runner, rules).measure(model, clips, clips.folder.parent / "enhanced", step_log())


def test_false_times_of_a_model_count_nothing(runner: Sandbox, make_model: MakeModel, clips: ClipSet) -> None:
    image = measured(runner, make_model(LIAR), clips)
    assert image.failure is None, image.failure
    assert len(image.runs) == 2
    assert all(0.25 <= run.time_s < 20 for run in image.runs)
    assert all(5_000_000 < run.memory_bytes < 250_000_000 for run in image.runs)


def test_the_peak_of_memory_of_a_greedy_model_is_seen(
    runner: Sandbox, make_model: MakeModel, clips: ClipSet
) -> None:
    image = measured(runner, make_model(GREEDY), clips)
    assert image.failure is None, image.failure
    assert all(run.peak_gb > 0.3 for run in image.runs)


def test_a_slow_run_ends_at_its_limit(runner: Sandbox, make_model: MakeModel, clips: ClipSet) -> None:
    rules = executor_rules(
        warmup_runs=1, scoring_runs=2, run_audio_s=1, ready_timeout_s=60, run_timeout_s=1, memory_gb=1, cpus=1
    )
    image = measured(runner, make_model(SLOW), clips, rules)
    assert image.failure is not None
    assert (image.failure.code, image.failure.detail) == ("timeout", "enhance took longer than 1 s")
    assert len(image.runs) == 1


def test_a_model_without_a_web_server_is_measured_too(
    runner: Sandbox, make_model: MakeModel, clips: ClipSet
) -> None:
    dockerfile = DOCKERFILE + 'LABEL soundsright.protocol="files"\n'
    image = measured(runner, make_model(textwrap.dedent(BY_FILES), dockerfile=dockerfile), clips)
    assert image.failure is None, image.failure
    assert all(0.1 <= run.time_s < 20 for run in image.runs)
    assert all(clip.scores for clip in image.clips)


def test_the_shipped_models_are_measured_and_the_bad_ones_fail(clips: ClipSet) -> None:
    process = ProcessSandbox(trusted=True)
    good = measured(process, fetched(MODELS / "spectral-gate"), clips)
    assert good.failure is None, good.failure
    assert [clip.clip_id for clip in good.clips] == ["clip-2", "clip-3", "clip-4", "clip-5"]
    failure = measured(process, fetched(MODELS / "nan-maker"), clips).failure
    assert failure is not None
    assert failure.code == "not_finite"


def test_the_built_in_reference_takes_a_time_that_can_be_compared(runner: Sandbox, tmp_path: Path) -> None:
    model = built_in_reference(tmp_path / "reference", base=BASE)
    assert built_in_reference(tmp_path / "reference", base=BASE).content_hash == model.content_hash
    reference = ReferenceModel(runner, model, sandbox_limits(RULES), repeats=1, clips=1)
    assert 0.01 < reference.time_s() < 20
