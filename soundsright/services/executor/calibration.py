"""The reference: a model that is timed before and after each image, to see whether the machine's speed changed.

Times are in seconds.
"""

from __future__ import annotations

import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.competition import PUBLISHED
from soundsright.core.content import content_hash, files_below, sha256_of_file
from soundsright.core.dockerfile import PYTHON_BASE
from soundsright.core.errors import InfrastructureFault, ModelFault
from soundsright.core.ports import DegradedClip, Runner, SandboxLimits
from soundsright.core.sources import ModelRef
from soundsright.core.submission import FetchedModel, Submission
from soundsright.ranking import UNNOTICED_DRIFT

MAX_DRIFT = UNNOTICED_DRIFT
"""The machine is steady if the reference's times before and after an image differ by no more than this part."""

_PROGRAM = Path(__file__).with_name("reference_model.py")
_DOCKERFILE = """FROM {base}
WORKDIR /app
COPY . .
USER 10001:10001
LABEL soundsright.protocol="files"
CMD ["python", "reference_model.py"]
"""
_REMEDY = "Check the reference with `soundsright verify`, or name another one."


class Reference(Protocol):
    """Work that takes the same time whenever the machine has the same speed."""

    def time_s(self) -> float:
        """The time of the work now.

        Raises:
            InfrastructureFault: it could not be timed. No image is to blame.
        """
        ...


@dataclass(frozen=True)
class ReferenceModel:
    """The `Reference` that a model is: the median time of `repeats` batches, after one that does not count.

    It runs in the runner of the images, with their limits. A median ignores a single short disturbance.
    """

    runner: Runner
    model: FetchedModel
    limits: SandboxLimits
    repeats: int = 5
    clips: int = 2

    def time_s(self) -> float:
        """The time of one batch.

        Raises:
            InfrastructureFault: the runner failed, or the reference itself.
        """
        rng = np.random.default_rng(0)
        batch = [
            DegradedClip(f"reference-{n}", Audio(on_pcm16_grid(0.1 * rng.standard_normal(16_000)), 16_000))
            for n in range(self.clips)
        ]
        times_s = []
        try:
            with self.runner.run(self.model, limits=self.limits) as running:
                for repeat in range(self.repeats + 1):
                    before_s = running.timing.enhance_s
                    answers = running.enhance(batch)
                    if failed := next((answer.failure for answer in answers if answer.failure), None):
                        raise InfrastructureFault(f"The reference's answer is bad: {failed.detail}", _REMEDY)
                    if repeat:
                        times_s.append(running.timing.enhance_s - before_s)
        except ModelFault as fault:
            raise InfrastructureFault(f"The reference failed: {fault}", _REMEDY) from fault
        return statistics.median(times_s)


def built_in_reference(folder: Path, *, base: str = PYTHON_BASE) -> FetchedModel:
    """The reference that ships with the program, written into a new or earlier `folder`.

    `base` is the image that it builds on in a sandbox of containers; it needs Python alone.

    Raises:
        InfrastructureFault: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        shutil.copyfile(_PROGRAM, folder / _PROGRAM.name)
        (folder / "Dockerfile").write_text(_DOCKERFILE.format(base=base))
        for path in files_below(folder):
            path.chmod(0o644)
    except OSError as error:
        raise InfrastructureFault(
            f"{folder} cannot be written ({error})", "Check that the disk has space and is writable."
        ) from error
    hashes = {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files_below(folder)}
    source = ModelRef("soundsright", "reference", "0" * 40)
    submission = Submission(-1, "reference", PUBLISHED[0], source, 0)
    return FetchedModel(submission, folder, content_hash(hashes), checkpoint_hashes=())


def is_steady(before_s: float, after_s: float, max_drift: float = MAX_DRIFT) -> bool:
    """Whether the two times differ by no more than that part of the smaller one.

    >>> is_steady(1.0, 1.05), is_steady(1.06, 1.0)
    (True, False)
    """
    return abs(after_s - before_s) <= max_drift * min(before_s, after_s) * (1 + 1e-9)
