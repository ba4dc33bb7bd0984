"""The records of a private corpus: its recordings, its batches, and the root that commits to both.

A record becomes JSON with sorted keys and without spaces, so that equal records have equal bytes. Times in seconds,
rates in Hz.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import UsageError
from soundsright.corpus.life import MAX_ROUND, MAX_USES, Life
from soundsright.corpus.merkle import MerkleTree, leaf_hash

FORMAT = 1
KINDS = ("speech", "noise", "rir")
MAX_RECORDINGS = 200_000
MAX_BATCHES = 1_000
MAX_DURATION_S = 60.0
MAX_RATE_HZ = 192_000
_MAX_TEXT = 4_000
_LEAF_DOMAIN = b"soundsright corpus recording 1\n"
_ROOT_DOMAIN = b"soundsright corpus root 1\n"


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and without spaces."""
    return canonical_json(value).encode()


@dataclass(frozen=True)
class Leaf:
    """A recording as the root commits to it.

    Attributes:
        sha256: of the FLAC file.
        samples_sha256: of the decoded samples, by which a recording in another file format is recognised.
        cohort: its cohort within its batch, which decides the rounds of its life.
        name: the file or sentence from which it was made.
        salt: 16 random bytes in hex. Without it, a stranger could check a guess against the hash of the leaf.
    """

    id: str
    kind: str
    sha256: str
    samples_sha256: str
    sample_rate_hz: int
    duration_s: float
    cohort: int
    salt: str
    speaker: str = ""
    group: str = ""
    language: str | None = None
    text: str | None = None
    licence: str = ""
    source: str = ""
    name: str = ""
    bandwidth_hz: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"the kind {self.kind!r} is not one of {', '.join(KINDS)}")
        if not (is_hex(self.sha256, 64) and is_hex(self.samples_sha256, 64) and is_hex(self.salt, 32)):
            raise ValueError("a digest or salt is not hex")
        if not self.id or len(self.id) > 80 or not set(self.id) <= _ID_CHARACTERS:
            raise ValueError(f"the id {self.id[:80]!r} is not allowed")
        if not (0.0 < self.duration_s <= MAX_DURATION_S and 0 < self.sample_rate_hz <= MAX_RATE_HZ):
            raise ValueError("the duration or the sample rate is out of range")
        if self.cohort < 0 or any(len(text) > _MAX_TEXT for text in self._texts()):
            raise ValueError("the cohort or the length of a text is out of range")

    def _texts(self) -> list[str]:
        texts = (self.speaker, self.group, self.language, self.text, self.licence, self.source, self.name)
        return [text for text in texts if text is not None]

    @property
    def hash(self) -> bytes:
        """The hash of the leaf in the tree of its batch."""
        return leaf_hash(_LEAF_DOMAIN + canonical(asdict(self)))

    @classmethod
    def of(cls, values: object) -> Leaf:
        """The leaf with these values from JSON.

        Raises:
            ValueError: a value is missing, unknown, of another type or out of range.
        """
        if not isinstance(values, dict) or not set(values) <= {f.name for f in fields(cls)}:
            raise ValueError("the fields are not those of a recording")
        for name, value in values.items():
            if not isinstance(value, _TYPES[name]) or isinstance(value, bool):
                raise ValueError(f"{name} has another type")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError("a field is missing") from error


_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_OPTIONAL_TEXT = (str, type(None))
_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "kind", "sha256", "samples_sha256", "salt", "speaker", "group"), (str,)),
    **dict.fromkeys(("licence", "source", "name"), (str,)),
    **dict.fromkeys(("language", "text"), _OPTIONAL_TEXT),
    "sample_rate_hz": (int,),
    "duration_s": (int, float),
    "cohort": (int,),
    "bandwidth_hz": (int, float, type(None)),
}


@dataclass(frozen=True)
class Batch:
    """Recordings that were added together: their Merkle root, the number of cohorts, and how many of each kind."""

    root: str
    cohorts: int
    speech: int
    noise: int
    rir: int

    def __post_init__(self) -> None:
        counts = (self.speech, self.noise, self.rir)
        if not is_hex(self.root, 64) or not 1 <= self.cohorts <= MAX_RECORDINGS:
            raise ValueError("the root or the number of cohorts is out of range")
        if min(counts) < 0 or not 1 <= sum(counts) <= MAX_RECORDINGS:
            raise ValueError("the number of recordings is out of range")

    @property
    def recordings(self) -> int:
        return self.speech + self.noise + self.rir

    @classmethod
    def over(cls, leaves: Sequence[Leaf], cohorts: int) -> Batch:
        """The batch of these recordings, in this order."""
        counts = {kind: sum(leaf.kind == kind for leaf in leaves) for kind in KINDS}
        return cls(MerkleTree([leaf.hash for leaf in leaves]).root.hex(), cohorts, **counts)


@dataclass(frozen=True)
class Statement:
    """The public facts of a corpus. `root` commits to them, and through the batches to every recording."""

    first_round: int
    uses: int
    batches: tuple[Batch, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.first_round <= MAX_ROUND or not 1 <= self.uses <= MAX_USES:
            raise ValueError("the first round or the number of uses is out of range")
        if not 1 <= len(self.batches) <= MAX_BATCHES or self.recordings > MAX_RECORDINGS:
            raise ValueError("the number of batches or recordings is out of range")

    @property
    def values(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    @property
    def root(self) -> str:
        """SHA-256 over the statement, in hex: the value that a validator commits on the chain."""
        return hashlib.sha256(_ROOT_DOMAIN + canonical(self.values)).hexdigest()

    @property
    def earlier_roots(self) -> tuple[str, ...]:
        """The roots that the corpus had before each of its later batches was added, the first one first."""
        return tuple(
            Statement(self.first_round, self.uses, self.batches[:count]).root
            for count in range(1, len(self.batches))
        )

    def roots_of_round(self, number: int) -> tuple[str, ...]:
        """The roots under which round `number` has the same recordings, the present one first.

        Those are the present root, and each earlier one whose batches have all recordings of the round.
        """
        earlier = [
            root
            for count, root in enumerate(self.earlier_roots, 1)
            if number <= Statement(self.first_round, self.uses, self.batches[:count]).life.last_round
        ]
        return (self.root, *reversed(earlier))

    @property
    def recordings(self) -> int:
        return sum(batch.recordings for batch in self.batches)

    @property
    def life(self) -> Life:
        return Life(self.first_round, self.uses, sum(batch.cohorts for batch in self.batches))

    def first_cohort_of(self, batch: int) -> int:
        """The corpus' cohort that is cohort 0 of the batch."""
        return sum(each.cohorts for each in self.batches[:batch])

    @classmethod
    def of(cls, values: object) -> Statement:
        """The statement with these values from JSON.

        Raises:
            ValueError: a value is missing, of another type or out of range.
        """
        if not isinstance(values, dict):
            raise ValueError("it is not an object")
        if values.get("format") != FORMAT:
            raise ValueError(f"its format is {values.get('format')!r}, and this version reads {FORMAT}")
        batches = values.get("batches")
        if not isinstance(batches, list) or len(batches) > MAX_BATCHES:
            raise ValueError("batches is not a list of batches")
        numbers = [values.get("first_round"), values.get("uses")]
        names = ("cohorts", "speech", "noise", "rir")
        for batch in batches:
            if not isinstance(batch, dict) or set(batch) != {"root", *names} or not isinstance(batch["root"], str):
                raise ValueError("a batch has other fields than root, cohorts, speech, noise and rir")
            numbers += [batch[name] for name in names]
        if any(type(number) is not int for number in numbers):
            raise ValueError("a number is missing or not whole")
        return cls(values["first_round"], values["uses"], tuple(Batch(**batch) for batch in batches))


def is_hex(text: object, length: int) -> bool:
    """Whether the value is lower-case hex of that length."""
    return isinstance(text, str) and len(text) == length and set(text) <= set("0123456789abcdef")


def checked_root(text: str) -> str:
    """The root of a corpus as a user gives it.

    Raises:
        UsageError: it is not 64 hex digits.
    """
    lowered = text.strip().lower().removeprefix("0x")
    if not is_hex(lowered, 64):
        raise UsageError(f"{text[:80]!r} is not the root of a corpus", "Give its 64 hex digits.")
    return lowered
