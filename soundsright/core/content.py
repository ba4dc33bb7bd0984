"""Hashes of a repository: one of its whole content, and one of each file of weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

from soundsright.core.sources import is_image_reference

CHECKPOINT_SUFFIXES = frozenset(
    {".bin", ".ckpt", ".gguf", ".h5", ".joblib", ".keras", ".npy", ".npz", ".onnx", ".pb", ".pickle", ".pkl"}
    | {".pt", ".pte", ".pth", ".safetensors", ".tflite", ".th"}
)
"""Endings of files of weights. Two entries that share such a file are the same model."""

IMAGE_FILE = "IMAGE"
"""A repository may have this file in place of a Dockerfile, with one line: `repository@sha256:…`."""

MAX_IMAGE_FILE_BYTES = 1_024


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of the file in lower-case hex. The file is read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_below(folder: Path) -> list[Path]:
    """Every regular file below the folder, sorted by POSIX path. Symbolic links are left out."""
    return sorted(
        (p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()),
        key=lambda p: p.relative_to(folder).as_posix(),
    )


def content_hash(hash_by_path: dict[str, str]) -> str:
    """One SHA-256 over the lines `length:path:hash`, sorted by path.

    The length of the path is in the line, so two different contents cannot give the same lines.
    """
    h = hashlib.sha256()
    for path in sorted(hash_by_path):
        h.update(f"{len(path)}:{path}:{hash_by_path[path]}\n".encode())
    return h.hexdigest()


def checkpoint_hashes(
    hash_by_path: dict[str, str], sizes: dict[str, int], *, min_bytes: int = 1_024
) -> tuple[str, ...]:
    """The sorted hashes of the files of weights. Tiny files are left out: many repositories share them."""
    return tuple(
        sorted(
            {
                digest
                for path, digest in hash_by_path.items()
                if Path(path).suffix.lower() in CHECKPOINT_SUFFIXES and sizes[path] >= min_bytes
            }
        )
    )


def image_digests(folder: Path) -> tuple[str, ...]:
    """The digest of the image that the file `IMAGE` of a model names, as 64 hex digits; empty if it names none.

    The name of the repository does not count: one image can be in several registries.
    """
    path = folder / IMAGE_FILE
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_IMAGE_FILE_BYTES:
        return ()
    name = path.read_text(encoding="utf-8", errors="replace").strip()
    return (name.rpartition("@sha256:")[2],) if is_image_reference(name) else ()
