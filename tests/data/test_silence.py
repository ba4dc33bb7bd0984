"""Silence among the recordings never ends a run, and is told before it begins."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundsright.core.errors import UsageError
from soundsright.data.directories import noise_listing, rir_listing, speech_listing
from soundsright.data.levels import SILENT_DB, power_db
from soundsright.data.recipe import SetRecipe
from soundsright.data.recordings import Recording, RecordingSet
from soundsright.data.silence import Sound, is_silent, sound_of
from soundsright.data.sources import RecordedNoise
from soundsright.data.turns import NOISE, Turn
from soundsright.data.verify import verified
from soundsright.library import generate

from .conftest import write_speech

RATE = 16_000


def write(path: Path, seconds: float, *, sound: tuple[float, float] | None = None, db: float = -20.0) -> Path:
    """Digital silence with noise between two times."""
    samples = np.zeros(round(seconds * RATE))
    if sound is not None:
        part = slice(round(sound[0] * RATE), round(sound[1] * RATE))
        samples[part] = np.random.default_rng(len(path.name)).standard_normal(part.stop - part.start)
        samples[part] *= 10.0 ** (db / 20.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE)
    return path


def recordings(*paths: Path) -> RecordingSet:
    return RecordingSet([Recording(p.name, p, RATE, soundfile.info(p).duration) for p in paths])


def test_the_places_of_a_stretch_are_those_with_enough_sound() -> None:
    samples = np.zeros(10 * RATE, dtype=np.float32)
    samples[4 * RATE : 5 * RATE] = 0.1
    starts = Sound.of(samples, RATE).starts(2 * RATE) / RATE
    assert (starts.min(), starts.max()) == (2.1, 4.9)
    assert all(power_db(samples[round(s * RATE) : round((s + 2) * RATE)]) > SILENT_DB for s in starts)
    assert Sound.of(samples, RATE).silent_share() == 0.9
    assert Sound.of(np.zeros(RATE, dtype=np.float32), RATE).starts(100).size == 0
    # The last place counts, although it is at no block's beginning, and so does a signal shorter than the stretch.
    tail = np.zeros(RATE + 7, dtype=np.float32)
    tail[-5:] = 1.0
    assert Sound.of(tail, RATE).starts(800).tolist() == [RATE + 7 - 800]
    assert Sound.of(tail, RATE).starts(2 * RATE).tolist() == [0]


def test_the_sound_of_a_long_recording_is_that_of_the_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "long.wav", 95.0, sound=(70.0, 70.5))
    whole = Sound.of(soundfile.read(path, dtype="float32")[0], RATE)
    parts = sound_of(recordings(path), 0, RATE)
    assert (parts.count, parts.block) == (whole.count, whole.block)
    assert np.allclose(parts.energies, whole.energies, rtol=1e-4)


def test_noise_of_which_half_is_silent_gives_a_whole_set(tmp_path: Path) -> None:
    for number in range(6):
        write(tmp_path / "noise" / f"{number}.wav", 2.0, sound=None if number % 2 else (0.0, 2.0))
    report = generate(tmp_path / "set", count=20, noise=str(tmp_path / "noise"))
    silent = {str(tmp_path / "noise" / f"{number}.wav") for number in (1, 3, 5)}
    assert set(report.skipped) == silent
    assert {"is silent: nothing in it is above -70 dB"} == set(report.skipped.values())
    lines = [json.loads(line) for line in (report.out / "manifest.jsonl").read_text().splitlines()]
    assert {line["noise"] for line in lines} == {"0.wav", "2.wav", "4.wav"}


def test_a_sparse_recording_is_drawn_where_it_sounds(tmp_path: Path) -> None:
    write(tmp_path / "noise" / "knock.wav", 120.0, sound=(60.0, 61.0))
    report = generate(tmp_path / "set", count=12, noise=str(tmp_path / "noise"))
    for line in map(json.loads, (report.out / "manifest.jsonl").read_text().splitlines()):
        length_s = line["samples"] / RATE
        assert 60.0 - length_s < line["noise_offset_s"] < 61.0
        clean, noisy = (soundfile.read(report.out / line["files"][role])[0] for role in ("clean", "noisy"))
        assert power_db(noisy - clean) > -60.0


@pytest.mark.parametrize("seeks_sound", [False, True])
def test_a_turn_keeps_to_its_sparse_recording_unless_a_round_may_have_drawn_it(
    tmp_path: Path, seeks_sound: bool
) -> None:
    sparse = write(tmp_path / "knock.wav", 50.0, sound=(7.3, 7.4))
    source = recordings(sparse, write(tmp_path / "rain.wav", 10.0, sound=(0.0, 10.0)))
    noise = RecordedNoise(source, seeks_sound=seeks_sound)
    rng = np.random.default_rng(0)
    drawn = [noise.draw(rng, RATE, RATE, turn=Turn(1, i, series=(NOISE,))).id for i in range(40)]
    assert (drawn.count("knock.wav") == 20) is seeks_sound
    assert len(drawn) == 40


def test_a_set_without_any_sound_is_refused_at_once(tmp_path: Path) -> None:
    write(tmp_path / "noise" / "a.wav", 3.0)
    with pytest.raises(UsageError, match=r"No file of .*noise can be used as noise: .*a.wav is silent"):
        generate(tmp_path / "set", count=4, noise=str(tmp_path / "noise"))
    assert not (tmp_path / "set").exists()


def test_whole_utterances_are_cut_where_there_is_speech(tmp_path: Path) -> None:
    write(tmp_path / "speech" / "p226_001.wav", 50.0, sound=(40.0, 42.0))
    recipe = SetRecipe(variation=False)
    report = generate(tmp_path / "set", count=12, speech=tmp_path / "speech", noise="pink", recipe=recipe)
    assert report.skipped == {}
    for path in sorted((report.out / "clean").iterdir()):
        assert power_db(soundfile.read(path)[0]) > SILENT_DB


def test_quiet_speech_and_impulse_responses_are_not_silent(tmp_path: Path) -> None:
    for name in ("speech/a", "rirs/a", "noise/a"):
        write(tmp_path / f"{name}.wav", 1.0, sound=(0.2, 1.0), db=-80.0)
    assert len(speech_listing(tmp_path / "speech", RATE).recordings) == 1
    assert len(rir_listing(tmp_path / "rirs", RATE).recordings) == 1
    with pytest.raises(UsageError, match="is silent: nothing in it is above -70 dB"):
        noise_listing(tmp_path / "noise", RATE)


def test_a_damaged_file_is_not_called_silent(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "nan.wav", np.full(RATE, np.nan, dtype=np.float32), RATE, subtype="FLOAT")
    assert not is_silent(tmp_path / "nan.wav", SILENT_DB)
    (tmp_path / "text.wav").write_text("no audio")
    assert not is_silent(tmp_path / "text.wav", SILENT_DB)


def test_verify_reports_silence(tmp_path: Path) -> None:
    write(tmp_path / "noise" / "silent.wav", 2.0)
    write(tmp_path / "noise" / "sparse.wav", 20.0, sound=(1.0, 2.0))
    click = np.zeros(RATE)
    click[100] = 0.005
    soundfile.write(tmp_path / "noise" / "click.wav", click, RATE)
    write_speech(tmp_path / "noise" / "rain.wav")
    verdict = verified(tmp_path / "noise")
    assert verdict.problems == {str(tmp_path / "noise/silent.wav"): "is silent: nothing in it is above -70 dB"}
    assert verdict.notes[-1].startswith("2 of 4 files are mostly silent, such as ")


def test_verify_reports_silence_in_a_corpus(tmp_path: Path) -> None:
    from soundsright.core.content import sha256_of_file

    lines = []
    for kind, db in (("speech", -80.0), ("noise", -80.0)):
        path = write(tmp_path / f"{kind}.wav", 1.0, sound=(0.0, 1.0), db=db)
        lines.append({"kind": kind, "id": kind, "file": path.name, "sha256": sha256_of_file(path)})
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert verified(tmp_path).problems == {str(tmp_path / "noise.wav"): "is silent: nothing in it is above -70 dB"}


def test_unusable_files_among_many_never_end_a_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(20):
        samples = (0.1 * rng.standard_normal(RATE * 2)).astype(np.float32)
        samples[RATE:] = np.nan if number < 15 else samples[RATE:]  # Nothing in the header says so.
        path = tmp_path / "speech" / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, samples, RATE, subtype="FLOAT")
    report = generate(tmp_path / "set", count=40, speech=tmp_path / "speech", noise="pink")
    assert report.items == 40
    assert len(report.skipped) == 15
