"""Reading a run's folder: complete, broken, unfinished or hostile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundsright.cli.main import cli, run
from soundsright.core.errors import UsageError
from soundsright.services.records.runs import find_runs, read_run, read_runs
from tests.services.records.runs import Entrant, write_run


def test_a_run_gives_every_clip_of_every_entry_a_value(tmp_path: Path) -> None:
    loaded = read_run(write_run(tmp_path / "a"), "a")
    competition = loaded.competitions[0]
    assert loaded.problem == ""
    assert [entry.label for entry in competition.entries] == ["alpine/clear", "brook/soft", "cedar/late"]
    for entry in competition.rows:
        assert len(competition.values(entry, "ESTOI")) == 6
    late = competition.entries[2]
    assert competition.values(late, "SI_SDR")[1] == -60.0, "a failed clip counts at the floor"
    assert late.failures["000001"].code == "timeout"


def test_the_values_of_a_run_have_the_mean_in_its_results(tmp_path: Path) -> None:
    competition = read_run(write_run(tmp_path / "a"), "a").competitions[0]
    for entry in competition.rows:
        for name, estimate in entry.row.metrics.items():
            values = competition.values(entry, name)
            assert sum(values) / len(values) == pytest.approx(estimate.mean)


def test_a_round_that_is_not_finished_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "half"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    loaded = read_run(folder, "half")
    assert "not finished" in loaded.problem
    assert loaded.competitions == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"schema": "soundsright.results/2"}', "this program reads soundsright.results/1"),
        ('{"schema": "soundsright.feedback/1"}', "is not of schema"),
        ("[]", "not a JSON object"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"schema": "soundsright.results/1"}', "round: Field required"),
    ],
)
def test_results_that_cannot_be_read_say_why(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "results.json").write_text(text)
    assert words in read_run(tmp_path, "x").problem


def test_a_number_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    document = json.loads((folder / "results.json").read_text())
    document["competitions"][0]["entries"][0]["share"] = float("nan")
    (folder / "results.json").write_text(json.dumps(document))
    assert "competitions.0.entries.0.share" in read_run(folder, "a").problem


def test_a_broken_line_of_scores_is_named_and_the_rest_is_used(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    lines = (folder / "scores.jsonl").read_text().splitlines()
    lines[0] = '{"broken": '
    (folder / "scores.jsonl").write_text("\n".join(lines) + "\n")
    loaded = read_run(folder, "a")
    assert loaded.notes[0].startswith("scores.jsonl, line 1:")
    assert len(loaded.competitions[0].entries[0].scores) == 5


def test_a_line_of_scores_that_is_too_long_does_not_hide_others(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    lines = (folder / "scores.jsonl").read_text()
    (folder / "scores.jsonl").write_text("x" * 200_000 + "\n" + lines + "y" * 100_000)
    loaded = read_run(folder, "a")
    assert [note.split(":")[0] for note in loaded.notes] == ["scores.jsonl, line 1", "scores.jsonl, line 26"]
    assert len(loaded.competitions[0].entries[0].scores) == 6


def test_a_name_of_a_million_letters_is_cut(tmp_path: Path) -> None:
    loaded = read_run(write_run(tmp_path / "a", [Entrant("x" * 1_000_000, 1.0, "hk")], audio=False), "a")
    assert loaded.problem == ""
    assert len(loaded.competitions[0].entries[0].label) == 512
    assert len(loaded.competitions[0].entries[0].scores) == 0, "its lines are skipped, and a note says so"
    assert len(loaded.competitions[0].unprocessed.scores) == 6


def test_a_run_without_scores_by_clip_keeps_its_means(tmp_path: Path) -> None:
    loaded = read_run(write_run(tmp_path / "a", scores=False), "a")
    assert "means only" in loaded.notes[0]
    assert loaded.competitions[0].clip_ids == ()


def test_a_hotkey_cannot_point_outside_the_run(tmp_path: Path) -> None:
    (tmp_path / "1-..").mkdir()
    folder = write_run(tmp_path / "a", [Entrant("x/up", 1.0, "../../etc")])
    entry = read_run(folder, "a").competitions[0].entries[0]
    assert entry.folder is None
    assert entry.key.replace("-", "").isalnum()


def test_a_link_among_the_audio_is_not_followed(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    secret = tmp_path / "secret.wav"
    secret.write_bytes(b"RIFF")
    signal = folder / "enhanced" / "1-alpine" / "000000.wav"
    signal.unlink()
    signal.symlink_to(secret)
    competition = read_run(folder, "a").competitions[0]
    assert competition.signal("1-alpine", "000000") is None
    assert competition.signal("1-alpine", "000001") is not None


def test_entries_with_the_same_name_get_separate_pages(tmp_path: Path) -> None:
    entrants = [Entrant("same/name", 1.0, "<a>"), Entrant("same/name", 1.0, "(a)")]
    folder = write_run(tmp_path / "a", entrants)
    document = json.loads((folder / "results.json").read_text())
    document["competitions"][0]["entries"][1]["uid"] = 1
    (folder / "results.json").write_text(json.dumps(document))
    keys = [entry.key for entry in read_run(folder, "a").competitions[0].entries]
    assert len(set(keys)) == 2


def test_a_folder_of_runs_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("round-2", "round-1"):
        write_run(tmp_path / name, clips=2, audio=False)
    (tmp_path / "notes").mkdir()
    assert [r.key for r in read_runs(find_runs([tmp_path]))] == ["round-1", "round-2"]


def test_a_missing_folder_is_refused() -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        find_runs([Path("/nowhere/at/all")])


def test_a_real_competition_reads_back_without_a_note(tmp_path: Path) -> None:
    models = Path(__file__).resolve().parents[3] / "models"
    (tmp_path / "entries.toml").write_text(
        f'[[entry]]\nminer = "same"\nmodel = "{models}/degraded"\ncompetition = "DENOISING_16000HZ"\n'
    )
    arguments = ["compete", "--entries", str(tmp_path / "entries.toml"), "--out", str(tmp_path / "out")]
    arguments += ["--clips", "2", "--competition", "DENOISING_16000HZ", "--sandbox", "process", "--workers", "1"]
    assert run(cli, arguments) == 0
    loaded = read_run(tmp_path / "out", "out")
    assert (loaded.problem, loaded.notes) == ("", ())
    competition = loaded.competitions[0]
    assert len(competition.clip_ids) == 2
    for signal in ("clean", "degraded", competition.entries[0].key):
        assert competition.signal(signal, competition.clip_ids[0]) is not None
