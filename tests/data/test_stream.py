from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from soundsright.core.audio import on_pcm16_grid
from soundsright.core.competition import PUBLISHED, Competition
from soundsright.core.errors import UsageError
from soundsright.data.clips import corpus_sources, draw_clip
from soundsright.data.corpora import Corpus
from soundsright.data.recipe import PUBLISHED_RECIPE, AnySetTask, SetTask
from soundsright.data.splits import Split
from soundsright.data.stream import Batch, ClipStream, torch_dataset


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.open()


def stream_of(
    corpus: Corpus,
    *,
    task: AnySetTask = SetTask.DENOISING,
    rate: int = 16_000,
    split: Split | None = None,
    **settings: Any,
) -> ClipStream:
    sources = corpus_sources(corpus, rate, PUBLISHED_RECIPE, split=split)
    defaults: dict[str, Any] = {"seed": 5, "crop_s": 1.0, "batch_size": 3, "epoch_clips": 14}
    return ClipStream(sources, task=task, sample_rate_hz=rate, **{**defaults, **settings})


def same(one: Batch, other: Batch) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("clean", "degraded", "lengths", "indices")
    )


@pytest.mark.parametrize("competition", PUBLISHED, ids=lambda c: c.id)
def test_a_sample_is_the_clip_that_generate_writes_and_a_validator_draws(
    corpus: Corpus, competition: Competition
) -> None:
    rate = competition.sample_rate_hz
    stream = stream_of(corpus, task=SetTask.of(competition.task), rate=rate, crop_s=6.0, batch_size=4)
    batch = stream.batch(0, 1)
    for row, index in enumerate(batch.indices.tolist()):
        clip = draw_clip(competition, 5, index, corpus=corpus)
        count = int(batch.lengths[row])
        assert count == len(clip.clean)
        assert np.array_equal(on_pcm16_grid(batch.clean[row, :count]), clip.clean.samples)
        assert np.array_equal(on_pcm16_grid(batch.degraded[row, :count]), clip.degraded.samples)
        assert not batch.clean[row, count:].any()
        assert batch.recipes[row] == clip.recipe


def test_crops_are_cut_from_both_signals_at_one_place(corpus: Corpus) -> None:
    for batch in stream_of(corpus, epoch_clips=6):
        assert batch.clean.shape == batch.degraded.shape == (3, 16_000)
        assert batch.clean.dtype == np.float32
        for row, index in enumerate(batch.indices.tolist()):
            whole = stream_of(corpus).clip(index).signals
            begins = np.flatnonzero(whole["clean"] == batch.clean[row, 0])
            cuts = [slice(start, start + 16_000) for start in begins.tolist()]
            (cut,) = [c for c in cuts if np.array_equal(whole["clean"][c], batch.clean[row])]
            assert np.array_equal(whole["noisy"][cut], batch.degraded[row])


def test_epochs_never_repeat_a_sample_and_any_batch_can_be_drawn_alone(corpus: Corpus) -> None:
    stream = stream_of(corpus)
    first, second = list(stream.batches(0)), list(stream.batches(1))
    assert len(first) == len(second) == len(stream) == 4
    drawn = [int(i) for batch in (*first, *second) for i in batch.indices]
    assert len(set(drawn)) == len(drawn)
    assert same(stream_of(corpus).batch(1, 2), second[2])
    assert all(same(a, b) for a, b in zip(stream.batches(1, start=2), second[2:], strict=True))


def test_all_ranks_together_draw_the_batches_of_one(corpus: Corpus) -> None:
    whole = stream_of(corpus, batch_size=6)
    parts = [stream_of(corpus, batch_size=2, rank=rank, ranks=3) for rank in range(3)]
    for number in range(len(whole)):
        together = np.concatenate([part.batch(0, number).degraded for part in parts])
        assert np.array_equal(together, whole.batch(0, number).degraded)
    assert {len(part) for part in parts} == {len(whole)}


def test_a_stream_draws_only_from_its_split(corpus: Corpus) -> None:
    speakers = {}
    for split in Split:
        stream = stream_of(corpus, split=split, task=SetTask.BOTH, crop_s=3.0)
        speakers[split] = {recipe.speaker for batch in stream for recipe in batch.recipes}
    assert all(speakers.values())
    assert not speakers[Split.TRAIN] & speakers[Split.TEST]
    assert not speakers[Split.TRAIN] & speakers[Split.VALID]
    assert not speakers[Split.VALID] & speakers[Split.TEST]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "negative"),
        ({"crop_s": 7.0}, "does not fit clips of 6 s"),
        ({"rank": 2, "ranks": 2}, "no rank 2 of 2"),
        ({"batch_size": 15}, "do not fill a batch of 15"),
        ({"batch_size": 0}, "do not fill a batch of 0"),
    ],
)
def test_impossible_streams_are_refused(corpus: Corpus, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        stream_of(corpus, **change)


def test_the_loader_gives_the_same_batches_in_the_same_order_for_any_number_of_workers(corpus: Corpus) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader

    stream = replace(stream_of(corpus, task=SetTask.DEREVERBERATION), epoch_clips=15)
    expected = {epoch: list(stream.batches(epoch)) for epoch in (0, 1)}

    def passes(loader: Any, epoch: int, first: int = 0) -> None:
        loader.dataset.begin(epoch, first)
        batches = list(loader)
        assert [int(b["index"][0]) for b in batches] == [int(b.indices[0]) for b in expected[epoch][first:]]
        for batch, drawn in zip(batches, expected[epoch][first:], strict=True):
            assert torch.equal(batch["degraded"], torch.from_numpy(drawn.degraded))
            assert torch.equal(batch["clean"], torch.from_numpy(drawn.clean))

    alone = DataLoader(torch_dataset(stream), batch_size=None)
    assert len(alone) == 5
    passes(alone, 0)
    passes(alone, 1, first=3)
    # Persistent workers must also get the number of the next epoch, even if they were spawned.
    two = DataLoader(
        torch_dataset(stream), batch_size=None, num_workers=2, persistent_workers=True,
        multiprocessing_context="spawn",
    )  # fmt: skip
    passes(two, 0)
    passes(two, 1)
    passes(two, 1, first=2)
