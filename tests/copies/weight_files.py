"""Weights, and the files that hold them, for the tests of copies."""

from __future__ import annotations

import io
import json
import pickle
import sys
import types
import zipfile
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import DTypeLike, NDArray

from soundsright.copies import tensors
from soundsright.copies.containers import tensors_of
from soundsright.copies.tensors import (
    tensor_summaries,
)

Tensors = dict[str, NDArray[np.floating]]


SIZES = ((64, 128), (128,), (3, 5, 64), (1000,), (256, 4))


def weights(seed: int) -> Tensors:
    rng = np.random.default_rng(seed)
    return {f"layer{i}": (rng.standard_normal(s) * 10.0**-i).astype(np.float32) for i, s in enumerate(SIZES)}


def bfloat16(array: NDArray[np.floating]) -> bytes:
    """Rounded to nearest even, as bytes."""
    bits = array.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def as_safetensors(tensors: Tensors, dtype: str = "F32") -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, tensor in tensors.items():
        raw = bfloat16(tensor) if dtype == "BF16" else tensor.astype({"F32": "<f4", "F16": "<f2"}[dtype]).tobytes()
        header[name] = {
            "dtype": dtype,
            "shape": list(tensor.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def as_npz(tensors: Tensors, dtype: DTypeLike = np.float32) -> bytes:
    file = io.BytesIO()
    arrays: dict[str, Any] = {name: tensor.astype(dtype) for name, tensor in tensors.items()}
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def torch_object(tensors: Tensors, protocol: int) -> bytes:
    """The pickle that torch.save writes, without torch: storages by persistent id, tensors by a rebuilding call."""
    storage_type = type("FloatStorage", (), {"__module__": "torch"})
    torch = types.ModuleType("torch")
    vars(torch)["FloatStorage"] = storage_type

    def rebuild(*_parts: object) -> None:
        return None

    rebuild.__module__, rebuild.__qualname__, rebuild.__name__ = "torch._utils", "_rebuild", "_rebuild"
    utils = types.ModuleType("torch._utils")
    vars(utils)["_rebuild"] = rebuild

    class Tensor:
        def __init__(self, key: str, array: NDArray[np.floating]) -> None:
            self.key, self.array = key, array

        def __reduce__(self) -> tuple[Any, ...]:
            return rebuild, (Storage(self.key, self.array.size), 0, self.array.shape, (1,), False, {})

    class Storage:
        def __init__(self, key: str, count: int) -> None:
            self.key, self.count = key, count

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> tuple[object, ...] | None:
            if isinstance(value, Storage):
                return ("storage", storage_type, value.key, "cpu", value.count)
            return None

    modules = {"torch": torch, "torch._utils": utils}
    with mock.patch.dict(sys.modules, modules):  # undone afterwards: the real torch may be loaded
        stream = io.BytesIO()
        state = {name: Tensor(str(i), array) for i, (name, array) in enumerate(tensors.items())}
        Pickler(stream, protocol=protocol).dump({"state_dict": state, "epoch": 7})
    return stream.getvalue()


def as_torch(tensors: Tensors, protocol: int = 2) -> bytes:
    """A zip as torch.save writes it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/data.pkl", torch_object(tensors, protocol))
        for i, array in enumerate(tensors.values()):
            archive.writestr(f"model/data/{i}", array.astype("<f4").tobytes())
    return file.getvalue()


def field(number: int, value: int | bytes) -> bytes:
    def varint(n: int) -> bytes:
        out = b""
        while n > 0x7F:
            out += bytes([n & 0x7F | 0x80])
            n >>= 7
        return out + bytes([n])

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def as_onnx(tensors: Tensors, raw: bool = True) -> bytes:
    """ModelProto with half of the tensors as initialisers, half as Constant nodes."""
    graph = b""
    for i, (name, tensor) in enumerate(tensors.items()):
        payload = field(9 if raw else 4, tensor.astype("<f4").tobytes())
        proto = b"".join(field(1, d) for d in tensor.shape) + field(2, 1) + field(8, name.encode()) + payload
        graph += field(5, proto) if i % 2 else field(1, field(4, b"Constant") + field(5, field(5, proto)))
    return field(1, 8) + field(7, graph)


def summaries(content: bytes) -> list[tensors.TensorSummary]:
    return list(tensor_summaries(tensors_of(content)))
