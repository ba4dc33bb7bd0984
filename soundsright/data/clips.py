"""The clips of a competition, by number. Signals float32 `(n,)` on the 16-bit grid, times in seconds, levels in dB.

Each clip has its own random generator, seeded by (seed, index), so clip 17 is the same whether it is made alone, in
order, or on eight machines. The published competitions use the defaults of `SetRecipe`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from soundsright.core.audio import Clip
from soundsright.core.competition import Competition
from soundsright.core.errors import UsageError
from soundsright.core.material import MIXED_NOISE, RECORDED_NOISE
from soundsright.core.ports import SpeechSource
from soundsright.data.corpora import Corpus
from soundsright.data.noise_kinds import MixedNoise
from soundsright.data.recipe import PUBLISHED_RECIPE, SetRecipe, SetTask
from soundsright.data.render import clip_id, clip_rng, render
from soundsright.data.sources import NoiseSource, RecordedNoise, Rooms, Sources
from soundsright.data.splits import Split

__all__ = [
    "MAX_CLIPS",
    "PUBLISHED_RECIPE",
    "SetRecipe",
    "checked_clip_count",
    "clip_id",
    "clip_rng",
    "draw_clip",
    "draw_clips",
]

MAX_CLIPS = 100_000

VALUES_VERSION = 1
"""Rounds draw a clip again if a metric has no value for its clean speech. A round records the version of this
method, so that its sets are checked by the same one; in sets of rounds without it, no clip was drawn again."""


def checked_clip_count(count: int) -> int:
    """The count itself.

    Raises:
        UsageError: it is not between 1 and `MAX_CLIPS`.
    """
    if not 1 <= count <= MAX_CLIPS:
        raise UsageError(f"A set cannot have {count} clips", f"Ask for 1 to {MAX_CLIPS} clips.")
    return count


def corpus_sources(
    corpus: Corpus,
    sample_rate_hz: int,
    recipe: SetRecipe,
    *,
    split: Split | None = None,
    speech: SpeechSource | None = None,
    noise: str = MIXED_NOISE,
) -> Sources:
    """The corpus's speech, noise and rooms for sets at that rate, or the part of them in the split.

    Utterances in `speech` replace the corpus's. They are used in order, and all of them count as fresh. `noise` is
    `mixed` (the corpus's recordings and all kinds) or `recordings`.

    Raises:
        UsageError: the corpus has no speech or no noise for that rate and split.
    """
    rirs = corpus.rirs_for(sample_rate_hz, split)
    if speech is None:
        source: SpeechSource = corpus.speech_for(sample_rate_hz, split)
        fresh = corpus.speech_for(sample_rate_hz, split).fresh
    else:
        source, fresh = speech, tuple(range(len(speech)))
    return Sources(
        speech=source,
        noise=noise_of(corpus, sample_rate_hz, split, noise),
        rooms=Rooms(rirs, recipe.measured_rirs, recipe.rt60_s, split),
        split=split,
        fresh=fresh,
        in_order=speech is not None,
    )


def noise_of(corpus: Corpus, sample_rate_hz: int, split: Split | None, noise: str) -> NoiseSource:
    """The corpus's mixed noise or its recordings.

    Raises:
        UsageError: the corpus has no noise for that rate and split, or `noise` is another word.
    """
    recordings = corpus.noise_for(sample_rate_hz, split)
    if noise == MIXED_NOISE:
        return MixedNoise.of(recordings, corpus.voices_for(sample_rate_hz, split))
    if noise == RECORDED_NOISE:
        return RecordedNoise(recordings)
    raise UsageError(f"There is no noise {noise!r}", f"Choose {MIXED_NOISE} or {RECORDED_NOISE}.")


def draw_clip(
    competition: Competition,
    seed: int,
    index: int,
    *,
    corpus: Corpus,
    recipe: SetRecipe = PUBLISHED_RECIPE,
    speech: SpeechSource | None = None,
    noise: str = MIXED_NOISE,
    unfit: Callable[[Clip], str] | None = None,
) -> Clip:
    """Clip `index` of the set of `seed`, the same on every machine.

    With `unfit`, a clip is drawn again from other recordings and at other places if `unfit` gives a reason, or if a
    recording is silent. The same seed and the same `unfit` always give the same clip.

    With `speech`, clip i always has utterance i of it, and no set has used it before; noise and rooms are the
    corpus's.
    `noise` is `mixed` (the corpus's recordings and all kinds) or `recordings`.

    Raises:
        UsageError: the corpus has no speech or no noise for that rate, seed or index is negative, or no clip that
            was drawn is fit.
        AudioFileError: a recording cannot be used.
    """
    rate = competition.sample_rate_hz
    sources = corpus_sources(corpus, rate, recipe, speech=speech, noise=noise)
    return render(
        SetTask.of(competition.task),
        rate,
        seed,
        index,
        sources=sources,
        recipe=recipe,
        unfit=None if unfit is None else lambda rendered: unfit(rendered.as_clip()),
    ).as_clip()


def draw_clips(
    competition: Competition,
    seed: int,
    count: int,
    *,
    corpus: Corpus,
    recipe: SetRecipe = PUBLISHED_RECIPE,
    unfit: Callable[[Clip], str] | None = None,
) -> Iterator[Clip]:
    """Clips 0 to `count` - 1, one at a time, each as `draw_clip` draws it.

    Raises:
        UsageError: the count is out of range, or as `draw_clip`.
        AudioFileError: as `draw_clip`.
    """
    checked_clip_count(count)
    for index in range(count):
        yield draw_clip(competition, seed, index, corpus=corpus, recipe=recipe, unfit=unfit)
