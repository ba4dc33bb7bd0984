"""The sets of a round with new speech are drawn again if this machine has the program that spoke them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.audio import digest_of_digests
from soundsright.core.ports import RoundSpeech
from soundsright.core.schedule import seed_of_round
from soundsright.data import Corpus, draw_clip
from soundsright.services.records import Results, results_of
from soundsright.services.report import SetCheck, check_sets
from soundsright.services.rounds import unfit_of, write_text
from tests.services.rounds.spoken import Spoken
from tests.services.rounds.subnet import CLIPS, COMPETITION, Subnet
from tests.services.rounds.test_clipset import corpus_of


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("made") / "corpus"
    corpus_of(folder, {"ada": 6.0, "ben": 6.0})
    return Corpus.open(folder)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return results_of(Subnet(tmp_path_factory.mktemp("subnet")).run())


def checked(
    run: Path, results: Results, corpus: Corpus, speech: RoundSpeech | None, *, falsified: bool = False
) -> SetCheck:
    """The check of a run whose clips were spoken, on a machine that has that speech."""
    spoken = Spoken([])
    doc = results.competitions[0]
    seed = seed_of_round(results.round.seed_block_hash, COMPETITION.id)
    utterances = spoken.of_set(seed, CLIPS, run)
    clips = [
        draw_clip(
            COMPETITION, seed, index,
            corpus=corpus, speech=utterances, noise="recordings", unfit=unfit_of(1, tuple(doc.metric_weights)),
        )
        for index in range(CLIPS)
    ]  # fmt: skip
    digests = {clip.id: clip.digest for clip in clips}
    if falsified:
        digests[clips[0].id] = "0" * 64
    document: dict[str, Any] = dict(results.as_json())
    document["round"]["corpus"] = {"digest": corpus.digest, "round": 1}
    document["competitions"][0] |= {
        "speech": dict(spoken.facts),
        "noise": "recordings",
        "set_digest": digest_of_digests({clip.id: clip.digest for clip in clips}),
    }
    manifest = run / "sets" / COMPETITION.id / "manifest.jsonl"
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text("".join(json.dumps({"id": i, "digest": d}) + "\n" for i, d in digests.items()))
    write_text(run / "results.json", json.dumps(document))

    def speech_of(facts: Mapping[str, str]) -> RoundSpeech | None:
        assert facts == spoken.facts
        return speech

    (check,) = check_sets(run, lambda _round, _root: corpus, [COMPETITION], speech_of=speech_of)
    return check


def test_a_set_with_new_speech_is_spoken_and_drawn_again(tmp_path: Path, results: Results, corpus: Corpus) -> None:
    heard: list[str] = []
    assert checked(tmp_path, results, corpus, Spoken(heard)) == SetCheck(COMPETITION.id, CLIPS, ())
    assert len(heard) >= CLIPS


def test_a_clip_with_other_audio_is_found(tmp_path: Path, results: Results, corpus: Corpus) -> None:
    check = checked(tmp_path, results, corpus, Spoken([]), falsified=True)
    assert check.problems == ("clip 000000: its audio is not that of its seed and recordings",)


@pytest.mark.parametrize(
    ("speech", "reason"),
    [
        (None, "engine spoken, model 1.0, which is not installed here"),
        (Spoken([], model="2.0"), "engine spoken, model 1.0, and here is another version or other voices"),
    ],
)
def test_speech_that_cannot_be_spoken_here_is_not_called_wrong(
    tmp_path: Path, results: Results, corpus: Corpus, speech: RoundSpeech | None, reason: str
) -> None:
    check = checked(tmp_path, results, corpus, speech)
    assert check.problems == ()
    assert check.unchecked == f"its speech was spoken for the round by {reason}"


def test_the_stated_digest_is_checked_without_the_speech(tmp_path: Path, results: Results, corpus: Corpus) -> None:
    (problem,) = checked(tmp_path, results, corpus, None, falsified=True).problems
    assert "the set has the digest" in problem
