import re

import pytest

from soundsright.data import passage
from soundsright.data.passages import LONGEST_PASSAGE_CHARS, PASSAGE_CHARS
from soundsright.data.sentences import PHONE_PERCENT, distance_from_english, phones_of


@pytest.fixture(scope="module")
def series() -> list[str]:
    return [passage(3, index) for index in range(1_000)]


def test_a_passage_depends_on_seed_and_index_alone(series: list[str]) -> None:
    assert passage(3, 432) == series[432]
    assert passage(4, 432) != series[432]


def test_all_passages_of_a_series_differ(series: list[str]) -> None:
    assert len(set(series)) == len(series)


def test_passages_are_long_enough_for_a_clip_and_bounded(series: list[str]) -> None:
    assert min(map(len, series)) >= PASSAGE_CHARS[0]
    assert max(map(len, series)) <= LONGEST_PASSAGE_CHARS


def test_passages_are_one_to_three_whole_sentences(series: list[str]) -> None:
    for text in series:
        sentences = re.findall(r"[A-Z][A-Za-z',]*(?: [A-Za-z',]+){4,30}[.?]", text)
        assert " ".join(sentences) == text
        assert 1 <= len(sentences) <= 3, text
        assert not re.search(r"\b[Aa] [aeiouAEIOU]", text), text
        assert not re.search(r"\b[Aa]n [^aeiouAEIOU]", text), text


def test_phones_come_closer_to_conversation_than_single_sentences(series: list[str]) -> None:
    phones = [phone for text in series for phone in phones_of(text)]
    assert distance_from_english(phones) < 0.11
    assert set(PHONE_PERCENT) - set(phones) <= {"ʊə"}
