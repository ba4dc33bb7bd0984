"""The texts of a federation on the chain: the owner's allowlist, and a validator's view of an epoch.

A chain keeps one text for each hotkey. A validator writes a view in each epoch, and may also be committed to a
round document, a private corpus or the allowlist. So the text of a view can be followed by a space and that other
text. Writing another text over it loses nothing: a view is looked up as of the blocks in which it counts.

    soundsright:allowlist:v1:SHA256
    soundsright:view:EPOCH:SHA256
    soundsright:view:EPOCH:SHA256:READ:WINNERS
    soundsright:view:EPOCH:SHA256:READ:WINNERS corpus:1:ROOT:PARAMETERS

READ says whose views of the epoch before the validator has read: hex digits whose lowest bit stands for the first
validator of the sorted list. WINNERS has a mark of the winner for each competition in the order of their names,
with points between them, or `-` for one that it does not know.

The original program writes `leoma:` in place of `soundsright:`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass

from soundsright.core.submission import is_sha256

OWN, LEOMA = "soundsright", "leoma"
"""The names with which the text of an allowlist begins: this program's, and the original's."""

_ALLOWLIST = re.compile(r"(soundsright|leoma):allowlist:v1:([0-9a-f]{64})")
_MARK = r"(?:[0-9a-f]{16}|-)"
_VIEW = re.compile(
    r"soundsright:view:(0|[1-9][0-9]{0,11}):([0-9a-f]{64})"
    rf"(?::([0-9a-f]{{1,64}}):({_MARK}(?:\.{_MARK}){{0,15}}))?(?: (.+))?",
    re.DOTALL,
)
UNKNOWN_WINNER = "-"
"""The mark of a winner that a validator does not know."""


@dataclass(frozen=True)
class AllowlistCommitment:
    """The owner's commitment to the allowlist with that SHA-256. `prefix` is `soundsright` or `leoma`."""

    sha256: str
    prefix: str = OWN

    def __post_init__(self) -> None:
        if not is_sha256(self.sha256) or self.prefix not in (OWN, LEOMA):
            raise ValueError(f"{self.prefix!r} and {self.sha256!r} are not the parts of a commitment")

    @property
    def text(self) -> str:
        """The text on the chain.

        >>> AllowlistCommitment("ab" * 32).text[:33]
        'soundsright:allowlist:v1:abababab'
        """
        return f"{self.prefix}:allowlist:v1:{self.sha256}"


@dataclass(frozen=True)
class ViewCommitment:
    """A validator's commitment to its view of an epoch. `beside` is the other text that the hotkey keeps.

    `read` are hex digits of `validators_bits`, and `winners` are marks: both or none.
    """

    epoch_block: int
    sha256: str
    beside: str = ""
    read: str = ""
    winners: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if _VIEW.fullmatch(self.beside) or _VIEW.fullmatch(self.text) is None:
            raise ValueError(f"{self.text[:200]!r}: these are not the parts of a commitment")

    @property
    def text(self) -> str:
        """The text on the chain.

        >>> ViewCommitment(180, "ab" * 32).text[:28]
        'soundsright:view:180:abababa'
        """
        view = f"{OWN}:view:{self.epoch_block}:{self.sha256}"
        if self.read or self.winners:
            view += f":{self.read}:{'.'.join(self.winners)}"
        return f"{view} {self.beside}" if self.beside else view


def allowlist_commitment_in(text: str) -> AllowlistCommitment | None:
    """The allowlist that a text on the chain names; None if it names none.

    >>> allowlist_commitment_in(f"leoma:allowlist:v1:{'ab' * 32}").prefix
    'leoma'
    """
    match = _ALLOWLIST.fullmatch(beside_view(text))
    return None if match is None else AllowlistCommitment(match[2], match[1])


def view_commitment_in(text: str) -> ViewCommitment | None:
    """The view that a text on the chain names; None if it names none.

    >>> view_commitment_in("soundsright:view:01:ab") is None
    True
    """
    match = _VIEW.fullmatch(text)
    if match is None or _VIEW.fullmatch(match[5] or ""):
        return None
    winners = tuple(match[4].split(".")) if match[4] else ()
    return ViewCommitment(int(match[1]), match[2], match[5] or "", match[3] or "", winners)


def beside_view(text: str) -> str:
    """The text without the view in front of it: what the hotkey is committed to otherwise.

    >>> beside_view(f"soundsright:view:180:{'ab' * 32} corpus:3:x"), beside_view("corpus:3:x")
    ('corpus:3:x', 'corpus:3:x')
    """
    view = view_commitment_in(text)
    return text if view is None else view.beside


def validators_bits(members: Collection[str], validators: Collection[str]) -> str:
    """The members among `validators` as hex digits, a bit for each in the order of the sorted list.

    >>> validators_bits({"a", "c"}, ["c", "b", "a"]), validators_in("5", ["a", "b", "c"]) == {"a", "c"}
    ('5', True)
    """
    bits = sum(1 << number for number, validator in enumerate(sorted(validators)) if validator in members)
    return f"{bits:0{(len(validators) + 3) // 4}x}"


def validators_in(bits: str, validators: Collection[str]) -> frozenset[str]:
    """The members that `validators_bits` wrote. Bits above the list say nothing."""
    number = int(bits, 16)
    return frozenset(each for place, each in enumerate(sorted(validators)) if number >> place & 1)


def winner_mark(competition: str, hotkey: str) -> str:
    """The text on the chain for a competition's winner. Without a hotkey, it stands for nobody.

    >>> winner_mark("DENOISING_16000HZ", "a") == winner_mark("DENOISING_16000HZ", "b")
    False
    """
    return hashlib.sha256(f"soundsright.winner:{competition}:{hotkey}".encode()).hexdigest()[:16]
