"""SCALE encoding of the parts of a runtime's metadata (version 15) that a client needs.

Every type has a number. Source: the specification of the SCALE codec and `frame-metadata` 15, docs.substrate.io.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

PRIMITIVES = {"bool": 0, "char": 1, "str": 2, "u8": 3, "u16": 4, "u32": 5, "u64": 6, "u128": 7}
HASHERS = {"Blake2_128Concat": 2, "Twox64Concat": 5, "Identity": 6}

Field = tuple[str | None, int] | tuple[str | None, int, str]
"""A field: its name, its type, and the name of the type if a client needs it."""
Variant = tuple[str, int, Sequence[Field]]


def compact(number: int) -> bytes:
    """A number in the compact encoding, which needs few bytes for small numbers.

    >>> compact(1).hex(), compact(64).hex(), compact(2**30).hex()
    ('04', '0101', '0300000040')
    """
    if number < 1 << 6:
        return bytes([number << 2])
    if number < 1 << 14:
        return struct.pack("<H", number << 2 | 1)
    if number < 1 << 30:
        return struct.pack("<I", number << 2 | 2)
    data = number.to_bytes((number.bit_length() + 7) // 8, "little")
    return bytes([(len(data) - 4) << 2 | 3]) + data


def read_compact(data: bytes, at: int) -> tuple[int, int]:
    """The compact number at this position, and the position after it."""
    mode = data[at] & 3
    if mode == 0:
        return data[at] >> 2, at + 1
    if mode == 1:
        return int.from_bytes(data[at : at + 2], "little") >> 2, at + 2
    if mode == 2:
        return int.from_bytes(data[at : at + 4], "little") >> 2, at + 4
    size = (data[at] >> 2) + 4
    return int.from_bytes(data[at + 1 : at + 1 + size], "little"), at + 1 + size


def text(value: str) -> bytes:
    return blob(value.encode())


def blob(data: bytes) -> bytes:
    return compact(len(data)) + data


def vector(items: Iterable[bytes]) -> bytes:
    listed = list(items)
    return compact(len(listed)) + b"".join(listed)


def option(item: bytes | None) -> bytes:
    return b"\0" if item is None else b"\1" + item


_EMPTY = vector([])


class Registry:
    """The types of a runtime. The same type always has the same number."""

    def __init__(self) -> None:
        self._types: list[bytes] = []
        self._known: dict[Hashable, int] = {}

    def primitive(self, name: str) -> int:
        return self._type(("primitive", name), lambda: _definition((), bytes([5, PRIMITIVES[name]])))

    def sequence(self, item: int) -> int:
        return self._type(("sequence", item), lambda: _definition((), b"\2" + compact(item)))

    def array(self, length: int, item: int) -> int:
        return self._type(
            ("array", length, item), lambda: _definition((), b"\3" + struct.pack("<I", length) + compact(item))
        )

    def tuple_of(self, *items: int) -> int:
        return self._type(("tuple", items), lambda: _definition((), b"\4" + vector(map(compact, items))))

    def compact_of(self, item: int) -> int:
        return self._type(("compact", item), lambda: _definition((), b"\6" + compact(item)))

    def composite(self, path: str, fields: Sequence[Field]) -> int:
        return self._type(
            ("composite", path, tuple(fields)),
            lambda: _definition(path.split("::"), b"\0" + vector(map(_field, fields))),
        )

    def variants(self, path: str, variants: Sequence[Variant], parameters: Sequence[tuple[str, int]] = ()) -> int:
        def define() -> bytes:
            listed = (text(n) + vector(map(_field, fields)) + bytes([i]) + _EMPTY for n, i, fields in variants)
            return _definition(path.split("::"), b"\1" + vector(listed), parameters)

        return self._type(("variants", path, tuple(parameters)), define)

    def option_of(self, item: int) -> int:
        return self.variants("Option", [("None", 0, []), ("Some", 1, [(None, item)])], [("T", item)])

    def encoded(self) -> bytes:
        return vector(compact(number) + data for number, data in enumerate(self._types))

    def _type(self, key: Hashable, define: Callable[[], bytes]) -> int:
        if key not in self._known:
            self._types.append(define())
            self._known[key] = len(self._types) - 1
        return self._known[key]


def _definition(path: Sequence[str], body: bytes, parameters: Sequence[tuple[str, int]] = ()) -> bytes:
    named = (text(name) + option(compact(number)) for name, number in parameters)
    return vector(map(text, path)) + vector(named) + body + _EMPTY


def _field(field_: Field) -> bytes:
    name, number = field_[0], field_[1]
    type_name = field_[2] if len(field_) == 3 else None
    return (
        option(text(name) if name else None)
        + compact(number)
        + option(text(type_name) if type_name else None)
        + _EMPTY
    )


@dataclass
class Pallet:
    """One module of a runtime: its storage, and the types of its calls, events and errors."""

    name: str
    index: int
    calls: int | None = None
    event: int | None = None
    error: int | None = None
    _storage: list[bytes] = field(default_factory=list)
    _constants: list[bytes] = field(default_factory=list)

    def plain(self, name: str, value: int, default: bytes | None = None) -> Pallet:
        return self._item(name, b"\0" + compact(value), default)

    def map(self, name: str, hashers: Sequence[str], key: int, value: int, default: bytes | None = None) -> Pallet:
        hashed = vector(bytes([HASHERS[hasher]]) for hasher in hashers)
        return self._item(name, b"\1" + hashed + compact(key) + compact(value), default)

    def constant(self, name: str, kind: int, value: bytes) -> Pallet:
        self._constants.append(text(name) + compact(kind) + blob(value) + _EMPTY)
        return self

    def _item(self, name: str, kind: bytes, default: bytes | None) -> Pallet:
        self._storage.append(text(name) + bytes([default is not None]) + kind + blob(default or b"\0") + _EMPTY)
        return self

    def encoded(self) -> bytes:
        storage = option(text(self.name) + vector(self._storage)) if self._storage else b"\0"
        calls, event, error = (
            option(None if t is None else compact(t)) for t in (self.calls, self.event, self.error)
        )
        constants = vector(self._constants)
        return text(self.name) + storage + calls + event + constants + error + bytes([self.index]) + _EMPTY


@dataclass(frozen=True)
class Extrinsics:
    """The form of a runtime's transactions: types of address, call, signature and extra; and signed extensions."""

    address: int
    call: int
    signature: int
    extra: int
    extensions: Sequence[tuple[str, int, int]]

    def encoded(self) -> bytes:
        types = b"".join(map(compact, (self.address, self.call, self.signature, self.extra)))
        return bytes([4]) + types + vector(text(n) + compact(t) + compact(a) for n, t, a in self.extensions)


Api = tuple[str, Sequence[tuple[str, Sequence[tuple[str, int]], int]]]
"""A runtime API: its name and its methods, each with a name, inputs and an output."""


def metadata(
    registry: Registry,
    pallets: Sequence[Pallet],
    extrinsics: Extrinsics,
    runtime: int,
    apis: Sequence[Api],
    outer: Sequence[int],
) -> bytes:
    """The metadata of a whole runtime, version 15."""

    def method(name: str, inputs: Sequence[tuple[str, int]], output: int) -> bytes:
        return text(name) + vector(text(n) + compact(t) for n, t in inputs) + compact(output) + _EMPTY

    listed = vector(text(name) + vector(method(*m) for m in methods) + _EMPTY for name, methods in apis)
    return (
        b"meta"
        + bytes([15])
        + registry.encoded()
        + vector(pallet.encoded() for pallet in pallets)
        + extrinsics.encoded()
        + compact(runtime)
        + listed
        + b"".join(map(compact, outer))
        + _EMPTY
    )
