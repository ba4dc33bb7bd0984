"""A round draws a clip again if a metric has no value for its clean speech, unless the round is older."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.audio import Clip, digest_of_digests
from soundsright.core.errors import UsageError
from soundsright.core.schedule import seed_of_round
from soundsright.data import Corpus, draw_clip
from soundsright.services.records import Results, results_of
from soundsright.services.report import SetCheck, check_sets
from soundsright.services.rounds import DrawnClips, SetRequest, plan_facts, unfit_of, write_text
from soundsright.testing.simulation.world import draw_fake_clips
from tests.services.rounds.spoken import Utterances
from tests.services.rounds.subnet import CLIPS, COMPETITION, ROUND_ID, FuturePool, Subnet
from tests.services.rounds.test_clipset import corpus_of


def run_and_drawn_by(subnet: Subnet) -> tuple[int, set[int]]:
    """Run the round. Returns the version that its document states, and those that its sets were drawn by."""
    versions: set[int] = set()

    def draw(request: SetRequest, indices: tuple[int, ...]) -> DrawnClips:
        versions.add(request.values)
        return draw_fake_clips(request, indices)

    subnet.pool = FuturePool(draw)
    return results_of(subnet.run()).competitions[0].values, versions


def test_a_round_draws_by_the_method_that_it_began_with(tmp_path: Path) -> None:
    new, old = Subnet(tmp_path / "new"), Subnet(tmp_path / "old")
    facts = plan_facts(old.plan())
    assert facts.pop("values") == 1
    old.state.begin_round(ROUND_ID, facts)
    assert run_and_drawn_by(new) == (1, {1})
    assert run_and_drawn_by(old) == (0, {0})


def test_a_round_that_a_newer_program_began_does_not_continue(tmp_path: Path) -> None:
    subnet = Subnet(tmp_path)
    subnet.state.begin_round(ROUND_ID, {**plan_facts(subnet.plan()), "values": 2})
    with pytest.raises(UsageError, match="values 2, now 1"):
        subnet.run()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Two voices and a click, which is too short for ESTOI."""
    folder = tmp_path_factory.mktemp("made") / "corpus"
    corpus_of(folder, {"ada": 6.0, "ben": 6.0, "click": 0.3})
    return Corpus.open(folder)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return results_of(Subnet(tmp_path_factory.mktemp("subnet")).run())


def checked(run: Path, results: Results, corpus: Corpus, *, drawn_by: int, stated: int) -> SetCheck:
    """The check of a run whose set was drawn by one version of the method, and whose document states another."""
    doc = results.competitions[0]
    seed = seed_of_round(results.round.seed_block_hash, COMPETITION.id)
    unfit = unfit_of(drawn_by, tuple(doc.metric_weights))
    clips = [
        draw_clip(COMPETITION, seed, index, corpus=corpus, noise="recordings", unfit=unfit)
        for index in range(CLIPS)
    ]
    document: dict[str, Any] = dict(results.as_json())
    document["round"]["corpus"] = {"digest": corpus.digest, "round": 1}
    document["competitions"][0] |= {
        "values": stated,
        "noise": "recordings",
        "set_digest": digest_of_digests({clip.id: clip.digest for clip in clips}),
    }
    manifest = run / "sets" / COMPETITION.id / "manifest.jsonl"
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text("".join(json.dumps({"id": clip.id, "digest": clip.digest}) + "\n" for clip in clips))
    write_text(run / "results.json", json.dumps(document))
    (check,) = check_sets(run, lambda _round, _root: corpus, [COMPETITION])
    return check


@pytest.mark.parametrize("version", [0, 1])
def test_a_set_is_checked_by_the_method_that_its_document_states(
    tmp_path: Path, results: Results, corpus: Corpus, version: int
) -> None:
    assert checked(tmp_path / "right", results, corpus, drawn_by=version, stated=version).problems == ()
    wrong = checked(tmp_path / "wrong", results, corpus, drawn_by=version, stated=1 - version)
    assert "its audio is not that of its seed and recordings" in wrong.problems[0]


def test_a_set_that_was_drawn_by_an_unknown_method_is_not_checked(
    tmp_path: Path, results: Results, corpus: Corpus
) -> None:
    with pytest.raises(UsageError, match=r"version 2 .* Update soundsright"):
        checked(tmp_path, results, corpus, drawn_by=1, stated=2)


def test_a_clip_of_bought_speech_is_drawn_again_from_its_own_utterance(corpus: Corpus) -> None:
    seen: list[Clip] = []

    def unfit(clip: Clip) -> str:
        seen.append(clip)
        return "is one of the first two" if len(seen) <= 2 else ""

    clip = draw_clip(COMPETITION, 5, 1, corpus=corpus, speech=Utterances([], 5, 4), unfit=unfit)
    assert [each.recipe.speech for each in seen] == ["5-1"] * 3
    assert len({each.digest for each in seen}) == 3
    assert clip.digest == seen[2].digest


def test_an_utterance_that_is_never_fit_is_named(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundsright.data.render._TRIES", 2)
    with pytest.raises(UsageError, match=r"Item 1: .* utterance 5-1 .* too short.*other texts"):
        draw_clip(COMPETITION, 5, 1, corpus=corpus, speech=Utterances([], 5, 4), unfit=lambda clip: "too short")
