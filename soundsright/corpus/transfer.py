"""Sends a private corpus to another validator, sealed to its hotkey. Sizes in bytes.

The archive is an uncompressed zip: the encrypted files of the corpus as they are, and `envelope.json` with the
corpus key, sealed by X25519, HKDF-SHA256 and AES-256-GCM. The seal is bound to the hotkey, the root and the digest
of all files, so no file can be exchanged.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from soundsright.core.content import content_hash, sha256_of_file
from soundsright.core.errors import UsageError
from soundsright.core.folder_lock import locked
from soundsright.core.zip_faults import ZIP_FAULTS
from soundsright.corpus.cards import KeyCard, read_card_secret
from soundsright.corpus.checking import check_private
from soundsright.corpus.keys import Changed, CorpusKey
from soundsright.corpus.layout import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    MAX_SEALED_BYTES,
    MAX_STATEMENT_BYTES,
    PUBLISHED,
    batch_folder,
    is_private_corpus,
    is_sealed_name,
    read_statement,
    write_json,
)
from soundsright.corpus.private import PrivateCorpus
from soundsright.corpus.records import MAX_BATCHES, MAX_RECORDINGS, canonical, is_hex
from soundsright.data import PRIVATE_MARK

ENVELOPE = "envelope.json"
MAX_ARCHIVE_BYTES = 500_000_000_000
_MAX_ENVELOPE_BYTES = 10_000
_CHUNK_BYTES = 1 << 20
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO})
"""Errors of the disk. Other errors of the system come from a damaged archive, such as a place before its begin."""
_ASK_AGAIN = "Ask for the archive again."

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Envelope:
    """The corpus key for one hotkey, and what it is bound to."""

    hotkey: str
    root: str
    files: str
    ephemeral: str
    sealed: str

    @property
    def bound(self) -> bytes:
        return canonical({"hotkey": self.hotkey, "root": self.root, "files": self.files})


def export_corpus(
    corpus: PrivateCorpus, card: KeyCard, out: Path, *, progress: Progress = lambda done, total: None
) -> str:
    """Write the archive that only the card's owner can open, and return the digest of its files.

    Raises:
        UsageError: the archive exists already.
        AudioFileError: a file of the corpus is missing.
    """
    if out.exists():
        raise UsageError(f"{out} exists", "Give another name.")
    part = out.with_name(f"{out.name}.part")
    out.parent.mkdir(parents=True, exist_ok=True)
    with locked(corpus.folder):
        corpus = PrivateCorpus.opened(corpus.folder, corpus.key)  # It may have grown since it was opened.
        names = _names_of(corpus)
        digest = content_hash({name: sha256_of_file(corpus.folder / name) for name in names})
        envelope = _sealed(corpus.key, card, corpus.root, digest)
        try:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr(ENVELOPE, json.dumps(asdict(envelope)))
                for done, name in enumerate(names, 1):
                    archive.write(corpus.folder / name, name)
                    progress(done, len(names))
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)
    return digest


def import_corpus(
    archive_path: Path,
    secret_file: Path,
    folder: Path,
    key_file: Path,
    *,
    root: str | None = None,
    progress: Progress = lambda done, total: None,
) -> PrivateCorpus:
    """Open an archive that was sealed to this key, check every recording, and put the corpus into a new folder.

    `root` is the root that was committed on the chain. A corpus that is already there with the same root is kept.

    Raises:
        UsageError: the archive is damaged, was sealed to another key, or has another root; or the folder or the key
            file has another corpus.
    """
    secret = read_card_secret(secret_file)
    part = folder.with_name(f"{folder.name}.part")
    _check_target(folder, part, key_file)
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        envelope = _unpacked(archive_path, part, progress)
        if root is not None and envelope.root != root:
            raise UsageError(
                f"{archive_path} has a corpus with the root {envelope.root}, not {root}",
                "Ask for the corpus whose root was committed on the chain.",
            )
        key = _opened(envelope, secret, archive_path, secret_file)
        corpus = _checked(part, key, envelope, archive_path)
        if is_private_corpus(folder):
            return _same(folder, key_file, corpus)
        if key_file.exists():
            if CorpusKey.read(key_file) != key:
                raise UsageError(f"{key_file} has the key of another corpus", "Give another name with --key.")
        else:
            key.write(key_file)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return PrivateCorpus.opened(folder, key)


def _names_of(corpus: PrivateCorpus) -> list[str]:
    names = [name for name in (PRIVATE_MARK, PUBLISHED) if (corpus.folder / name).is_file()]
    for number in range(len(corpus.statement.batches)):
        names.append((batch_folder(corpus.folder, number) / MANIFEST).relative_to(corpus.folder).as_posix())
    return names + [entry.sealed.path.relative_to(corpus.folder).as_posix() for entry in corpus.entries]


def _sealed(key: CorpusKey, card: KeyCard, root: str, files: str) -> _Envelope:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    ephemeral = X25519PrivateKey.generate()
    public = ephemeral.public_key().public_bytes_raw()
    recipient = bytes.fromhex(card.x25519)
    try:
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    except ValueError as error:
        raise UsageError(f"The card of {card.hotkey} has a key of low order", "Ask for another card.") from error
    unsealed = _Envelope(card.hotkey, root, files, public.hex(), "")
    sealed = CorpusKey(_derived(shared, public, recipient)).seal(key.secret, unsealed.bound)
    return _Envelope(card.hotkey, root, files, public.hex(), sealed.hex())


def _opened(envelope: _Envelope, secret: bytes, archive_path: Path, secret_file: Path) -> CorpusKey:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    own = X25519PrivateKey.from_private_bytes(secret)
    public = bytes.fromhex(envelope.ephemeral)
    try:
        shared = own.exchange(X25519PublicKey.from_public_bytes(public))
        wrapping = CorpusKey(_derived(shared, public, own.public_key().public_bytes_raw()))
        return CorpusKey(wrapping.unseal(bytes.fromhex(envelope.sealed), envelope.bound))
    except (Changed, ValueError) as error:
        raise UsageError(
            f"{archive_path} was not sealed to the key in {secret_file}, or was changed",
            f"It is for {envelope.hotkey}. Ask for an archive for your own key card.",
        ) from error


def _derived(shared: bytes, ephemeral: bytes, recipient: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = b"soundsright corpus export 1" + ephemeral + recipient
    return HKDF(SHA256(), length=32, salt=None, info=info).derive(shared)


def _check_target(folder: Path, part: Path, key_file: Path) -> None:
    ours = (PRIVATE_MARK, PUBLISHED, "batches")
    if part.exists() and not (part.is_dir() and all(path.name in ours for path in part.iterdir())):
        raise UsageError(f"{part} exists, and no interrupted import left it", "Move it, or give another folder.")
    if folder.exists() and not is_private_corpus(folder) and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", "Give a new folder.")
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()
    if key_file.exists():
        CorpusKey.read(key_file)


def _unpacked(archive_path: Path, part: Path, progress: Progress) -> _Envelope:
    """Unpack the archive into an empty folder. Only files that a corpus can have are written."""
    if not archive_path.is_file():
        raise UsageError(f"There is no archive {archive_path}", "Give the file that was sent to you.")
    try:
        return _unpacked_zip(archive_path, part, progress)
    except ZIP_FAULTS as error:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            raise
        raise UsageError(f"{archive_path} is not an archive of a corpus ({error})", _ASK_AGAIN) from error


def _unpacked_zip(archive_path: Path, part: Path, progress: Progress) -> _Envelope:
    with zipfile.ZipFile(archive_path) as archive:
        members = archive.infolist()
        if len(members) > MAX_RECORDINGS + MAX_BATCHES + 2 or len({m.filename for m in members}) != len(members):
            raise UsageError(f"{archive_path} has too many files, or one name twice", "Do not use this archive.")
        if sum(member.file_size for member in members) > MAX_ARCHIVE_BYTES:
            raise UsageError(f"{archive_path} is larger than {MAX_ARCHIVE_BYTES} bytes", "Do not use this archive.")
        envelope = _read_envelope(archive, archive_path)
        digests: dict[str, str] = {}
        for done, member in enumerate(members, 1):
            if member.filename != ENVELOPE:
                digests[member.filename] = _extract(archive, member, part, archive_path)
            progress(done, len(members))
    if content_hash(digests) != envelope.files:
        raise UsageError(f"{archive_path} has other files than those that were sealed", _ASK_AGAIN)
    return envelope


def _read_envelope(archive: zipfile.ZipFile, archive_path: Path) -> _Envelope:
    try:
        with archive.open(ENVELOPE) as stream:
            values: Any = json.loads(stream.read(_MAX_ENVELOPE_BYTES))
        envelope = _Envelope(**values)
        texts = (envelope.root, envelope.files, envelope.ephemeral)
        if not (isinstance(envelope.hotkey, str) and all(is_hex(text, 64) for text in texts)):
            raise ValueError("a value has another form")
        bytes.fromhex(envelope.sealed)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{archive_path} has no envelope that can be read ({error})", _ASK_AGAIN) from error
    return envelope


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, part: Path, archive_path: Path) -> str:
    limit = _limit_of(member.filename)
    if limit is None or member.compress_type != zipfile.ZIP_STORED or member.file_size > limit:
        raise UsageError(
            f"{archive_path}: the file {member.filename[:80]!r} does not belong to a corpus, or is too large",
            "Do not use this archive.",
        )
    target = part / member.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with archive.open(member) as source, target.open("xb") as out:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            out.write(chunk)
    return digest.hexdigest()


def _limit_of(name: str) -> int | None:
    """The most bytes of a file with that name in an archive; None if a corpus has no such file."""
    if name in (PRIVATE_MARK, PUBLISHED):
        return MAX_STATEMENT_BYTES
    folder, _, file = name.rpartition("/")
    number = folder.removeprefix("batches/")
    if not folder.startswith("batches/") or len(number) != 4 or not (number.isascii() and number.isdigit()):
        return None
    if file == MANIFEST:
        return MAX_MANIFEST_BYTES
    return MAX_SEALED_BYTES if is_sealed_name(file) else None


def _checked(part: Path, key: CorpusKey, envelope: _Envelope, archive_path: Path) -> PrivateCorpus:
    statement, _ = read_statement(part / PRIVATE_MARK)
    if statement.root != envelope.root:
        raise UsageError(
            f"{archive_path} has the root {statement.root}, but was sealed for the root {envelope.root}",
            "Do not use this archive: a root belongs to one corpus only.",
        )
    corpus = PrivateCorpus.opened(part, key)
    problems = check_private(corpus).problems
    if problems:
        path, problem = next(iter(problems.items()))
        raise UsageError(f"{archive_path}: {Path(path).name} {problem}", _ASK_AGAIN)
    return corpus


def _same(folder: Path, key_file: Path, corpus: PrivateCorpus) -> PrivateCorpus:
    """The corpus that is in the folder already, if it has the same root. It learns what was published since."""
    existing = PrivateCorpus.open(folder, key_file)
    if existing.root != corpus.root:
        raise UsageError(
            f"{folder} has a corpus with the root {existing.root}, and the archive one with {corpus.root}",
            "Import the archive into a new folder.",
        )
    through = corpus.published_through
    if through is None or (existing.published_through is not None and existing.published_through >= through):
        return existing
    with locked(folder):
        write_json(folder / PUBLISHED, {"through": through})
    return PrivateCorpus.open(folder, key_file)
