"""Reads the tensors of a file of weights. No code in the file is executed, and sizes are bounded.

The formats are safetensors, NumPy's npy and npz, PyTorch's zip, plain pickles of arrays, and ONNX. The format
follows from the file's bytes, not from its name. The result is the floating-point tensors, flat, as float32. From a
damaged file, or one of another format, the result has only the tensors that can be read, possibly none. From a
tensor over `MAX_ELEMENTS`, every k-th value is read, so copies still agree.

Formats: safetensors README; NEP 1 (npy); PEP 307 and 3154 (pickle); onnx.proto3 (ModelProto, GraphProto,
TensorProto).
"""

from __future__ import annotations

import io
import json
import math
import mmap
import pickletools
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from soundsright.core.zip_faults import ZIP_FAULTS

Tensor = NDArray[np.float32]

MAX_TENSORS = 20_000
MAX_ELEMENTS = 50_000_000
MAX_HEADER_BYTES = 64_000_000
MAX_MEMBER_BYTES = 2_000_000_000
MAX_UNPACKED_BYTES = 4_000_000_000
MAX_PICKLE_OPS = 5_000_000

_DTYPES: Mapping[str, str] = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "bf16"}
_TORCH_DTYPES: Mapping[str, str] = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bf16",
}
_ONNX_DTYPES: Mapping[int, str] = {1: "<f4", 10: "<f2", 11: "<f8", 16: "bf16"}


class TooMuchToRead(Exception):
    """A file contains more than the bounds allow. The tensors within the bounds have been returned before."""


def tensors_of(content: bytes | mmap.mmap) -> Iterator[Tensor]:
    """Every floating-point tensor in a file's bytes.

    Raises:
        TooMuchToRead: after `MAX_TENSORS`, or if an archive unpacks to more than the bounds allow.
    """
    head = bytes(content[:9])
    reader = _onnx_tensors
    if head.startswith(b"PK\x03\x04"):
        reader = _zip_tensors
    elif head.startswith(b"\x93NUM"):
        reader = _npy
    elif head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        reader = _pickled_arrays
    elif head[8:9] == b"{":
        reader = _safetensors
    for count, tensor in enumerate(reader(memoryview(content))):
        if count >= MAX_TENSORS:
            raise TooMuchToRead(f"more than {MAX_TENSORS} tensors")
        yield tensor


class _Bytes(io.RawIOBase):
    """Bytes as a file, without copying them. A read never allocates more than the bytes that are left."""

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._content)}[whence]
        self._position = min(max(0, base + offset), len(self._content))
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        end = len(self._content) if size is None or size < 0 else self._position + size
        part = bytes(self._content[self._position : end])
        self._position += len(part)
        return part


def _as_floats(raw: bytes | memoryview, dtype: str) -> Tensor:
    if dtype == "bf16":
        wide = _thinned(np.frombuffer(raw, "<u2")).astype(np.uint32) << np.uint32(16)
        return wide.view(np.float32)
    with np.errstate(over="ignore"):
        return _thinned(np.frombuffer(raw, dtype)).astype(np.float32)


def _thinned(values: NDArray[Any]) -> NDArray[Any]:
    return values[:: max(1, -(-len(values) // MAX_ELEMENTS))]


def _width(dtype: str) -> int:
    return 2 if dtype == "bf16" else np.dtype(dtype).itemsize


def _safetensors(content: memoryview) -> Iterator[Tensor]:
    size = int.from_bytes(content[:8], "little")
    if size > min(MAX_HEADER_BYTES, len(content) - 8):
        return
    try:
        header = json.loads(bytes(content[8 : 8 + size]))
    except (ValueError, RecursionError):
        return
    data = content[8 + size :]
    for facts in header.values() if isinstance(header, dict) else ():
        dtype = _DTYPES.get(str(facts.get("dtype"))) if isinstance(facts, dict) else None
        offsets = facts.get("data_offsets") if dtype else None
        if not (isinstance(offsets, list) and len(offsets) == 2 and all(isinstance(o, int) for o in offsets)):
            continue
        begin, end = offsets
        if dtype and 0 <= begin <= end <= len(data) and (end - begin) % _width(dtype) == 0:
            yield _as_floats(data[begin:end], dtype)


def _npy(content: memoryview) -> Iterator[Tensor]:
    file = _Bytes(content)
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = read(file, max_header_size=100_000)
    except (ValueError, KeyError, EOFError, OSError, TypeError, SyntaxError, RecursionError):
        return
    size = dtype.itemsize * math.prod(shape)
    raw = content[file.tell() :]
    if dtype.kind == "f" and dtype.itemsize in (2, 4, 8) and 0 <= size <= len(raw):
        yield _as_floats(raw[:size], dtype.str)


def _zip_tensors(content: memoryview) -> Iterator[Tensor]:
    """npz has one npy per member. In PyTorch's zip, `data.pkl` names the types of `data/0`, `data/1`, ..."""
    try:
        with zipfile.ZipFile(_Bytes(content)) as archive:
            members = archive.infolist()
            dtypes: dict[str, str] = {}
            for member in members:
                if member.filename.endswith("data.pkl") and member.file_size <= MAX_HEADER_BYTES:
                    folder = member.filename.removesuffix("data.pkl")
                    for key, dtype in _torch_storages(archive.read(member)).items():
                        dtypes[f"{folder}data/{key}"] = dtype
            unpacked = 0
            for member in members:
                is_npy = member.filename.endswith(".npy")
                if not is_npy and member.filename not in dtypes:
                    continue
                unpacked += member.file_size
                if member.file_size > MAX_MEMBER_BYTES or unpacked > MAX_UNPACKED_BYTES:
                    raise TooMuchToRead("it unpacks to more than the bounds allow")
                raw = archive.read(member)
                if is_npy:
                    yield from _npy(memoryview(raw))
                elif len(raw) % _width(dtypes[member.filename]) == 0:
                    yield _as_floats(raw, dtypes[member.filename])
    except ZIP_FAULTS:
        return


class _Global(str):
    """`module name` of a global in a pickle. It is never looked up."""

    __slots__ = ()


class _Mark:
    """The beginning of a tuple or list on the stack."""

    __slots__ = ()


_MEMO_OPS = ("BINPUT", "LONG_BINPUT", "PUT", "BINGET", "LONG_BINGET", "GET")


def _pickle_values(content: bytes | _Bytes) -> Iterator[tuple[str, Any]]:
    """Interpret a pickle without building or importing anything. Yields `persid` and `state` with their values.

    Tuples of constants, globals and memo references are followed. The result of anything else is None.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for count, (opcode, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], content))):
        if count >= MAX_PICKLE_OPS:
            return
        name = opcode.name
        slot = int(argument) if isinstance(argument, int | str) and name in _MEMO_OPS else 0
        if name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[slot] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(memo.get(slot))
        elif name == "MARK":
            stack.append(_Mark())
        elif name == "GLOBAL":
            stack.append(_Global(argument))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_Global(f"{module} {attribute}"))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_called(function, arguments))
        elif name == "BINPERSID":
            yield "persid", stack.pop()
            stack.append(None)
        else:
            popped = _popped(stack, opcode)
            if name == "BUILD" and isinstance(popped[-1], tuple):
                yield "state", popped[-1]
            stack.extend(_pushed(name, argument, popped, len(opcode.stack_after)))


def _called(function: Any, arguments: Any) -> Any:
    """The result of a call, for two functions: an array's type, and the bytes of protocol 2. Otherwise None."""
    if not isinstance(arguments, tuple) or not arguments:
        return None
    if function == "numpy dtype":
        return "dtype", arguments[0]
    if function == "_codecs encode" and isinstance(arguments[0], str) and arguments[1:] == ("latin1",):
        try:
            return arguments[0].encode("latin1")
        except UnicodeEncodeError:
            return None
    return None


def _popped(stack: list[Any], opcode: pickletools.OpcodeInfo) -> list[Any]:
    before = opcode.stack_before
    if pickletools.markobject in before:
        items: list[Any] = []
        while not isinstance(top := stack.pop(), _Mark):
            items.append(top)
        fixed = before.index(pickletools.markobject)
        below = [stack.pop() for _ in range(fixed)]
        return below[::-1] + items[::-1]
    return [stack.pop() for _ in before][::-1]


def _pushed(name: str, argument: Any, popped: Sequence[Any], count: int) -> list[Any]:
    if name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE"):
        return [tuple(popped)]
    if not popped and count == 1 and isinstance(argument, str | int | bytes | bytearray):
        return [argument]
    if name in ("BUILD", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"):
        return [popped[0]]
    return [None] * count


def _torch_storages(content: bytes) -> dict[str, str]:
    """The type of each storage by its key. `data.pkl` names one as ('storage', FloatStorage, '0', 'cpu', count)."""
    dtypes: dict[str, str] = {}
    try:
        for kind, value in _pickle_values(content):
            if kind == "persid" and isinstance(value, tuple) and len(value) >= 3 and isinstance(value[2], str):
                dtype = _TORCH_DTYPES.get(str(value[1]).rpartition(" ")[2])
                if dtype is not None:
                    dtypes[value[2]] = dtype
    except (ValueError, IndexError, TypeError, KeyError):
        pass  # A damaged pickle names no more storages. Keep those that it has named.
    return dtypes


def _pickled_arrays(content: memoryview) -> Iterator[Tensor]:
    """The NumPy arrays of a pickle. The state of each is (version, shape, type, order, bytes)."""
    try:
        for kind, value in _pickle_values(_Bytes(content)):
            if kind != "state" or len(value) != 5 or not isinstance(value[4], bytes | bytearray):
                continue
            code = value[2][1] if isinstance(value[2], tuple) and value[2][:1] == ("dtype",) else None
            if code in ("f2", "f4", "f8") and len(value[4]) % int(code[1]) == 0:
                yield _as_floats(bytes(value[4]), f"<{code}")
    except (ValueError, IndexError, TypeError, KeyError):
        return


def _onnx_tensors(content: memoryview) -> Iterator[Tensor]:
    """The initialisers of the graph, and the tensors of its Constant nodes."""
    try:
        for graph in _fields(content, 7):
            for tensor in _fields(graph, 5):
                yield from _onnx_tensor(tensor)
            for node in _fields(graph, 1):
                for attribute in _fields(node, 5):
                    for tensor in _fields(attribute, 5):
                        yield from _onnx_tensor(tensor)
    except ValueError:
        return


def _onnx_tensor(message: memoryview) -> Iterator[Tensor]:
    kind, raw, floats = 0, None, []
    for number, value in _message(message):
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
        yield _as_floats(raw, dtype)
    elif kind == 1 and floats and sum(map(len, floats)) % 4 == 0:
        yield _as_floats(b"".join(floats), dtype)


def _fields(message: memoryview, field: int) -> Iterator[memoryview]:
    return (value for number, value in _message(message) if number == field and isinstance(value, memoryview))


def _message(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a protobuf message by number: varints as int, all others as bytes.

    Raises:
        ValueError: if the bytes are not a message.
    """
    position = 0
    while position < len(data):
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
