"""A real round is computed again from its bundle at each depth, and a planted lie is found and named."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import soundfile

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.audio import Samples
from soundsright.core.errors import BundleRefused, ModelCrashed, ModelFault, ModelTimeout, UsageError
from soundsright.services.records import (
    RoundBundle,
    ScoreLine,
    check_bundle,
    open_bundle,
    open_document,
    sign_document,
)
from soundsright.services.replay import (
    REPLAY,
    CheckedScore,
    ScoredPair,
    attestation_facts,
    decided_again,
    line_of,
    pairs_of,
    read_checked,
    run_again,
    sampled,
    scored_again,
    start_file,
)
from soundsright.testing import InlinePool
from tests.services.replay.bundled import CLIPS, MODELS, Bundled, Model, soft
from tests.services.rounds.subnet import COMPETITION

BLOCK = "0x" + "5d" * 32
LIAR = "bob"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Bundled:
    return Bundled(tmp_path_factory.mktemp("world") / "round")


@pytest.fixture(scope="module")
def honest(world: Bundled) -> Path:
    return world.bundle("honest")


@pytest.fixture
def bundle(honest: Path) -> Iterator[RoundBundle]:
    with open_bundle(honest) as opened:
        check_bundle(opened)
        yield opened


def with_one_score(line: ScoreLine) -> ScoreLine:
    """One score of one entry, changed by one step of the rounding."""
    if line.entry != LIAR or line.id != "000000" or line.scores is None:
        return line
    scores = {**line.scores, "ESTOI": round(line.scores["ESTOI"] + 1e-6, 6)}
    return line.model_copy(update={"scores": scores})


def failed(pair: ScoredPair, code: str) -> ScoredPair:
    """The pair as if the model had not answered the clip."""
    failure = {"code": code, "detail": "as the signer says"}
    line = ScoreLine.model_validate({**pair.line.model_dump(), "scores": None, "failure": failure})
    return replace(pair, line=line, answer=None)


def raising(fault: ModelFault) -> Model:
    """A model that fails at every clip."""

    def enhance(_samples: Samples) -> Samples:
        raise fault

    return enhance


def test_an_honest_round_is_the_same_at_every_depth(world: Bundled, bundle: RoundBundle, tmp_path: Path) -> None:
    decided = decided_again(bundle)
    assert (decided.difference, decided.unchecked) == (None, ())
    pairs = pairs_of(bundle)
    scored = scored_again(bundle, pairs, InlinePool())
    assert (scored.difference, scored.unchecked) == (None, ())
    assert scored.checked == {"scores computed again": (len(MODELS) + 1) * CLIPS}
    ran = run_again(bundle, pairs, world.ports(tmp_path))
    assert (ran.difference, ran.unchecked, ran.remarks) == (None, (), ())
    assert set(ran.checked.values()) == {len(MODELS) * CLIPS}


def test_one_changed_score_is_found_by_deciding_and_named_by_scoring(world: Bundled) -> None:
    with open_bundle(world.bundle("score", scores=with_one_score)) as bundle:
        decided = decided_again(bundle).difference
        assert decided is not None
        assert decided.competition == COMPETITION.id
        scored = scored_again(bundle, pairs_of(bundle), InlinePool()).difference
    assert scored is not None
    assert (scored.competition, scored.step, scored.field) == (
        COMPETITION.id,
        "scores",
        f"{LIAR}, clip 000000, ESTOI",
    )
    assert scored.recorded == pytest.approx(scored.replayed + 1e-6, abs=1e-9)


@pytest.mark.parametrize("kind", ["decide", "weights"])
def test_one_changed_decision_or_weight_is_found_and_named(world: Bundled, kind: str) -> None:
    def lie(name: str, facts: Any) -> Any:
        if name.split(":")[0] != kind:
            return facts
        field = "shares" if kind == "decide" else "by_uid"
        values = dict(facts[field])
        first = max(values, key=lambda each: values[each])
        return {**facts, field: {**values, first: values[first] + 0.25}}

    with open_bundle(world.bundle(kind, steps=lie)) as bundle:
        difference = decided_again(bundle).difference
    assert difference is not None
    assert difference.step == kind
    assert difference.recorded == pytest.approx(difference.replayed + 0.25)


def test_audio_that_the_bundle_lacks_is_never_counted_as_checked(world: Bundled) -> None:
    with open_bundle(world.bundle("silent", audio=False)) as bundle:
        pairs = pairs_of(bundle)
        report = scored_again(bundle, pairs, InlinePool())
    assert report.checked == {"scores computed again": 0}
    assert [(each.part, each.why) for each in report.unchecked] == [
        (f"{COMPETITION.id}: score ({len(pairs)})", "The bundle has no audio of it.")
    ]


def test_a_result_that_one_machine_could_not_score_accuses_nobody(bundle: RoundBundle) -> None:
    pairs = [replace(failed(p, "unscorable"), answer=p.answer) for p in pairs_of(bundle) if p.line.entry == LIAR]
    report = scored_again(bundle, pairs, InlinePool())
    assert (report.difference, report.checked) == (None, {"scores computed again": 0})
    assert "time or memory" in report.unchecked[0].why


class TestSample:
    def test_a_block_draws_the_same_results_everywhere_and_another_block_others(self, bundle: RoundBundle) -> None:
        pairs, digest = pairs_of(bundle), bundle.opened.sha256
        drawn = sampled(pairs, 4, BLOCK, digest)
        assert [each.key for each in drawn] == [each.key for each in sampled(pairs[::-1], 4, BLOCK[2:], digest)]
        others = {tuple(e.key for e in sampled(pairs, 4, f"{n:064x}", digest)) for n in range(8)}
        assert len(others) > 1
        assert sampled(pairs, 10_000, BLOCK, digest) == sampled(pairs, len(pairs), BLOCK, digest)

    def test_another_document_draws_others_so_that_its_signer_cannot_choose(self, bundle: RoundBundle) -> None:
        pairs = pairs_of(bundle)
        drawn = {tuple(e.key for e in sampled(pairs, 4, BLOCK, f"{n:064x}")) for n in range(8)}
        assert len(drawn) > 1

    @pytest.mark.parametrize(("count", "block"), [(3, "0x12"), (3, "zz" * 32), (0, BLOCK)])
    def test_a_wrong_block_or_number_is_refused(self, bundle: RoundBundle, count: int, block: str) -> None:
        with pytest.raises(UsageError, match=r"--block-hash|--sample"):
            sampled(pairs_of(bundle), count, block, bundle.opened.sha256)


def test_a_stopped_replay_continues_with_what_it_kept(bundle: RoundBundle, tmp_path: Path) -> None:
    pairs, path = pairs_of(bundle), tmp_path / "checked.jsonl"
    with path.open("w") as file:
        start_file(file, bundle.opened.sha256, ())
        scored_again(bundle, pairs[:3], InlinePool(), keep=lambda checked: file.writelines([line_of(checked)]))
        file.write('{"clip":"00')
    earlier = read_checked(path, bundle.opened.sha256)
    assert len(earlier) == 3
    kept: list[CheckedScore] = []
    report = scored_again(bundle, pairs, InlinePool(), earlier=earlier, keep=kept.append)
    assert (report.difference, len(kept)) == (None, len(pairs) - 3)
    with pytest.raises(UsageError, match="not of a replay of this bundle"):
        read_checked(path, "0" * 64)


class TestRun:
    def other_processor(self, model: Model) -> Model:
        """The same model on a machine whose last bit differs in places."""

        def enhance(samples: Samples) -> Samples:
            answer = model(samples).copy()
            answer[::997] += np.float32(1 / 32768)
            return answer

        return enhance

    def test_answers_that_differ_in_bits_are_compared_by_their_errors(
        self, world: Bundled, bundle: RoundBundle, tmp_path: Path
    ) -> None:
        models = {"content-bob": self.other_processor(MODELS["content-bob"])}
        report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, models=models))
        assert report.difference is None
        assert report.checked["of them equal by their digest"] == (len(MODELS) - 1) * CLIPS
        (remark,) = report.remarks
        assert "bob differ in bits and agree to" in remark
        assert "at least 8 dB" in remark

    def test_answers_of_another_model_are_found(self, world: Bundled, bundle: RoundBundle, tmp_path: Path) -> None:
        def other(samples: Samples) -> Samples:
            noise = np.random.default_rng(1).standard_normal(len(samples))
            return (soft(0.03)(samples) + 0.02 * noise).astype(np.float32)

        report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, models={"content-bob": other}))
        assert report.difference is not None
        assert report.difference.field.startswith("bob, clip 00000")
        assert report.difference.recorded == "at least 8 dB of agreement"

    def test_one_falsified_answer_among_honest_ones_is_found_and_named(
        self, world: Bundled, bundle: RoundBundle, tmp_path: Path
    ) -> None:
        here = iter([self.other_processor(MODELS["content-bob"]), soft(0.3)] * CLIPS)
        models: dict[str, Model] = {"content-bob": lambda samples: next(here)(samples)}
        difference = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, models=models)).difference
        assert difference is not None
        assert (difference.field, difference.recorded) == ("bob, clip 000001", "at least 8 dB of agreement")

    def test_silence_in_place_of_an_answer_is_a_difference(
        self, world: Bundled, bundle: RoundBundle, tmp_path: Path
    ) -> None:
        ports = world.ports(tmp_path, models={"content-bob": np.zeros_like})
        difference = run_again(bundle, pairs_of(bundle), ports).difference
        assert difference is not None
        assert (difference.step, difference.field) == ("answers", "bob, clip 000000")

    def test_answers_of_other_bits_without_audio_are_not_counted_as_checked(
        self, world: Bundled, tmp_path: Path
    ) -> None:
        models = {"content-bob": self.other_processor(MODELS["content-bob"])}
        with open_bundle(world.bundle("silent", audio=False)) as bundle:
            report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, models=models))
        assert (report.difference, len(report.unchecked)) == (None, 1)
        assert report.unchecked[0].part == f"{COMPETITION.id}: answers of bob ({CLIPS})"
        assert set(report.checked.values()) == {(len(MODELS) - 1) * CLIPS}

    @pytest.mark.parametrize("fault", [ModelTimeout("enhance", 30.0), ModelCrashed.over_memory(8 * 10**9)])
    def test_a_limit_that_this_machine_reaches_accuses_nobody(
        self, world: Bundled, bundle: RoundBundle, tmp_path: Path, fault: ModelFault
    ) -> None:
        report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, models={"content-bob": raising(fault)}))
        assert (report.difference, len(report.unchecked)) == (None, 1)
        assert report.unchecked[0].part == f"{COMPETITION.id}: answers of bob ({CLIPS})"
        assert "limit" in report.unchecked[0].why
        assert set(report.checked.values()) == {(len(MODELS) - 1) * CLIPS}

    @pytest.mark.parametrize(("code", "differs"), [("timeout", False), ("length", True)])
    def test_a_recorded_failure_of_a_limit_accuses_nobody_and_another_one_does(
        self, world: Bundled, bundle: RoundBundle, tmp_path: Path, code: str, differs: bool
    ) -> None:
        pairs = [failed(pair, code) if pair.line.entry == "bob" else pair for pair in pairs_of(bundle)]
        report = run_again(bundle, pairs, world.ports(tmp_path))
        assert (report.difference is not None, bool(report.unchecked)) == (differs, not differs)

    def test_a_model_that_crashes_where_it_answered_is_a_difference(
        self, world: Bundled, bundle: RoundBundle, tmp_path: Path
    ) -> None:
        ports = world.ports(tmp_path, models={"content-bob": raising(ModelCrashed("ended", 1))})
        difference = run_again(bundle, pairs_of(bundle), ports).difference
        assert difference is not None
        assert (difference.field, difference.replayed) == ("bob, clip 000000", "the failure crashed")

    def test_a_model_is_started_again_after_a_failed_batch_as_in_the_round(
        self, world: Bundled, bundle: RoundBundle, tmp_path: Path
    ) -> None:
        # Each clip is a batch here. The model fails at the first one.
        here = iter([raising(ModelTimeout("enhance", 30.0)), *[MODELS["content-bob"]] * CLIPS])
        models: dict[str, Model] = {"content-bob": lambda samples: next(here)(samples)}
        report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, models=models))
        assert (report.difference, report.unchecked[0].part) == (None, f"{COMPETITION.id}: answers of bob")
        assert set(report.checked.values()) == {len(MODELS) * CLIPS - 1}

    def test_a_sampled_failure_is_replayed_with_the_batch_that_failed(
        self, world: Bundled, bundle: RoundBundle, tmp_path: Path
    ) -> None:
        # Both clips are one batch, and the first one ends the model. The sample has the second one.
        sample = [failed(p, "crashed") for p in pairs_of(bundle) if (p.line.entry, p.line.id) == ("bob", "000001")]
        first = next(pair for pair in pairs_of(bundle) if pair.line.id == "000000")
        fatal, _ = soundfile.read(io.BytesIO(bundle.wav(first.degraded)), dtype="float32")

        def fragile(samples: Samples) -> Samples:
            if np.array_equal(samples, fatal):
                raise ModelCrashed("ended", 1)
            return MODELS["content-bob"](samples)

        plan = {**bundle.plan, "plan": {**bundle.plan["plan"], "batch_audio_s": 24.0}}
        one_batch = cast(RoundBundle, Tampered(bundle, plan, bundle.steps()))
        report = run_again(one_batch, sample, world.ports(tmp_path, models={"content-bob": fragile}))
        assert (report.difference, report.checked["of them equal by their digest"]) == (None, 1)

    def test_a_model_that_does_not_repeat_itself_is_named(
        self, world: Bundled, bundle: RoundBundle, tmp_path: Path
    ) -> None:
        calls = iter(range(1_000))

        def unsteady(samples: Samples) -> Samples:
            answer = MODELS["content-bob"](samples)
            answer[next(calls) :: 997] += np.float32(1 / 32768)
            return answer

        report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, models={"content-bob": unsteady}))
        assert report.difference is None
        assert f"bob does not repeat itself on {CLIPS} of {CLIPS} clips." in report.remarks[0]

    def test_a_model_that_disagrees_with_itself_accuses_nobody_and_is_not_checked(
        self, world: Bundled, bundle: RoundBundle, tmp_path: Path
    ) -> None:
        rng = np.random.default_rng(7)

        def erratic(samples: Samples) -> Samples:
            return (soft(0.03)(samples) + 0.02 * rng.standard_normal(len(samples))).astype(np.float32)

        report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, models={"content-bob": erratic}))
        assert (report.difference, len(report.unchecked)) == (None, 1)
        assert "does not agree with itself" in report.unchecked[0].why
        assert set(report.checked.values()) == {(len(MODELS) - 1) * CLIPS}

    def test_other_content_on_the_hub_is_found(self, world: Bundled, bundle: RoundBundle, tmp_path: Path) -> None:
        from soundsright.testing import FakeHub

        hub = FakeHub(tmp_path)
        hub.repositories = {
            model: replace(each, content_hash="changed") if "bob" in each.content_hash else each
            for model, each in world.subnet.hub.repositories.items()
        }
        report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, hub=hub))
        assert report.difference is not None
        assert (report.difference.step, report.difference.field) == ("content", "bob")
        assert (report.difference.recorded, report.difference.replayed) == ("content-bob", "changed")

    def test_a_model_that_the_hub_has_lost_is_listed_as_unchecked(
        self, world: Bundled, bundle: RoundBundle, tmp_path: Path
    ) -> None:
        from soundsright.testing import FakeHub

        report = run_again(bundle, pairs_of(bundle), world.ports(tmp_path, hub=FakeHub(tmp_path)))
        assert (report.difference, report.checked["answers given again"]) == (None, 0)
        assert [each.part for each in report.unchecked] == [
            f"{COMPETITION.id}: answers of {name}" for name in ("alice", "bob", "carol")
        ]


def test_an_attestation_is_signed_and_says_what_was_found(world: Bundled) -> None:
    account = Hotkey.of_seed("erin")
    with open_bundle(world.bundle("score", scores=with_one_score)) as bundle:
        report = scored_again(bundle, pairs_of(bundle), InlinePool())
        raw = sign_document(REPLAY, attestation_facts(bundle.opened, report), account).encode()
    opened = open_document(REPLAY, raw, valid_signature=valid_signature)
    assert opened.signer == account.address
    assert (opened.facts["depth"], opened.facts["same"]) == ("score", False)
    assert opened.facts["bundle"] == bundle.opened.sha256
    assert opened.facts["difference"]["field"] == f"{LIAR}, clip 000000, ESTOI"


class Tampered:
    """A bundle in which a test changed one value of the plan or of a step."""

    def __init__(self, bundle: RoundBundle, plan: Any, steps: Any) -> None:
        self._bundle = bundle
        self.plan = plan
        self._steps = steps

    def steps(self) -> Any:
        return self._steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bundle, name)


def test_no_value_of_the_plan_or_a_step_makes_a_replay_fail_with_another_error(bundle: RoundBundle) -> None:
    honest = {"plan": dict(bundle.plan), "steps": bundle.steps()}
    rng = random.Random(19)
    found = 0
    for _ in range(400):
        document = json.loads(json.dumps(honest))
        _change_one_value(document, rng)
        try:
            report = decided_again(cast(RoundBundle, Tampered(bundle, document["plan"], document["steps"])))
            found += not report.is_same
        except (BundleRefused, UsageError):
            found += 1
    # The rest are values that decide nothing, such as those of entries that lost.
    assert found > 100


def _change_one_value(document: Any, rng: random.Random) -> None:
    """Change one value anywhere below `plan` and `steps`."""
    at: Any = document
    key: Any = rng.choice(["plan", "steps"])
    while isinstance(at[key], dict | list) and at[key] and rng.random() < 0.9:
        at = at[key]
        key = rng.choice(list(at)) if isinstance(at, dict) else rng.randrange(len(at))
    at[key] = rng.choice([None, "x", -1, 2**70, 1e300, True, [], {}, [[]], {"x": 1}, 0])
