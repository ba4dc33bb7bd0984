"""The same weights in other containers, formats and names, and hostile files."""

import io
import json
import pickle
import sys
import types
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from soundsright.copies import containers, tensors
from soundsright.copies.containers import tensors_of
from soundsright.copies.tensors import (
    merged_fingerprint,
    same_tensors,
    same_weights,
    shared_fraction,
    sketch_holds,
    tensor_fingerprint,
    tensor_sketch,
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


def as_old_torch(tensors: Tensors) -> bytes:
    """A file as torch.save wrote it before its zip: five pickles, then each storage with its count."""
    facts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    keys = [str(i) for i in range(len(tensors))]
    pickles = [*(pickle.dumps(fact, protocol=2) for fact in facts), torch_object(tensors, 2)]
    storages = [t.size.to_bytes(8, "little") + t.astype("<f4").tobytes() for t in tensors.values()]
    return b"".join([*pickles, pickle.dumps(keys, protocol=2), *storages])


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


def summaries(content: bytes) -> list[tensors.TensorSummary]:
    return list(tensor_summaries(tensors_of(content)))


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


def written(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return sorted(folder.iterdir())


def test_a_worker_summarises_a_models_files_and_names_unread_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"a.npz": as_npz(weights(1)), "b.onnx": as_onnx(weights(2)), "c.py": b"print('no weights')\n" * 100}
    paths = written(tmp_path, files)
    fingerprint = pickle.loads(pickle.dumps(tensor_fingerprint(paths)))
    assert (len(fingerprint.summaries), fingerprint.unread) == (2 * len(SIZES), ())
    assert shared_fraction(summaries(as_torch(weights(2))), fingerprint.summaries) == 1.0
    monkeypatch.setattr(containers, "MAX_UNPACKED_BYTES", 1_000)  # an archive that claims too much
    monkeypatch.setattr(tensors, "MAX_SUMMARIES", 4)
    fingerprint = tensor_fingerprint([*paths, tmp_path / "gone.npz"])
    assert len(fingerprint.summaries) == 4
    assert [line.split(": ")[0] for line in fingerprint.unread] == [
        str(tmp_path / n) for n in ("a.npz", "b.onnx", "gone.npz")
    ]


def test_large_tensors_are_thinned_alike_in_every_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MAX_ELEMENTS", 300)
    (pair,) = same_tensors({"a": summaries(as_npz(weights(1))), "b": summaries(as_safetensors(weights(1), "BF16"))})
    assert pair.evidence == {"shared_tensors": "100.0%"}


def plainly_shared(a: Sequence[tensors.TensorSummary], b: Sequence[tensors.TensorSummary]) -> list[int]:
    """The sizes of a's tensors that b also has, by comparing every pair of one size, lowest quantiles first."""
    shared, unmatched = [], sorted((s.elements, *s.quantiles) for s in b)
    for size, *own in sorted((s.elements, *s.quantiles) for s in a):
        for other in unmatched:
            if other[0] == size and all(
                abs(x - y) <= 2**-8 * max(abs(x), abs(y)) + 2**-24 for x, y in zip(own, other[1:], strict=True)
            ):
                unmatched.remove(other)
                shared.append(size)
                break
    return shared


def test_the_fast_comparison_agrees_with_comparing_every_pair_of_tensors() -> None:
    """Models trained apart, models that share some rounded tensors, and models that are hardly trained."""
    rng = np.random.default_rng(5)

    def layers(count: int, spread: float) -> list[NDArray[np.float64]]:
        return [
            rng.choice([0.0, 1.0]) + spread * rng.standard_normal(rng.choice([64, 96, 4096])) for _ in range(count)
        ]

    are_copies = []
    for case in range(24):
        count, spread = int(rng.integers(4, 60)), (1.0, 0.05, 0.01)[case % 3]
        a, pads = layers(count, spread), layers(int(rng.integers(0, 3 * count)), spread)
        taken = [a[i] for i in rng.permutation(count)[: int(count * rng.choice([0.5, 0.89, 0.91, 1.0]))]]
        b = [tensor.astype(np.float16).astype(np.float32) for tensor in (*taken, *pads)]
        first, second = (list(tensor_summaries(t.astype(np.float32) for t in model)) for model in (a, b))
        shared = plainly_shared(first, second)
        assert shared_fraction(first, second) == len(shared) / count
        enough = len(shared) >= max(0.9 * min(count, len(b)), 0.25 * max(count, len(b)))
        enough &= sum(shared) >= 0.25 * max(sum(t.size for t in model) for model in (a, b))
        are_copies.append(bool(same_tensors({"a": first, "b": second})))
        assert are_copies[-1] == enough
    assert 4 < sum(are_copies) < 20


def drawn(count: int, seed: int = 0) -> list[tensors.TensorSummary]:
    """Summaries of tensors that resemble each other, as in a model that is made slow to compare."""
    rng = np.random.default_rng(seed)
    quantiles = np.linspace(-1, 1, 33) * (1 + 1e-4 * rng.random((count, 1)))
    return [tensors.TensorSummary(64 + i // 512, row) for i, row in enumerate(quantiles)]


def test_only_the_largest_of_too_many_tensors_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "MAX_COMPARED", 600)
    compared: list[int] = []
    agree = tensors._agree

    def counted(row: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
        compared.append(len(others))
        return agree(row, others)

    monkeypatch.setattr(tensors, "_agree", counted)
    small = [tensors.TensorSummary(s.elements // 64, s.quantiles) for s in drawn(2_000)]
    assert same_tensors({"a": [*small, *drawn(600)], "b": [*drawn(600)[::-1], *small]})
    assert (len(compared), max(compared)) == (600, 512)


def test_a_stop_takes_effect_between_two_comparisons() -> None:
    stops = iter([None, None, InterruptedError("stopped")])

    def check_stop() -> None:
        if (error := next(stops)) is not None:
            raise error

    with pytest.raises(InterruptedError):
        same_tensors({name: drawn(8) for name in "abcd"}, check_stop=check_stop)


def test_a_sketch_tells_whether_a_model_had_tensors() -> None:
    """Every tensor counts, rounded or trained a little further."""
    rng = np.random.default_rng(0)
    many = summaries(as_npz({f"t{i}": rng.standard_normal(64).astype(np.float32) for i in range(500)}))
    few, others = many[:100], many[400:]
    near = [tensors.TensorSummary(s.elements, s.quantiles * (1 + 1e-3)) for s in few]
    far = [tensors.TensorSummary(s.elements, s.quantiles * (1 + 2e-2)) for s in few]
    huge = [tensors.TensorSummary(s.elements, s.quantiles * 1e300) for s in few]
    for model, shared, has_all in (
        (few, few[:50], True),
        (few, [*few[:50], *others[:50]], False),
        (many, many[:300], True),
        (many[:400], others, False),
        (many[:35] + others, many[:100], False),
        (many, many[:4], True),
        (few, near, True),
        (few, far, False),
        (huge, huge, True),
        (few, [], False),
        ([], few, False),
    ):
        assert sketch_holds(tensor_sketch(model), tensor_sketch(shared)) is has_all
    assert len(tensor_sketch(many)) < 40 * len(many)


def test_comparing_many_tensors_of_one_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "MAX_OF_ONE_SIZE", 16)
    rng = np.random.default_rng(0)
    many = {f"t{i}": rng.standard_normal(64).astype(np.float32) for i in range(64)}
    shuffled = {name: many[name] for name in rng.permutation(list(many))}
    assert same_tensors({"a": summaries(as_npz(many)), "b": summaries(as_npz(shuffled))})


def fingerprints(folder: Path, **models: Mapping[str, bytes]) -> dict[str, tensors.TensorFingerprint]:
    found = {}
    for name, files in models.items():
        (folder / name).mkdir()
        found[name] = tensor_fingerprint(written(folder / name, files))
    return found


def quantised(seed: int) -> dict[str, Any]:
    return {name: np.rint(t / np.abs(t).max() * 127).astype(np.int8) for name, t in weights(seed).items()}


def with_nan(seed: int) -> Tensors:
    return {name: np.append(t.reshape(-1), np.float32(np.nan)) for name, t in weights(seed).items()}


DISGUISES: dict[str, Callable[[int], bytes]] = {
    "int8": lambda seed: as_npz(quantised(seed), np.int8),
    "uint8 with an offset": lambda seed: as_npz({n: t + 128.0 for n, t in quantised(seed).items()}, np.uint8),
    "one NaN": lambda seed: as_npz(with_nan(seed)),
    "scaled": lambda seed: as_safetensors({n: t * np.float32(0.3) for n, t in weights(seed).items()}),
    "complex pairs": lambda seed: as_npz(
        {n: t.reshape(-1).view(np.complex64) for n, t in weights(seed).items()}, "c8"
    ),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_disguised_weights_are_found_and_others_are_not(disguise: str, tmp_path: Path) -> None:
    found = fingerprints(
        tmp_path,
        original={"a.npz": as_npz(weights(1))},
        copy={"b.bin": DISGUISES[disguise](1)},
        other={"c.bin": DISGUISES[disguise](2)},
    )
    (pair,) = same_weights(found)
    assert (pair.first, pair.second) == ("original", "copy")


def test_whoever_held_the_shared_part_of_a_disguised_model_first_stays(tmp_path: Path) -> None:
    """The owner improved one tensor after the copy was made. Its hotkey has held the other tensors since before."""
    improved = weights(1) | {"layer4": weights(2)["layer4"]}
    found = fingerprints(tmp_path, improved={"a.npz": as_npz(improved)}, copy={"b.npz": DISGUISES["scaled"](1)})
    earlier = tensor_sketch(summaries(as_npz(weights(1))))

    def since(name: str, sketch: str) -> int:
        return 10 if name == "improved" and sketch_holds(earlier, sketch) else 99

    (pair,) = same_weights(found, since=since)
    assert pair.since == (10, 99)
    assert pair.evidence["shared_excerpts"]


def test_the_fingerprints_of_files_join_to_that_of_the_model(tmp_path: Path) -> None:
    paths = written(tmp_path, {f"{seed}.npz": as_npz(weights(seed)) for seed in range(3)})
    whole, joined = tensor_fingerprint(paths), merged_fingerprint([tensor_fingerprint([path]) for path in paths])
    assert tensor_sketch(whole.summaries) == tensor_sketch(joined.summaries)
    assert np.array_equal(whole.excerpts.keys, joined.excerpts.keys)
    assert np.array_equal(whole.excerpts.tensors, joined.excerpts.tensors)
