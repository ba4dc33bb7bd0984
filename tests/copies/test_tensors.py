"""The same weights in other containers, formats and names, and hostile files."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from soundsright.copies.containers import tensors_of
from soundsright.copies.tensors import (
    same_tensors,
    shared_fraction,
)
from tests.copies.weight_files import (
    SIZES,
    Tensors,
    as_npz,
    as_onnx,
    as_safetensors,
    as_torch,
    summaries,
    torch_object,
    weights,
)


def as_old_torch(tensors: Tensors) -> bytes:
    """A file as torch.save wrote it before its zip: five pickles, then each storage with its count."""
    facts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    keys = [str(i) for i in range(len(tensors))]
    pickles = [*(pickle.dumps(fact, protocol=2) for fact in facts), torch_object(tensors, 2)]
    storages = [t.size.to_bytes(8, "little") + t.astype("<f4").tobytes() for t in tensors.values()]
    return b"".join([*pickles, pickle.dumps(keys, protocol=2), *storages])


CONTAINERS: dict[str, Callable[[Tensors], bytes]] = {
    "safetensors": as_safetensors,
    "safetensors in float16": lambda t: as_safetensors(t, "F16"),
    "safetensors in bfloat16": lambda t: as_safetensors(t, "BF16"),
    "npz": as_npz,
    "npz in float64": lambda t: as_npz(t, np.float64),
    "npz in float16": lambda t: as_npz(t, np.float16),
    "torch": as_torch,
    "torch, protocol 4": lambda t: as_torch(t, 4),
    "torch, old": as_old_torch,
    "torch after other bytes": lambda t: b"#!/bin/sh\n" * 9 + as_torch(t),
    "npz in complex64": lambda t: as_npz(t, np.complex64),
    "pickle": lambda t: pickle.dumps(t, protocol=4),
    "pickle, protocol 2": lambda t: pickle.dumps(t, protocol=2),
    "onnx": as_onnx,
    "onnx with float fields": lambda t: as_onnx(t, raw=False),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_same_tensors_are_recognised_in_every_container(container: str) -> None:
    original = weights(1)
    renamed = {f"other.{name}": tensor for name, tensor in reversed(original.items())}
    recognised = summaries(CONTAINERS[container](renamed))
    assert len(recognised) == len(SIZES)
    (pair,) = same_tensors({"a": summaries(as_safetensors(original)), "b": recognised})
    assert (pair.first, pair.second, pair.evidence) == ("a", "b", {"shared_tensors": "100.0%"})


@pytest.mark.parametrize("container", CONTAINERS)
def test_other_weights_of_the_same_shapes_are_not_copies(container: str) -> None:
    assert shared_fraction(summaries(as_safetensors(weights(1))), summaries(CONTAINERS[container](weights(2)))) == 0


def test_transposed_weights_are_the_same() -> None:
    turned = {name: np.ascontiguousarray(tensor.T) for name, tensor in weights(1).items()}
    assert shared_fraction(summaries(as_npz(weights(1))), summaries(as_npz(turned))) == 1.0


def test_padding_a_copy_with_other_tensors_does_not_hide_it() -> None:
    padded = weights(1) | {f"own{i}": tensor for i, tensor in enumerate(weights(2).values())}
    assert same_tensors({"a": summaries(as_npz(weights(1))), "b": summaries(as_npz(padded))})


def test_fine_tuned_weights_are_not_copies() -> None:
    rng = np.random.default_rng(3)
    tuned = {n: (t * (1 + 0.05 * rng.standard_normal(t.shape))).astype(np.float32) for n, t in weights(1).items()}
    assert same_tensors({"a": summaries(as_npz(weights(1))), "b": summaries(as_npz(tuned))}) == []


def test_equal_window_functions_make_no_copy() -> None:
    """Many models share a window and a table of zeros, which are far less than 90 % of their tensors."""
    shared = {"window": np.hanning(512).astype(np.float32), "zeros": np.zeros(512, np.float32)}
    a, b = weights(1) | shared, weights(2) | shared
    assert same_tensors({"a": summaries(as_npz(a)), "b": summaries(as_npz(b))}) == []


def stft_tensors() -> Tensors:
    """The standard tensors of a model whose STFT is a convolution: windows and DFT kernels."""
    window = np.hanning(513)[:-1].astype(np.float32)
    phase = 2 * np.pi * np.outer(np.arange(257), np.arange(512)) / 512
    kernels = {"cos": np.cos(phase) * window, "sin": -np.sin(phase) * window}
    return {"window": window, "hop": np.hanning(321)[:-1], **kernels}


def test_an_entry_with_only_standard_tensors_makes_no_other_entry_a_copy() -> None:
    """They can be few tensors with most of the elements, or many tensors with few elements."""
    rng = np.random.default_rng(0)
    common = summaries(as_npz(stft_tensors()))
    for count, elements in ((80, 500), (6, 200_000)):
        trained = {f"layer{i}": rng.standard_normal(elements) for i in range(count)}
        model = summaries(as_npz(stft_tensors() | trained))
        assert same_tensors({"bag": common, "model": model}) == []


def test_a_copy_is_found_until_it_is_padded_beyond_four_times_its_size() -> None:
    original = summaries(as_npz(weights(0)))
    for times, is_copy in ((4, True), (5, False)):
        padded = {f"{seed}{name}": tensor for seed in range(times) for name, tensor in weights(seed).items()}
        assert bool(same_tensors({"original": original, "padded": summaries(as_npz(padded))})) is is_copy


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("import builtins; builtins.pwned = True",)


def test_a_pickle_is_read_without_being_executed() -> None:
    import builtins

    content = pickle.dumps([Malicious(), weights(1)], protocol=4)
    assert len(summaries(content)) == len(SIZES)
    assert not hasattr(builtins, "pwned")


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_file_with_any_damage_raises_no_error(container: str) -> None:
    whole = CONTAINERS[container]({"layer": np.linspace(0, 1, 200, dtype=np.float32)})
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(whole[: rng.integers(0, len(whole) + 1)])
        for position in rng.integers(0, len(damaged), 3) if damaged else ():
            damaged[position] = rng.integers(0, 256)
        list(tensors_of(bytes(damaged)))


@pytest.mark.parametrize("content", [b"", b"\x80", b"PK\x03\x04", b"hello world, this is prose", b"\x00" * 100])
def test_files_without_tensors_give_none(content: bytes) -> None:
    assert list(tensors_of(content)) == []
