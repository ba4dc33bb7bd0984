"""The ranges of a set's random choices: levels and ratios in dB, times in seconds, shares between 0 and 1."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from soundsright.core.errors import UsageError
from soundsright.core.tasks import AnyTask, CustomTask, custom_tasks
from soundsright.data.turns import BALANCE_VERSION
from soundsright.data.variation import VARIATION_VERSION


class SetTask(StrEnum):
    """The degradation that a set wants undone. `both` makes a noisy and a reverberant version of each item."""

    DENOISING = "denoising"
    DEREVERBERATION = "dereverberation"
    BOTH = "both"

    @classmethod
    def of(cls, task: AnyTask) -> AnySetTask:
        """The task of the sets of a competition."""
        return task if isinstance(task, CustomTask) else cls(task.value.lower())

    @classmethod
    def named(cls, name: str) -> AnySetTask:
        """The task of that name, in upper or lower case, also one that another package adds.

        Raises:
            UsageError: there is none.
        """
        if name.lower() in list(cls):
            return cls(name.lower())
        custom = custom_tasks()
        if name.upper() not in custom:
            known = ", ".join((*cls, *(each.lower() for each in custom)))
            raise UsageError(f"There is no task {name!r}", f"Choose one of {known}.")
        return custom[name.upper()]

    @property
    def has_noise(self) -> bool:
        return self is not SetTask.DEREVERBERATION

    @property
    def has_room(self) -> bool:
        return self is not SetTask.DENOISING


AnySetTask: TypeAlias = SetTask | CustomTask

_RANGES = {
    "snr_db": (-60.0, 100.0),
    "rt60_s": (0.1, 5.0),
    "duration_s": (0.5, 60.0),
    "speech_level_db": (-60.0, -3.0),
}
# The flags whose name differs from the setting.
_FLAGS = {
    "count": "n",
    "duration_s": "duration",
    "early_reflections_s": "early",
    "folders": "clean_dir",
    "rt60_s": "rt60",
    "sample_rate_hz": "sample-rate",
    "snr_db": "snr",
    "subtype": "float",
}
_SHARES = ("measured_rirs", "band_limit", "clipping", "codec", "packet_loss", "fresh_share")


def flag_of(name: str) -> str:
    """The command-line flag of a setting.

    >>> flag_of("snr_db"), flag_of("noise_in_room")
    ('--snr', '--noise-in-room')
    """
    return "--" + _FLAGS.get(name, name.replace("_", "-"))


@dataclass(frozen=True)
class SetRecipe:
    """The ranges of a set; each value is drawn uniformly. The defaults are those of the published competitions.

    Attributes:
        snr_db: signal-to-noise ratio, lowest and highest.
        rt60_s: reverberation time, shortest and longest.
        variation: cut the speech at random places, join recordings of one speaker, and vary speed and sound, so
            that a clip does not name its recording. Without it, a clip has one whole utterance, if it is short
            enough, and its text.
        duration_s: length of the clip. Without variation, only longer utterances are cut to a length in this range.
        speech_level_db: active level of the clean signal.
        measured_rirs: share of clips with a measured room. The published competitions use none, because a model
            could learn to undo the few rooms that ship.
        noise_in_room: in a set for both tasks, the noisy version is the reverberant speech with noise, not the
            clean speech with noise.
        early_reflections_s: if above 0, the target of dereverberation is the speech with the room's reflections up
            to this time, not the dry speech.
        band_limit, clipping, codec, packet_loss: shares of clips with these further degradations.
        fresh_share: share of clips whose speech no set has used before, if the source names such recordings.
        balance: let the clips share the recordings equally: no recording of speech, noise or a room comes twice
            before all of its kind have come once. Without it, every clip draws for itself, and noise is made by
            the formulas of earlier versions.

    Raises:
        UsageError: a range is empty or out of bounds.
    """

    snr_db: tuple[float, float] = (-2.5, 17.5)
    rt60_s: tuple[float, float] = (0.2, 2.0)
    duration_s: tuple[float, float] = (3.0, 6.0)
    speech_level_db: tuple[float, float] = (-30.0, -20.0)
    measured_rirs: float = 0.0
    noise_in_room: bool = False
    early_reflections_s: float = 0.0
    band_limit: float = 0.0
    clipping: float = 0.0
    codec: float = 0.0
    packet_loss: float = 0.0
    fresh_share: float = 0.2
    variation: bool = True
    balance: bool = True

    def __post_init__(self) -> None:
        for name, (lowest, highest) in _RANGES.items():
            low, high = getattr(self, name)
            if not lowest <= low <= high <= highest:
                raise UsageError(
                    f"{flag_of(name)} {low:g} {high:g} is not a valid range",
                    f"Give the lower number first, both between {lowest:g} and {highest:g}.",
                )
        for name in _SHARES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(
                    f"{flag_of(name)} {getattr(self, name):g} is not a share", "Choose a number from 0 to 1."
                )
        if not 0.0 <= self.early_reflections_s <= 0.2:
            raise UsageError(
                f"{flag_of('early_reflections_s')} {self.early_reflections_s:g} is out of bounds",
                "Choose between 0 and 0.2.",
            )

    def facts(self, *, has_fresh: bool) -> dict[str, Any]:
        """The choices that a set uses, as plain values. Sets of older versions have the same ones, so they resume.

        `has_fresh` says whether the source names recordings that no set has used before.
        """
        facts = asdict(self)
        if not has_fresh:
            del facts["fresh_share"]
        if facts.pop("variation"):
            facts["variation"] = VARIATION_VERSION
        if facts.pop("balance"):
            facts["balance"] = BALANCE_VERSION
        return facts


PUBLISHED_RECIPE = SetRecipe()
"""The ranges of the published competitions."""
