"""Copies that hashes do not show."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from soundsright.copies.duplicates import DuplicateRule, without_duplicates
from soundsright.core.audio import Audio
from soundsright.core.competition import Competition
from soundsright.core.errors import EngineUnavailable, JobTimeout
from soundsright.core.ports import RunningModel, SandboxLimits
from soundsright.core.results import ClipResult, Evaluation, Failure
from soundsright.core.submission import FetchedModel
from soundsright.services.rounds.clipset import ClipSet, write_wav
from soundsright.services.rounds.fingerprints import near_copy_pairs, same_image_pairs, same_tensor_pairs
from soundsright.testing import FakeHub, FakeSandbox, InlinePool
from tests.ranking.builders import IN_DB, ONE_METRIC, entry

T = TypeVar("T")


def tensors(seed: int) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return {f"t{i}": rng.standard_normal(300).astype(np.float32) for i in range(6)}


def model(
    folder: Path, uid: int, seed: int, dtype: DTypeLike = np.float32, competition: Competition = ONE_METRIC
) -> FetchedModel:
    folder = folder / str(uid)
    folder.mkdir()
    weights: dict[str, Any] = {name: t.astype(dtype) for name, t in tensors(seed).items()}
    np.savez(folder / "weights.npz", **weights)
    (folder / "app.py").write_text("print('no weights')\n" * 100)
    return FetchedModel(entry(uid, competition), folder, f"content{uid}", (f"hash{uid}",))


def test_entries_for_another_task_or_rate_are_not_compared(tmp_path: Path) -> None:
    comparisons: list[None] = []
    models = [model(tmp_path, uid, 1, competition=IN_DB if uid > 1 else ONE_METRIC) for uid in range(4)]
    compared_tensors = same_tensor_pairs(models, InlinePool(), raise_if_cancelled=lambda: comparisons.append(None))
    ids = [one.submission.entry_id for one in models]
    assert [(pair.first, pair.second) for pair in compared_tensors.pairs] == [(ids[0], ids[1]), (ids[2], ids[3])]
    assert len(comparisons) == 2
    assert set(compared_tensors.sketches) == set(ids)


def test_entries_of_two_competitions_with_one_task_and_rate_are_compared(tmp_path: Path) -> None:
    named = replace(ONE_METRIC, name="summer")
    models = [model(tmp_path, 0, 1), model(tmp_path, 1, 1, competition=named)]
    (pair,) = same_tensor_pairs(models, InlinePool()).pairs
    (copy,) = without_duplicates(models, likenesses=[pair]).duplicates
    assert (copy.duplicate.uid, copy.refusal().competition_id) == (1, "summer")


def test_the_same_weights_in_another_format_are_refused_with_evidence(tmp_path: Path) -> None:
    cases = [(1, np.float32), (1, np.float16), (2, np.float32)]
    models = [model(tmp_path, uid, seed, dtype) for uid, (seed, dtype) in enumerate(cases)]
    compared = same_tensor_pairs(models, InlinePool())
    assert compared.unread == {}
    unique = without_duplicates(models, likenesses=compared.pairs)
    assert [m.submission.uid for m in unique.kept] == [0, 2]
    refusal = unique.duplicates[0].refusal()
    assert refusal.code == "same_tensors"
    assert refusal.evidence["shared_tensors"] == "100.0%"


class FailingPool(InlinePool):
    """A pool whose job fails as soon as it reads a file named poison."""

    def submit(self, function: Callable[..., T], /, *args: Any, deadline_s: float | None = None) -> Future[T]:
        if any(path.name.startswith("poison") for path in args[0]):
            failed: Future[T] = Future()
            failed.set_exception(JobTimeout("tensor_fingerprint", 60.0))
            return failed
        return super().submit(function, *args, deadline_s=deadline_s)


def test_a_file_that_stops_its_worker_does_not_hide_the_entrys_other_files(tmp_path: Path) -> None:
    models = [model(tmp_path, uid, 1) for uid in range(2)]
    (models[1].path / "poison.pt").write_bytes(b"x")
    compared = same_tensor_pairs(models, FailingPool())
    assert len(compared.pairs) == 1
    (reason,) = compared.unread[models[1].submission.entry_id]
    assert reason.startswith("poison.pt: ")


def test_many_files_that_stop_their_workers_cost_a_bounded_time(tmp_path: Path) -> None:
    models = [model(tmp_path, 0, 1)]
    for number in range(9):
        (models[0].path / f"poison{number}.pt").write_bytes(b"x" * 1_000)
    compared = same_tensor_pairs(models, FailingPool())
    reasons = compared.unread[models[0].submission.entry_id]
    assert sum("4 other files failed" in reason for reason in reasons) == 5
    assert compared.sketches[models[0].submission.entry_id]


class Images:
    """A runner that knows the layers of images, by content hash. Its engine fails for a content without layers."""

    name = "images"

    def __init__(self, layers: dict[str, tuple[str, ...]]) -> None:
        self._layers = layers

    def image_layers(self, model: FetchedModel) -> tuple[str, ...]:
        if model.content_hash not in self._layers:
            raise EngineUnavailable("The engine does not answer", "Start it.")
        return self._layers[model.content_hash]

    def prepare(self, model: FetchedModel) -> None: ...
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> AbstractContextManager[RunningModel]:
        raise NotImplementedError

    def stop(self) -> None: ...


def test_an_image_that_was_pushed_again_under_another_digest_is_a_copy(tmp_path: Path) -> None:
    models = [model(tmp_path, uid, uid) for uid in range(6)]
    runner = Images(
        {"content0": ("a", "b"), "content1": ("a", "c"), "content2": ("a", "b"), "content3": (), "content4": ()}
    )
    (pair,) = same_image_pairs(models, runner)
    (copy,) = without_duplicates(models, likenesses=[pair]).duplicates
    assert (copy.original.uid, copy.duplicate.uid) == (0, 2)
    assert copy.refusal().code == "shared_checkpoint"
    assert copy.evidence == {"shared_layers": "2"}


def test_runners_without_images_know_no_layers(tmp_path: Path) -> None:
    sandbox = FakeSandbox(FakeHub(tmp_path).behaviour)
    assert same_image_pairs([model(tmp_path, uid, 1) for uid in range(2)], sandbox) == []


def _result(clip_id: str, *, scored: bool) -> ClipResult:
    return ClipResult(clip_id, {"ESTOI": 0.5}) if scored else ClipResult(clip_id, failure=Failure("length", ""))


def test_models_with_the_same_enhanced_audio_are_paired(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ids = [f"clip-{i}" for i in range(4)]
    entries = [entry(uid) for uid in range(3)]
    for kind in ("clean", "degraded", *(f"enhanced/{e.entry_id}" for e in entries)):
        (tmp_path / kind).mkdir(parents=True)
    for clip_id in ids:
        clean, noise = (0.1 * rng.standard_normal((2, 8_000))).astype(np.float32)
        error, other = (0.01 * rng.standard_normal((2, 8_000))).astype(np.float32)
        write_wav(tmp_path / "degraded" / f"{clip_id}.wav", Audio(clean + noise, 16_000))
        write_wav(tmp_path / "clean" / f"{clip_id}.wav", Audio(clean, 16_000))
        for one, output in zip(
            entries, (clean + error, np.float32(0.7) * (clean + error), clean + other), strict=True
        ):
            if clip_id != "clip-3":
                path = tmp_path / "enhanced" / one.entry_id / f"{clip_id}.wav"
                write_wav(path, Audio(output, 16_000))
    clips = ClipSet(ONE_METRIC, 1, tmp_path, dict.fromkeys(ids, ""), {}, {})
    evaluations = [Evaluation(one, "r1", tuple(_result(i, scored=i != "clip-3") for i in ids)) for one in entries]
    # A file that a stopped process left of a failed clip is ignored.
    (tmp_path / "enhanced" / entries[0].entry_id / "clip-3.wav").write_bytes(b"half")
    (pair,) = near_copy_pairs(clips, tmp_path / "enhanced", evaluations)
    assert (pair.first, pair.second) == (entries[0].entry_id, entries[1].entry_id)
    assert pair.rule is DuplicateRule.NEAR_COPY
