"""A verdict from a peer is one exact text, signed by the validator whose turn it was, or it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import RequestRefused
from soundsright.core.federation import Verdict
from soundsright.core.sources import ImageRef, SourceRef
from soundsright.services.federation import (
    MAX_VERDICT_BYTES,
    VERDICT,
    TaskFacts,
    check_verdict,
    metric_ranges,
    open_verdict,
    sign_verdict,
)
from tests.services.federation.published import (
    ADDRESSES,
    COMPETITIONS,
    METRICS,
    TASK,
    account_of,
    row,
    sha,
    signed_facts,
    task_facts,
    verdict,
)

SIGNER = account_of(TASK)


def refused_code(raw: bytes) -> str:
    with pytest.raises(RequestRefused) as refused:
        open_verdict(raw, valid_signature=valid_signature)
    return refused.value.code


def check(
    made: Verdict, known: TaskFacts | None = None, *, validator: str = SIGNER.address, finalized: int = 10**6
) -> None:
    check_verdict(made, known or task_facts(), validator=validator, finalized=finalized)


def test_a_signed_verdict_is_read_as_it_was_written() -> None:
    rows = verdict().rows
    models = (ImageRef("reg.example/lab/gate", sha("i")), SourceRef("https://git.example/lab/gate", "0" * 40))
    changed = tuple(
        row_.__class__(**{**vars(row_), "model": model})
        for row_, model in zip(rows, (*models, *models), strict=True)
    )
    for made in (verdict(), verdict(rows=changed), verdict(material=None), verdict(previous=sha("before"))):
        raw = sign_verdict(made, SIGNER)
        opened = open_verdict(raw, valid_signature=valid_signature)
        assert opened.verdict == made
        assert opened.raw == raw
        check(opened.verdict)


def test_the_digest_follows_from_the_content_and_not_from_the_signature() -> None:
    first, second = (open_verdict(sign_verdict(verdict(), SIGNER), valid_signature=valid_signature) for _ in "ab")
    assert first.digest == second.digest
    assert (
        first.digest
        != open_verdict(sign_verdict(verdict(miners=3), SIGNER), valid_signature=valid_signature).digest
    )


def test_a_verdict_over_256_miners_is_far_below_the_limit() -> None:
    assert len(sign_verdict(verdict(miners=256), SIGNER)) < MAX_VERDICT_BYTES // 8


def test_bytes_that_are_not_signed_by_the_validator_are_refused() -> None:
    raw = sign_verdict(verdict(), SIGNER)
    envelope = json.loads(raw)
    other = json.loads(sign_verdict(verdict(miners=3), SIGNER))
    unsigned = {name: value for name, value in envelope.items() if name != "signature"}
    assert refused_code(json.dumps(unsigned).encode()) == "malformed"
    assert refused_code(envelope["document"].encode()) == "malformed"
    assert refused_code(json.dumps({**envelope, "signature": other["signature"]}).encode()) == "bad_signature"
    assert refused_code(json.dumps({**envelope, "document": other["document"]}).encode()) == "bad_signature"
    assert refused_code(json.dumps({**envelope, "signer": ADDRESSES[TASK % 3 - 1]}).encode()) == "bad_signature"
    assert refused_code(sign_verdict(verdict(), Hotkey.of_seed("mallory"))) == "wrong_signer"
    assert refused_code(b" " * 20_000_000) == "too_large"
    for raw in (b"", b"[]", b"null", b"<html>", b'{"schema":', b"\xff", b"[" * 100_000):
        assert refused_code(raw) == "malformed"


def test_a_document_of_another_kind_is_refused() -> None:
    envelope = json.loads(sign_verdict(verdict(), SIGNER))
    assert refused_code(json.dumps({**envelope, "schema": "soundsright.view/1"}).encode()) == "malformed"


def changed(change: Callable[[Any], object]) -> bytes:
    return signed_facts(VERDICT, verdict(), SIGNER, change)


CHANGES: tuple[Callable[[Any], object], ...] = (
    lambda facts: facts.pop("rows"),
    lambda facts: facts.update(extra=1),
    lambda facts: facts.update(schema="soundsright.verdict/2"),
    lambda facts: facts.update(task=-1),
    lambda facts: facts.update(task="12"),
    lambda facts: facts.update(task=True),
    lambda facts: facts.update(task=12.0),
    lambda facts: facts.update(task=2**70),
    lambda facts: facts.update(validator=["a"]),
    lambda facts: facts.update(validator=""),
    lambda facts: facts.update(block=None),
    lambda facts: facts.update(block_hash="0x12"),
    lambda facts: facts.update(block_hash="../" * 22),
    lambda facts: facts.update(allowlist="AB" * 32),
    lambda facts: facts.update(rules=""),
    lambda facts: facts.update(sets=[]),
    lambda facts: facts["sets"].popitem(),
    lambda facts: facts["sets"].update({COMPETITIONS[0]: "x"}),
    lambda facts: facts["unprocessed"].popitem(),
    lambda facts: facts["unprocessed"][COMPETITIONS[0]].update(ESTOI=1),
    lambda facts: facts["unprocessed"][COMPETITIONS[0]].pop("ESTOI"),
    lambda facts: facts.update(previous="0"),
    lambda facts: facts.update(previous=None),
    lambda facts: facts.update(material={}),
    lambda facts: facts["material"].update(digest=""),
    lambda facts: facts["material"].update(public=["ELSEWHERE"]),
    lambda facts: facts["material"].update(public="DENOISING_16000HZ"),
    lambda facts: facts["material"].update(committed_block=-1),
    lambda facts: facts.update(rows={}),
    lambda facts: facts.update(rows=facts["rows"][::-1]),
    lambda facts: facts.update(rows=facts["rows"] + facts["rows"][-1:]),
    lambda facts: facts.update(rows=[[]]),
    lambda facts: facts["rows"][0].pop("answers"),
    lambda facts: facts["rows"][0].update(extra=1),
    lambda facts: facts["rows"][0].update(competition="ELSEWHERE"),
    lambda facts: facts["rows"][0].update(hotkey=5),
    lambda facts: facts["rows"][0].update(hotkey="x" * 101),
    lambda facts: facts["rows"][0].update(uid=-1),
    lambda facts: facts["rows"][0].update(model="lab/model"),
    lambda facts: facts["rows"][0].update(model=["lab", "../model", "0" * 40]),
    lambda facts: facts["rows"][0].update(model={"image": "lab/gate:latest"}),
    lambda facts: facts["rows"][0].update(passed=1),
    lambda facts: facts["rows"][0].update(passed=not facts["rows"][0]["passed"]),
    lambda facts: facts["rows"][0].update(failures=-1),
    lambda facts: facts["rows"][0].update(means=[]),
    lambda facts: facts["rows"][0].update(answers="0x" + "0" * 62),
    lambda facts: facts["rows"][0]["means"].update(ESTOI="0.5"),
    lambda facts: facts["rows"][0]["means"].update(ESTOI=None),
    lambda facts: facts["rows"][0]["means"].update(ESTOI=1),
    lambda facts: facts["rows"][0]["means"].update(ESTOI=0.1234567),
    lambda facts: facts["rows"][0]["means"].update(ESTOI=1e10),
    lambda facts: facts["rows"][0]["means"].update(OTHER=0.5),
    lambda facts: facts["rows"][0]["means"].pop("ESTOI"),
)


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
def test_a_signed_document_of_another_form_is_refused_without_its_values(change: Callable[[Any], object]) -> None:
    with pytest.raises(RequestRefused, match="This is not a verdict of a task") as refused:
        open_verdict(changed(change), valid_signature=valid_signature)
    assert refused.value.code == "malformed"
    assert len(refused.value.sentence) < 200


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_score_that_is_no_finite_number_is_refused(value: str) -> None:
    assert refused_code(resigned(lambda text: text.replace('"ESTOI":0.25', f'"ESTOI":{value}', 1))) == "malformed"


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace(",", ", ", 1),
        lambda text: text + "\n",
        lambda text: text.replace("0.25", "0.250", 1),
        lambda text: text.replace("0.25", "2.5e-1", 1),
        lambda text: text.replace('"task":12', '"task":12,"task":12', 1),
        lambda text: text.replace("5Miner", "\\u0035Miner", 1),
    ],
    ids=range(6),
)
def test_a_text_that_is_not_canonical_is_refused(edit: Callable[[str], str]) -> None:
    assert refused_code(resigned(edit)) == "malformed"


def resigned(edit: Callable[[str], str]) -> bytes:
    """An envelope whose document is another text, signed nevertheless."""
    from soundsright.services.records.signed import signed_message

    envelope = json.loads(sign_verdict(verdict(), SIGNER))
    text = edit(envelope["document"])
    assert text != envelope["document"]
    signature = "0x" + SIGNER.sign(signed_message(VERDICT.schema, text)).hex()
    return json.dumps({**envelope, "document": text, "signature": signature}).encode()


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (verdict(task=TASK + 3), "wrong_task"),
        (verdict(step=1), "wrong_signer"),
        (verdict(block=TASK * 100 + 50), "wrong_turn"),
        (verdict(block=TASK * 100 - 1), "wrong_turn"),
        (verdict(block=TASK * 100 + 300), "wrong_turn"),
        (verdict(allowlist=sha("another list")), "wrong_allowlist"),
        (verdict(rules=sha("other rules")), "wrong_rules"),
        (verdict(block_hash="0x" + sha("another fork")), "wrong_seed"),
        (
            verdict(sets={COMPETITIONS[0]: sha(1)}, unprocessed={COMPETITIONS[0]: {}}, rows=(), material=None),
            "wrong_set",
        ),
        (verdict(rows=(row(0).__class__(**{**vars(row(0)), "failures": 9}),)), "wrong_rows"),
        (verdict(rows=(row(2).__class__(**{**vars(row(2)), "block": 2_000}),)), "wrong_rows"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_verdict_that_is_not_the_one_of_this_task_is_refused(made: Verdict, code: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        check(made)
    assert refused.value.code == code


def test_a_mean_that_its_metric_cannot_have_makes_the_verdict_invalid() -> None:
    known = task_facts(ranges={"PESQ_WB": (0.0, 4.65), "SI_SDR": (-60.0, 100.0)})
    check(verdict(), known)
    for metric, mean in (("PESQ_WB", 4.650001), ("PESQ_WB", -0.000001), ("SI_SDR", 1e6), ("SI_SDR", -61.0)):
        row_ = row(2)
        lying = row_.__class__(**{**vars(row_), "means": {**row_.means, metric: mean}})
        worst = {name: {**dict.fromkeys(METRICS, 0.25), metric: mean} for name in COMPETITIONS}
        for made in (verdict(rows=(lying,)), verdict(unprocessed=worst)):
            with pytest.raises(RequestRefused, match=metric) as refused:
                check(made, known)
            assert refused.value.code == "wrong_score"


def test_the_ranges_are_those_of_the_metrics_that_decide() -> None:
    ranges = metric_ranges(PUBLISHED[:1])
    assert ranges.keys() == {"ESTOI", "PESQ_WB", "SI_SDR"}
    assert ranges["SI_SDR"] == (-60.0, 100.0)


@pytest.mark.parametrize(
    "said",
    [
        {"passed": True, "means": {"ESTOI": 0.25, "PESQ_WB": 0.9, "SI_SDR": 0.9}},
        {"passed": False, "means": dict.fromkeys(METRICS, 0.9)},
        {"passed": True, "failures": 1, "means": dict.fromkeys(METRICS, 0.9)},
        {"passed": True, "failures": 1},
    ],
)
def test_a_row_that_passed_against_its_own_means_or_failures_is_refused(said: dict[str, Any]) -> None:
    raw = signed_facts(VERDICT, verdict(), SIGNER, lambda facts: facts["rows"][0].update(said))
    assert refused_code(raw) == "malformed"
    said = said | {"passed": not said["passed"]}
    if set(said) == {"passed", "means"}:
        raw = signed_facts(VERDICT, verdict(), SIGNER, lambda facts: facts["rows"][0].update(said))
        assert open_verdict(raw, valid_signature=valid_signature).verdict.rows[0].passed is said["passed"]


def test_a_verdict_that_lacks_a_gated_metric_is_refused() -> None:
    means = dict.fromkeys(METRICS[:2], 0.9)

    def leave_out(facts: Any) -> None:
        facts["unprocessed"] = {name: dict.fromkeys(METRICS[:2], 0.25) for name in COMPETITIONS}
        for each in facts["rows"]:
            each.update(means=means, passed=True)

    assert refused_code(signed_facts(VERDICT, verdict(), SIGNER, leave_out)) == "malformed"


def test_a_verdict_from_the_future_is_refused_until_its_block_is_final() -> None:
    with pytest.raises(RequestRefused) as refused:
        check(verdict(), finalized=TASK * 100)
    assert refused.value.code == "from_future"
    check(verdict(), finalized=TASK * 100 + 1)


def test_the_backup_is_valid_in_its_own_turn() -> None:
    check(verdict(step=1), validator=account_of(TASK, 1).address)


def test_a_verdict_on_other_clips_is_refused_by_whoever_has_drawn_them() -> None:
    check(verdict(), task_facts(sets=verdict().sets))
    with pytest.raises(RequestRefused) as refused:
        check(verdict(), task_facts(sets={**verdict().sets, COMPETITIONS[0]: sha("others")}))
    assert refused.value.code == "wrong_set"


def test_a_validator_off_the_list_is_refused() -> None:
    with pytest.raises(RequestRefused) as refused:
        check(verdict(), task_facts(validators=ADDRESSES[1:] if TASK % 3 == 0 else ADDRESSES[:1]))
    assert refused.value.code == "wrong_signer"
