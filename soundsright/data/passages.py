"""Texts of one to three sentences, drawn by (seed, index), for speech that is synthesised for a single round.

A passage is long enough to fill a clip. It draws from more sentence shapes than `sentence`, with surnames, cities,
dates, digits, food and animals. So two passages of any rounds are practically never equal.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from soundsright.data.sentences import (
    SENTENCE_SHAPES,
    count_texts,
    distance_from_english,
    drawn_sentence,
    phones_of,
)

PASSAGE_CHARS = (60, 110)
"""A passage ends with the sentence that reaches a number of characters drawn from this range."""

LONGEST_PASSAGE_CHARS = 250
"""No passage is longer: the last sentence begins before character 110 and has at most 134."""

_CANDIDATES = 4
_LEAST_TEXTS = 10**9

_MORE_SHAPES = (
    "NAME SURNAME was born in CITY on the ORDINAL of MONTH",
    "call NAME SURNAME on DIGIT DIGIT DIGIT , DIGIT DIGIT DIGIT , DIGIT DIGIT DIGIT DIGIT",
    "the train from CITY to CITY leaves at HOUR o'clock from gate N",
    "flight NN to CITY was N minutes late on DAY",
    "NAME SURNAME bought N FOOD , some FOOD and a bag of FOOD",
    "AN COLOUR ANIMAL chased AN ADJECTIVE ANIMAL PREPOSITION the PLACE in CITY",
    "doctor SURNAME works at NN SURNAME street in CITY",
    "it was WEATHER and WEATHER in CITY , but WEATHER in CITY",
    "on the ORDINAL of MONTH , NAME SURNAME PASTT the ADJECTIVE THING",
    "NAME wore AN COLOUR dress and AN COLOUR coat in CITY",
    "the fried FOOD and the boiled FOOD cost NN pounds and N pence",
    "do not VERBT the ADJECTIVE THINGS until the ORDINAL of MONTH",
    "the ADJECTIVE ANIMAL and the COLOUR ANIMAL VERB every night",
    "NAME SURNAME of CITY PASTT N ADJECTIVE THINGS in MONTH",
    "turn left at SURNAME street , then walk through the PLACE to the ORDINAL house",
    "the meeting with NAME SURNAME begins at HOUR o'clock on DAY",
    "both NAME SURNAME and the ADJECTIVE PERSON like FOOD with FOOD",
    "the code is DIGIT DIGIT DIGIT DIGIT , and the address is number NN , SURNAME road",
    "CITY is NN miles away from CITY",
    "why did NAME SURNAME leave the COLOUR THING PREPOSITION the PLACE ?",
    "which ANIMAL ran over the ADJECTIVE THING , the COLOUR one or the ADJECTIVE one ?",
    "how many THINGS did the PERSON from CITY VERBT on DAY ?",
    "ADVERB , the ANIMAL PAST PREPOSITION the PERSON with the FOOD",
    "in the year NN , the PERSON SURNAME PASTT AN ADJECTIVE PLACE near CITY",
    "I'll VERBT the FOOD for NAME , but not the FOOD",
    "chapter N ends when the PERSON PASTT the ADJECTIVE ANIMAL ADVERB",
)
PASSAGE_SHAPES = (*SENTENCE_SHAPES, *_MORE_SHAPES)


@cache
def _first_shapes() -> tuple[str, ...]:
    """The shapes of a first sentence: those with many texts, because it can be the only sentence of a passage."""
    return tuple(shape for shape in PASSAGE_SHAPES if count_texts(shape) >= _LEAST_TEXTS)


def passage(seed: int, index: int) -> str:
    """Passage `index` of the series of `seed`, the same on every machine.

    >>> passage(1, 5) == passage(1, 5) != passage(1, 6)
    True
    """
    rng = np.random.default_rng(np.random.SeedSequence((seed, index, 0x7A55)))
    target_chars = int(rng.integers(*PASSAGE_CHARS))
    text = ""
    while len(text) < target_chars:
        shapes = PASSAGE_SHAPES if text else _first_shapes()
        candidates = [f"{text} {drawn_sentence(rng, shapes)}".strip() for _ in range(_CANDIDATES)]
        text = min(candidates, key=lambda candidate: distance_from_english(phones_of(candidate)))
    return text
