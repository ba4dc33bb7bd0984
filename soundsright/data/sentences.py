"""English sentences for synthesised speech, drawn by (seed, index).

A small grammar over a lexicon of about six hundred words, with names and numbers. Each sentence is the one of
several candidates whose phones come closest to those of English conversation. So a set is balanced as a whole,
although each sentence is drawn alone.

Phone frequencies: received pronunciation, in percent, counted by D. B. Fry, "The frequency of occurrence of speech
sounds in southern English", Archives Néerlandaises de Phonétique Expérimentale 20 (1947). Each number was checked
with the reprint in D. Crystal, The Cambridge Encyclopedia of the English Language (1995); the vowels are also in A.
C. Gimson, An Introduction to the Pronunciation of English (3rd ed. 1980), p. 149.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

import numpy as np

PHONE_PERCENT = {
    "ə": 10.74, "ɪ": 8.33, "e": 2.97, "aɪ": 1.83, "ʌ": 1.75, "eɪ": 1.71, "iː": 1.65, "əʊ": 1.51, "æ": 1.45,
    "ɒ": 1.37, "ɔː": 1.24, "uː": 1.13, "ʊ": 0.86, "ɑː": 0.79, "aʊ": 0.61, "ɜː": 0.52, "eə": 0.34, "ɪə": 0.21,
    "ɔɪ": 0.14, "ʊə": 0.06,
    "n": 7.58, "t": 6.42, "d": 5.14, "s": 4.81, "l": 3.66, "ð": 3.56, "r": 3.51, "m": 3.22, "k": 3.09, "w": 2.81,
    "z": 2.46, "v": 2.00, "b": 1.97, "f": 1.79, "p": 1.78, "h": 1.46, "ŋ": 1.15, "g": 1.05, "ʃ": 0.96, "j": 0.88,
    "dʒ": 0.60, "tʃ": 0.41, "θ": 0.37, "ʒ": 0.10,
}  # fmt: skip
"""Fry's distribution; it sums to 99.99."""

_CANDIDATES = 12

# One line per sentence shape. A word in capitals is drawn from its list; "N" is a number below a hundred, "NN" a
# number below ten thousand, "DIGIT" one digit; "AN" is the article that the next word needs.
SENTENCE_SHAPES = (
    "the ADJECTIVE THING PAST PREPOSITION the PLACE",
    "NAME and NAME PASTT the THING PREPOSITION the PLACE",
    "AN ADJECTIVE THING is better than AN ADJECTIVE THING",
    "on DAY we will VERBT the THING with NAME",
    "NAME has N THINGS and the PERSON has N",
    "have you ever seen the PERSON VERBT AN ADJECTIVE THING ?",
    "at HOUR o'clock the PERSON PASTT AN ADJECTIVE THING",
    "please VERBT the THINGS before DAY",
    "they said that the THING was ADVERB ADJECTIVE",
    "it takes N minutes to VERBT the THING",
    "ADVERB , NAME PASTT the ADJECTIVE PERSON in the PLACE",
    "the PERSON at number NN will VERB PREPOSITION the PLACE",
    "where did the ADJECTIVE PERSON VERBT this THING ?",
    "there were N ADJECTIVE THINGS PREPOSITION the PLACE",
    "NAME would rather VERB than VERBT AN ADJECTIVE THING",
    "when the THING PAST , the PERSON PASTT it ADVERB",
    "I think that NAME and the PERSON VERB together on DAY",
    "if you VERBT that THING , the PERSON will VERB ADVERB",
    "nobody PASTT the THINGS that we had in the PLACE",
    "who is the ADJECTIVE PERSON with the N THINGS ?",
    "he may be seen by my PERSON from time to time",
    "she told me that her PERSON should VERB for more than N minutes",
    "we could move our THINGS from the PLACE to the PLACE",
    "some of them would like to VERB as much as you",
    "give me your THING and keep my THINGS for NAME",
    "these people seem to VERB more at home",
    "should he VERB or should she VERBT some of the THINGS ?",
    "room NN is where most of the ADJECTIVE THINGS were PUT",
)


@cache
def _lexicon() -> tuple[dict[str, list[str]], dict[str, tuple[str, ...]]]:
    data = json.loads(files("soundsright.data").joinpath("lexicon_en.json").read_text(encoding="utf-8"))
    return data["lists"], {word: tuple(phones.split()) for word, phones in data["phones"].items()}


def number_in_words(value: int) -> str:
    """A number below ten thousand in English.

    Raises:
        ValueError: it is not between 0 and 9999.

    >>> number_in_words(3_417)
    'three thousand four hundred and seventeen'
    """
    if not 0 <= value <= 9_999:
        raise ValueError(f"{value} is not between 0 and 9999")
    lists, _ = _lexicon()
    units, tens = lists["UNITS"], lists["TENS"]
    if value < 20:
        return units[value]
    if value < 100:
        return tens[value // 10 - 2] + (f" {units[value % 10]}" if value % 10 else "")
    if value < 1_000:
        rest = f" and {number_in_words(value % 100)}" if value % 100 else ""
        return f"{units[value // 100]} hundred{rest}"
    below = value % 1_000
    joint = " and " if 0 < below < 100 else " "
    return f"{units[value // 1_000]} thousand" + (f"{joint}{number_in_words(below)}" if below else "")


def phones_of(text: str) -> list[str]:
    """The phones of a sentence of this module, in received pronunciation.

    Raises:
        KeyError: the lexicon lacks a word.

    >>> phones_of("The tea.")
    ['ð', 'ə', 't', 'iː']
    """
    _, phones = _lexicon()
    words = (word.strip(".,?").lower() for word in text.split())
    return [phone for word in words if word for phone in phones[word]]


def distance_from_english(phones: Iterable[str]) -> float:
    """Total variation distance between the phones' shares and Fry's: 0 for equal shares, 1 for disjoint ones.

    Raises:
        ValueError: there are no phones.
    """
    counts = Counter(phones)
    total = counts.total()
    if total == 0:
        raise ValueError("no phones to compare")
    whole = sum(PHONE_PERCENT.values())
    return 0.5 * sum(abs(counts[phone] / total - share / whole) for phone, share in PHONE_PERCENT.items())


def sentence(seed: int, index: int) -> str:
    """Sentence `index` of the series of `seed`.

    >>> sentence(1, 5) == sentence(1, 5) != sentence(1, 6)
    True
    """
    rng = np.random.default_rng(np.random.SeedSequence((seed, index, 0x5E47)))
    candidates = [drawn_sentence(rng, SENTENCE_SHAPES) for _ in range(_CANDIDATES)]
    return min(candidates, key=lambda text: distance_from_english(phones_of(text)))


def count_texts(shape: str) -> int:
    """How many different texts a sentence shape has, apart from words that a sentence does not repeat.

    >>> count_texts("please VERBT the THINGS before DAY") > 40_000
    True
    """
    lists, _ = _lexicon()
    numbers = {"N": 98, "NN": 9_997, "DIGIT": 10}
    return math.prod(numbers.get(slot) or len(lists.get(slot, [slot])) for slot in shape.split())


def drawn_sentence(rng: np.random.Generator, shapes: tuple[str, ...]) -> str:
    """A sentence of one of the shapes. The comment above `SENTENCE_SHAPES` explains their words in capitals."""
    lists, _ = _lexicon()
    words: list[str] = []
    for slot in str(rng.choice(shapes)).split():
        if slot == "N":
            words += number_in_words(int(rng.integers(2, 100))).split()
        elif slot == "NN":
            words += number_in_words(int(rng.integers(2, (100, 1_000, 9_999)[int(rng.integers(3))]))).split()
        elif slot == "DIGIT":
            words.append(lists["UNITS"][int(rng.integers(10))])
        elif slot in lists:
            options = [word for word in lists[slot] if word not in words] or lists[slot]
            words.append(options[int(rng.integers(len(options)))])
        else:
            words.append(slot)
    text = _with_articles(words)
    mark = "?" if text.endswith("?") else "."
    text = text.rstrip(" ?").replace(" ,", ",")
    return text[0].upper() + text[1:] + mark


def _with_articles(words: list[str]) -> str:
    out = []
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word == "AN":
            # No list has a word whose first letter misleads, such as "hour" or "useful".
            out.append("an" if after[:1].lower() in "aeiou" else "a")
        else:
            out.append(word)
    return " ".join(out)
