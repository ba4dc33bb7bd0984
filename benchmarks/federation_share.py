"""The models that a validator of a federation runs, as a part of those that it runs when it judges alone.

    python benchmarks/federation_share.py [--tasks 10] [--clips 4]

For 1, 2 and 5 validators, the same tasks are judged with the same models, each in a process of its own. After every
turn the other validators look whether they have to step in. The output has, for each number of validators, the most
model time and the most clips of one of them, over those of the validator that judges alone in the same run. The
limit is 1.2 / n. Model time is the wall time in which a model loads or enhances. Scores are imitated.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

if not __package__:  # Run as a file: find the folder `tests` by its name.
    sys.path[0] = str(Path(__file__).parents[1])

from soundsright.adapters.sandboxes import ProcessSandbox
from soundsright.core.ports import Answer, DegradedClip, RunningModel, SandboxLimits
from soundsright.core.submission import FetchedModel
from soundsright.services.rounds import score_files
from soundsright.testing import InlinePool
from soundsright.testing.simulation.world import score_fake_clip
from tests.conftest import write_model
from tests.services.federation.samplers import RULES, Validator
from tests.services.federation.test_real_models import federation_of

VALIDATORS = (1, 2, 5)
LIMIT = 1.2
WORKS = """
import time


class Works(Model):
    def enhance(self, request):
        end = time.process_time() + 0.1 * len(self.files)
        while time.process_time() < end:
            sum(i * i for i in range(10_000))
        super().enhance(request)


serve(Works())"""


class Metered:
    """A sandbox that adds up the seconds in which models load and enhance, and the clips that they are given."""

    name = "metered"

    def __init__(self) -> None:
        self._sandbox = ProcessSandbox(trusted=True)
        self.busy_s = 0.0
        self.clips = 0

    @contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[_MeteredModel]:
        started = time.perf_counter()
        with self._sandbox.run(model, limits=limits) as running:
            self.busy_s += time.perf_counter() - started
            yield _MeteredModel(running, self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sandbox, name)


@dataclass(frozen=True)
class _MeteredModel:
    running: RunningModel
    meter: Metered

    @property
    def timing(self) -> Any:
        return self.running.timing

    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[Answer, ...]:
        started = time.perf_counter()
        answers = self.running.enhance(batch)
        self.meter.busy_s += time.perf_counter() - started
        self.meter.clips += len(batch)
        return answers


@dataclass(frozen=True)
class Share:
    """The most that one of the validators ran, and the number of verdicts of all."""

    busy_s: float
    clips: int
    verdicts: int


def judged(folder: Path, validators: int, tasks: int, clips: int) -> Share:
    """Let that many validators judge the tasks."""
    (folder / "models").mkdir(parents=True)
    models = {name: write_model(folder / "models", WORKS, name=name) for name in ("one", "two")}
    # Another content for each, because copies are refused.
    for name, model in models.items():
        models[name] = replace(model, content_hash=f"{name}".encode().hex().ljust(64, "0"))
    names = tuple(f"v{number}" for number in range(validators))
    federation, hub = federation_of(folder, models, names=names, rules=replace(RULES, clips=clips), until=59)
    meters = {name: Metered() for name in names}
    pool = InlinePool({score_files: score_fake_clip})
    everybody = [federation.validator(name, hub=hub, sandbox=meters[name], pool=pool) for name in names]
    for task in range(3, 3 + tasks):
        for offset in (1, RULES.interval_blocks // 2):
            federation.reach(task * RULES.interval_blocks + offset)
            for validator in everybody:
                validator.tick()
    _check(everybody)
    return Share(
        max(meter.busy_s for meter in meters.values()),
        max(meter.clips for meter in meters.values()),
        sum(len(validator.published) for validator in everybody),
    )


def _check(everybody: Sequence[Validator]) -> None:
    for validator in everybody:
        if validator.problems:
            raise SystemExit(f"{validator.name}: {validator.problems[0]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=10, help="tasks of each run")
    parser.add_argument("--clips", type=int, default=4, help="clips of a task's set")
    options = parser.parse_args()
    shares: dict[int, Share] = {}
    with tempfile.TemporaryDirectory() as name:
        for validators in VALIDATORS:
            shares[validators] = judged(Path(name) / str(validators), validators, options.tasks, options.clips)
    alone = shares[1]
    columns = ("validators", "verdicts", "model time", "of alone", "clips", "of alone", "limit")
    print("".join(f"{column:>12}" for column in columns))
    is_kept = True
    for validators, share in shares.items():
        time_ratio, clip_ratio, limit = share.busy_s / alone.busy_s, share.clips / alone.clips, LIMIT / validators
        is_kept &= time_ratio <= limit and share.verdicts == options.tasks
        row = (validators, share.verdicts, f"{share.busy_s:.2f} s", f"{time_ratio:.3f}", share.clips)
        print("".join(f"{value:>12}" for value in (*row, f"{clip_ratio:.3f}", f"{limit:.3f}")))
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
