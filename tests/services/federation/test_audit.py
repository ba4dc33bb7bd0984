"""An audit of a task: an honest verdict comes out the same, and a false one differs at a named place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.errors import BucketUnavailable
from soundsright.core.federation import Verdict
from soundsright.services.federation.audit import audited
from soundsright.services.federation.audit_rows import AuditPorts
from soundsright.services.replay import ANSWERS, SCORES, ReplayReport
from soundsright.testing import Behaviour, FakeSandbox
from tests.services.federation.samplers import Federation, fake_pool, metadata_of

OTHER = "cd" * 32


@dataclass
class Published:
    """A task that `v0` published, and the means to audit it."""

    federation: Federation
    folder: Path

    @property
    def bucket(self) -> Path:
        return self.federation.folder / "buckets" / "v0"

    def audit(self, change: Callable[[Verdict], Verdict] = lambda v: v, **ports: Any) -> ReplayReport:
        world = self.federation
        verdict = change(world.buckets.verdict(3, "v0").verdict)
        own = AuditPorts(world.buckets.of("v0"), fake_pool(), self.folder)
        return audited(verdict, world.settings(), world.chain.block_hash(60), replace(own, **ports))

    def running(self) -> dict[str, Any]:
        """The ports with which models are run again."""
        return {"hub": self.federation.hub, "sandbox": FakeSandbox(self.federation.hub.behaviour)}

    def answer_file(self, hotkey: str, number: int) -> Path:
        return next((self.bucket / "3" / "generated" / hotkey).glob(f"{number:03d}.*"))


@pytest.fixture
def published(tmp_path: Path) -> Published:
    federation = Federation(tmp_path / "federation")
    federation.reach(61)
    federation.validator("v0").tick()
    return Published(federation, tmp_path / "audit")


def test_an_honest_verdict_comes_out_the_same(published: Published) -> None:
    report = published.audit()
    assert report.difference is None
    assert report.checked == {SCORES: 8}
    assert report.unchecked == ()


def with_row(verdict: Verdict, **changes: Any) -> Verdict:
    return replace(verdict, rows=(replace(verdict.rows[0], **changes), *verdict.rows[1:]))


def with_better_mean(verdict: Verdict) -> Verdict:
    means = verdict.rows[0].means
    return with_row(verdict, means={**means, "ESTOI": round(means["ESTOI"] + 1e-6, 6)})


def with_worse_input(verdict: Verdict) -> Verdict:
    competition, means = next(iter(verdict.unprocessed.items()))
    worse = {**means, "ESTOI": round(means["ESTOI"] - 0.1, 6)}
    return replace(verdict, unprocessed={**verdict.unprocessed, competition: worse})


@pytest.mark.parametrize(
    ("change", "step", "name"),
    [
        (with_better_mean, "means", "ESTOI of alice"),
        (with_worse_input, "means", "ESTOI of the unprocessed input"),
        (lambda v: with_row(v, passed=False), "rows", "passed of alice"),
        (lambda v: with_row(v, failures=1, passed=False), "rows", "failures of alice"),
        (lambda v: with_row(v, answers=OTHER), "answers", "the listed answers of alice"),
        (lambda v: with_row(v, hotkey="aaron"), "answers", "the listed answers of aaron"),
        (lambda v: replace(v, sets=dict.fromkeys(v.sets, OTHER)), "set", "digest"),
        (lambda v: replace(v, block_hash="0x" + OTHER), "seed", "block_hash"),
        (lambda v: replace(v, rules=OTHER), "rules", "digest"),
    ],
)
def test_a_false_verdict_differs_at_the_place_that_is_false(
    published: Published, change: Callable[[Verdict], Verdict], step: str, name: str
) -> None:
    difference = published.audit(change).difference
    assert difference is not None
    assert (difference.step, difference.field) == (step, name)


def test_other_audio_under_the_key_of_an_answer_is_a_difference(published: Published) -> None:
    first, second = published.answer_file("alice", 0), published.answer_file("bob", 1)
    first.write_bytes(second.read_bytes())
    difference = published.audit().difference
    assert difference is not None
    assert difference.step == "audio"
    assert difference.field.startswith("3/generated/alice/000.")


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b'{"schema":"soundsright.task/1","task":4}', b"\xff", b"[" * 9_999]
)
def test_a_list_of_files_that_is_none_is_a_difference_and_no_crash(published: Published, raw: bytes) -> None:
    (published.bucket / "3" / "metadata.json").write_bytes(raw)
    difference = published.audit().difference
    assert difference is not None
    assert (difference.step, difference.field) == ("files", "metadata.json")


def test_without_the_list_of_files_nothing_is_the_same(published: Published) -> None:
    (published.bucket / "3" / "metadata.json").unlink()
    assert published.audit().difference is not None


def test_audio_that_is_gone_leaves_its_row_unchecked(published: Published) -> None:
    published.answer_file("alice", 2).unlink()
    report = published.audit()
    assert report.difference is None
    assert report.checked == {SCORES: 4}
    assert [each.part for each in report.unchecked] == ["DENOISING_16000HZ: scores of alice"]


def test_a_machine_with_other_recordings_says_so_and_checks_no_score(published: Published) -> None:
    def change(verdict: Verdict) -> Verdict:
        assert verdict.material is not None
        return replace(verdict, material=replace(verdict.material, digest=OTHER))

    report = published.audit(change)
    assert report.difference is None
    assert not report.is_checked
    assert "cdcdcd" in report.unchecked[0].why


def test_a_machine_with_another_voice_checks_no_score(published: Published) -> None:
    def change(verdict: Verdict) -> Verdict:
        assert verdict.material is not None
        return replace(verdict, material=replace(verdict.material, speech={"engine": "another"}))

    report = published.audit(change)
    assert report.difference is None
    assert not report.is_checked
    assert "another program" in report.unchecked[0].why


def test_a_bucket_that_does_not_answer_says_nothing_about_the_verdict(published: Published) -> None:
    class Away:
        def get(self, key: str, max_bytes: int) -> bytes:
            raise BucketUnavailable("The bucket does not answer")

    with pytest.raises(BucketUnavailable):
        published.audit(bucket=Away())


def test_models_that_are_run_again_give_the_published_answers(published: Published) -> None:
    report = published.audit(**published.running())
    assert report.difference is None
    assert report.checked == {SCORES: 8, ANSWERS: 8, "of them equal by their digest": 8}


def test_answers_of_another_model_than_the_named_one_are_a_difference(published: Published) -> None:
    hub = published.federation.hub
    for model, repository in hub.repositories.items():
        hub.repositories[model] = replace(repository, behaviour=Behaviour(0.1))
    difference = published.audit(**published.running()).difference
    assert difference is not None
    assert difference.step == "answers"
    assert difference.field == "alice, clip clip-0000"


def test_a_model_that_the_hub_no_longer_has_stays_unchecked(published: Published) -> None:
    published.federation.hub.repositories.clear()
    report = published.audit(**published.running())
    assert report.difference is None
    assert report.checked[ANSWERS] == 0
    assert report.checked[SCORES] == 8


def test_the_list_names_the_refused_miners_and_the_programs(published: Published) -> None:
    facts = metadata_of(published.federation, 3, "v0")
    assert facts["has_audio"] is True
    assert facts["refusals"] == []
    assert "soundsright" in facts["versions"]
