"""Reads the tensors of a file of weights. No code in the file is executed, and sizes are bounded.

The formats are safetensors, NumPy's npy and npz, PyTorch's zip and its older format, plain pickles of arrays, and
ONNX. The format follows from the file's bytes, not from its name. The result is the tensors, flat: floating-point
ones as float32, and integers of 8 and 16 bits as they are, because weights can be quantised. Complex numbers count
as their real parts if that is all they have, otherwise as pairs. From a damaged file, or one of another format, the
result has only the tensors that can be read, possibly none. From a tensor over `MAX_ELEMENTS`, every k-th value is
read, so copies still agree.

Formats: safetensors README; NEP 1 (npy); onnx.proto3 (ModelProto, GraphProto, TensorProto).
"""

from __future__ import annotations

import json
import math
import mmap
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundsright.copies.limits import DAMAGE, Allowance, BoundedBytes, TooMuchToRead
from soundsright.copies.pickles import (
    MAX_PICKLE_STEPS,
    array_states,
    is_old_torch,
    old_torch_storages,
    torch_storages,
)

Tensor = NDArray[Any]

MAX_TENSORS = 20_000
MAX_ELEMENTS = 50_000_000
MAX_HEADER_BYTES = 16_000_000
MAX_DIRECTORY_BYTES = 4_000_000
MAX_MEMBER_BYTES = 2_000_000_000
MAX_UNPACKED_BYTES = 4_000_000_000
MAX_FIELDS = 1_000_000
"""At most this many fields of protobuf messages are read."""

FREE_UNPACKED_BYTES = 64_000_000
MAX_UNPACKED_RATIO = 32
"""An archive unpacks to at most this many times its size, or to `FREE_UNPACKED_BYTES` if that is more."""

_DTYPES: Mapping[str, str] = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "bf16", "C64": "<c8"} | {
    "I8": "|i1",
    "U8": "|u1",
    "I16": "<i2",
}
_ONNX_DTYPES: Mapping[int, str] = {1: "<f4", 10: "<f2", 11: "<f8", 14: "<c8", 15: "<c16", 16: "bf16"} | {
    2: "|u1",
    3: "|i1",
    5: "<i2",
}
_SIZES_OF_KINDS = {"f": (2, 4, 8), "c": (8, 16), "i": (1, 2), "u": (1,)}
"""The sizes of the NumPy types that are read, in bytes, by their kind."""


def tensors_of(content: bytes | mmap.mmap) -> Iterator[Tensor]:
    """Every tensor of numbers in a file's bytes.

    Raises:
        TooMuchToRead: after the tensors within the bounds, if the file contains more.
    """
    head = bytes(content[:16])
    reader = _onnx_tensors
    elements = Allowance(len(content), "tensors that overlap")  # a value takes a byte or more
    if head.startswith(b"PK\x03\x04"):
        reader = _zip_tensors
        elements = Allowance(MAX_UNPACKED_BYTES, "an archive that unpacks to more than the bounds allow")
    elif head.startswith(b"\x93NUM"):
        reader = _npy
    elif head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        reader = _pickled_arrays
        if is_old_torch(head):
            reader = _old_torch
    elif head[8:9] == b"{":
        reader = _safetensors
    elif _is_zip_after_other_bytes(content):
        reader = _zip_tensors
        elements = Allowance(MAX_UNPACKED_BYTES, "an archive that unpacks to more than the bounds allow")
    for count, tensor in enumerate(reader(memoryview(content))):
        if count >= MAX_TENSORS:
            raise TooMuchToRead(f"more than {MAX_TENSORS} tensors")
        elements.spend(tensor.size)
        yield tensor


def _is_zip_after_other_bytes(content: bytes | mmap.mmap) -> bool:
    """Whether an archive's directory ends the file. An archive can have any bytes before it."""
    return b"PK\x05\x06" in content[-(65_536 + 22) :]


def _as_numbers(raw: bytes | bytearray | memoryview, dtype: str) -> Tensor:
    if dtype == "bf16":
        wide = _thinned(np.frombuffer(raw, "<u2")).astype(np.uint32) << np.uint32(16)
        return wide.view(np.float32)
    values = np.frombuffer(raw, dtype)
    if values.dtype.kind == "c":
        values = values.view(values.real.dtype) if values.imag.any() else values.real
    values = _thinned(values)
    with np.errstate(over="ignore"):
        return values.astype(np.float32) if values.dtype.kind == "f" else values


def _thinned(values: NDArray[Any]) -> NDArray[Any]:
    return values[:: max(1, -(-len(values) // MAX_ELEMENTS))]


def _width(dtype: str) -> int:
    return 2 if dtype == "bf16" else np.dtype(dtype).itemsize


def _safetensors(content: memoryview) -> Iterator[Tensor]:
    size = int.from_bytes(content[:8], "little")
    if size > len(content) - 8:
        return
    if size > MAX_HEADER_BYTES:
        raise TooMuchToRead(f"a header of over {MAX_HEADER_BYTES} bytes")
    try:
        header = json.loads(bytes(content[8 : 8 + size]))
    except DAMAGE:
        return
    data = content[8 + size :]
    for facts in header.values() if isinstance(header, dict) else ():
        kind = facts.get("dtype") if isinstance(facts, dict) else None
        dtype = _DTYPES.get(kind) if isinstance(kind, str) else None
        offsets = facts.get("data_offsets") if dtype else None
        if not (isinstance(offsets, list) and len(offsets) == 2 and all(isinstance(o, int) for o in offsets)):
            continue
        begin, end = offsets
        if dtype and 0 <= begin <= end <= len(data) and (end - begin) % _width(dtype) == 0:
            yield _as_numbers(data[begin:end], dtype)


def _npy(content: memoryview) -> Iterator[Tensor]:
    file = BoundedBytes(content)
    try:
        version = np.lib.format.read_magic(file)
        # Versions 2 and 3 differ in the encoding of the names of fields, which a plain array does not have.
        newer = np.lib.format.read_array_header_2_0
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): newer, (3, 0): newer}[version]
        shape, _, dtype = read(file, max_header_size=100_000)
        size = dtype.itemsize * math.prod(shape)
    except DAMAGE:
        return
    raw = content[file.tell() :]
    if dtype.itemsize in _SIZES_OF_KINDS.get(dtype.kind, ()) and 0 <= size <= len(raw):
        yield _as_numbers(raw[:size], dtype.str)


def _zip_tensors(content: memoryview) -> Iterator[Tensor]:
    """npz has one npy per member. In PyTorch's zip, `data.pkl` names the types of `data/0`, `data/1`, ..."""
    file = BoundedBytes(content, MAX_DIRECTORY_BYTES)
    most = min(MAX_UNPACKED_BYTES, max(FREE_UNPACKED_BYTES, MAX_UNPACKED_RATIO * len(content)))
    unpacked = Allowance(most, "an archive that unpacks to more than the bounds allow")
    try:
        with zipfile.ZipFile(file) as archive:
            file.max_read_bytes = None
            yield from _member_tensors(archive, unpacked)
    except DAMAGE:
        return


def _member_tensors(archive: zipfile.ZipFile, unpacked: Allowance) -> Iterator[Tensor]:
    """The tensors of the members. Each member is read on its own, so that none can hide another."""
    types, reasons = _storage_types(archive)
    for member in archive.infolist():
        folder, _, key = member.filename.rpartition("data/")
        dtype = types.get(folder, {}).get(key)
        is_npy = member.filename.endswith(".npy")
        if not is_npy and dtype is None:
            continue
        unpacked.spend(member.file_size)
        if member.file_size > MAX_MEMBER_BYTES:
            reasons.append(f"a member of over {MAX_MEMBER_BYTES} bytes")
            continue
        try:
            raw = archive.read(member)
        except DAMAGE:
            continue
        if is_npy:
            yield from _npy(memoryview(raw))
        elif dtype is not None and len(raw) % _width(dtype) == 0:
            yield _as_numbers(raw, dtype)
    if reasons:
        raise TooMuchToRead(reasons[0])


def _storage_types(archive: zipfile.ZipFile) -> tuple[dict[str, dict[str, str]], list[str]]:
    """By folder, the type of each storage by its key; and why a list of types was not read completely."""
    types: dict[str, dict[str, str]] = {}
    reasons: list[str] = []
    steps = Allowance(MAX_PICKLE_STEPS, f"pickles of over {MAX_PICKLE_STEPS} steps")
    pickled = Allowance(MAX_HEADER_BYTES, f"lists of types of over {MAX_HEADER_BYTES} bytes")
    for member in archive.infolist():
        if not member.filename.endswith("data.pkl"):
            continue
        of_folder = types.setdefault(member.filename.removesuffix("data.pkl"), {})
        try:
            pickled.spend(member.file_size)
            for key, dtype in torch_storages(archive.read(member), steps):
                of_folder[key] = dtype
        except TooMuchToRead as error:
            reasons.append(str(error))
        except DAMAGE:
            continue
    return types, reasons


def _pickled_arrays(content: memoryview) -> Iterator[Tensor]:
    for raw, dtype in array_states(content):
        yield _as_numbers(raw, dtype)


def _old_torch(content: memoryview) -> Iterator[Tensor]:
    """A file that torch.save wrote before its zip, or a pickle of arrays that begins in the same way."""
    for raw, dtype in old_torch_storages(content):
        yield _as_numbers(raw, dtype)


def _onnx_tensors(content: memoryview) -> Iterator[Tensor]:
    """The initialisers of the graph, and the tensors of its Constant nodes."""
    fields = Allowance(MAX_FIELDS, f"more than {MAX_FIELDS} fields")
    try:
        for graph in _messages(content, 7, fields):
            for tensor in _messages(graph, 5, fields):
                yield from _onnx_tensor(tensor, fields)
            for node in _messages(graph, 1, fields):
                for attribute in _messages(node, 5, fields):
                    for tensor in _messages(attribute, 5, fields):
                        yield from _onnx_tensor(tensor, fields)
    except ValueError:
        return


def _onnx_tensor(message: memoryview, fields: Allowance) -> Iterator[Tensor]:
    kind, raw, floats = 0, None, []
    for number, value in _fields(message, fields):
        if number == 2 and isinstance(value, int):
            kind = value
        elif number == 9 and isinstance(value, memoryview):
            raw = value
        elif number == 4 and isinstance(value, memoryview):
            floats.append(bytes(value))
    dtype = _ONNX_DTYPES.get(kind)
    if dtype is None:
        return
    if raw is not None and len(raw) % _width(dtype) == 0:
        yield _as_numbers(raw, dtype)
    elif kind == 1 and floats and sum(map(len, floats)) % 4 == 0:
        yield _as_numbers(b"".join(floats), dtype)


def _messages(message: memoryview, number: int, fields: Allowance) -> Iterator[memoryview]:
    own = _fields(message, fields)
    return (value for each, value in own if each == number and isinstance(value, memoryview))


def _fields(data: memoryview, fields: Allowance) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a protobuf message by number: varints as int, all others as bytes.

    Raises:
        ValueError: if the bytes are not a message.
        TooMuchToRead: if the file has more fields than the bounds allow.
    """
    position = 0
    while position < len(data):
        fields.spend()
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == 2:
            length, position = _varint(data, position)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"unknown wire type {wire}")
        if number == 0 or length > len(data) - position:
            raise ValueError("a field ends past its message")
        yield number, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number ends past its message")
