"""Read the attestations of replays that lie in a run's folder: `attestations/*.json`.

Anyone can sign an attestation, so each is read within bounds and its signature is verified. Sizes are in bytes.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictBool,
    StringConstraints,
    ValidationError,
    model_validator,
)

from soundsright.core.errors import RequestRefused, printable
from soundsright.services.records import (
    SafeName,
    ShortText,
    ValidSignature,
    is_plain_file,
    malformed,
    open_document,
)
from soundsright.services.replay.attestation import REPLAY
from soundsright.services.replay.report import Depth
from soundsright.services.rounds import Difference

ATTESTATIONS = "attestations"
MAX_ATTESTATIONS = 200
MAX_ATTESTATION_BYTES = 1 << 20
_MAX_LISTED = 10_000
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Value = bool | Annotated[int, Field(ge=-(2**63), lt=2**63)] | FiniteFloat | ShortText | None


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DifferenceFacts(_Part):
    """The first difference that a replay found. Long values were cut."""

    competition: ShortText
    step: ShortText
    field: ShortText
    recorded: _Value
    replayed: _Value

    @property
    def sentence(self) -> str:
        """The difference in a sentence."""
        return Difference(self.competition, self.step, self.field, self.recorded, self.replayed).sentence


class UncheckedFacts(_Part):
    """A part that the replay could not check, and the reason."""

    part: ShortText
    why: ShortText


class SampleFacts(_Part):
    """The number of results that were drawn, and the hash of the block that drew them.

    `block` and `committed` are the numbers of that block and of the block of the signer's commitment, if the hash
    was read from a chain.
    """

    results: Annotated[int, Field(ge=0, le=100_000_000)]
    block_hash: ShortText
    block: Annotated[int, Field(ge=0)] | None = None
    committed: Annotated[int, Field(ge=0)] | None = None


class ReplayFacts(_Part):
    """The facts of an attestation. `bundle` is the SHA-256 of the round document.

    `same` is None if nothing of the depth was checked.

    Raises:
        ValidationError: `same` contradicts `difference`.
    """

    schema_: Literal["soundsright.replay/1"] = Field(alias="schema")
    round: SafeName
    bundle: _Sha256
    bundle_signer: ShortText | None
    depth: Depth
    same: StrictBool | None
    difference: DifferenceFacts | None
    checked: Annotated[dict[ShortText, Annotated[int, Field(ge=0, le=100_000_000)]], Field(max_length=100)]
    unchecked: Annotated[tuple[UncheckedFacts, ...], Field(max_length=10_000)]
    sample: SampleFacts | None
    versions: Annotated[dict[ShortText, ShortText], Field(max_length=200)]

    @model_validator(mode="after")
    def _check_result(self) -> ReplayFacts:
        if (self.same is False) != (self.difference is not None):
            raise ValueError("same contradicts difference")
        return self


@dataclass(frozen=True)
class Attestation:
    """An attestation whose signature was verified. `sha256` is that of its document, `raw` its envelope."""

    signer: str
    sha256: str
    facts: ReplayFacts
    raw: bytes = field(default=b"", repr=False)

    @property
    def name(self) -> str:
        """The name of its file on a leaderboard."""
        return f"{self.signer}-{self.sha256[:16]}.json"


@dataclass(frozen=True)
class FoundAttestations:
    """The attestations in a folder, each once, and a sentence for every file that is none."""

    attestations: tuple[Attestation, ...]
    problems: tuple[str, ...]


def open_attestation(raw: bytes, *, valid_signature: ValidSignature) -> Attestation:
    """Verify and read an attestation.

    Raises:
        RequestRefused: `too_large`, `malformed` or `bad_signature`.
    """
    signed = open_document(REPLAY, raw, valid_signature=valid_signature, max_bytes=MAX_ATTESTATION_BYTES)
    try:
        facts = ReplayFacts.model_validate(dict(signed.facts))
    except ValidationError as error:
        raise malformed(REPLAY, error) from None
    return Attestation(signed.signer, signed.envelope.digest, facts, raw)


def read_attestations(folder: Path, *, valid_signature: ValidSignature) -> FoundAttestations:
    """The attestations in a run's folder. Nothing is raised: a file that is none becomes a problem."""
    found: dict[tuple[str, str], Attestation] = {}
    problems: list[str] = []
    names, more = _names(folder / ATTESTATIONS)
    for name in names:
        path = folder / ATTESTATIONS / name
        try:
            if not is_plain_file(path):
                raise RequestRefused("malformed", "It is not a plain file")
            with path.open("rb") as file:
                one = open_attestation(file.read(MAX_ATTESTATION_BYTES + 1), valid_signature=valid_signature)
        except OSError as error:
            problems.append(f"{printable(name[:80])}: it cannot be read ({error.strerror})")
        except RequestRefused as refused:
            problems.append(f"{printable(name[:80])}: {refused.sentence}")
        else:
            found.setdefault((one.signer, one.sha256), one)
    if more:
        problems.append(f"{more} more files were not read: at most {MAX_ATTESTATIONS} are")
    return FoundAttestations(tuple(found.values()), tuple(problems))


def _names(folder: Path) -> tuple[list[str], int]:
    """The first names of files, in their order, and how many more there are."""

    def listed() -> Iterator[str]:
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries):
                if number >= _MAX_LISTED:
                    return
                if entry.name.endswith(".json") and not entry.name.startswith("."):
                    yield entry.name

    try:
        names = list(listed())
    except OSError:
        return [], 0
    first = heapq.nsmallest(MAX_ATTESTATIONS, names)
    return first, len(names) - len(first)
