"""The digest of what an image holds, which two builds of the same content share. Sizes are in bytes.

An image's own digest covers the time of its build, so a second build always has another one. The content has no
times: it is every file with its kind, permissions, owner and bytes, and the settings that a container starts with.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from typing import IO, Any, cast

from soundsright.adapters.containers.engine import Engine, engine_faults
from soundsright.adapters.containers.labels import LABEL
from soundsright.core.canonical import canonical_json
from soundsright.core.errors import EngineUnavailable, InfrastructureFault

MOST_FILES = 2_000_000
_CHUNK = 1 << 20
_SETTINGS = ("Cmd", "Entrypoint", "Env", "ExposedPorts", "User", "WorkingDir")
_OF_THE_ENGINE = frozenset({".dockerenv", "etc/hosts", "etc/hostname", "etc/mtab", "etc/resolv.conf"})
"""Files that the engine adds to a container, or fills when it starts."""
_PLACES_OF_THE_ENGINE = ("dev/", "proc/", "sys/", "run/.containerenv")


def image_content_digest(engine: Engine, image_id: str, *, max_bytes: int) -> str:
    """The SHA-256 of an image's files and settings, without times and without the harness's own labels.

    The engine sends all files once, and nothing is unpacked. The container that it needs is never started.

    Raises:
        InfrastructureFault: the engine fails, or the image has more than `max_bytes` or `MOST_FILES` files.
    """
    with engine_faults():
        image = engine.client.images.get(image_id)
        api = engine.client.api
        created = api.create_container(image_id, command=["-"], labels={LABEL: "content"})["Id"]
        try:
            lines = sorted(_lines_of(_Stream(api.export(created, chunk_size=_CHUNK), max_bytes)))
        except tarfile.TarError as error:
            raise EngineUnavailable(
                f"The engine sent the files of {image_id} in a form that cannot be read ({error})",
                "Try again. If it fails again, read the engine's log.",
            ) from error
        finally:
            with contextlib.suppress(Exception):
                api.remove_container(created, force=True, v=True)
    digest = hashlib.sha256(canonical_json(_settings_of(image.attrs)).encode())
    for line in lines:
        digest.update(b"\n" + line.encode())
    return digest.hexdigest()


def _settings_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The platform of the image and the settings of its containers. An unset value counts as an empty one."""
    config = attributes.get("Config") or {}
    settings = {name: config.get(name) or None for name in _SETTINGS}
    labels = {name: text for name, text in (config.get("Labels") or {}).items() if name.partition(".")[0] != LABEL}
    return settings | {"Labels": labels, "platform": [attributes.get("Os"), attributes.get("Architecture")]}


def _lines_of(stream: _Stream) -> Iterator[str]:
    """One canonical line for each file of the archive."""
    with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|") as archive:
        for count, member in enumerate(archive):
            if count >= MOST_FILES:
                raise InfrastructureFault(f"The image has more than {MOST_FILES} files", "Build a smaller image.")
            name = member.name.removeprefix("./").rstrip("/")
            if name in _OF_THE_ENGINE or f"{name}/".startswith(_PLACES_OF_THE_ENGINE):
                continue
            held = archive.extractfile(member) if member.isreg() else None
            found = "" if held is None else hashlib.file_digest(cast(io.BytesIO, held), "sha256").hexdigest()
            kind = member.type.decode("latin-1") if not member.isreg() else "0"
            yield canonical_json(
                [name, kind, member.mode, member.uid, member.gid, member.linkname, member.devmajor, found]
            )


class _Stream:
    """The chunks of an export as a file that is read once, up to a number of bytes."""

    def __init__(self, chunks: Iterator[bytes], max_bytes: int) -> None:
        self._chunks = iter(chunks)
        self._left = max_bytes
        self._most = max_bytes
        self._rest = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (chunk := next(self._chunks, b"")):
            self._left -= len(chunk)
            if self._left < 0:
                raise InfrastructureFault(
                    f"The image's files have more than {self._most} bytes",
                    "Build a smaller image, or raise the limit.",
                )
            self._rest += chunk
        found, self._rest = self._rest[:size], self._rest[size:]
        return found
