"""Hashes of a repository: one of its whole content, and one of each file of weights."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from soundsright.core.dockerfile import base_images, read_dockerfile
from soundsright.core.errors import ProtocolViolation
from soundsright.core.sources import ImageRef, is_image_reference

CHECKPOINT_SUFFIXES = frozenset(
    {".bin", ".ckpt", ".gguf", ".h5", ".joblib", ".keras", ".npy", ".npz", ".onnx", ".pb", ".pickle", ".pkl"}
    | {".pt", ".pte", ".pth", ".safetensors", ".tflite", ".th"}
)
"""Endings of files of weights. Two entries that share such a file are the same model."""

IMAGE_FILE = "IMAGE"
"""A repository may have this file in place of a Dockerfile, with one line: `repository@sha256:…`."""

SEALED_FILE = "model.sealed"
"""A repository may have this file in place of all others: the model's files in an encrypted archive."""

MAX_IMAGE_FILE_BYTES = 1_024

_PINNED = re.compile(r"(?!(?:docker\.io/)?library/)[^@/]+/[^@]+@sha256:([0-9a-f]{64})")
"""An image by its digest. The engine's own library has no models, and many images begin with one of its images."""


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


def image_file_text(image: ImageRef) -> str:
    """The text of the file `IMAGE` in the folder of an entry that is an image."""
    return f"{image}\n"


def image_content_hash(image: ImageRef) -> str:
    """The content hash of the folder of an entry that is an image.

    >>> image_content_hash(ImageRef("lab/gate", "0" * 64))[:12]
    '3ad2bbdbaffe'
    """
    return content_hash({IMAGE_FILE: hashlib.sha256(image_file_text(image).encode()).hexdigest()})


def image_digests(folder: Path) -> tuple[str, ...]:
    """The digests of the images that a model consists of, as 64 hex digits; empty if it has files of its own.

    These are the image that the file `IMAGE` names, or those that a Dockerfile pins and adds nothing to. The name
    of the repository does not count: one image can be in several registries.
    """
    path = folder / IMAGE_FILE
    if path.is_symlink():
        return ()
    if path.exists():
        if not path.is_file() or path.stat().st_size > MAX_IMAGE_FILE_BYTES:
            return ()
        name = path.read_text(encoding="utf-8", errors="replace").strip()
        return (name.rpartition("@sha256:")[2],) if is_image_reference(name) else ()
    pinned = (_PINNED.fullmatch(name) for name in _images_without_additions(folder))
    return tuple(sorted({match[1] for match in pinned if match}))


def _images_without_additions(folder: Path) -> list[str]:
    """The images of a Dockerfile that takes no file of the repository and runs nothing."""
    try:
        instructions = read_dockerfile(folder)
        images = [image.reference for image in base_images(instructions)]
    except ProtocolViolation:
        return []
    for instruction in instructions:
        copies_files = instruction.name == "COPY" and not any(
            flag.startswith("--from=") for flag in instruction.flags
        )
        if copies_files or instruction.name in ("RUN", "ADD"):
            return []
    return images
