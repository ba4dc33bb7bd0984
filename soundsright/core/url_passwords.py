"""Passwords inside addresses, such as postgresql://USER:PASSWORD@HOST/NAME: found, and hidden where shown."""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"

# A web address ends its user and password at the first slash. Database drivers take all characters up to the last
# @. One slash is enough, because a path made from an address has no second one. PASSWORD is in our own sentences.
_WEB = re.compile(r"(?i)\b((?:https?|wss?):/{1,2}[^\s/?#:@]*:)(?!PASSWORD@)([^\s/?#]*)(?=@)")
_OTHER = re.compile(r"(?i)\b((?!https?:|wss?:)[a-z][a-z0-9+.-]*:/{1,2}[^\s/:@]*:)(?!PASSWORD@)([^\s'\"]*)(?=@)")
_QUERY = re.compile(r"(?i)([?&](?:ssl)?(?:password|passwd|pwd)=)([^\s&'\"#]+)")
_ALL = (_WEB, _OTHER, _QUERY)


def without_passwords(text: str) -> str:
    """The text with `***` in place of each password inside an address.

    >>> without_passwords("postgresql://me:secret@host/sr is away")
    'postgresql://me:***@host/sr is away'
    >>> without_passwords("https://reg.example:5000/lab/gate@sha256:00")
    'https://reg.example:5000/lab/gate@sha256:00'
    """
    for pattern in _ALL:
        text = pattern.sub(lambda found: found[1] + HIDDEN, text)
    return text


def passwords_in(text: str) -> tuple[str, ...]:
    """The passwords inside the addresses of a text: as they are written, and as a server gets them.

    >>> passwords_in("postgresql://me:a%2Fb@host/sr")
    ('a%2Fb', 'a/b')
    """
    written = [found[2] for pattern in _ALL for found in pattern.finditer(text) if found[2]]
    return tuple(dict.fromkeys(each for password in written for each in (password, unquote(password))))
