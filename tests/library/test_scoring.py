"""`score` and `score_folder`: the numbers of the command, from arrays and from files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

import soundsright
from soundsright.cli.commands.score import command as score_command

pytestmark = pytest.mark.usefixtures("shared_workers")
METRICS = ("PESQ_WB", "ESTOI", "STOI", "SI_SDR", "SI_SIR", "SI_SAR")


def read(path: Path) -> np.ndarray:
    samples: np.ndarray = soundfile.read(path, dtype="float32")[0]
    return samples


def test_a_folder_gets_the_report_of_the_command(folders: Path) -> None:
    sides = [
        f"--{side}={folders / name}" for side, name in (("clean", "clean"), ("enhanced", "a"), ("noisy", "noisy"))
    ]
    CliRunner().invoke(score_command, [*sides, f"--json={folders / 'cli.json'}"])
    result = soundsright.score_folder(folders / "clean", folders / "a", noisy=folders / "noisy")
    result.write(folders / "library.json")
    assert (folders / "library.json").read_bytes() == (folders / "cli.json").read_bytes()
    assert result.metrics == METRICS
    assert (
        result.summaries["STOI"].mean == json.loads((folders / "cli.json").read_text())["metrics"]["STOI"]["mean"]
    )


def test_an_utterance_alone_has_the_score_that_it_has_in_its_folder(folders: Path) -> None:
    paths = [folders / side / "2.wav" for side in ("clean", "a", "noisy")]
    from_paths = soundsright.score(paths[0], paths[1], noisy=paths[2])
    clean, enhanced, noisy = map(read, paths)
    from_arrays = soundsright.score(clean, enhanced, 16_000, noisy=noisy)
    in_folder = soundsright.score_folder(folders / "clean", folders / "a", noisy=folders / "noisy").clips[2]
    assert from_paths == from_arrays
    assert from_paths.scores == in_folder.scores
    assert from_paths["SI_SDR"] == from_paths.scores["SI_SDR"]
    assert from_paths.no_value == {}


def test_arrays_and_paths_may_be_mixed_and_columns_and_integers_are_accepted(folders: Path) -> None:
    clean, enhanced = folders / "clean" / "0.wav", folders / "a" / "0.wav"
    expected = soundsright.score(clean, enhanced, metrics=["STOI"])
    assert soundsright.score(clean, read(enhanced), metrics=["stoi"]) == expected
    assert soundsright.score(read(clean)[:, None], enhanced, 16_000, metrics=["STOI"]) == expected
    whole = soundfile.read(enhanced, dtype="int16")[0]
    assert soundsright.score(clean, whole, metrics=["STOI"]) == expected


def test_a_metric_without_a_value_scores_its_floor_and_says_why(folders: Path) -> None:
    clean = read(folders / "clean" / "0.wav")
    silent = soundsright.score(clean, 0 * clean, 16_000, metrics=["PESQ_WB", "SI_SDR"])
    assert silent.scores == {"PESQ_WB": 0.999, "SI_SDR": -60.0}
    assert set(silent.no_value.values()) == {soundsright.NoValue.ENHANCED_BLANK}
    burst = np.concatenate([clean[:2_000], np.zeros(14_000, np.float32)])
    assert soundsright.score(clean, burst, 16_000).no_value["PESQ_WB"] is soundsright.NoValue.SPEECH_VANISHED
    short = soundsright.score(clean[:4_000], clean[:4_000] + 0.01, 16_000, metrics=["STOI"])
    assert short.no_value["STOI"] is soundsright.NoValue.LITTLE_SPEECH
    same = soundsright.score(clean, clean + 0.01, 16_000, noisy=clean, metrics=["SI_SIR"])
    assert same.no_value["SI_SIR"] is soundsright.NoValue.NO_NOISE
    assert same.no_value["SI_SIR"].sentence == "The noisy signal equals the clean one."


def test_alignment_removes_a_delay_from_arrays_and_from_files(folders: Path) -> None:
    clean = read(folders / "clean" / "0.wav")
    late = np.concatenate([np.zeros(100, np.float32), clean])
    soundfile.write(folders / "late.wav", late, 16_000)
    of_array = soundsright.score(clean, late, 16_000, metrics=["SI_SDR"], align=True)
    assert of_array == soundsright.score(clean, folders / "late.wav", 16_000, metrics=["SI_SDR"], align=True)
    assert of_array["SI_SDR"] > 50


@pytest.mark.parametrize(
    ("shape", "code"), [((15_999,), "length"), ((16_000, 2), "shape"), ((2, 8_000), "shape"), ((0,), "length")]
)
def test_an_answer_that_cannot_be_scored_is_rejected(folders: Path, shape: tuple[int, ...], code: str) -> None:
    with pytest.raises(soundsright.AudioRejected) as caught:
        soundsright.score(folders / "clean" / "0.wav", np.ones(shape, np.float32))
    assert caught.value.code == code


def test_an_answer_that_is_not_finite_or_of_another_rate_is_rejected(folders: Path) -> None:
    clean = folders / "clean" / "0.wav"
    with pytest.raises(soundsright.AudioRejected, match="16000 of 16000 samples are NaN or infinite"):
        soundsright.score(clean, np.full(16_000, np.nan))
    soundfile.write(folders / "slow.wav", np.zeros(8_000), 8_000)
    with pytest.raises(soundsright.AudioRejected, match=r"8000 Hz, 16000 Hz expected\. Resample it to 16000 Hz"):
        soundsright.score(clean, folders / "slow.wav")
    (folders / "junk.wav").write_bytes(b"junk")
    with pytest.raises(soundsright.AudioRejected) as caught:
        soundsright.score(clean, folders / "junk.wav")
    assert caught.value.code == "format"


def test_misuse_names_the_value_and_the_remedy(folders: Path) -> None:
    clean, path = read(folders / "clean" / "0.wav"), folders / "clean" / "0.wav"
    for arguments, options, words in (
        ((clean, clean), {}, "The clean signal is an array and has no sample rate. Give sample_rate_hz."),
        ((clean, clean, 0), {}, "The sample rate 0 Hz is not positive."),
        (
            (np.ones((16_000, 2)), clean, 16_000),
            {},
            r"The clean signal has shape \(16000x2\), one channel expected.",
        ),
        ((np.full(16_000, np.inf), clean, 16_000), {}, "The clean signal has 16000 of 16000 samples .* infinite."),
        ((path, path, 48_000), {}, "has a rate of 16000 Hz, not 48000 Hz."),
        ((path, folders / "none.wav"), {}, "There is no file"),
        ((folders / "none.wav", path), {}, "none.wav: cannot be read"),
        (
            (path, path),
            {"noisy": clean[:-1]},
            "The noisy signal has 15999 samples at 16000 Hz; the clean",
        ),
        ((path, path), {"metrics": ["SI_SIR"]}, "SI_SIR needs the noisy signals."),
        ((path, path), {"metrics": ["STOY"]}, "Unknown metric 'STOY'. Did you mean STOI?"),
        ((path, path), {"metrics": "PESQ"}, "metrics is the text 'PESQ', not a list. Give a list"),
        ((clean, clean, 11_025), {}, "No metric is defined at 11025 Hz."),
    ):
        with pytest.raises(soundsright.UsageError, match=words):
            soundsright.score(*arguments, **options)


def test_a_clip_that_failed_is_named_and_counts_at_the_floor(folders: Path) -> None:
    (folders / "a" / "1.wav").unlink()
    (folders / "a" / "extra.wav").write_bytes((folders / "a" / "0.wav").read_bytes())
    heard: list[str] = []
    result = soundsright.score_folder(
        folders / "clean", folders / "a", metrics=["STOI"], on_clip=lambda clip: heard.append(clip.clip_id)
    )
    assert heard == ["0", "1", "2", "3"]
    assert {name: failure.code for name, failure in result.failures.items()} == {"1": "missing"}
    assert result.ignored == ("extra",)
    assert result.values("STOI")[1] == -1.0
    assert (result.summaries["STOI"].n, result.summaries["STOI"].failed) == (4, 1)


def test_folders_that_cannot_be_paired_are_named(folders: Path) -> None:
    with pytest.raises(soundsright.UsageError, match=r"There is no folder .*nowhere"):
        soundsright.score_folder(folders / "clean", folders / "nowhere")
    with pytest.raises(soundsright.UsageError, match="Make the folder"):
        soundsright.score_folder(folders / "clean", folders / "a", metrics=["SNR"]).write(folders / "no" / "r.json")


def test_several_channels_are_counted(folders: Path) -> None:
    with pytest.raises(soundsright.AudioRejected, match=r"2 channels, one expected\. Write one channel"):
        soundsright.score(folders / "clean" / "0.wav", np.ones((16_000, 2)))
