"""Rounds on a private corpus, on public recordings, and who is paid in them."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.corpus_commitment import CorpusCommitment
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.core.material import Material
from soundsright.corpus import PrivateCorpus, add_to_corpus
from soundsright.data import read_set, recordings_of, verified
from soundsright.services.rounds import commitment_to, opened, steps
from soundsright.services.rounds.hiding import PRIVATE_FOLDER, recipe_sha256
from soundsright.services.rounds.scoring import score_files
from soundsright.testing import InlinePool
from soundsright.testing.simulation.world import score_fake_clip
from tests.services.private_corpus import private_material, recordings
from tests.services.rounds.subnet import CLIPS, COMPETITION, ROUND_ID, VALIDATOR, Subnet


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return replace(private_material(tmp_path_factory.mktemp("home")), round_number=1)


def private_subnet(folder: Path, material: Material, *, committed: CorpusCommitment | None) -> Subnet:
    """The small subnet, whose validator draws real clips, and committed to a corpus before entries closed."""
    subnet = Subnet(folder)
    if committed is not None:
        close = subnet.chain.publish(VALIDATOR, committed.text).block
        assert close is not None
        subnet.round = replace(subnet.round, entries_close_block=close, seed_block=subnet.chain.advance(5).number)
        subnet.chain.advance(5)
    subnet.pool = InlinePool({score_files: score_fake_clip})  # type: ignore[assignment]
    return subnet


def options(material: Material, subnet: Subnet, **more: Any) -> dict[str, Any]:
    measures = replace(subnet.plan().measures, material=material)
    return {"measures": measures, "pay_on_public_corpus": False, **more}


def test_a_round_on_public_recordings_names_winners_and_burns_everything(tmp_path: Path) -> None:
    subnet = Subnet(tmp_path)
    outcome = subnet.run(pay_on_public_corpus=False)
    assert outcome.corpus is not None
    assert outcome.corpus.public == outcome.corpus.unpaid == (COMPETITION.id,)
    assert outcome.corpus.reason == "public_corpus"
    assert any(decision.winner for decision in outcome.leaderboards[0].decisions)
    assert dict(outcome.weights.by_uid) == {0: 1.0}


def test_without_a_burn_uid_an_unpaid_round_sets_no_weights(tmp_path: Path) -> None:
    assert not Subnet(tmp_path).run(pay_on_public_corpus=False, burn_uid=None).weights.by_uid


def test_a_private_corpus_that_was_committed_pays(tmp_path: Path, material: Material) -> None:
    subnet = private_subnet(tmp_path, material, committed=commitment_to(material, CLIPS))
    outcome = subnet.run(**options(material, subnet))
    assert outcome.corpus is not None
    assert outcome.corpus == steps.CorpusStep(
        opened(material).digest, committed_block=subnet.round.entries_close_block
    )
    assert len(outcome.weights.by_uid) > 1
    # The validator's commitment is neither an entry nor a refusal.
    assert VALIDATOR not in {refusal.hotkey for refusal in outcome.refusals}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (None, "root_not_committed"),
        ({"root": "ab" * 32}, "root_not_committed"),
        ({"parameters": "0" * 16}, "parameters_not_committed"),
    ],
)
def test_a_corpus_that_was_not_committed_before_the_close_pays_nobody(
    tmp_path: Path, material: Material, change: dict[str, str] | None, reason: str
) -> None:
    committed = None if change is None else replace(commitment_to(material, CLIPS), **change)
    subnet = private_subnet(tmp_path, material, committed=committed)
    # It is too late once entries have closed.
    subnet.chain.publish(VALIDATOR, commitment_to(material, CLIPS).text)
    outcome = subnet.run(**options(material, subnet))
    assert outcome.corpus is not None
    assert (outcome.corpus.unpaid, outcome.corpus.reason) == ((COMPETITION.id,), reason)
    assert dict(outcome.weights.by_uid) == {0: 1.0}


def test_audio_and_recipes_of_private_clips_lie_in_a_folder_for_the_owner_only(
    tmp_path: Path, material: Material
) -> None:
    subnet = private_subnet(tmp_path, material, committed=None)
    outcome = subnet.run(**options(material, subnet))
    folder = subnet.folder / "run"
    private = folder / PRIVATE_FOLDER
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    files = [path for path in private.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".wav", ".jsonl"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    outside = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file() and private not in p.parents]
    assert outside == [Path("sets", COMPETITION.id, "manifest.jsonl")]
    clips = outcome.sets[COMPETITION.id]
    assert set(clips.hidden) == set(clips.clip_ids)
    lines = [json.loads(line) for line in (folder / outside[0]).read_text().splitlines()]
    for line in lines:
        hidden = clips.hidden[line["id"]]
        assert line == {
            "id": line["id"],
            "digest": clips.digests[line["id"]],
            "degraded_sha256": hidden.degraded_sha256,
            "recipe_sha256": recipe_sha256(clips.recipes[line["id"]], hidden.salt),
        }
        assert set(hidden.private_ids) <= set(recordings_of(clips.recipes[line["id"]]))
    for read in (lambda folder: next(read_set(folder)), verified):
        with pytest.raises(UsageError, match="line 1: the recordings of the clip are still private"):
            read(folder / outside[0].parent)


def test_a_round_that_was_stopped_goes_on_with_its_recordings_only(tmp_path: Path, material: Material) -> None:
    committed = commitment_to(material, CLIPS)
    whole = private_subnet(tmp_path / "whole", material, committed=committed)
    expected = whole.run(**options(material, whole))
    subnet = private_subnet(tmp_path / "stopped", material, committed=committed)
    subnet.sandbox.stuck = {"content-bob"}
    service = subnet.service(**options(material, subnet, retry_pauses_s=()))
    service.run()
    with pytest.raises(UsageError, match="corpus round 1, now 2"):
        subnet.run(**options(replace(material, round_number=2), subnet))
    with pytest.raises(UsageError, match="corpus"):
        subnet.run(**options(Material(), subnet))
    assert (
        expected.sets[COMPETITION.id].digest == subnet.run(**options(material, subnet)).sets[COMPETITION.id].digest
    )


def test_a_corpus_may_grow_after_the_close_and_while_a_round_is_stopped(tmp_path: Path) -> None:
    material = replace(private_material(tmp_path), round_number=1)
    committed = commitment_to(material, CLIPS)
    whole = private_subnet(tmp_path / "whole", material, committed=committed)
    expected = whole.run(**options(material, whole))
    subnet = private_subnet(tmp_path / "stopped", material, committed=committed)
    subnet.sandbox.stuck = {"content-alice", "content-bob", "content-carol"}
    with pytest.raises(InfrastructureFault):
        subnet.run(**options(material, subnet, retry_pauses_s=()))
    subnet.sandbox.stuck.clear()
    late = private_subnet(tmp_path / "late", material, committed=committed)

    corpus = PrivateCorpus.open(Path(str(material.corpus)), Path(str(material.key_file)))
    grown = add_to_corpus(corpus, recordings(4, first=100)).corpus
    assert commitment_to(material, CLIPS).root == grown.root != committed.root
    for outcome in (subnet.run(**options(material, subnet)), late.run(**options(material, late))):
        assert outcome.corpus == expected.corpus
        assert outcome.sets[COMPETITION.id].digest == expected.sets[COMPETITION.id].digest
        assert dict(outcome.weights.by_uid) == dict(expected.weights.by_uid)

    # A round that needs the new recordings needs the new root.
    new = replace(material, round_number=grown.last_round)
    subnet = private_subnet(tmp_path / "new", new, committed=committed)
    outcome = subnet.run(**options(new, subnet))
    assert outcome.corpus is not None
    assert outcome.corpus.reason == "root_not_committed"


def test_two_validators_with_the_same_corpus_and_key_draw_and_hide_the_same(
    tmp_path: Path, material: Material
) -> None:
    outcomes = []
    for name in ("first", "second"):
        subnet = private_subnet(tmp_path / name, material, committed=commitment_to(material, CLIPS))
        outcomes.append(subnet.run(**options(material, subnet)))
    first, second = outcomes
    assert dict(first.weights.by_uid) == dict(second.weights.by_uid)
    assert first.sets[COMPETITION.id].hidden == second.sets[COMPETITION.id].hidden


def test_other_rounds_of_a_corpus_use_other_recordings(material: Material) -> None:
    first, later = (opened(replace(material, round_number=number)) for number in (0, 3))
    assert first.digest == later.digest
    assert first.private_ids.isdisjoint(later.private_ids)


def test_a_round_that_an_earlier_version_began_pays_as_it_did(tmp_path: Path) -> None:
    subnet = Subnet(tmp_path)
    expected = dict(Subnet(tmp_path / "new").run().weights.by_uid)
    subnet.state.begin_round(ROUND_ID, {"clips": CLIPS})
    entries = Subnet(tmp_path / "old")
    entries.run()
    facts = entries.state.step_done(ROUND_ID, "entries")
    assert facts is not None
    subnet.state.finish_step(ROUND_ID, "entries", facts)
    outcome = subnet.run(pay_on_public_corpus=False)
    assert dict(outcome.weights.by_uid) == expected
    assert outcome.corpus is not None
    assert outcome.corpus.unpaid == ()
