"""Bounds of a fetched repository: its size, its number of files, and the types of its files."""

from __future__ import annotations

import re
from dataclasses import dataclass

from soundsright.core.errors import EntryRefused

DISK_IMAGES_AND_INSTALLERS = (
    ".apk",
    ".dmg",
    ".ipa",
    ".iso",
    ".lnk",
    ".msi",
    ".msix",
    ".ova",
    ".qcow2",
    ".scr",
    ".vdi",
    ".vhd",
    ".vhdx",
    ".vmdk",
)
"""Endings of files that no model in a container needs."""
_ALWAYS_ALLOWED = re.compile(
    r"dockerfile|(un)?licen[cs]e.*|copying.*|model\.sealed|\.git(attributes|ignore)|\.dockerignore"
)


@dataclass(frozen=True)
class FetchLimits:
    """Bounds of a fetched repository. Names are checked before the transfer, bytes during it.

    `refused_files` and `allowed_files` list endings such as `.iso` and whole names such as `Makefile`, in upper or
    lower case. If `allowed_files` is not empty, every other file is refused. The Dockerfile, the licence and the
    settings of Git and Docker are always allowed.
    """

    max_bytes: int = 4_000_000_000
    max_files: int = 2_000
    allowed_files: tuple[str, ...] = ()
    refused_files: tuple[str, ...] = DISK_IMAGES_AND_INSTALLERS

    def check_file(self, repository: str, path: str) -> None:
        """Check that the repository may contain a file at that path, relative to its root.

        Raises:
            EntryRefused: `file_type`.

        >>> FetchLimits().check_file("me/model", "weights/model.onnx")
        >>> FetchLimits(allowed_files=(".py", ".onnx")).check_file("me/model", "Dockerfile")
        """
        name = path.rsplit("/", 1)[-1].lower()
        refused = next((pattern for pattern in self.refused_files if _matches(name, pattern)), None)
        if refused is not None:
            files = f"files named *{refused}" if refused.startswith(".") else "files of that name"
            raise EntryRefused(
                "file_type",
                f"{repository} contains {path[:100]!r}; {files} are refused",
                {"file": path[:200], "refused": refused},
            )
        if self.allowed_files and not (
            _ALWAYS_ALLOWED.fullmatch(name) or any(_matches(name, pattern) for pattern in self.allowed_files)
        ):
            allowed = ", ".join(self.allowed_files)
            raise EntryRefused(
                "file_type",
                f"{repository} contains {path[:100]!r}; this competition accepts only {allowed}",
                {"file": path[:200], "allowed": allowed},
            )


def _matches(name: str, pattern: str) -> bool:
    return name.endswith(pattern.lower()) if pattern.startswith(".") else name == pattern.lower()
