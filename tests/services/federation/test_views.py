"""A view from a peer is one exact text, and all validators come to the same result about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.errors import RequestRefused
from soundsright.core.federation import View
from soundsright.services.federation import (
    MAX_VIEW_BYTES,
    VIEW,
    check_view,
    open_view,
    sign_view,
    view_digest,
)
from tests.services.federation.published import (
    ADDRESSES,
    EPOCH,
    VALIDATORS,
    epoch_facts,
    sha,
    signed_facts,
    view,
)

SIGNER = VALIDATORS[0]
LISTED = {11: {ADDRESSES[2]: sha("a")}, 12: {ADDRESSES[0]: sha("b"), ADDRESSES[1]: sha("c")}}


def refused_code(raw: bytes) -> str:
    with pytest.raises(RequestRefused) as refused:
        open_view(raw, valid_signature=valid_signature)
    return refused.value.code


def test_a_signed_view_is_read_as_it_was_written() -> None:
    for made in (
        view(SIGNER, LISTED),
        view(SIGNER, {}, winners={}),
        view(SIGNER, LISTED, evidence={12: {ADDRESSES[0]: sha("proof")}}),
    ):
        opened = open_view(sign_view(made, SIGNER), valid_signature=valid_signature)
        assert opened.view == made
        assert view_digest(opened.raw, valid_signature=valid_signature) == opened.digest
        check_view(opened.view, epoch_facts(), validator=SIGNER.address)


def test_a_view_over_a_long_lookback_fits() -> None:
    many = {task: {ADDRESSES[task % 3]: sha(task), ADDRESSES[(task + 1) % 3]: sha(-task)} for task in range(10_000)}
    raw = sign_view(view(SIGNER, many), SIGNER)
    assert len(raw) < MAX_VIEW_BYTES
    assert open_view(raw, valid_signature=valid_signature).view.verdicts == many


def test_a_view_that_another_signed_is_refused() -> None:
    raw = sign_view(view(SIGNER, LISTED), SIGNER)
    envelope = json.loads(raw)
    other = json.loads(sign_view(view(SIGNER, {}), SIGNER))
    assert refused_code(json.dumps({**envelope, "signature": other["signature"]}).encode()) == "bad_signature"
    assert refused_code(sign_view(view(SIGNER, LISTED), Hotkey.of_seed("mallory"))) == "wrong_signer"
    assert refused_code(b" " * 20_000_000) == "too_large"
    for raw in (b"", b"[]", b"<html>", b"\xff", b"[" * 100_000):
        assert refused_code(raw) == "malformed"


CHANGES: tuple[Callable[[Any], object], ...] = (
    lambda facts: facts.pop("winners"),
    lambda facts: facts.update(extra=1),
    lambda facts: facts.update(schema="soundsright.verdict/1"),
    lambda facts: facts.update(epoch_block=-180),
    lambda facts: facts.update(epoch_block="1260"),
    lambda facts: facts.update(validator=None),
    lambda facts: facts.update(allowlist="x"),
    lambda facts: facts.update(verdicts=[]),
    lambda facts: facts["verdicts"].update({"012": {ADDRESSES[0]: sha("a")}}),
    lambda facts: facts["verdicts"].update({"-1": {ADDRESSES[0]: sha("a")}}),
    lambda facts: facts["verdicts"].update({"9" * 19: {ADDRESSES[0]: sha("a")}}),
    lambda facts: facts["verdicts"].update({"x": {ADDRESSES[0]: sha("a")}}),
    lambda facts: facts["verdicts"].update({"13": {}}),
    lambda facts: facts["verdicts"].update({"13": []}),
    lambda facts: facts["verdicts"].update({"13": {ADDRESSES[0]: "a"}}),
    lambda facts: facts["verdicts"].update({"13": {ADDRESSES[0]: None}}),
    lambda facts: facts["verdicts"].update({"13": {str(n): sha(n) for n in range(257)}}),
    lambda facts: facts["verdicts"].update({str(n): {ADDRESSES[0]: sha(n)} for n in range(10_001)}),
    lambda facts: facts["evidence"].update({"13": {ADDRESSES[0]: 7}}),
    lambda facts: facts["winners"].update({"DENOISING_16000HZ": None}),
    lambda facts: facts.update(winners=[]),
)


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
def test_a_signed_document_of_another_form_is_refused(change: Callable[[Any], object]) -> None:
    raw = signed_facts(VIEW, view(SIGNER, LISTED), SIGNER, change)
    with pytest.raises(RequestRefused, match="This is not a view of an epoch") as refused:
        open_view(raw, valid_signature=valid_signature)
    assert refused.value.code == "malformed"
    # The document has its digest nevertheless, so that a commitment to it can be held against it.
    assert len(view_digest(raw, valid_signature=valid_signature)) == 64


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (view(VALIDATORS[1], LISTED), "wrong_signer"),
        (view(SIGNER, LISTED, epoch_block=EPOCH - 180), "wrong_epoch"),
        (view(SIGNER, LISTED, allowlist=sha("another")), "wrong_allowlist"),
        (view(SIGNER, LISTED, rules=sha("others")), "wrong_rules"),
        (view(SIGNER, {13: LISTED[12]}), "wrong_task"),
        (view(SIGNER, {}, evidence={13: LISTED[12]}), "wrong_task"),
        (view(SIGNER, {}, winners={"ELSEWHERE": "5Miner001"}), "wrong_competition"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_view_that_is_not_of_this_epoch_is_refused(made: View, code: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        check_view(made, epoch_facts(), validator=SIGNER.address)
    assert refused.value.code == code
