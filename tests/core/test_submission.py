"""The form of a reference, and the digest that binds an entry to its hotkey."""

from __future__ import annotations

import hashlib

import pytest

from soundsright.core.errors import EntryRefused
from soundsright.core.sources import ModelRef
from soundsright.core.submission import commitment_digest

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
