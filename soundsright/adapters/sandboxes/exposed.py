"""Finds what a model would see of this machine: a mount of its sandbox that contains something private.

Two paths can lead to the same files: by a symbolic link, by a second mount of the same folder, or as a layer of an
overlay. So files are compared by their file system and their path within it, which the kernel lists in
`/proc/self/mountinfo`. It is not checked where a link inside a private folder leads, or whether a file has a second
hard link.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from soundsright.core.errors import EngineUnavailable

_ESCAPED = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True)
class PrivatePaths:
    """Paths of this machine that no model may read.

    `kept_out` are the state, the wallets, keys, recordings, sets and other models: a sandbox that would show one of
    them refuses to start. `hidden` are folders that belong where they are, such as the recordings of an installed
    package: the model sees an empty folder in their place.
    """

    kept_out: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()


class Exposure(NamedTuple):
    """A folder that a model would see, and the private path in it."""

    mount: Path
    private: Path

    @property
    def problem(self) -> str:
        return f"A model would see {self.private}, because its sandbox shows it {self.mount}"

    @property
    def remedy(self) -> str:
        return f"Move one of the two: {self.private} must not be inside {self.mount}."


class _Mount(NamedTuple):
    """A mounted file system: its device, the folder of it that is mounted, and where.

    `layers` are the folders that an overlay shows as one.
    """

    device: str
    root: PurePosixPath
    point: PurePosixPath
    layers: tuple[Path, ...] = ()


def exposure(mounts: Iterable[Path], private: PrivatePaths, *, hides: bool = False) -> Exposure | None:
    """The first private path that one of the mounted folders contains, or None.

    Links are followed. A path that does not exist yet counts as well. With `hides`, the sandbox hides the hidden
    folders, so what is in them does not count.

    Raises:
        EngineUnavailable: if the kernel's list of mounts cannot be read.
    """
    table = _mount_table()
    hidden = [path.expanduser().resolve() for path in private.hidden] if hides else []
    places = [(path, path.expanduser().resolve()) for path in private.kept_out]
    kept_out = [place for place in places if not any(place[1].is_relative_to(folder) for folder in hidden)]
    for mount in mounts:
        inside = mount.resolve()
        for path, kept in kept_out:
            if _contains(inside, kept, table):
                return Exposure(mount, path)
    return None


def hidden_folders(mount: Path, private: PrivatePaths) -> list[Path]:
    """The hidden folders in a mounted folder, as paths below it."""
    inside = mount.resolve()
    folders = [path.expanduser().resolve() for path in private.hidden]
    return [
        mount / folder.relative_to(inside)
        for folder in folders
        if folder != inside and folder.is_relative_to(inside)
    ]


def has_mounts_below(folder: Path) -> bool:
    """Whether another file system is mounted somewhere inside the folder.

    Raises:
        EngineUnavailable: if the kernel's list of mounts cannot be read.
    """
    inside = PurePosixPath(folder.resolve())
    return any(mount.point != inside and mount.point.is_relative_to(inside) for mount in _mount_table())


def _contains(folder: Path, path: Path, table: Sequence[_Mount]) -> bool:
    if path.is_relative_to(folder):
        return True
    device, place = _place_of(path, table)
    folder_device, folder_place = _place_of(folder, table)
    if device == folder_device and place.is_relative_to(folder_place):
        return True
    # A file system that is mounted below the folder can show the path, or a part of it, a second time.
    return any(
        mount.device == device and (place.is_relative_to(mount.root) or mount.root.is_relative_to(place))
        for mount in table
        if mount.point != PurePosixPath(folder) and mount.point.is_relative_to(folder)
    ) or any(_overlap(layer, path, table) for layer in _shown_layers(folder, table))


def _shown_layers(folder: Path, table: Sequence[_Mount]) -> Iterator[Path]:
    """The folders that overlays show in a folder, or whose part it is."""
    for mount in table:
        for layer in mount.layers:
            if mount.point.is_relative_to(folder):
                yield layer
            elif folder.is_relative_to(mount.point):
                yield layer / folder.relative_to(mount.point)


def _overlap(one: Path, other: Path, table: Sequence[_Mount]) -> bool:
    device, place = _place_of(one, table)
    other_device, other_place = _place_of(other, table)
    return device == other_device and (place.is_relative_to(other_place) or other_place.is_relative_to(place))


def _place_of(path: Path, table: Sequence[_Mount]) -> tuple[str, PurePosixPath]:
    """The file system of a path, and its path within it."""
    best: _Mount | None = None
    for mount in table:
        # Of two mounts at one point, the later one is seen.
        if path.is_relative_to(mount.point) and (best is None or len(mount.point.parts) >= len(best.point.parts)):
            best = mount
    if best is None:
        return "", PurePosixPath(path)
    return best.device, best.root / PurePosixPath(path).relative_to(best.point)


def _mount_table() -> list[_Mount]:
    """The mounts that this process sees. Empty on a system other than Linux, which has no such list."""
    if sys.platform != "linux":
        return []
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError as error:
        raise EngineUnavailable(
            f"/proc/self/mountinfo cannot be read ({error}), so it is not known what a model would see",
            "Mount /proc.",
        ) from error
    return [_mount_of(line) for line in lines]


def _mount_of(line: bytes) -> _Mount:
    _, _, device, root, point, *others = line.split(b" ")
    kind, _, options = others[others.index(b"-") + 1 :]
    layers: list[Path] = []
    if kind == b"overlay":
        for name, _, value in (option.partition(b"=") for option in options.split(b",")):
            if name.rstrip(b"+") in (b"lowerdir", b"upperdir"):
                layers += [Path(_path(layer)) for layer in value.split(b":") if layer.startswith(b"/")]
    return _Mount(device.decode(), _path(root), _path(point), tuple(layers))


def _path(escaped: bytes) -> PurePosixPath:
    plain = _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), escaped)
    return PurePosixPath(plain.decode("utf-8", "surrogateescape"))
