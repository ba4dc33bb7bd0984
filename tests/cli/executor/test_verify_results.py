"""`executor verify`: 0 if signature and scores are right, 1 with each difference named, 2 for wrong use."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.peers.keys import Hotkey
from soundsright.cli.commands.executor import command
from soundsright.cli.main import run
from soundsright.services.http import HttpService, listening
from soundsright.services.records import EXECUTOR_RESULTS, sign_document
from tests.services.executor.signed_rounds import ROUND, signed_round
from tests.services.executor_api.executors import MemoryExecutor, app_of, submission

EXECUTOR, OTHER = Hotkey.of_seed("executor"), Hotkey.of_seed("other")
QUALITIES = {submission(EXECUTOR, 1, 5): 0.8, submission(OTHER, 2, 6): 0.6}
RAW = signed_round(QUALITIES, EXECUTOR, reference_s=0.5)[1]


@pytest.fixture
def verify(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run the command on these results. Returns its exit code and what it printed."""

    def verified(*sources: bytes | str, options: tuple[str, ...] = ()) -> tuple[int, str]:
        arguments = []
        for number, source in enumerate(sources):
            if isinstance(source, bytes):
                path = tmp_path / f"{number}.json"
                path.write_bytes(source)
                source = str(path)
            arguments.append(source)
        code = run(command, ["verify", *arguments, *options], program="soundsright executor")
        return code, "".join(capfd.readouterr())

    return verified


Verify = Callable[..., tuple[int, str]]


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(json.loads(RAW)["document"])
    change(document)
    return sign_document(EXECUTOR_RESULTS, document, EXECUTOR).encode()


def test_right_results_exit_with_0_and_name_signer_and_winner(verify: Verify) -> None:
    code, text = verify(RAW, options=("--signer", EXECUTOR.address))
    assert code == 0, text
    assert f"signed by {EXECUTOR.address}; round {ROUND}" in text
    assert f"2 images; computed again, {EXECUTOR.address} is first" in text


@pytest.mark.parametrize(
    ("material", "words"),
    [
        ({"is_public": True}, "public recordings; validators pay nobody on it by default"),
        ({"committed_block": 7}, "committed to in block 7; validators with the same corpus pay on it"),
        ({"speech": {"program": "speak"}}, "new speech by a program; validators with the same program"),
    ],
)
def test_the_recordings_and_who_pays_on_them_are_named(
    verify: Verify, material: dict[str, Any], words: str
) -> None:
    stated = {"is_public": False, "speech": {}, "corpus_round": None, "committed_block": None} | material
    code, text = verify(changed(lambda d: d.update(material={"digest": "c" * 64} | stated)))
    assert code == 0, text
    assert f"material: corpus {'c' * 16}, " in text
    assert words in text


def test_results_of_earlier_versions_do_not_state_their_recordings(verify: Verify) -> None:
    assert "material: not stated in these results; validators pay nobody" in verify(RAW)[1]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d["rows"][0]["metrics"].update(final_score=0.99), "final_score is 0.7"),
        (lambda d: d["rows"][0]["metrics"].update(quality_score=0.99), "quality_score is 0.8"),
        (lambda d: d["rows"][0]["metrics"].update(efficiency_factor=1.0), "efficiency_factor is 0.9"),
        (lambda d: d["rows"].reverse(), f"{EXECUTOR.address} has rank 1"),
        (lambda d: d["entries"][0]["scores"]["clip00"].update(ESTOI=0.1), "quality_score is 0.7"),
        (lambda d: d["entries"][0]["runs"][0].update(time_s=29.0), "inference_time_sec is 17.5"),
        (
            lambda d: d["entries"][0]["scores"].pop("clip00"),
            "the clips with scores are not those of its scoring runs",
        ),
        (lambda d: d["unprocessed"].pop("clip00"), "cannot be computed again"),
    ],
)
def test_each_difference_is_named_with_exit_code_1(
    verify: Verify, change: Callable[[dict[str, Any]], object], named: str
) -> None:
    code, text = verify(changed(change))
    assert code == 1
    assert named in text
    assert "difference" in text.splitlines()[-1]


def test_what_somebody_changed_after_the_signature_is_a_difference(verify: Verify) -> None:
    envelope = json.loads(RAW)
    envelope["document"] = envelope["document"].replace(ROUND, "images-999")
    code, text = verify(json.dumps(envelope).encode())
    assert code == 1
    assert "The signature is wrong" in text


def test_a_signer_that_is_no_address_is_misuse(verify: Verify) -> None:
    code, text = verify(RAW, options=("--signer", "nonsense"))
    assert (code, "'nonsense' is not the address of a hotkey" in text) == (2, True)


def test_another_signer_than_expected_is_a_difference(verify: Verify) -> None:
    code, text = verify(RAW, options=("--signer", OTHER.address))
    assert code == 1
    assert f"{EXECUTOR.address} signed the results, and not {OTHER.address}" in text


def test_results_that_do_not_follow_the_organisers_file_differ(verify: Verify, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    published = files("soundsright").joinpath("rulesets/published.toml").read_text()
    rules.write_text(published)
    assert verify(RAW, options=("--ruleset", str(rules)))[0] == 0
    rules.write_text(published + "\n[executor]\ntime_weight = 0.2\n")
    code, text = verify(RAW, options=("--ruleset", str(rules)))
    assert code == 1, text
    assert "other rules than [executor]" in text


def test_two_executors_that_agree_are_compared_by_the_reference(verify: Verify) -> None:
    slower = signed_round(QUALITIES, OTHER, speed=0.5, reference_s=1.0)[1]
    code, text = verify(RAW, slower)
    assert code == 0, text
    assert f"{EXECUTOR.address}: a run takes 6.000 s and 12.000 s; in units of the reference" in text
    assert "the second takes 1.000 times the first" in text


def test_two_executors_with_other_qualities_differ(verify: Verify) -> None:
    better = signed_round({**QUALITIES, submission(OTHER, 2, 6): 0.65}, OTHER)[1]
    code, text = verify(RAW, better)
    assert code == 1
    assert f"{OTHER.address}: quality is 0.60" in text
    assert "cannot be compared" in text, "the second has no time of the reference"
    assert text.splitlines()[-1] == "1 difference"


def test_results_are_read_from_an_executors_address(verify: Verify) -> None:
    sock = listening("127.0.0.1", 0, host_variable="H", port_variable="P")
    service = HttpService(app_of(MemoryExecutor(envelopes={ROUND: RAW})), sock, name="executor").start()
    url = f"http://127.0.0.1:{service.port}"
    try:
        assert verify(f"{url}/results/{ROUND}")[0] == 0
        missing = verify(f"{url}/results/images-1")
        elsewhere = verify(f"{url}/metrics")
    finally:
        service.close()
    assert missing[0] == elsewhere[0] == 2
    assert "answered 404" in missing[1]
    assert verify(f"{url}/results/{ROUND}")[0] == 2, "who does not answer does not differ"


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b'{"schema": NaN}'])
def test_a_file_without_results_is_wrong_use(verify: Verify, raw: bytes) -> None:
    code, text = verify(raw)
    assert (code, "Traceback" in text) == (2, False)


def test_results_of_different_rounds_are_wrong_use(verify: Verify) -> None:
    other = changed(lambda d: d["challenge"].update(seed_block=360))
    code, text = verify(RAW, other)
    assert code == 2
    assert "different rounds" in text


def test_a_file_that_is_missing_is_wrong_use(verify: Verify, tmp_path: Path) -> None:
    assert verify(str(tmp_path / "none.json"))[0] == 2
    assert verify()[0] == 2
