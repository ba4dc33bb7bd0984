"""A real round is computed again from its bundle at each depth, and a planted lie is found and named."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from zipfile import ZipFile

import pytest

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.errors import BundleRefused, UsageError
from soundsright.services.records import (
    RoundBundle,
    ScoreLine,
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
from tests.services.replay.bundled import CLIPS, MODELS, Bundled, answers_of
from tests.services.rounds.subnet import COMPETITION

BLOCK = "0x" + "5d" * 32
LIAR = "bob"


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


def test_an_honest_round_is_the_same_at_every_depth(world: Bundled, bundle: RoundBundle, tmp_path: Path) -> None:
    decided = decided_again(bundle)
    assert (decided.difference, decided.unchecked) == (None, ())
    pairs = pairs_of(bundle)
    scored = scored_again(bundle, pairs, InlinePool())
    assert (scored.difference, scored.unchecked) == (None, ())
    assert scored.checked == {"scores computed again": (len(MODELS) + 1) * CLIPS}
    ran = run_again(bundle, pairs, world.ports(tmp_path))
    assert (ran.difference, ran.unchecked, ran.remarks) == (None, (), ())
    assert answers_of(ran) == {len(MODELS) * CLIPS}


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


def test_one_result_without_audio_keeps_the_rest_from_being_called_the_same(
    world: Bundled, bundle: RoundBundle, tmp_path: Path
) -> None:
    pairs = pairs_of(bundle)
    (gone, *_) = [pair.answer for pair in pairs if pair.line.entry == LIAR]
    with open_bundle(without_audio(world.bundle("whole"), tmp_path / "part.zip", str(gone))) as part:
        report = scored_again(part, pairs_of(part), InlinePool())
        assert attestation_facts(part.opened, report)["same"] is None
    assert (report.difference, report.is_checked) == (None, False)
    assert report.checked == {"scores computed again": len(pairs) - 1}


def without_audio(bundle: Path, out: Path, sha256: str) -> Path:
    """The bundle without one signal."""
    with ZipFile(bundle) as whole, ZipFile(out, "w") as part:
        for name in whole.namelist():
            if sha256 not in name:
                part.writestr(name, whole.read(name))
    return out


def test_a_result_that_one_machine_could_not_score_accuses_nobody(bundle: RoundBundle) -> None:
    pairs = [replace(failed(p, "unscorable"), answer=p.answer) for p in pairs_of(bundle) if p.line.entry == LIAR]
    report = scored_again(bundle, pairs, InlinePool())
    assert (report.difference, report.checked) == (None, {"scores computed again": 0})
    assert "time or memory" in report.unchecked[0].why
    assert not report.is_checked


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
