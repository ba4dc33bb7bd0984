"""What a repository holds, as hashes: one for the whole content, one for each checkpoint."""

from __future__ import annotations

import hashlib
from pathlib import Path

CHECKPOINT_SUFFIXES = frozenset(
    {".bin", ".ckpt", ".gguf", ".h5", ".joblib", ".keras", ".npy", ".npz", ".onnx", ".pb", ".pickle", ".pkl"}
    | {".pt", ".pte", ".pth", ".safetensors", ".tflite", ".th"}
)
"""Files that hold weights. A shared one makes two entries the same model."""


def sha256_of_file(path: Path) -> str:
    """Lower-case hex SHA-256 of the file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_below(folder: Path) -> list[Path]:
    """Every regular file below the folder, in the order of their POSIX paths. Symbolic links are not followed."""
    return sorted(
        (p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()),
        key=lambda p: p.relative_to(folder).as_posix(),
    )


def content_hash(hash_by_path: dict[str, str]) -> str:
    """One SHA-256 over `path:hash` lines in the order of the paths.

    The length of each path is part of the line, so that no choice of names makes two contents look alike.
    """
    h = hashlib.sha256()
    for path in sorted(hash_by_path):
        h.update(f"{len(path)}:{path}:{hash_by_path[path]}\n".encode())
    return h.hexdigest()


def checkpoint_hashes(
    hash_by_path: dict[str, str], sizes: dict[str, int], *, min_bytes: int = 1_024
) -> tuple[str, ...]:
    """The hashes of the files of weights, sorted, without empty or trivial ones that many repositories share."""
    return tuple(
        sorted(
            {
                digest
                for path, digest in hash_by_path.items()
                if Path(path).suffix.lower() in CHECKPOINT_SUFFIXES and sizes[path] >= min_bytes
            }
        )
    )
