"""The source of an entry's model: a repository on a model hub, a container image, or source code.

Each source names one version that cannot change: a commit or a digest. `str(source)` is its full name, and two
entries with the same name have the same source.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from soundsright.core.errors import EntryRefused

_HUB_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_IMAGE = re.compile(r"([a-z0-9][a-z0-9._/:-]{0,254})@sha256:([0-9a-f]{64})")
_HTTPS_URL = re.compile(
    r"https://[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[0-9]{1,5})?(?:/[A-Za-z0-9_~%+.-]+)+", re.ASCII
)
_MAX_URL_CHARS = 500


@dataclass(frozen=True, order=True)
class ModelRef:
    """A repository on a model hub at one commit. Hub names: letters, digits, `-`, `_`, `.`; at most 96.

    Raises:
        EntryRefused: `bad_reference` or `bad_revision`, if a part has the wrong form.
    """

    namespace: str
    name: str
    revision: str

    def __post_init__(self) -> None:
        for part in (self.namespace, self.name):
            if not _HUB_NAME.fullmatch(part) or ".." in part or "--" in part:
                raise EntryRefused("bad_reference", f"{part[:100]!r} is not a name that a hub allows")
        _check_commit(self.revision)

    @property
    def repository(self) -> str:
        return f"{self.namespace}/{self.name}"

    def facts(self) -> list[str]:
        """The source as plain values; `source_of` reads them."""
        return [self.namespace, self.name, self.revision]

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}"


@dataclass(frozen=True, order=True)
class ImageRef:
    """A container image by its digest. `repository` is its name without a digest, `sha256` 64 hex digits.

    Raises:
        EntryRefused: `bad_image_ref`, if a part has the wrong form.

    >>> str(ImageRef("reg.example:5000/lab/gate", "0" * 64))[:40]
    'reg.example:5000/lab/gate@sha256:0000000'
    """

    repository: str
    sha256: str

    def __post_init__(self) -> None:
        _image_parts(str(self))

    @classmethod
    def of_text(cls, text: str) -> ImageRef:
        """The image that `repository@sha256:digest` names.

        Raises:
            EntryRefused: `bad_image_ref`, for any other text, such as a name with a tag alone.
        """
        return cls(*_image_parts(text))

    def facts(self) -> dict[str, str]:
        """The source as plain values; `source_of` reads them."""
        return {"image": str(self)}

    def __str__(self) -> str:
        return f"{self.repository}@sha256:{self.sha256}"


def is_image_reference(text: str) -> bool:
    """Whether the text is the name of an image by its digest, as in an `ImageRef` or a file `IMAGE`.

    >>> is_image_reference("reg.example:5000/lab/gate@sha256:" + "0" * 64), is_image_reference("lab/gate:1.0")
    (True, False)
    """
    return _IMAGE.fullmatch(text) is not None


class SecretText:
    """A text that logs do not show: `str` and `repr` give stars, and it has no JSON form."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Do not log it or store it."""
        return self._text

    def __repr__(self) -> str:
        return "SecretText('**********')"

    __str__ = __repr__


@dataclass(frozen=True, order=True)
class SourceRef:
    """Source code at one commit of a Git repository. `url` starts with https and names no user.

    The URL has no query and no fragment, and its host is in lower case. `token` gives access to a private
    repository. It is not part of the source's name, facts or equality.

    Raises:
        EntryRefused: `bad_source` or `bad_revision`, if a part has the wrong form.
        TypeError: the token is not a `SecretText`, so it would show in a traceback.
    """

    url: str
    revision: str
    token: SecretText | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.token is not None and not isinstance(self.token, SecretText):
            # Do not show the value.
            raise TypeError("a token is a SecretText")
        dots = any(part in (".", "..") for part in self.url.lower().replace("%2e", ".").split("/"))
        if len(self.url) > _MAX_URL_CHARS or not _HTTPS_URL.fullmatch(self.url) or dots:
            # Do not show the URL, because it can contain a password.
            raise EntryRefused("bad_source", "The source is not a plain https URL of a Git repository")
        _check_commit(self.revision)

    @property
    def repository(self) -> str:
        return self.url

    def facts(self) -> dict[str, str]:
        """The source as plain values, without the token; `source_of` reads them."""
        return {"url": self.url, "revision": self.revision}

    def __str__(self) -> str:
        return f"{self.url}@{self.revision}"


Source = ModelRef | ImageRef | SourceRef


def source_of(facts: Any) -> Source:
    """The source whose `facts()` these are. A list of three is a `ModelRef`, as in states of earlier versions.

    Raises:
        EntryRefused: a part has the wrong form.
        ValueError: if these are not the facts of a source.

    >>> source_of(["me", "model", "0" * 40]) == ModelRef("me", "model", "0" * 40)
    True
    """
    parts = list(facts.values()) if isinstance(facts, Mapping) else facts
    if isinstance(parts, list | tuple) and all(isinstance(part, str) for part in parts):
        if not isinstance(facts, Mapping) and len(facts) == 3:
            return ModelRef(*facts)
        if isinstance(facts, Mapping) and facts.keys() == {"image"}:
            return ImageRef.of_text(facts["image"])
        if isinstance(facts, Mapping) and facts.keys() == {"url", "revision"}:
            return SourceRef(facts["url"], facts["revision"])
    # Do not show the values, because one can be a token.
    raise ValueError(f"a {type(facts).__name__} of this form is not the facts of a source")


def hub_model(source: Source) -> ModelRef:
    """The source as a repository on a model hub.

    Raises:
        EntryRefused: `bad_reference`, if it is an image or source code: a model hub has neither.
    """
    if not isinstance(source, ModelRef):
        raise EntryRefused("bad_reference", f"{str(source)[:200]!r} is not a repository on a model hub")
    return source


def _check_commit(revision: str) -> None:
    if not _COMMIT.fullmatch(revision):
        raise EntryRefused(
            "bad_revision",
            f"The revision {revision[:60]!r} is not a commit (40 hex digits); a branch or tag can move",
        )


def _image_parts(text: str) -> tuple[str, str]:
    match = _IMAGE.fullmatch(text)
    if match is None:
        raise EntryRefused("bad_image_ref", f"{text[:100]!r} is not `repository@sha256:` and 64 hex digits")
    return match[1], match[2]
