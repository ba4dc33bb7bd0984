"""An organiser's file: the shipped one is valid, and a mistake is reported with its location."""

import datetime
import re
from importlib.resources import files
from typing import Any

import pytest

from soundsright.core.competition import PUBLISHED
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.errors import UsageError
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.rulesets import SOUNDSRIGHT_V5, Margin, NoLoss, Reference
from soundsright.ranking import trial_round
from soundsright.rules.explain import competitions_text, entries_text
from soundsright.rules.organiser import entries_facts, organiser_of_toml

NOW_S = datetime.datetime(2029, 1, 1, tzinfo=datetime.UTC).timestamp()
HOTKEY = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
SHIPPED = files("soundsright").joinpath("rulesets/published.toml").read_text()


def read(text: str, **options: Any) -> CompetitionRules:
    return organiser_of_toml(text, source="rules.toml", now_s=NOW_S, **options)


def test_the_shipped_file_is_the_catalogue_of_competitions() -> None:
    organiser = read(SHIPPED, known_metrics=["PESQ_WB", "ESTOI", "SI_SDR", "SI_SIR", "SI_SAR"])
    assert organiser.competitions == PUBLISHED
    assert organiser.ruleset is SOUNDSRIGHT_V5
    assert organiser.schedule is not None
    assert organiser.schedule.start_s(1) - organiser.schedule.start_s(0) == 86_400


@pytest.mark.parametrize("kind", ["digest", "plain", "sealed"])
def test_the_kind_of_commitment_is_the_organisers_choice(kind: str) -> None:
    assert read(SHIPPED.replace('commitment = "sealed"', f'commitment = "{kind}"')).commitment == kind


def test_without_a_choice_entries_are_sealed_if_a_schedule_says_when_they_open() -> None:
    silent = SHIPPED.replace('commitment = "sealed"', "")
    assert read(silent).commitment == "sealed"
    without_schedule = silent[: silent.index("[schedule]")] + silent[silent.index("[entries]") :]
    assert read(without_schedule).commitment == "digest"


def test_sealed_entries_need_a_schedule() -> None:
    without_schedule = SHIPPED[: SHIPPED.index("[schedule]")] + SHIPPED[SHIPPED.index("[entries]") :]
    with pytest.raises(UsageError, match=r"Add a \[schedule\]"):
        read(without_schedule)


def test_every_commented_setting_of_the_shipped_file_is_valid() -> None:
    free = re.sub(r"^# (?=\w+ = )", "", SHIPPED, flags=re.MULTILINE)
    assert free.count("\n#") < SHIPPED.count("\n#") - 12
    organiser = read(free, known_metrics=["PESQ_WB", "ESTOI", "SI_SDR", "SI_SIR", "SI_SAR"])
    rules, limits = organiser.entry_rules, organiser.fetch_limits
    assert (rules.cooldown_blocks, rules.max_commitments, rules.commitment_window_blocks) == (28_800, 3, 7_200)
    assert list(rules.banned_hotkeys.values()) == [1_200_000]
    assert rules.needs_licence
    assert len(rules.banned_content) == 1
    assert (limits.max_bytes, limits.max_files) == (FetchLimits().max_bytes, FetchLimits().max_files)
    assert ".iso" in limits.refused_files
    assert ".onnx" in limits.allowed_files
    assert organiser.exclude_near_copies


def test_changed_numbers_give_rules_with_another_digest() -> None:
    text = SHIPPED.replace(
        'base = "soundsright-v5"',
        'base = "soundsright-v5"\nname = "mine"\nalpha = 0.01\n'
        "margin = { start = 0.005, end = 0.002, over_blocks = 100 }\n"
        'gates = [{ metric = "SI_SIR", by = "SI_SDR", fraction = 0.1 }]',
    )
    ruleset = read(text).ruleset
    assert (ruleset.name, ruleset.alpha, ruleset.margin) == ("mine", 0.01, Margin(0.005, 0.002, 100))
    stand_in = ruleset.stand_in_of("SI_SIR")
    assert stand_in is not None
    assert stand_in.by == "SI_SDR"
    assert ruleset.remainder_cap == SOUNDSRIGHT_V5.remainder_cap
    assert ruleset.digest != SOUNDSRIGHT_V5.digest


def test_the_file_can_choose_the_speech_of_all_validators() -> None:
    assert read(SHIPPED).speech == ""
    rules = read(SHIPPED.replace('# speech = "espeak-ng"', 'speech = "espeak-ng"'))
    assert rules.speech == "espeak-ng"
    assert "spoken by espeak-ng" in entries_text(rules)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_score = 10.0", "max_scor = 10.0", r"competition 1: unknown key 'max_scor'\. Did you mean"),
        ("[schedule]", "[timetable]", "unknown key 'timetable'"),
        ('commitment = "sealed"', 'commitment = "secret"', "entries.commitment: 'secret' is not a choice"),
        ('commitment = "sealed"', "comitment = 1", "unknown key 'comitment'"),
        ("PESQ_WB = 0.6", "PESQ_WB = 0.7", r"competition 1.*sum to 1\.1, not 1"),
        ("PESQ_WB", "PSEQ_WB", r"competition 1\.metrics: unknown key 'PSEQ_WB'\. Did you mean 'PESQ_WB'"),
        ("max_score = 45.0", "max_score = 46.0", "rewards sum to 101 percent"),
        ("max_score = 45.0", "max_score = -5.0", r"competition 3\.max_score: -5\.0 is negative"),
        ("remainder = 5.0", "remainder = -1", r"competition 3\.remainder: -1 is negative"),
        ("ESTOI = 0.4,", "ESTOI = -0.4,", r"competition 3\.metrics\.ESTOI: -0\.4 is negative"),
        ("max_score = 45.0", "max_score = nan", r"competition 3\.max_score: nan is not a finite number"),
        ("max_score = 45.0", 'max_score = "45"', "'45' is not a finite number"),
        ("sample_rate_hz = 16_000", "sample_rate_hz = 44_100", "44100 Hz"),
        ('task = "DENOISING"', 'task = "DENOISE"', "competition 1.task: 'DENOISE' is not a choice"),
        ('task = "DEREVERBERATION"', 'task = "DENOISING"', "DENOISING_16000HZ is defined twice"),
        ("# first_day = 2030-01-07", "first_day = 2028-01-07", "schedule.first_day.*is in the past"),
        ("# last_day = 2030-12-30", "last_day = 2028-12-30", "schedule.last_day.*is in the past"),
        ("# first_day = 2030-01-07", "first_day = 2030-01-07T09:00:00", "2030-01-07T09:00:00 is not a date"),
        ("# last_day = 2030-12-30", "first_day = 2030-01-07\nlast_day = 2029-01-09",
         "schedule: last_day 2029-01-09 is before first_day 2030-01-07"),
        ("every_days = 1 ", "every_days = 0 ", "schedule: every_days is 0; it must be at least 1"),
        ("seed_delay_blocks = 10 ", "seed_delay_blocks = 0 ", "seed_delay_blocks is 0; it must be at least 1"),
        ("final_after_blocks = 7200 ", "final_after_blocks = -1 ", "schedule: final_after_blocks is -1; "),
        ("every_days = 1 ", "# ", "'every_days' is missing"),
        ("time_utc = 09:00:00", 'time_utc = "nine"', "'nine' is not a time of day"),
        ('base = "soundsright-v5"', 'base = "soundsright-v9"', r"rules\.toml, ruleset\.base: .*soundsright-v9"),
        ('base = "soundsright-v5"', 'base = "soundsright-v5"\nalpha = 0.01', "a name of their own"),
        ("# name = \"my-rules\"\n# alpha = 0.01", 'name = "x"\nalpha = 2.0', r"alpha 2\.0"),
        ("# name = \"my-rules\"\n# alpha = 0.01", 'name = "x"\nage = "birth"', "'birth' is not a choice"),
        ("[ruleset]", "[ruleset", "not TOML"),
        ("# cooldown_blocks = 28_800", "cooldown_blocks = -1", "entries: cooldown_blocks -1 is negative"),
        ("# cooldown_blocks", "cooldown_block", r"key 'cooldown_block'\. Did you mean 'cooldown_blocks'"),
        ("# max_commitments = 3", "max_commitments = 500", "max_commitments 500 is not between 0 and 100"),
        ("# needs_licence = true", 'needs_licence = "yes"', "needs_licence: 'yes' is neither true nor false"),
        ("# banned_hotkeys = {", "banned_hotkeys = 3 # {", "entries.banned_hotkeys: 3 is not a table"),
        ("# banned_hotkeys = {", f'banned_hotkeys = {{ {HOTKEY} = "1" }} # {{', "5.*: '1' is not a whole number"),
        ("# banned_hotkeys = {", "banned_hotkeys = { abc = 5 } # {", "'abc' is not the address of a hotkey"),
        ('# banned_hotkeys = { "5F3s', 'banned_hotkeys = { "5F3z', "'5F3za2T.*' is not the address"),
        ('# banned_content = ["e', 'banned_content = ["E', "entries.banned_content: 'E.*' is not a SHA-256"),
        ("# max_files = 2_000", "max_files = 0", "entries.max_files: 0 leaves no room for a model"),
        ("# allowed_files = [", "allowed_files = [3, ", r"entries.allowed_files: \[3, .* is not a list of names"),
        ('commitment = "sealed"', "commitment = 3", "entries.commitment: 3 is not a choice"),
        ('# speech = "espeak-ng"', 'speech = "espeak"', r"material\.speech: 'espeak' is not a choice"),
        ('# speech = "espeak-ng"', "speech = 5", r"material\.speech: 5 is not a choice"),
        ('# speech = "espeak-ng"', 'speach = "flite"', r"material: unknown key 'speach'\. Did you mean 'speech'"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_with_its_location(old: str, new: str, message: str) -> None:
    assert old in SHIPPED
    with pytest.raises(UsageError, match=message):
        read(SHIPPED.replace(old, new, 1), known_metrics=["PESQ_WB", "ESTOI", "SI_SDR", "SI_SIR", "SI_SAR"])


def test_a_first_day_in_the_past_is_valid_after_the_competition_began() -> None:
    text = SHIPPED.replace("# first_day = 2030-01-07", "first_day = 2028-01-07")
    schedule = read(text, begun=True).schedule
    assert schedule is not None
    assert schedule.first_day == (datetime.date(2028, 1, 7) - datetime.date(1970, 1, 1)).days


@pytest.mark.parametrize("text", ["", "competition = 3", "[[competition]]", "competition = []", "[" * 5000])
def test_a_file_without_competitions_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read(text)


TWO_OF_ONE_TASK = """
[[competition]]
name = "studio"
task = "DENOISING"
sample_rate_hz = 16_000
max_score = 30.0
remainder = 10.0
metrics = { PESQ_WB = 1.0 }

[[competition]]
name = "street"
task = "DENOISING"
sample_rate_hz = 16_000
max_score = 40.0
remainder = 20.0
metrics = { ESTOI = 1.0 }
"""


def test_two_competitions_of_one_task_have_different_names() -> None:
    studio, street = read(TWO_OF_ONE_TASK).competitions
    assert (studio.id, street.id) == ("studio", "street")
    assert (studio.task, studio.sample_rate_hz) == (street.task, street.sample_rate_hz)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ('"a b"', "competition 1.name: 'a b' is not a name of a competition. Write 1 to 64 letters"),
        ('""', "competition 1.name: '' is not a name"),
        ('"-h"', "competition 1.name: '-h' is not a name.*letter or digit first"),
        ('"_studio"', "competition 1.name: '_studio' is not a name"),
        (f'"{"a" * 65}"', "competition 1.name: 'aaa.* is not a name"),
        ("3", "competition 1.name: 3 is not a text"),
        ('"street"', "competition 2: street is defined twice. Keep one of them, or give one another name"),
        ('"STREET"', "competition 2: street is defined twice"),
    ],
)
def test_a_bad_name_is_one_message(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(TWO_OF_ONE_TASK.replace('"studio"', name))


def test_an_organiser_has_no_more_competitions_than_results_have_room_for() -> None:
    one = (
        '[[competition]]\nname = "c{}"\ntask = "DENOISING"\nsample_rate_hz = 16000\nmax_score = 1\nremainder = 0\n'
    )
    file = [one.format(number) + "metrics = { ESTOI = 1.0 }\n" for number in range(65)]
    assert len(read("".join(file[:64])).competitions) == 64
    with pytest.raises(UsageError, match=r"the file defines 65 competitions. Keep at most 64."):
        read("".join(file))


def test_each_competition_of_one_task_is_decided_on_its_own() -> None:
    rules = read(TWO_OF_ONE_TASK)
    boards = [trial_round(c, rules.ruleset, entries=4, clips=30, seed=1) for c in rules.competitions]
    assert [d.metric for board in boards for d in board.decisions] == ["PESQ_WB", "ESTOI"]
    assert [board.competition.id for board in boards] == ["studio", "street"]
    text = competitions_text(rules.competitions, rules.schedule)
    assert "Denoising, 16 kHz (studio)" in text
    assert "Denoising, 16 kHz (street)" in text


def test_the_safeguards_of_v4_can_be_changed() -> None:
    text = SHIPPED.replace(
        'base = "soundsright-v5"',
        'base = "soundsright-v5"\nname = "mine"\nreference = "best"\nmemorised_alpha = 0.01\n'
        "holds_impossible = false\n"
        'no_loss = [{ metric = "SI_SIR", on = ["ESTOI"], alpha = 0.01 }]',
    )
    ruleset = read(text).ruleset
    assert (ruleset.reference, ruleset.memorised_alpha, ruleset.holds_impossible) == (Reference.BEST, 0.01, False)
    assert ruleset.no_loss == (NoLoss("SI_SIR", ("ESTOI",), 0.01),)


def test_the_organiser_releases_and_refuses_entries_by_content_or_hotkey() -> None:
    digest = "ab" * 32
    text = SHIPPED.replace("[entries]", f'[entries]\nreleased = ["{digest}"]\nrefused = ["{HOTKEY}"]')
    rules = read(text)
    assert rules.entry_rules.released == {digest}
    assert rules.entry_rules.refused == {HOTKEY}
    assert entries_facts(rules)["released"] == [digest]
    assert f"{HOTKEY} is refused: it is not paid." in entries_text(rules)
    assert "released" not in entries_facts(read(SHIPPED))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('released = ["abc"]', r"entries\.released: 'abc' is neither a content hash nor a hotkey"),
        ("refused = 3", r"entries\.refused: 3 is not a list of names"),
        (f'released = ["{HOTKEY}"]\nrefused = ["{HOTKEY}"]', "is both released and refused"),
    ],
)
def test_a_mistake_in_a_decision_on_an_entry_is_reported(line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(SHIPPED.replace("[entries]", f"[entries]\n{line}"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no_loss = 3", r"ruleset\.no_loss: 3 is not a list of tables"),
        ('no_loss = [{ metric = "SI_SIR", on = ["SI_SIR"], alpha = 0.1 }]', "`on` must list other metrics"),
        ('no_loss = [{ metric = "SI_SIR", on = ["ESTOI"] }]', "alpha"),
        ('reference = "worst"', "'worst' is not a choice"),
        ("memorised_alpha = 2.0", r"memorised_alpha 2\.0 is not between 0 and 1"),
    ],
)
def test_a_mistake_in_a_safeguard_is_reported(line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(SHIPPED.replace('base = "soundsright-v5"', f'base = "soundsright-v5"\nname = "mine"\n{line}'))


SEQUENTIAL = SHIPPED.replace("remainder = 3.0\n", 'remainder = 3.0\nstopping = "sequential"\n')


def test_a_competition_can_let_entries_stop_early() -> None:
    organiser = read(SEQUENTIAL)
    assert [c.stopping for c in organiser.competitions] == ["sequential", "full", "full", "full"]
    text = competitions_text(organiser.competitions, None)
    assert "Entries that can no longer win stop before the end of the set: Denoising, 16 kHz." in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            SEQUENTIAL.replace('"sequential"', '"soon"'),
            r"rules\.toml, competition 1\.stopping: .soon. is not a choice",
        ),
        (
            SEQUENTIAL.replace(SOUNDSRIGHT_V5.name, "soundsright-v2"),
            "needs rules with a test, and soundsright-v2 has",
        ),
    ],
)
def test_a_mistake_in_stopping_is_one_message(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(text)
