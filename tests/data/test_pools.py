from dataclasses import replace

import numpy as np
import pytest

from soundsright.core.errors import UsageError
from soundsright.data.clips import corpus_sources, draw_clip
from soundsright.data.corpora import Corpus
from soundsright.data.manifest import recipe_fields, recipe_of, recordings_of
from soundsright.data.pools import Pools
from soundsright.data.recipe import PUBLISHED_RECIPE, SetRecipe, SetTask
from soundsright.data.recordings import RecordingSet
from soundsright.data.render import render
from soundsright.data.sources import Sources


@pytest.fixture(scope="module")
def sources() -> Sources:
    return corpus_sources(Corpus.open(), 16_000, PUBLISHED_RECIPE)


def choices(sources: Sources, fresh_share: float, count: int = 2_000) -> list[tuple[int, bool | None]]:
    rng = np.random.default_rng(1)
    chosen = [Pools.of(sources).chosen(rng, fresh_share=fresh_share) for _ in range(count)]
    return [(each.index, each.fresh) for each in chosen]


def test_the_share_of_fresh_speech_is_the_recipes(sources: Sources) -> None:
    some = replace(sources, fresh=(3, 40, 41))
    drawn = choices(some, 0.2)
    assert {index for index, fresh in drawn if fresh} == {3, 40, 41}
    assert {index for index, fresh in drawn if not fresh} == set(range(len(some.speech))) - {3, 40, 41}
    assert np.mean([fresh for _, fresh in drawn]) == pytest.approx(0.2, abs=0.03)
    assert {fresh for _, fresh in choices(some, 0.0)} == {False}
    assert {fresh for _, fresh in choices(some, 1.0)} == {True}


def test_a_source_of_only_fresh_speech_or_of_none_still_speaks(sources: Sources) -> None:
    everything = replace(sources, fresh=tuple(range(len(sources.speech))))
    assert {fresh for _, fresh in choices(everything, 0.0)} == {True}
    assert {fresh for _, fresh in choices(sources, 1.0)} == {None}


def test_a_fresh_recording_outside_the_source_is_refused(sources: Sources) -> None:
    with pytest.raises(UsageError, match="Fresh recording 66 is not among the 66 recordings of speech"):
        replace(sources, fresh=(0, 66))


def test_fresh_recordings_of_a_corpus_reach_the_clip_and_its_line() -> None:
    corpus = Corpus.open()
    marked = replace(corpus, speech=tuple(replace(r, fresh=n % 2 == 0) for n, r in enumerate(corpus.speech)))
    sources = corpus_sources(marked, 16_000, PUBLISHED_RECIPE)
    assert isinstance(sources.speech, RecordingSet)
    is_fresh = {r.id: r.fresh for r in sources.speech.recordings}
    for index in range(8):
        recipe = render(
            SetTask.DENOISING, 16_000, 2, index, sources=sources, recipe=SetRecipe(fresh_share=0.5)
        ).recipe
        assert recipe.fresh is is_fresh[recipe.speech]
        assert recipe_of(recipe_fields(recipe)) == recipe


def test_a_line_without_fresh_speech_has_the_fields_of_older_sets() -> None:
    from soundsright.core.competition import PUBLISHED

    fields = recipe_fields(draw_clip(PUBLISHED[0], 1, 0, corpus=Corpus.open()).recipe)
    assert "fresh" not in fields
    assert recipe_of(fields).fresh is None


@pytest.mark.parametrize(
    ("recipe", "ids"),
    [
        ({"speech": "a", "noise": None, "rir": None}, ("a",)),
        ({"speech": "a", "noise": "rain", "rir": "hall"}, ("a", "rain", "hall")),
        ({"speech": "a", "noise": "babble:b+a+c", "rir": None}, ("a", "b", "c")),
    ],
)
def test_the_recordings_of_a_clip_are_its_speech_its_noise_and_its_room(
    recipe: dict[str, str | None], ids: tuple[str, ...]
) -> None:
    assert recordings_of(recipe) == ids
