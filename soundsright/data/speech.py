"""The clean speech of a clip: float64 `(n,)`, full scale ±1; levels in dB, times in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Audio
from soundsright.core.errors import SilentRecording
from soundsright.core.ports import SpeechSource
from soundsright.data.levels import SILENT_DB, active_level, gain_to
from soundsright.data.pools import ChosenRecording, Pools
from soundsright.data.recipe import SetRecipe
from soundsright.data.silence import Sound
from soundsright.data.sources import Sources
from soundsright.data.turns import Turn
from soundsright.data.variation import varied_speech

Signal = NDArray[np.float64]


class _ReadOnce:
    """A source that reads each utterance once, because a synthesiser would speak it again for each stretch."""

    def __init__(self, source: SpeechSource) -> None:
        self._source = source
        self._read: dict[tuple[int, int], Audio] = {}

    def __len__(self) -> int:
        return len(self._source)

    def utterance_id(self, index: int) -> str:
        return self._source.utterance_id(index)

    def speaker(self, index: int) -> str:
        return self._source.speaker(index)

    def text(self, index: int) -> str | None:
        return self._source.text(index)

    def read(self, index: int, sample_rate_hz: int) -> Audio:
        key = index, sample_rate_hz
        if key not in self._read:
            self._read[key] = self._source.read(index, sample_rate_hz)
        return self._read[key]


@dataclass(frozen=True, eq=False)
class DrawnSpeech:
    """Speech at its active level, the text if nothing was cut, and its fields of the clip's recipe."""

    samples: Signal
    level_db: float
    text: str | None
    facts: dict[str, Any]


def drawn_speech(
    rng: np.random.Generator,
    sources: Sources,
    sample_rate_hz: int,
    recipe: SetRecipe,
    number: int | None = None,
    turn: Turn | None = None,
) -> DrawnSpeech:
    """Speech at a drawn active level, varied or as recorded.

    The recording is the one of that number, otherwise that of the turn, otherwise a random one.

    Raises:
        AudioFileError: a recording cannot be used, or is silent.
    """
    pools = Pools.of(sources)
    chosen = pools.chosen(rng, fresh_share=recipe.fresh_share, number=number, turn=turn)
    make = _varied if recipe.variation else _as_recorded
    return make(rng, sources, pools, chosen, sample_rate_hz, recipe)


def _varied(
    rng: np.random.Generator, sources: Sources, pools: Pools, chosen: ChosenRecording, rate: int, recipe: SetRecipe
) -> DrawnSpeech:
    count = round(float(rng.uniform(*recipe.duration_s)) * rate)
    # A paid utterance is spoken for its own clip, so do not join others to it.
    source: SpeechSource = _ReadOnce(sources.speech) if sources.in_order else sources.speech
    made = varied_speech(rng, source, pools, chosen, rate, count=count, alone=sources.in_order)
    target_db = float(rng.uniform(*recipe.speech_level_db))
    facts = _facts(sources.speech, chosen, made.pieces[0].offset_s)
    facts |= {"pieces": made.pieces, "speed": made.speed, "equaliser": made.equaliser}
    samples = made.samples.astype(np.float64)
    samples *= gain_to(made.level_db, target_db)
    return DrawnSpeech(samples, target_db, None, facts)


def _as_recorded(
    rng: np.random.Generator, sources: Sources, pools: Pools, chosen: ChosenRecording, rate: int, recipe: SetRecipe
) -> DrawnSpeech:
    """A whole utterance. One that is longer than the drawn length is cut."""
    source, index = sources.speech, chosen.index
    samples = source.read(index, rate).samples
    text = source.text(index)
    length = round(float(rng.uniform(*recipe.duration_s)) * rate)
    offset = 0
    whole = samples
    if whole.shape[0] > round(recipe.duration_s[1] * rate):
        offset = int(rng.integers(whole.shape[0] - length + 1))
        samples = whole[offset : offset + length]
        text = None  # It is unknown which words remain.
    level = active_level(samples, rate).level_db
    if level <= SILENT_DB and samples is not whole and (starts := Sound.of(whole, rate).starts(length)).size:
        offset = int(starts[int(rng.integers(starts.size))])
        samples = whole[offset : offset + length]
        level = active_level(samples, rate).level_db
    if level <= SILENT_DB:
        raise SilentRecording(
            source.utterance_id(index), f"is silent from {offset / rate:.2f} s on (active level {level:.0f} dB)"
        )
    target_db = float(rng.uniform(*recipe.speech_level_db))
    facts = _facts(source, chosen, offset / rate)
    scaled = samples.astype(np.float64)
    scaled *= gain_to(level, target_db)
    return DrawnSpeech(scaled, target_db, text, facts)


def _facts(source: SpeechSource, chosen: ChosenRecording, offset_s: float) -> dict[str, Any]:
    return {
        "speech": source.utterance_id(chosen.index),
        "speaker": source.speaker(chosen.index),
        "speech_offset_s": offset_s,
        "fresh": chosen.fresh,
    }
