"""Other instructions give the recorded sets, scores and decisions; `make cross` runs every variant on all clips."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.cross import GOLDEN, PARTS, ROOT, Digests, differences, digests_under, variants

VARIANTS = {variant.name: variant for variant in variants()}


@pytest.fixture(scope="module")
def recorded() -> Digests:
    return dict(json.loads(GOLDEN.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", ["default", "threads", "numpy-avx2", "plain"])
def test_other_instructions_give_the_recorded_bytes_and_scores(name: str, recorded: Digests) -> None:
    if name not in VARIANTS:
        pytest.skip(f"this processor or system cannot run the variant {name}")
    found = differences(digests_under(VARIANTS[name], small=True), recorded)
    assert {part: each.names for part, each in found.items()} == dict.fromkeys(PARTS, ())
    assert all(each.compared for each in found.values())


def test_a_difference_is_counted_and_named() -> None:
    recorded = {"scores": {"a": {"STOI": 0.5}, "b": {"STOI": 0.25}}}
    found = {"scores": {"a": {"STOI": 0.5}, "b": {"STOI": 0.250001}, "c": {"STOI": 1.0}}}
    difference = differences(found, recorded, ["scores"])["scores"]
    assert (difference.names, str(difference)) == (("b", "c"), "2 of 3")


def test_an_unknown_variant_is_a_misuse() -> None:
    done = subprocess.run(
        [sys.executable, str(Path(ROOT, "scripts", "cross.py")), "vax"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "this machine has no variant 'vax'; choose from default" in done.stderr) == (2, True)
