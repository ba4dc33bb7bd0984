"""Tasks with models in each sandbox of this machine, on the shipped recordings, with the real metrics."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.machine import ProcessPool
from soundsright.core.errors import EntryRefused
from soundsright.core.federation import Verdict
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.ports import Sandbox
from soundsright.core.sources import ModelRef, hub_model
from soundsright.core.submission import FetchedModel, Submission
from soundsright.services.federation import AuditPorts, audited
from soundsright.services.replay import ANSWERS, SCORES
from soundsright.testing import MemoryState, salted_reveal
from tests.conftest import sandbox_named
from tests.services.federation.samplers import RULES, Federation

# Half of the samples are lost, so each answer has another length than its input.
TRUNCATES = """\
class Cuts(Model):
    def enhanced(self):
        return {name: data[: len(data) // 2] for name, data in self.files.items()}


serve(Cuts())"""
CRASHES = """\
class Ends(Model):
    def enhance(self, request):
        os._exit(3)


serve(Ends())"""
SLEEPS = """\
import time


class Sleeps(Model):
    def enhance(self, request):
        time.sleep(600)


serve(Sleeps())"""


class FolderHub:
    """A hub whose repositories are folders on this machine."""

    def __init__(self) -> None:
        self.models: dict[ModelRef, FetchedModel] = {}

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        model = self.models.get(hub_model(submission.source))
        if model is None:
            raise EntryRefused("not_found", "The hub has no such model")
        return replace(model, submission=submission)

    def cached(self, submission: Submission, content_hash: str) -> FetchedModel | None:
        return None

    def forget(self, keep: Collection[str]) -> int:
        return 0


def federation_of(
    tmp_path: Path, models: dict[str, FetchedModel], *, until: int = 61, **options: Any
) -> tuple[Federation, FolderHub]:
    """A federation whose miners have these models, by hotkey, in block `until`."""
    federation = Federation(tmp_path / "federation", **{"rules": replace(RULES, clips=2), **options})
    federation.reveals.clear()
    hub = FolderHub()
    competition = federation.organiser.competitions[0].id
    for hotkey, model in models.items():
        ref = ModelRef(hotkey, "gate", f"{len(hub.models):040x}")
        hub.models[ref] = model
        federation.chain.register(hotkey)
        federation.reveals[hotkey] = reveal = salted_reveal(ref, hotkey, competition, model.content_hash)
        federation.chain.publish(hotkey, reveal.digest(hotkey))
    federation.reach(until)
    return federation, hub


def test_models_are_judged_in_the_sandbox_and_an_audit_finds_the_same(
    tmp_path: Path,
    sandbox: Sandbox,
    make_model: Callable[..., FetchedModel],
    pools: Callable[[int], ProcessPool],
) -> None:
    models = {
        "idle": make_model(name="idle"),
        "cuts": make_model(TRUNCATES, name="cuts"),
        "ends": make_model(CRASHES, name="ends"),
    }
    federation, hub = federation_of(tmp_path, models)
    validator = federation.validator("v0", hub=hub, sandbox=sandbox, pool=pools(1), workers=1)
    validator.tick()
    assert validator.problems == []
    verdict = validator.verdict(3)
    rows = {row.hotkey: row for row in verdict.rows}
    unprocessed = verdict.unprocessed["DENOISING_16000HZ"]
    floors = federation.settings().floors()
    # A model that returns its input is as good as the input, and not above it.
    assert rows["idle"].means == unprocessed
    assert {name: (row.passed, row.failures) for name, row in rows.items()} == {
        "idle": (False, 0),
        "cuts": (False, 2),
        "ends": (False, 2),
    }
    assert rows["cuts"].means == rows["ends"].means == {metric: floors[metric] for metric in unprocessed}
    stored = (tmp_path / "federation/buckets/v0/3/generated/idle").iterdir()
    assert sorted(path.name for path in stored) == ["000.flac", "001.flac"]

    report = audit(federation, verdict, tmp_path, pool=pools(1), hub=hub, sandbox=sandbox)
    assert report.difference is None
    assert report.checked == {SCORES: 6, ANSWERS: 6, "of them equal by their digest": 6}
    liar = replace(verdict, rows=tuple(replace(r, passed=True) if r.hotkey == "idle" else r for r in verdict.rows))
    difference = audit(federation, liar, tmp_path, pool=pools(1)).difference
    assert difference is not None
    assert difference.field == "passed of idle"


def audit(federation: Federation, verdict: Verdict, tmp_path: Path, **ports: Any) -> Any:
    folder = tmp_path / f"audit-{len(list(tmp_path.glob('audit-*')))}"
    return audited(
        verdict,
        federation.settings(),
        federation.chain.block_hash(60),
        AuditPorts(federation.buckets.of("v0"), folder=folder, **ports),
    )


def test_a_stop_ends_a_model_that_is_running(
    tmp_path: Path, make_model: Callable[..., FetchedModel], request: pytest.FixtureRequest
) -> None:
    federation, hub = federation_of(tmp_path, {"sleeps": make_model(SLEEPS, name="sleeps")})
    sandbox = _Started(sandbox_named("process", request))
    validator = federation.validator("v0", MemoryState(), hub=hub, sandbox=sandbox)
    stop = threading.Event()
    thread = threading.Thread(target=validator.sampler.run, args=(stop,))
    thread.start()
    assert sandbox.has_started.wait(60)
    time.sleep(0.5)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert validator.problems == []
    assert federation.buckets.shown(3, "v0") is False


class _Started:
    """A sandbox that says when a model has started."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.has_started = threading.Event()

    def run(self, model: FetchedModel, **options: Any) -> Any:
        self.has_started.set()
        return self._sandbox.run(model, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sandbox, name)
