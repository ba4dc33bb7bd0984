"""The common parts of all pages: static files, security headers, and the rendering of templates.

Scripts and styles come only from static files. The security policy forbids inline ones, so the names that miners
choose can never run as code.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib.resources import files

from soundsright import __version__
from soundsright.services.drawing.templates import template_environment

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'"
)
HEADERS = {
    "Content-Security-Policy": f"{CSP}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
ASSETS = {
    "mark.svg": "image/svg+xml",
    "board.css": "text/css; charset=utf-8",
    "plots.css": "text/css; charset=utf-8",
    "board.js": "text/javascript; charset=utf-8",
    "spectrogram.js": "text/javascript; charset=utf-8",
    "player.js": "text/javascript; charset=utf-8",
    "ears.js": "text/javascript; charset=utf-8",
    "listen.js": "text/javascript; charset=utf-8",
    "status.js": "text/javascript; charset=utf-8",
    "try.js": "text/javascript; charset=utf-8",
    "live_worklet.js": "text/javascript; charset=utf-8",
}
_HTML = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Page:
    """The bytes of a page or file and their media type."""

    body: bytes
    media_type: str


def asset(name: str) -> Page:
    """A static file; `name` is a key of `ASSETS`."""
    return Page((files("soundsright") / "web" / "static" / name).read_bytes(), ASSETS[name])


class Frame:
    """Renders templates. `live` adds a link to the status page. `systems` adds one for each, such as `executor`."""

    def __init__(self, *, live: bool = False, systems: Collection[str] = ()) -> None:
        self._live = live
        self._systems = frozenset(systems)
        self._environment = template_environment()

    def page(self, template: str, root: str, **values: object) -> Page:
        """The rendered template. `root` is the relative path from the page to the root of the site."""
        text = self._environment.get_template(template).render(
            root=root, csp=CSP, version=__version__, live=self._live, systems=self._systems, **values
        )
        return Page(re.sub(r"\n\s*\n+", "\n", text).encode(), _HTML)
