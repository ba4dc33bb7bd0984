"""How often the clips of a set have the same material: the more often, the less the set says about new material."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from soundsright.data.noise_kinds import BABBLE

FIELDS = {"noises": "noise", "recordings of speech": "speech", "rooms": "rir"}
"""The fields of a manifest's line that name a clip's material, by the noun for it."""
_SINGULAR = {"noises": "noise", "recordings of speech": "recording of speech", "rooms": "room"}


@dataclass(frozen=True)
class Sharing:
    """The number of different materials among `clips` clips, and the number of clips with the most frequent one."""

    clips: int
    distinct: int
    most: int


class SharingCounter:
    """Counts the material in the lines of a manifest. Babble is one noise, whoever speaks.

    >>> counter = SharingCounter()
    >>> for noise in ("rain", "babble:a+b", "babble:b+c"):
    ...     counter.add({"noise": noise})
    >>> counter.sharing
    {'noises': Sharing(clips=3, distinct=2, most=2)}
    >>> joined = SharingCounter()
    >>> joined.add({"speech": "s1", "pieces": [{"speech": "s1"}, {"speech": "s2"}]})
    >>> joined.sharing
    {'recordings of speech': Sharing(clips=1, distinct=2, most=1)}
    """

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {noun: Counter() for noun in FIELDS}
        self._clips: Counter[str] = Counter()

    def add(self, line: Mapping[str, Any]) -> None:
        """Count the material of a clip. Speech that joins pieces of several recordings counts each of them once."""
        for noun, field in FIELDS.items():
            names = [line.get(field)]
            if field == "speech":
                names += [piece.get("speech") for piece in line.get("pieces") or ()]
            found = {BABBLE if str(name).startswith(f"{BABBLE}:") else str(name) for name in names if name}
            self._counts[noun].update(found)
            self._clips[noun] += bool(found)

    @property
    def sharing(self) -> dict[str, Sharing]:
        """The sharing of each kind of material that the clips have, by its noun."""
        return {
            noun: Sharing(self._clips[noun], len(count), max(count.values()))
            for noun, count in self._counts.items()
            if count
        }


def sharing_facts(found: Mapping[str, Sharing]) -> dict[str, dict[str, int]]:
    """The sharing ready for JSON."""
    return {noun.replace(" ", "_"): asdict(each) for noun, each in found.items()}


def sharing_line(found: Mapping[str, Sharing]) -> str:
    """The sharing in a sentence.

    >>> sharing_line({"noises": Sharing(30, 27, 2), "rooms": Sharing(30, 30, 1)})
    '30 clips with 27 noises (each in at most 2) and 30 rooms (each in 1).'
    >>> sharing_line({"noises": Sharing(30, 1, 30)})
    '30 clips with 1 noise (in 30).'
    """
    parts = [
        f"1 {_SINGULAR[noun]} (in {each.most})"
        if each.distinct == 1
        else f"{each.distinct} {noun} ({'each in 1' if each.most == 1 else f'each in at most {each.most}'})"
        for noun, each in found.items()
    ]
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    clips = max(each.clips for each in found.values())
    return f"{clips} clip{'' if clips == 1 else 's'} with {listed}."
