"""The three kinds of sources: which names each accepts, and that facts and text lead back to the same source."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundsright.adapters.hubs import ImageFolders
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import EntryRefused
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.sources import ImageRef, ModelRef, SecretText, Source, SourceRef, hub_model, source_of
from soundsright.core.submission import Submission

HEX = "0123456789abcdef"
COMMIT = "c" * 40
IMAGE = "reg.example:5000/lab/gate@sha256:" + "0" * 64

hub_names = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9_]{0,30}[A-Za-z0-9])?", fullmatch=True)
commits = st.text(HEX, min_size=40, max_size=40)
digests = st.text(HEX, min_size=64, max_size=64)
urls = st.from_regex(r"https://[a-z0-9]{1,20}\.example(/[A-Za-z0-9_-]{1,9}){1,3}", fullmatch=True)
sources = st.one_of(
    st.builds(ModelRef, hub_names, hub_names, commits),
    st.builds(ImageRef, st.from_regex(r"[a-z0-9][a-z0-9._/:-]{0,254}", fullmatch=True), digests),
    st.builds(
        SourceRef,
        st.from_regex(r"https://[a-z0-9]{1,20}\.example(/[A-Za-z0-9_-]{1,9}){1,3}", fullmatch=True),
        commits,
    ),
)


@given(sources)
def test_the_facts_of_a_source_give_it_back_also_through_json(source: Source) -> None:
    assert source_of(json.loads(json.dumps(source.facts()))) == source


@given(sources, sources)
def test_two_sources_have_the_same_text_only_if_they_are_equal(a: Source, b: Source) -> None:
    assert (str(a) == str(b)) == (a == b)


def test_a_model_keeps_its_list_of_three_so_that_old_states_load() -> None:
    assert ModelRef("me", "gate", COMMIT).facts() == ["me", "gate", COMMIT]
    assert source_of(("me", "gate", COMMIT)) == ModelRef("me", "gate", COMMIT)


@pytest.mark.parametrize(
    "facts",
    [
        [],
        ["a", "b"],
        {},
        {"image": IMAGE, "url": "x"},
        "a/b@c",
        "abc",
        None,
        [1, 2, 3],
        {"image": 5},
        {"image": None},
        {"url": "https://git.example/lab/gate", "revision": 1},
        {"url": "https://git.example/lab/gate", "revision": COMMIT, "token": "hunter2"},
    ],
)
def test_facts_of_no_source_are_an_error_that_shows_none_of_them(facts: object) -> None:
    with pytest.raises(ValueError, match="not the facts of a source") as error:
        source_of(facts)
    assert "hunter2" not in str(error.value)


def test_an_image_is_named_by_its_digest() -> None:
    image = ImageRef.of_text(IMAGE)
    assert (image.repository, image.sha256) == ("reg.example:5000/lab/gate", "0" * 64)
    assert str(image) == IMAGE


@pytest.mark.parametrize(
    "text",
    [
        "reg.example:5000/lab/gate:1.0",
        "reg.example:5000/lab/gate@sha256:" + "0" * 63,
        "reg.example:5000/lab/Gate@sha256:" + "0" * 64,
        "reg.example:5000/lab/gate@sha256:" + "A" * 64,
        "reg.example:5000/lab/gate@sha256:" + "0" * 64 + "\n",
        "@sha256:" + "0" * 64,
        "a" * 256 + "@sha256:" + "0" * 64,
        "",
    ],
)
def test_an_image_without_a_plain_name_and_digest_is_refused(text: str) -> None:
    with pytest.raises(EntryRefused) as refused:
        ImageRef.of_text(text)
    assert refused.value.code == "bad_image_ref"


@pytest.mark.parametrize(
    "url",
    [
        "http://git.example/lab/gate",
        "https://user:password@git.example/lab/gate",
        "https://user@git.example/lab/gate",
        "https://git.example/lab/gate?token=password",
        "https://git.example/lab/gate#password",
        "https://git.example/lab/../gate",
        "https://git.example/lab/./gate",
        "https://git.example/lab/%2E%2e/gate",
        "https://git.example/lab/..",
        "https://git.example",
        "https://git.example/",
        "https://Git.example/lab/gate",
        "https://git.example/lab/gate\n",
        "https://git.example/" + "a" * 500,
        "git@git.example:lab/gate",
        "file:///lab/gate",
        "",
    ],
)
def test_source_code_comes_from_a_plain_https_url(url: str) -> None:
    with pytest.raises(EntryRefused) as refused:
        SourceRef(url, COMMIT)
    assert refused.value.code == "bad_source"
    assert "password" not in refused.value.sentence


def test_source_code_is_named_by_a_full_commit() -> None:
    with pytest.raises(EntryRefused) as refused:
        SourceRef("https://git.example/lab/gate", "main")
    assert refused.value.code == "bad_revision"


def test_a_token_shows_in_no_text_no_fact_and_no_comparison() -> None:
    private = SourceRef("https://git.example/lab/gate", COMMIT, SecretText("hunter2"))
    assert private.token is not None
    assert private.token.reveal() == "hunter2"
    assert private == SourceRef("https://git.example/lab/gate", COMMIT)
    assert hash(private) == hash(SourceRef("https://git.example/lab/gate", COMMIT))
    for shown in (str(private), repr(private), str(private.token), repr(private.token), f"{private.token}"):
        assert "hunter2" not in shown
    assert "hunter2" not in json.dumps(private.facts())
    with pytest.raises(TypeError):
        json.dumps(private.token)
    assert pickle.loads(pickle.dumps(private)).token.reveal() == "hunter2"


def test_a_token_is_in_no_digest_log_or_traceback(caplog: pytest.LogCaptureFixture) -> None:
    private = SourceRef("https://git.example/lab/gate", COMMIT, SecretText("hunter2"))
    entry = Submission(0, "hk", PUBLISHED[0], private, 1)
    logging.getLogger("test").warning("%s %r %s %s", private, entry, private.token, asdict(private))
    assert "hunter2" not in caplog.text
    with pytest.raises(EntryRefused) as refused:
        ImageFolders(Path("cache")).fetch(entry, limits=FetchLimits())
    told = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
    shown = "".join(told.format())
    assert "submission = Submission(" in shown
    assert "hunter2" not in shown + json.dumps(refused.value.evidence)


def test_a_token_that_would_show_is_not_taken() -> None:
    bare: Any = "hunter2"
    with pytest.raises(TypeError) as error:
        SourceRef("https://git.example/lab/gate", COMMIT, bare)
    assert "hunter2" not in str(error.value)


def test_only_a_model_on_a_hub_can_be_fetched_from_a_hub() -> None:
    model = ModelRef("me", "gate", COMMIT)
    assert hub_model(model) is model
    with pytest.raises(EntryRefused) as refused:
        hub_model(ImageRef.of_text(IMAGE))
    assert refused.value.code == "bad_reference"
