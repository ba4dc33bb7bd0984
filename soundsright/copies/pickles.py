"""Reads the descriptions of tensors in a pickle. It executes no code in the pickle, and imports nothing for it.

The pickle runs on symbols: constants, names of globals, and tuples of these. A pickle can name one value many
times, so a small one can describe a tuple of 2^40 parts. Therefore a tuple of over `MAX_PARTS` parts, counted with
repetition, or over `MAX_DEPTH` levels becomes None. Only strings and integers of bounded length are compared,
formatted or used as keys.

Formats: PEP 307 and 3154.
"""

from __future__ import annotations

import contextlib
import pickletools
from collections.abc import Iterator, Sequence
from typing import IO, Any, cast

from soundsright.copies.limits import DAMAGE, Allowance, BoundedBytes, TooMuchToRead

MAX_PICKLE_STEPS = 300_000
"""The pickles of a file can take at most this many steps. A tensor takes about 45."""

MAX_PARTS = MAX_PICKLE_STEPS
"""A tuple with more parts has repeated ones, because each new part takes a step."""

MAX_DEPTH = 100
MAX_OLD_READ_BYTES = 16_000_000
"""A read of a pickle in PyTorch's older format has at most this many bytes."""

MAX_NAME = 256
"""The longest name of a global, and the longest key of a storage, in characters."""

_TORCH_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bf16",
    "ComplexFloatStorage": "<c8",
    "ComplexDoubleStorage": "<c16",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "QInt8Storage": "|i1",
    "ShortStorage": "<i2",
}
_NUMPY_DTYPES = ("f2", "f4", "f8", "c8", "c16", "i1", "u1", "i2")

_OLD_TORCH = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The number with which a file of the older format begins, as a pickle without its protocol."""


def torch_storages(content: bytes, steps: Allowance) -> Iterator[tuple[str, str]]:
    """The key and the type of each storage. `data.pkl` names one as ('storage', FloatStorage, '0', 'cpu', count).

    Storages after a damaged part of the pickle are not read.

    Raises:
        TooMuchToRead: after the storages within the bounds, if the pickle exceeds a bound.
    """
    for kind, value in _values(content, steps):
        if kind != "persid" or not isinstance(value, tuple) or len(value) < 3:
            continue
        storage, key = value[1], value[2]
        if isinstance(storage, _Global) and isinstance(key, str) and len(key) <= MAX_NAME:
            dtype = _TORCH_DTYPES.get(storage.name.rpartition(" ")[2])
            if dtype is not None:
                yield key, dtype


def array_states(content: memoryview) -> Iterator[tuple[bytes | bytearray, str]]:
    """The bytes and the type of each NumPy array. Its state is (version, shape, type, order, bytes).

    Raises:
        TooMuchToRead: after the arrays within the bounds, if the pickle exceeds a bound.
    """
    steps = Allowance(MAX_PICKLE_STEPS, f"a pickle of over {MAX_PICKLE_STEPS} steps")
    for kind, state in _values(BoundedBytes(content), steps):
        if kind != "state" or len(state) != 5 or not isinstance(state[4], bytes | bytearray):
            continue
        dtype = state[2]
        if isinstance(dtype, _Dtype) and len(state[4]) % int(dtype.code[1:]) == 0:
            yield state[4], f"<{dtype.code}"


def is_old_torch(head: bytes) -> bool:
    """Whether a file begins as torch.save began its files before version 1.6."""
    return head[2 : 2 + len(_OLD_TORCH)] == _OLD_TORCH


def old_torch_storages(content: memoryview) -> Iterator[tuple[memoryview, str]]:
    """The bytes and the type of each storage in PyTorch's older format.

    It has five pickles: a number, a version, facts of the machine, the object, and the list of its storages' keys.
    The storages follow in this order, each as a count of values and the values.

    Raises:
        TooMuchToRead: if the pickles exceed a bound.
    """
    file = BoundedBytes(content, MAX_OLD_READ_BYTES)
    steps, object_steps = (Allowance(MAX_PICKLE_STEPS, f"pickles of over {MAX_PICKLE_STEPS} steps") for _ in "ab")
    types: dict[str, str] = {}
    try:
        for _ in range(3):
            _skip_pickle(file, steps)
        start = file.tell()
        _skip_pickle(file, steps)
        end = file.tell()
        types.update(torch_storages(bytes(content[start:end]), object_steps))
        keys = [text for text in _skip_pickle(file, steps) if text in types]
    except DAMAGE:
        return
    position = file.tell()
    for key in keys:
        dtype = types[key]
        width = 2 if dtype == "bf16" else int(dtype[2:])
        count = int.from_bytes(content[position : position + 8], "little")
        position += 8
        if count * width > len(content) - position:
            return
        yield content[position : position + count * width], dtype
        position += count * width


def _skip_pickle(file: BoundedBytes, steps: Allowance) -> list[str]:
    """Read one pickle to its end. Returns the strings in it that can be keys."""
    texts = []
    for opcode, argument, _ in pickletools.genops(cast(IO[bytes], file)):
        steps.spend()
        if isinstance(argument, str) and "UNICODE" in opcode.name and len(argument) <= MAX_NAME:
            texts.append(argument)
    return texts


class _Global:
    """`module name` of a global in a pickle. It is never looked up."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class _Dtype:
    """The type of an array, such as f4."""

    __slots__ = ("code",)

    def __init__(self, code: str) -> None:
        self.code = code


class _Mark:
    """The beginning of a tuple or list on the stack."""

    __slots__ = ()


class _Tuple(tuple[Any, ...]):
    """A tuple that knows its parts, counted with repetition, and its levels."""

    parts: int
    depth: int


_MEMO_OPS = ("BINPUT", "LONG_BINPUT", "PUT", "BINGET", "LONG_BINGET", "GET")


def _values(content: bytes | BoundedBytes, steps: Allowance) -> Iterator[tuple[str, Any]]:
    """The `persid` and `state` values of a pickle, until it ends or is damaged."""
    machine = _Machine(content, steps)
    with contextlib.suppress(*DAMAGE):  # Keep the values before the damage.
        yield from machine.run()
    if machine.left_out:
        raise TooMuchToRead(machine.left_out)


class _Machine:
    """Runs a pickle on symbols.

    Tuples of constants, globals and memo references are followed. The result of anything else is None. `left_out`
    is the reason why a value was not followed, or None.
    """

    def __init__(self, content: bytes | BoundedBytes, steps: Allowance) -> None:
        self.left_out: str | None = None
        self._content = content
        self._steps = steps
        size = len(content) if isinstance(content, bytes) else content.seek(0, 2)
        if isinstance(content, BoundedBytes):
            content.seek(0)
        # Each byte is encoded once in an honest file.
        self._encoded = Allowance(size, "a pickle that encodes more text than it contains")
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Iterator[tuple[str, Any]]:
        stack, memo = self._stack, self._memo
        for opcode, argument, _ in pickletools.genops(cast(IO[bytes], self._content)):
            self._steps.spend()
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
                stack.append(_global(str(argument)))
            elif name == "STACK_GLOBAL":
                attribute, module = stack.pop(), stack.pop()
                is_name = isinstance(module, str) and isinstance(attribute, str)
                stack.append(_global(module, attribute) if is_name else None)
            elif name == "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(self._called(function, arguments))
            elif name == "BINPERSID":
                yield "persid", stack.pop()
                stack.append(None)
            else:
                popped = _popped(stack, opcode)
                if name == "BUILD" and isinstance(popped[-1], tuple):
                    yield "state", popped[-1]
                stack.extend(self._pushed(name, argument, popped, len(opcode.stack_after)))

    def _called(self, function: Any, arguments: Any) -> Any:
        """The result of a call, for two functions: an array's type, and the bytes of protocol 2. Otherwise None."""
        if not isinstance(function, _Global) or not isinstance(arguments, tuple) or not arguments:
            return None
        first = arguments[0]
        if not isinstance(first, str):
            return None
        if function.name == "numpy dtype":
            return _Dtype(first) if first in _NUMPY_DTYPES else None
        if function.name == "_codecs encode" and arguments[1:] == ("latin1",):
            self._encoded.spend(len(first))
            try:
                return first.encode("latin1")
            except UnicodeEncodeError:
                return None
        return None

    def _pushed(self, name: str, argument: Any, popped: Sequence[Any], count: int) -> list[Any]:
        if name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE"):
            return [self._tuple(popped)]
        if not popped and count == 1 and isinstance(argument, str | int | bytes | bytearray):
            return [argument]
        if name in ("BUILD", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"):
            return [popped[0]]
        return [None] * count

    def _tuple(self, items: Sequence[Any]) -> _Tuple | None:
        inner = [item for item in items if isinstance(item, _Tuple)]
        parts = len(items) + sum(item.parts for item in inner)
        depth = 1 + max((item.depth for item in inner), default=0)
        if parts > MAX_PARTS or depth > MAX_DEPTH:
            self.left_out = f"a tuple of over {MAX_PARTS} parts or {MAX_DEPTH} levels"
            return None
        result = _Tuple(items)
        result.parts, result.depth = parts, depth
        return result


def _global(*names: str) -> _Global | None:
    return _Global(" ".join(names)) if sum(map(len, names)) <= MAX_NAME else None


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
