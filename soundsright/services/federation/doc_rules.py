"""The rules of entry that only the profiles `doc` and `code` have.

There a model's name begins with the system's and ends with the miner's hotkey, and a hotkey commits at most twice.
Two models with the same weights are also copies by the rules of rounds, which refuse the one that came later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from soundsright.core.errors import EntryRefused
from soundsright.core.submission import Commitment, Reveal

NAME_PREFIX = "leoma"
MAX_COMMITMENTS = 2


def with_doc_rules(
    reveals: Mapping[str, Reveal | EntryRefused], commitments: Sequence[Commitment]
) -> dict[str, Reveal | EntryRefused]:
    """The reveals, with a refusal in place of each that breaks a rule."""
    counts = {commitment.hotkey: 1 + len(commitment.earlier_blocks) for commitment in commitments}
    return {hotkey: _checked(reveal, hotkey, counts.get(hotkey, 1)) for hotkey, reveal in reveals.items()}


def _checked(reveal: Reveal | EntryRefused, hotkey: str, commitments: int) -> Reveal | EntryRefused:
    if isinstance(reveal, EntryRefused):
        return reveal
    if commitments > MAX_COMMITMENTS:
        return EntryRefused(
            "too_many_commitments",
            f"The hotkey committed {commitments} times; at most {MAX_COMMITMENTS} are allowed",
            {"commitments": str(commitments)},
        )
    name = reveal.model.name
    if not name.lower().startswith(NAME_PREFIX) or not name.endswith(hotkey):
        return EntryRefused(
            "bad_name",
            f"The model's name must begin with {NAME_PREFIX} and end with the hotkey",
            {"name": name[:100]},
        )
    return reveal
