"""Bots against a listening test: they tell stimuli apart by their files, vote without listening, and take seats.

The bots know which file is which system, because an earlier rater told them. If files repeat between raters, they
vote for one entry and pass every rule.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.services.listening.invitations import (
    MAX_INVITATIONS,
    is_invitation,
    new_invitations,
    read_invitations,
)
from soundsright.services.listening.plan import (
    ANCHOR,
    METHODS,
    REFERENCE,
    ListeningTest,
    trials_for,
    usual_repeats,
    votes_of,
)
from soundsright.services.listening.results import folder_of_test, read_test, save_test
from soundsright.services.listening.room import IDLE_S, ListeningRoom
from soundsright.services.listening.screening import exclusions, listening_result
from soundsright.services.listening.stimuli import wav_bytes
from soundsright.services.records.runs import read_run
from tests.services.listening.test_listening import CLIPS, plan, scores_of
from tests.services.records.runs import RATE_HZ, write_run

FAVOURITE = "2-brook"
Fingerprint = Callable[[bytes], object]


def samples_in(wav: bytes) -> np.ndarray[Any, Any]:
    return np.frombuffer(wav[44:], dtype="<i2").astype(np.float64)


def coarse_samples(wav: bytes) -> object:
    """The samples without their last bits, which noise changes."""
    return (np.round(samples_in(wav) / 16)).astype(int).tobytes()


def coarse_spectrum(wav: bytes) -> object:
    """The levels of 64 bands in steps of a tenth of a dB, from the whole file."""
    power = np.abs(np.fft.rfft(samples_in(wav), n=1 << 15))[1:] ** 2
    bands = power[: len(power) // 64 * 64].reshape(64, -1).mean(axis=1)
    return np.round(100 * np.log10(bands + 1e-9)).astype(int).tobytes()


FINGERPRINTS: dict[str, Fingerprint] = {
    "bytes": lambda wav: hashlib.sha256(wav).hexdigest(),
    "length": len,
    "samples": coarse_samples,
    "spectrum": coarse_spectrum,
}


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Test:
    """A running test whose clock the test sets."""

    __test__ = False

    def __init__(self, folder: Path, method: str, *, seats: int | None = 1_000) -> None:
        competition = read_run(write_run(folder / "first"), "first").competitions[0]
        self.plan = repeating(plan(method))
        self.folder = folder_of_test(folder / "first", "ears")
        save_test(self.folder, self.plan, competition)
        self.clock = Clock()
        self.competition = competition
        self.seats = seats
        self.room = self.restarted()

    def restarted(self) -> ListeningRoom:
        return ListeningRoom(
            self.plan, self.competition, self.folder, seats_per_client=self.seats, monotonic_s=self.clock
        )

    def enter(self, client: str = "a", **body: str) -> dict[str, Any]:
        return self.room.enter(json.dumps(body).encode(), client)

    def load(self, entered: dict[str, Any], number: int) -> list[bytes]:
        """The recordings of a question, the open reference last."""
        shown = entered["trials"][number]
        words = [*shown["stimuli"], *([shown["reference"]] if shown["reference"] else [])]
        sounds = [self.room.sound(entered["rater"], word) for word in words]
        return [sound for sound in sounds if sound is not None]

    def answer(self, entered: dict[str, Any], number: int, scores: list[float]) -> int:
        return self.room.answer(json.dumps({"rater": entered["rater"], "trial": number, "scores": scores}).encode())

    def condition_of(self, entered: dict[str, Any], word: str) -> str:
        """What the organiser knows: the system behind a word."""
        return self.room._sessions[entered["rater"]].stimuli[word].condition


def repeating(test: ListeningTest) -> ListeningTest:
    return replace(test, repeats=usual_repeats(test.method, test.questions))


@pytest.fixture(params=METHODS)
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Test:
    return Test(tmp_path, request.param)


def bot_scores(method: str, recognised: list[str | None], rng: np.random.Generator) -> list[float]:
    """The scores of a bot: the known extremes where the rules look, and the favourite on top. Else a guess."""
    by_method = {
        "acr": {REFERENCE: 5, ANCHOR: 1, FAVOURITE: 5, "1-alpine": 2},
        "ccr": {REFERENCE: 3, ANCHOR: 0, FAVOURITE: 3, "1-alpine": 1},
        "mushra": {REFERENCE: 100, ANCHOR: 20, FAVOURITE: 99, "1-alpine": 40, "lowpass": 30},
    }[method]
    low, high = {"acr": (1, 5), "ccr": (-3, 3), "mushra": (0, 100)}[method]
    known = [by_method.get(condition or "") for condition in recognised]
    scores = [float(rng.integers(low, high + 1)) if score is None else float(score) for score in known]
    if method == "ccr":
        # The bot knows the two files of a question, so it knows which way round they are.
        first, second = known
        guess = float(rng.integers(-3, 4))
        scores = [guess if first is None or second is None else float(np.clip(second - first, -3, 3))]
    return [float(score) for score in scores]


def votes_of_bots(running: Test, print_of: Fingerprint, bots: int = 4) -> int:
    """The votes that count after these bots have voted as they were told by a spy."""
    method = running.plan.method
    told: dict[object, str] = {}
    spy = running.enter("spy")
    for shown in spy["trials"]:
        for word in shown["stimuli"]:
            wav = running.room.sound(spy["rater"], word)
            assert wav is not None
            told.setdefault(print_of(wav), running.condition_of(spy, word))
    for number in range(bots):
        entered, rng = running.enter(f"bot-{number}"), np.random.default_rng(number)
        for trial in range(len(entered["trials"])):
            sounds = running.load(entered, trial)
            if method == "mushra":
                sounds = sounds[:-1]
            running.clock.now_s += 60.0
            recognised = [told.get(print_of(sound)) for sound in sounds]
            running.answer(entered, trial, bot_scores(method, recognised, rng))
    return sum(listening_result(running.plan, read_test(running.folder).votes).votes.values())


def test_bots_that_know_the_files_of_an_earlier_rater_cast_no_vote_that_counts(running: Test) -> None:
    assert votes_of_bots(running, FINGERPRINTS["bytes"]) == 0


@pytest.mark.parametrize("fingerprint", ["length", "samples", "spectrum"])
def test_neither_length_nor_samples_nor_spectrum_name_a_file(tmp_path: Path, fingerprint: str) -> None:
    assert votes_of_bots(Test(tmp_path, "acr"), FINGERPRINTS[fingerprint]) == 0


def test_if_files_repeated_the_votes_of_the_bots_would_count(
    running: Test, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the bots fail because of the files, not because their votes are clumsy."""
    monkeypatch.setattr(
        "soundsright.services.listening.room.disguised_wav", lambda audio, disguise: wav_bytes(audio)
    )
    assert votes_of_bots(running, FINGERPRINTS["bytes"]) == 4 * len(CLIPS) * len(running.plan.conditions)


def test_no_two_files_of_a_test_are_alike_and_those_of_a_question_have_one_length(running: Test) -> None:
    files: list[bytes] = []
    for client in ("a", "b"):
        entered = running.enter(client)
        for trial in range(len(entered["trials"])):
            sounds = running.load(entered, trial)
            assert len({len(sound) for sound in sounds}) == 1, (
                "raters switch between them, and length tells nothing"
            )
            files += sounds
    for name in ("bytes", "samples"):
        assert len({FINGERPRINTS[name](file) for file in files}) == len(files)


def test_a_file_differs_from_its_stimulus_by_less_than_anyone_can_hear(running: Test) -> None:
    entered = running.enter()
    for word, shown in running.room._sessions[entered["rater"]].stimuli.items():
        wav = running.room.sound(entered["rater"], word)
        assert wav is not None
        heard = samples_in(wav) / 32768
        stimulus = running.room._stimulus(shown.clip, shown.condition).samples.astype(np.float64)
        start = round(shown.disguise.lead_s * RATE_HZ)
        assert start <= 0.02 * RATE_HZ
        part = heard[start : start + len(stimulus)]
        gain = float(part @ stimulus / (stimulus @ stimulus))
        assert abs(20 * np.log10(gain)) <= 0.11
        assert 20 * np.log10(np.std(part - gain * stimulus)) < -80
        assert np.abs(heard[start + len(stimulus) :]).max() < 10 ** (-70 / 20)


def test_an_answer_without_its_recordings_or_without_time_to_hear_them_is_refused(running: Test) -> None:
    entered = running.enter()
    method, trial = running.plan.method, running.room._sessions[entered["rater"]].trials[0]
    scores = [1.0] * len(trial.rated)
    words = len(entered["trials"][0]["stimuli"]) + (method == "mushra")
    running.clock.now_s = 1e6
    with pytest.raises(UsageError, match="were not loaded"):
        running.answer(entered, 0, scores)
    running.load(entered, 0)
    running.clock.now_s += 0.9 * words  # The clips last a second.
    with pytest.raises(UsageError, match="faster than the recordings play"):
        running.answer(entered, 0, scores)
    assert not (running.folder / "votes.jsonl").exists()
    running.clock.now_s += 0.3 * words
    assert running.answer(entered, 0, scores) == len(entered["trials"]) - 1


def test_loading_all_recordings_first_does_not_save_the_time_to_hear_them(running: Test) -> None:
    entered = running.enter()
    trials = running.room._sessions[entered["rater"]].trials
    for number in (0, 1):
        running.load(entered, number)
    running.clock.now_s += 1_000
    running.answer(entered, 0, [1.0] * len(trials[0].rated))
    with pytest.raises(UsageError, match="faster than the recordings play"):
        running.answer(entered, 1, [1.0] * len(trials[1].rated))


def test_without_an_invitation_nobody_enters_and_each_one_is_one_rater(tmp_path: Path) -> None:
    test = Test(tmp_path, "acr", seats=None)
    first, second = new_invitations(test.folder, 2)
    for body in ({}, {"invitation": "guess"}, {"invitation": first + "x"}, {"invitation": "\u00e9\u20ac"}):
        with pytest.raises(UsageError, match="invitation"):
            test.enter(**body)
    raters = [test.enter(**{"invitation": token})["rater"] for token in (first, second, first)]
    assert raters[0] == raters[2] != raters[1]
    (later,) = new_invitations(test.folder, 1)
    assert test.enter(invitation=later)["rater"] not in raters
    stored = (test.folder / "invitations.jsonl").read_text()
    assert first not in stored
    assert raters[0] not in stored


def test_an_invitation_cannot_vote_again_after_a_restart(tmp_path: Path) -> None:
    test = Test(tmp_path, "acr", seats=None)
    (token,) = new_invitations(test.folder, 1)
    entered = test.enter(invitation=token)
    for number in range(len(entered["trials"])):
        if number == 3:
            test.room = test.restarted()
            entered = test.enter(invitation=token)
            break
        test.load(entered, number)
        test.clock.now_s += 60
        test.answer(entered, number, [3.0])
    for number in range(len(entered["trials"])):
        test.load(entered, number)
        test.clock.now_s += 60
        test.answer(entered, number, [4.0])
    test.room = test.restarted()
    with pytest.raises(UsageError, match="was used already"):
        test.enter(invitation=token)
    votes = read_test(test.folder).votes
    assert len({(v.clip, v.condition, v.repeat) for v in votes}) == len(votes)


def test_one_address_fills_only_its_seats_of_an_open_test(tmp_path: Path) -> None:
    test = Test(tmp_path, "acr", seats=3)
    for _ in range(3):
        test.enter("bot")
    with pytest.raises(UsageError, match="Your address has 3 raters"):
        test.enter("bot")
    test.enter("honest")
    test.clock.now_s += IDLE_S + 1
    test.enter("bot")  # The seats of raters who left are free again.


def used_invitation(test: Test) -> str:
    """An invitation whose rater has answered everything, before a restart."""
    (token,) = new_invitations(test.folder, 1)
    entered = test.enter(invitation=token)
    for number in range(len(entered["trials"])):
        test.load(entered, number)
        test.clock.now_s += 60
        test.answer(entered, number, [3.0])
    test.room = test.restarted()
    return token


@pytest.mark.parametrize("name", ["test.json", "votes.jsonl"])
@pytest.mark.parametrize("damage", ["unreadable", "too large", "not valid"])
def test_damaged_files_never_let_a_used_invitation_in_again(tmp_path: Path, name: str, damage: str) -> None:
    test = Test(tmp_path, "acr", seats=None)
    token = used_invitation(test)
    damaged = test.folder / name
    if damage == "unreadable":
        damaged.unlink()
        damaged.mkdir()
    elif damage == "too large":
        with damaged.open("r+b") as file:
            file.truncate(66 << 20)
    elif name == "votes.jsonl":
        damaged.write_bytes(b"\0" * 4_096)
    else:
        damaged.write_text("{")
    with pytest.raises((InfrastructureFault, UsageError), match=rf"{name}|used already"):
        test.enter(invitation=token)


def test_a_last_vote_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    test = Test(tmp_path, "acr", seats=None)
    token = used_invitation(test)
    votes = test.folder / "votes.jsonl"
    count = len(read_test(test.folder).votes)
    votes.write_bytes(votes.read_bytes()[:-10])
    assert len(read_test(test.folder).votes) == count - 1
    assert test.enter(invitation=token)["answered"] == 0


@pytest.mark.parametrize("damage", ["unreadable", "too large", "not valid"])
def test_an_invitation_file_that_cannot_be_read_is_not_an_empty_one(tmp_path: Path, damage: str) -> None:
    (token,) = new_invitations(tmp_path, 1)
    path = tmp_path / "invitations.jsonl"
    before = path.read_bytes()
    if damage == "unreadable":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(before + (b" " * (1 << 20) if damage == "too large" else b"{}\n"))
    with pytest.raises(InfrastructureFault, match=r"invitations\.jsonl"):
        new_invitations(tmp_path, 1)
    with pytest.raises(InfrastructureFault, match=r"invitations\.jsonl"):
        read_invitations(tmp_path)
    assert token


def test_invitations_continue_after_a_line_that_a_full_disk_cut_off(tmp_path: Path) -> None:
    first = new_invitations(tmp_path, 2)[0]
    path = tmp_path / "invitations.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    (later,) = new_invitations(tmp_path, 1)
    hashes = read_invitations(tmp_path)
    assert len(hashes) == 2
    assert is_invitation(first, hashes)
    assert is_invitation(later, hashes)


def test_a_test_has_a_bounded_number_of_invitations(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at most"):
        new_invitations(tmp_path, MAX_INVITATIONS + 1)


@pytest.mark.parametrize("method", METHODS)
def test_raters_who_hear_the_difference_count_and_those_who_guess_do_not(method: str) -> None:
    test = repeating(plan(method))
    votes = []
    for rater in range(20):
        rng = np.random.default_rng(rater)
        for trial in trials_for(test, rater):
            votes += votes_of(test, f"honest-{rater}", trial, scores_of(test, trial.stimuli, rng))
            low, high = {"acr": (1, 6), "ccr": (-3, 4), "mushra": (0, 101)}[method]
            guesses = rng.integers(low, high, size=len(trial.rated)).astype(float).tolist()
            votes += votes_of(test, f"guess-{rater}", trial, guesses)
    excluded = set(exclusions(test, votes))
    assert not {rater for rater in excluded if rater.startswith("honest")}
    assert excluded == {f"guess-{rater}" for rater in range(20)}


def test_a_rater_who_knows_the_anchors_and_guesses_the_rest_answers_repeats_by_chance() -> None:
    test = repeating(plan("mushra"))
    votes = []
    for rater in range(10):
        rng = np.random.default_rng(rater)
        for trial in trials_for(test, rater):
            scores = [100.0 if c == REFERENCE else float(rng.integers(0, 90)) for c in trial.rated]
            votes += votes_of(test, f"r{rater}", trial, scores)
    reasons = list(exclusions(test, votes).values())
    assert len(reasons) >= 8
    assert all("repeated questions" in reason for reason in reasons)
