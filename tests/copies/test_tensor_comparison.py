"""The tensors of models are compared within limits, and disguised weights are found."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from soundsright.copies import containers, tensors
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
from tests.copies.weight_files import (
    SIZES,
    Tensors,
    as_npz,
    as_onnx,
    as_safetensors,
    as_torch,
    summaries,
    weights,
)


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
