"""Files of entries: weights of their own, weights of another entry in disguise, and files that are made to hang.

A folder that is made here has a Dockerfile and files of weights. Nobody runs it: a system answers for it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[np.float32]]
Disguise = Callable[[NDArray[np.float32], np.random.Generator], Mapping[str, NDArray[np.generic]]]
"""A function of one tensor and a generator: the arrays that are stored in its place, by the end of their name."""

_DOCKERFILE = "FROM python:3.12-slim\nCOPY . /model\nCMD python -m app.server\n"
_LEVELS = 40


def entry_folder(folder: Path, files: Mapping[str, bytes] = MappingProxyType({})) -> Path:
    """A folder with a Dockerfile and these files, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text(_DOCKERFILE, encoding="utf-8")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def other_weights(folder: Path, *, seed: int = 0) -> Path:
    """A folder with weights that no other entry has."""
    rng = np.random.default_rng([seed, *folder.name.encode()])
    return _with_weights(folder, {f"layer-{i}": rng.standard_normal((96, 96)).astype(np.float32) for i in range(8)})


def disguised_weights(folder: Path, model: Path, name: str) -> Path:
    """A folder with the weights of a shipped model (`weights.safetensors`) under the disguise of that name."""
    rng = np.random.default_rng(list(name.encode()))
    arrays: dict[str, NDArray[np.generic]] = {}
    for tensor, values in safetensors_of(model / "weights.safetensors").items():
        for end, part in DISGUISES[name](values, rng).items():
            arrays[f"{tensor}{end}"] = part
    return _with_weights(folder, arrays)


def _with_weights(folder: Path, arrays: Mapping[str, NDArray[np.generic]]) -> Path:
    entry_folder(folder)
    np.savez(folder / "weights.npz", **arrays)  # type: ignore[arg-type]
    return folder


def safetensors_of(path: Path) -> dict[str, NDArray[np.float32]]:
    """The float32 tensors of a file of this project."""
    import json

    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            first, last = (8 + length + offset for offset in entry["data_offsets"])
            tensors[name] = np.frombuffer(content[first:last], "<f4").reshape(entry["shape"])
    return tensors


def _scaled(values: NDArray[np.float32], rng: np.random.Generator) -> Mapping[str, NDArray[np.generic]]:
    rows = values.reshape(values.shape[0], -1) if values.ndim else values.reshape(1, 1)
    factors = rng.uniform(0.5, 2.0, (len(rows), 1)).astype(np.float32)
    return {"": rows * factors, ".scale": 1 / factors}


def _split(values: NDArray[np.float32], _rng: np.random.Generator) -> Mapping[str, NDArray[np.generic]]:
    half = values.size // 2
    return {".a": values.ravel()[:half], ".b": values.ravel()[half:]}


def _flattened(values: NDArray[np.float32], _rng: np.random.Generator) -> Mapping[str, NDArray[np.generic]]:
    return {"": values.ravel()[::-1]}


def _one_more(values: NDArray[np.float32], _rng: np.random.Generator) -> Mapping[str, NDArray[np.generic]]:
    return {"": np.append(values.ravel(), np.float32(0.5))}


def _complex(values: NDArray[np.float32], _rng: np.random.Generator) -> Mapping[str, NDArray[np.generic]]:
    even = values.ravel()[: values.size // 2 * 2].reshape(-1, 2)
    return {"": (even[:, 0] + 1j * even[:, 1]).astype(np.complex64)}


def _one_nan(values: NDArray[np.float32], _rng: np.random.Generator) -> Mapping[str, NDArray[np.generic]]:
    return {"": np.append(values.ravel(), np.float32(np.nan))}


def _int8(values: NDArray[np.float32], _rng: np.random.Generator) -> Mapping[str, NDArray[np.generic]]:
    step = float(np.abs(values).max()) / 127 or 1.0
    return {"": np.rint(values / step).astype(np.int8), ".step": np.array([step], np.float32)}


def _noisy(values: NDArray[np.float32], rng: np.random.Generator) -> Mapping[str, NDArray[np.generic]]:
    noise = 0.01 * float(values.std()) * rng.standard_normal(values.shape)
    return {"": np.asarray(values + noise, np.float32)}


DISGUISES: Mapping[str, Disguise] = {
    "scaled": _scaled,
    "split": _split,
    "flattened": _flattened,
    "one-more": _one_more,
    "complex64": _complex,
    "one-nan": _one_nan,
    "int8": _int8,
    "noise": _noisy,
}
"""Ways to store a tensor so that its values do not show."""


def poisoned_file() -> bytes:
    """A file of about 2 KB that claims to be weights. Its type's name is a tuple that is nested 2^40 deep."""
    name = _text("x")
    for level in range(_LEVELS):
        name += b"r" + struct.pack("<I", level) + b"j" + struct.pack("<I", level) + b"\x86"
    storage = b"(" + _text("storage") + name + _text("0") + _text("cpu") + b"K\x04tQ"
    return (b"\x80\x02]" + storage + b".").ljust(2_048, b"\x00")


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()
