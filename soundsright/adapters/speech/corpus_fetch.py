"""Fetches archives of corpora: sizes in bytes, times in seconds.

A download goes on where it broke off, is checked against its checksum before it counts, and is unpacked only inside
its own directory.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx

from soundsright.core.content import sha256_of_file
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.data import RECEIPT, RemoteFile

_TRIES = 5
_TIMEOUT_S = 60.0
_MAX_ARCHIVE_BYTES = 200_000_000_000

Progress = Callable[[str, int, int | None], None]


def fetched(file: RemoteFile, folder: Path, *, progress: Progress, pause_s: float = 1.0) -> Path:
    """The archive on disk, whole and checked; `progress` is told name, bytes so far and bytes in all.

    Raises:
        InfrastructureFault: the server does not answer, or what it sends has another checksum.
        UsageError: the server has no such file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / file.name
    receipt = _receipt(folder)
    if target.is_file() and receipt.get(file.name) == sha256_of_file(target):
        return target
    part = target.with_name(target.name + ".part")
    for attempt in range(1, _TRIES + 1):
        try:
            _download(file, part, progress)
            break
        except (httpx.TransportError, InfrastructureFault) as error:
            if attempt == _TRIES:
                raise InfrastructureFault(
                    f"{file.url} could not be fetched ({error})",
                    "Run the command again: it goes on where it stopped.",
                ) from error
            time.sleep(pause_s * 2 ** (attempt - 1))
    _check(file, part)
    part.replace(target)
    receipt[file.name] = sha256_of_file(target)
    note = folder / (RECEIPT + ".part")
    note.write_text(json.dumps(receipt, indent=1, sort_keys=True), encoding="utf-8")
    note.replace(folder / RECEIPT)
    return target


def _receipt(folder: Path) -> dict[str, str]:
    path = folder / RECEIPT
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _download(file: RemoteFile, part: Path, progress: Progress) -> None:
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with (
        httpx.Client(follow_redirects=True, timeout=_TIMEOUT_S) as client,
        client.stream("GET", file.url, headers=headers) as answer,
    ):
        if answer.status_code == 416:
            return  # Nothing is left to fetch; the checksum decides whether it is right.
        if answer.status_code >= 500 or answer.status_code == 429:
            raise InfrastructureFault(f"the server answers {answer.status_code}")
        if answer.status_code >= 400:
            raise UsageError(
                f"{file.url} answers {answer.status_code}", "Look at the corpus's home page for where it moved."
            )
        resumed = answer.status_code == 206
        have = have if resumed else 0
        length = answer.headers.get("content-length")
        total = have + int(length) if length and length.isdigit() else file.size_bytes
        with part.open("ab" if resumed else "wb") as out:
            # As the bytes arrive: what a larger chunk still gathers is lost when the connection breaks.
            for chunk in answer.iter_bytes():
                out.write(chunk)
                have += len(chunk)
                if have > _MAX_ARCHIVE_BYTES:
                    raise UsageError(
                        f"{file.url} is larger than {_MAX_ARCHIVE_BYTES} bytes", "It is no such corpus."
                    )
                progress(file.name, have, total)
        if total is not None and have < total:
            raise InfrastructureFault(f"the connection ended after {have} of {total} bytes")


def _check(file: RemoteFile, part: Path) -> None:
    if file.checksum is None:
        return
    kind, _, expected = file.checksum.partition(":")
    with part.open("rb") as stream:
        found = hashlib.file_digest(stream, kind).hexdigest()
    if found != expected:
        part.unlink()
        raise InfrastructureFault(
            f"{file.url} has the {kind} {found[:12]}…, not {expected[:12]}…",
            "It was removed; run the command again.",
        )


def unpack(archive: Path, folder: Path) -> int:
    """Unpack a tar or zip archive; answers the number of files.

    Raises:
        UsageError: it is no archive, or a member would land outside the folder.
    """
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as bundle:
                for name in bundle.namelist():
                    if not (folder / name).resolve().is_relative_to(folder.resolve()):
                        raise UsageError(
                            f"{archive} holds {name!r}, which lies outside", "Do not use this archive."
                        )
                bundle.extractall(folder)
                return sum(not item.is_dir() for item in bundle.infolist())
        with tarfile.open(archive) as tar:
            members = tar.getmembers()
            tar.extractall(folder, members=members, filter="data")
            return sum(member.isfile() for member in members)
    except (zipfile.BadZipFile, tarfile.TarError) as error:
        raise UsageError(f"{archive} cannot be unpacked ({error})", "Fetch it again.") from error
