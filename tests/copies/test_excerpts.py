"""Runs of values that two models share are found in disguised tensors, and not in models that are made apart."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from soundsright.copies import excerpts
from soundsright.copies.excerpts import Excerpts, excerpts_of, merged, shared_excerpts

Tensors = Sequence[NDArray[np.floating]]
RNG = np.random.default_rng(9)


def weights(seed: int, count: int = 6) -> Tensors:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((64, 200)).astype(np.float32) for _ in range(count)]


def model(tensors: Tensors) -> Excerpts:
    return merged(excerpts_of(tensor.reshape(-1).astype(np.float32), i) for i, tensor in enumerate(tensors))


def quantised(tensor: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(np.rint(tensor / np.abs(tensor).max() * 127))


def with_nan(tensor: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.where(np.arange(tensor.size).reshape(tensor.shape) == 100, np.float32(np.nan), tensor)


DISGUISES: dict[str, Callable[[Tensors], Tensors]] = {
    "scaled": lambda tensors: [0.3 * tensor for tensor in tensors],
    "other sign": lambda tensors: [-tensor for tensor in tensors],
    "scaled by row": lambda tensors: [tensor * RNG.uniform(0.1, 3, (64, 1)) for tensor in tensors],
    "split in two": lambda tensors: [half for tensor in tensors for half in (tensor[:20], tensor[20:])],
    "joined and flat": lambda tensors: [np.concatenate(tensors).reshape(-1)],
    "one element more": lambda tensors: [np.append(np.float32(0.1), tensor) for tensor in tensors],
    "int8": lambda tensors: [quantised(tensor) for tensor in tensors],
    "one NaN": lambda tensors: [with_nan(tensor) for tensor in tensors],
    "noise of 1 %": lambda tensors: [t + 0.01 * RNG.standard_normal(t.shape) for t in tensors],
    "rows in another order": lambda tensors: [tensor[RNG.permutation(64)] for tensor in tensors],
    "padded with half as much": lambda tensors: [*tensors, *weights(5, 3)],
    "several": lambda tensors: [np.append(-0.2 * quantised(t)[::-1][::-1], 1.0)[: t.size // 2] for t in tensors],
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_disguised_tensors_are_found(disguise: str) -> None:
    shared = shared_excerpts(model(weights(1)), model(DISGUISES[disguise](weights(1))))
    assert shared is not None
    assert shared.fraction > 0.7


def test_weights_that_were_trained_on_are_not_the_same() -> None:
    tuned = [tensor * (1 + 0.05 * RNG.standard_normal(tensor.shape)) for tensor in weights(1)]
    assert shared_excerpts(model(weights(1)), model(tuned)) is None


DRAWS: dict[str, Callable[[np.random.Generator], NDArray[np.float64]]] = {
    "normal": lambda rng: rng.standard_normal(40_000),
    "uniform": lambda rng: rng.uniform(-1, 1, 40_000),
    "heavy tails": lambda rng: rng.standard_t(2, 40_000),
    "positive": lambda rng: rng.uniform(0, 1, 40_000),
    "sparse": lambda rng: rng.standard_normal(40_000) * (rng.random(40_000) < 0.3),
    "few values": lambda rng: rng.integers(-2, 3, 40_000).astype(float),
    "two values": lambda rng: rng.choice([-1.0, 1.0], 40_000),
    "identities": lambda _rng: np.eye(200).reshape(-1),
    "constant": lambda _rng: np.ones(40_000),
}


@pytest.mark.parametrize("draw", DRAWS)
def test_models_that_are_drawn_alike_and_apart_share_nothing(draw: str) -> None:
    models = [
        model([DRAWS[draw](np.random.default_rng([seed, i])).astype(np.float32) for i in range(3)])
        for seed in range(6)
    ]
    assert not any(shared_excerpts(a, b) for i, a in enumerate(models) for b in models[:i])


def test_standard_tensors_are_no_evidence() -> None:
    """Windows, DFT kernels, filterbanks and positions, which many models contain by construction."""
    window = np.hanning(513)[:-1]
    phase = 2 * np.pi * np.outer(np.arange(257), np.arange(512)) / 512
    bank = np.maximum(0, 1 - np.abs(np.linspace(0, 40, 257)[:, None] - np.arange(40)))
    tables = [window, np.cos(phase) * window, np.sin(phase), np.cos(phase), bank, bank.T, np.arange(5_000.0)]
    common = model([table.astype(np.float32) for table in tables])
    assert shared_excerpts(common, common) is None


def test_only_the_excerpts_with_the_lowest_keys_are_kept_and_a_part_of_a_model_is_still_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(excerpts, "MAX_EXCERPTS", 200)
    whole, part = model(weights(1, 8)), model(weights(1, 8)[2:6])
    assert (len(whole.keys), whole.complete) == (200, False)
    shared = shared_excerpts(whole, part)
    assert shared is not None
    assert set(shared.tensors_of_first) == {2, 3, 4, 5}
    assert set(shared.tensors_of_second) == {0, 1, 2, 3}


def test_the_boundaries_of_chunks_hide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = weights(1)[0].reshape(-1)
    whole = excerpts_of(tensor, 0)
    monkeypatch.setattr(excerpts, "_CHUNK", 1_000)
    pieces = excerpts_of(tensor, 0)
    assert np.array_equal(whole.keys, pieces.keys)
    assert np.array_equal(whole.values, pieces.values)
