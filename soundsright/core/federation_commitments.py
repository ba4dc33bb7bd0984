"""The texts of a federation on the chain: the owner's allowlist, and a validator's view of an epoch.

A chain keeps one text for each hotkey. A validator writes a view in each epoch, and may also be committed to a
round document, a private corpus or the allowlist. So the text of a view can be followed by a space and that other
text. Writing another text over it loses nothing: a view is looked up as of the blocks in which it counts.

    soundsright:allowlist:v1:SHA256
    soundsright:view:EPOCH:SHA256
    soundsright:view:EPOCH:SHA256 corpus:1:ROOT:PARAMETERS

The original program writes `leoma:` in place of `soundsright:`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from soundsright.core.submission import is_sha256

OWN, LEOMA = "soundsright", "leoma"
"""The names with which the text of an allowlist begins: this program's, and the original's."""

_ALLOWLIST = re.compile(r"(soundsright|leoma):allowlist:v1:([0-9a-f]{64})")
_VIEW = re.compile(r"soundsright:view:(0|[1-9][0-9]{0,11}):([0-9a-f]{64})(?: (.+))?", re.DOTALL)


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
    """A validator's commitment to its view of an epoch. `beside` is the other text that the hotkey keeps."""

    epoch_block: int
    sha256: str
    beside: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.epoch_block < 10**12 or not is_sha256(self.sha256) or _VIEW.fullmatch(self.beside):
            raise ValueError(f"{self.epoch_block!r} and {self.sha256!r} are not the parts of a commitment")

    @property
    def text(self) -> str:
        """The text on the chain.

        >>> ViewCommitment(180, "ab" * 32).text[:28]
        'soundsright:view:180:abababa'
        """
        view = f"{OWN}:view:{self.epoch_block}:{self.sha256}"
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
    if match is None or _VIEW.fullmatch(match[3] or ""):
        return None
    return ViewCommitment(int(match[1]), match[2], match[3] or "")


def beside_view(text: str) -> str:
    """The text without the view in front of it: what the hotkey is committed to otherwise.

    >>> beside_view(f"soundsright:view:180:{'ab' * 32} corpus:3:x"), beside_view("corpus:3:x")
    ('corpus:3:x', 'corpus:3:x')
    """
    view = view_commitment_in(text)
    return text if view is None else view.beside
