import re

import pytest

from soundsright.data.sentences import (
    PHONE_PERCENT,
    distance_from_english,
    number_in_words,
    phones_of,
    sentence,
)


@pytest.fixture(scope="module")
def series() -> list[str]:
    return [sentence(3, index) for index in range(2_000)]


def test_a_sentence_depends_on_seed_and_index_alone(series: list[str]) -> None:
    assert sentence(3, 1_234) == series[1_234]
    assert sentence(4, 1_234) != series[1_234]


def test_nearly_all_sentences_of_a_series_differ(series: list[str]) -> None:
    assert len(set(series)) > 0.98 * len(series)


def test_sentences_look_like_sentences(series: list[str]) -> None:
    for text in series:
        assert re.fullmatch(r"[A-Z][A-Za-z',]*( [A-Za-z',]+){4,24}[.?]", text), text
        assert not re.search(r"\b[Aa] [aeiouAEIOU]", text), text
        assert not re.search(r"\b[Aa]n [^aeiouAEIOU]", text), text


def test_phones_come_close_to_those_of_conversation(series: list[str]) -> None:
    phones = [phone for text in series for phone in phones_of(text)]
    assert distance_from_english(phones) < 0.11
    # Every phone but the rarest (0.06 %) occurs.
    assert set(PHONE_PERCENT) - set(phones) <= {"ʊə"}


def test_sentences_contain_numbers_and_names(series: list[str]) -> None:
    assert any("hundred" in text for text in series)
    assert any(text.split()[0] in ("Alice", "Daniel", "Hannah", "Zoe", "Peter") for text in series)


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "zero"), (13, "thirteen"), (40, "forty"), (99, "ninety nine"), (100, "one hundred"),
     (512, "five hundred and twelve"), (1_000, "one thousand"), (2_007, "two thousand and seven"),
     (9_999, "nine thousand nine hundred and ninety nine")],
)  # fmt: skip
def test_numbers_in_words(value: int, words: str) -> None:
    assert number_in_words(value) == words


def test_numbers_beyond_the_grammar_are_refused() -> None:
    with pytest.raises(ValueError, match="10000"):
        number_in_words(10_000)


def test_the_published_distribution_is_whole() -> None:
    assert sum(PHONE_PERCENT.values()) == pytest.approx(100.0, abs=0.05)
    assert len(PHONE_PERCENT) == 44
