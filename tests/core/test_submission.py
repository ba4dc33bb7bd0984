"""The form of a reference, and the digest that binds an entry to its hotkey."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundsright.core.errors import EntryRefused
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Reveal, commitment_digest, reveal_of_text, salted_digest

REVISION = "a" * 40


def test_the_digest_is_the_published_one() -> None:
    expected = hashlib.sha256(f"ns:name:{REVISION}:hk:DENOISING_16000HZ".encode()).hexdigest()
    assert commitment_digest(ModelRef("ns", "name", REVISION), "hk", "DENOISING_16000HZ") == expected


@pytest.mark.parametrize("revision", ["main", "v1.0", "A" * 40, "a" * 39, "a" * 41, "", "g" * 40, "a" * 40 + "\n"])
def test_a_revision_that_is_not_a_commit_is_refused(revision: str) -> None:
    with pytest.raises(EntryRefused) as refused:
        ModelRef("ns", "name", revision)
    assert refused.value.code == "bad_revision"


@pytest.mark.parametrize("name", ["", "..", "a/b", "a:b", "a b", "-a", "a" * 97, "<script>", "a..b", "x\n", "é"])
def test_a_name_that_no_hub_allows_is_refused(name: str) -> None:
    for parts in ((name, "model"), ("ns", name)):
        with pytest.raises(EntryRefused) as refused:
            ModelRef(*parts, REVISION)
        assert refused.value.code == "bad_reference"


MODEL = ModelRef("ns", "name", REVISION)
SALTED = Reveal(MODEL, "DENOISING_16000HZ", "5" * 32, "c" * 64)


def test_the_salted_digest_is_the_published_one() -> None:
    line = f"soundsright.commitment/2:{'5' * 32}:{'c' * 64}:hk:DENOISING_16000HZ"
    expected = hashlib.sha256(line.encode()).hexdigest()
    assert expected == "6d44f93574e1aabf993f7782238503ba8f218dafee6e2e12e610a56c61d1e93b"
    assert salted_digest("c" * 64, "hk", "DENOISING_16000HZ", "5" * 32) == expected == SALTED.digest("hk")


def test_every_part_but_the_place_changes_the_digest() -> None:
    digests = {
        salted_digest(content, hotkey, competition, salt)
        for content in ("c" * 64, "d" * 64)
        for hotkey in ("hk", "other")
        for competition in ("A", "B")
        for salt in ("5" * 32, "6" * 32)
    }
    assert len(digests) == 16
    moved = Reveal(ModelRef("ns", "renamed", "b" * 40), *(SALTED.competition_id, SALTED.salt, SALTED.content_hash))
    assert moved.digest("hk") == SALTED.digest("hk")


@pytest.mark.parametrize("key", ["", "e" * 64])
def test_a_text_of_either_format_gives_its_reveal(key: str) -> None:
    for reveal in (Reveal(MODEL, "A"), Reveal(MODEL, "A", "5" * 32, "c" * 64, key)):
        assert reveal_of_text(reveal.text("hk"), "hk") == reveal
        with pytest.raises(EntryRefused) as refused:
            reveal_of_text(reveal.text("hk"), "other")
        assert refused.value.code == "wrong_hotkey"


@given(st.text(max_size=600) | st.text(alphabet=":ab5", max_size=60))
def test_no_other_text_gives_a_reveal(text: str) -> None:
    for candidate in (text, f"soundsright.entry/2:{text}", SALTED.text("hk") + text[:1]):
        try:
            reveal = reveal_of_text(candidate, "hk")
        except EntryRefused:
            continue
        assert reveal.text("hk") == candidate


def test_the_longest_entry_fits_into_a_commitment_of_the_chain() -> None:
    longest = Reveal(ModelRef("n" * 96, "m" * 96, REVISION), "C" * 64, "5" * 32, "c" * 64)
    assert len(longest.text("h" * 48)) <= 512
