"""Downloads and unpacks the archives of corpora. Sizes are in bytes, times in seconds.

An interrupted download resumes where it stopped. An archive is checked against its checksum. It is unpacked only
inside its own folder.
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
"""Called with the archive's name, the bytes so far, and the total number of bytes, or None if it is unknown."""


def download_archive(file: RemoteFile, folder: Path, *, progress: Progress, pause_s: float = 1.0) -> Path:
    """Download the archive to the folder unless it is there already, check it, and return its path.

    A try that fails is repeated after `pause_s`, which doubles each time.

    Raises:
        InfrastructureFault: the server does not answer, or the archive's checksum is wrong.
        UsageError: the server does not have the file, or the file is too large.
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
                    f"{file.url} cannot be downloaded ({error})",
                    "Run the command again: it resumes where it stopped.",
                ) from error
            time.sleep(pause_s * 2 ** (attempt - 1))
    _check_checksum(file, part)
    part.replace(target)
    receipt[file.name] = sha256_of_file(target)
    new_receipt = folder / (RECEIPT + ".part")
    new_receipt.write_text(json.dumps(receipt, indent=1, sort_keys=True), encoding="utf-8")
    new_receipt.replace(folder / RECEIPT)
    return target


def _receipt(folder: Path) -> dict[str, str]:
    """The SHA-256 of each archive that was downloaded to the folder, by its name."""
    path = folder / RECEIPT
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _download(file: RemoteFile, part: Path, progress: Progress) -> None:
    """Download the rest of the file to `part`."""
    done_bytes = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={done_bytes}-"} if done_bytes else {})}
    with (
        httpx.Client(follow_redirects=True, timeout=_TIMEOUT_S) as client,
        client.stream("GET", file.url, headers=headers) as response,
    ):
        if response.status_code == 416:
            return  # All bytes are here already. The checksum tells whether they are right.
        if response.status_code >= 500 or response.status_code == 429:
            raise InfrastructureFault(f"the server answered with status {response.status_code}")
        if response.status_code >= 400:
            raise UsageError(
                f"{file.url}: the server answered with status {response.status_code}",
                "Look on the corpus's home page for its new address.",
            )
        resumed = response.status_code == 206
        done_bytes = done_bytes if resumed else 0
        length = response.headers.get("content-length")
        total_bytes = done_bytes + int(length) if length and length.isdigit() else file.size_bytes
        with part.open("ab" if resumed else "wb") as out:
            # Chunks of no fixed size: bytes that wait for a chunk to fill are lost if the connection breaks.
            for chunk in response.iter_bytes():
                out.write(chunk)
                done_bytes += len(chunk)
                if done_bytes > _MAX_ARCHIVE_BYTES:
                    raise UsageError(
                        f"{file.url} is larger than {_MAX_ARCHIVE_BYTES} bytes",
                        "Check the address: no corpus is that large.",
                    )
                progress(file.name, done_bytes, total_bytes)
        if total_bytes is not None and done_bytes < total_bytes:
            raise InfrastructureFault(f"the connection ended after {done_bytes} of {total_bytes} bytes")


def _check_checksum(file: RemoteFile, part: Path) -> None:
    """Remove a complete download whose published checksum does not match, and raise InfrastructureFault."""
    if file.checksum is None:
        return
    algorithm, _, expected = file.checksum.partition(":")
    with part.open("rb") as stream:
        actual = hashlib.file_digest(stream, algorithm).hexdigest()
    if actual != expected:
        part.unlink()
        raise InfrastructureFault(
            f"{file.url} has the {algorithm} {actual[:12]}…, not {expected[:12]}…",
            "The download was removed. Run the command again.",
        )


def unpack_archive(archive: Path, folder: Path) -> int:
    """Unpack a tar or zip archive into the folder, and return the number of files.

    Raises:
        UsageError: the file is not an archive, or a member would be written outside the folder.
    """
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as bundle:
                for name in bundle.namelist():
                    if not (folder / name).resolve().is_relative_to(folder.resolve()):
                        raise UsageError(
                            f"{archive}: the member {name!r} would be written outside the folder",
                            "Do not use this archive.",
                        )
                bundle.extractall(folder)
                return sum(not item.is_dir() for item in bundle.infolist())
        with tarfile.open(archive) as tar:
            members = tar.getmembers()
            tar.extractall(folder, members=members, filter="data")
            return sum(member.isfile() for member in members)
    except (zipfile.BadZipFile, tarfile.TarError) as error:
        raise UsageError(f"{archive} cannot be unpacked ({error})", "Remove it and download it again.") from error
