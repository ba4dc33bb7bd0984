"""An organiser's rules for the executor, which ranks images by quality, time and memory.

Times are in seconds, memory in GB, blocks are counted. In the profile `soundsright` the time of a run is its
real-time factor times `REAL_TIME_S`, so `time_ref_s` and `max_time_s` are times for 30 s of audio there.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import UsageError
from soundsright.core.profiles import Profile

REAL_TIME_S = 30.0
"""In the profile `soundsright`, the time of a run with the real-time factor 1."""


@dataclass(frozen=True)
class ExecutorRules:
    """Everything that decides an image's score and pay. `executor_rules` gives a profile's own values.

    Raises:
        UsageError: a value is outside its range.
    """

    profile: Profile = Profile.SOUNDSRIGHT
    cooldown_s: int = 345_600
    carry_over: int = 5
    pull_tries: int = 5
    pull_timeout_s: float = 900.0
    ready_timeout_s: float = 600.0
    warmup_runs: int = 2
    scoring_runs: int = 5
    run_timeout_s: float = 120.0
    run_audio_s: float = 24.0
    poll_s: float = 0.1
    cpus: int = 8
    memory_gb: float = 16.0
    pids: int = 256
    time_weight: float = 0.15
    memory_weight: float = 0.10
    time_ref_s: float = 30.0
    memory_ref_gb: float = 8.0
    saturation: float = 3.0
    max_time_s: float = 30.0
    max_memory_gb: float = 10.0
    cap_factor: float = 0.01
    tie_eps: float = 1e-5
    update_blocks: int = 180
    weight_blocks: int = 180

    def __post_init__(self) -> None:
        for item in fields(self):
            if item.name == "profile":
                continue
            value, (low, high) = getattr(self, item.name), _RANGES[item.name]
            if not (math.isfinite(value) and low <= value <= high):
                raise UsageError(f"{item.name} is {value!r}", f"Write a number from {low:g} to {high:g}.")

    @property
    def canonical_json(self) -> str:
        """The rules as JSON with sorted keys and no spaces."""
        return canonical_json(asdict(self))

    @property
    def digest(self) -> str:
        """The SHA-256 of `canonical_json`, which identifies the rules."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()


_DAY_S, _YEAR_S, _MOST = 86_400, 31_536_000, 1_000_000
_RANGES: Mapping[str, tuple[float, float]] = {
    "cooldown_s": (0, _YEAR_S),
    "carry_over": (0, 4_096),
    "pull_tries": (1, 100),
    "pull_timeout_s": (1, _DAY_S),
    "ready_timeout_s": (1, _DAY_S),
    "warmup_runs": (0, 100),
    "scoring_runs": (1, 100),
    "run_timeout_s": (1, _DAY_S),
    "run_audio_s": (1, 3_600),
    "poll_s": (0.001, 60),
    "cpus": (1, 4_096),
    "memory_gb": (0.1, _MOST),
    "pids": (1, _MOST),
    "time_weight": (0, 100),
    "memory_weight": (0, 100),
    "time_ref_s": (0.001, _DAY_S),
    "memory_ref_gb": (0.001, _MOST),
    "saturation": (0, _MOST),
    "max_time_s": (0.001, _DAY_S),
    "max_memory_gb": (0.001, _MOST),
    "cap_factor": (0, 1),
    "tie_eps": (0, 1),
    "update_blocks": (1, _MOST),
    "weight_blocks": (1, _MOST),
}
_OF_PROFILE: Mapping[Profile, Mapping[str, Any]] = {
    Profile.SOUNDSRIGHT: {},
    Profile.DOC: {},
    Profile.CODE: {"carry_over": 10, "update_blocks": 360, "weight_blocks": 360},
}


def executor_rules(profile: Profile = Profile.SOUNDSRIGHT, **changes: Any) -> ExecutorRules:
    """The rules of a profile, with changes by the organiser.

    >>> executor_rules(Profile.CODE).carry_over, executor_rules(Profile.CODE, carry_over=3).carry_over
    (10, 3)
    """
    return replace(ExecutorRules(profile), **{**_OF_PROFILE[profile], **changes})
