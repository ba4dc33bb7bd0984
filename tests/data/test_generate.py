import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import soundsright.data.making as generate_module
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import UsageError
from soundsright.data import SetJob, generate_set
from soundsright.data.clips import corpus_sources, draw_clip
from soundsright.data.corpora import Corpus
from soundsright.data.encoding import SetFormat, Subtype
from soundsright.data.levels import active_level, power_db
from soundsright.data.recipe import PUBLISHED_RECIPE, SetRecipe, SetTask
from soundsright.data.recordings import Recording, RecordingSet
from soundsright.data.sources import Sources
from soundsright.data.verify import verified

from .conftest import lines_of
from .golden_sets import KINDS


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.open()


def job_of(
    corpus: Corpus,
    out: Path,
    *,
    task: SetTask = SetTask.DENOISING,
    sample_rate_hz: int = 16_000,
    count: int = 6,
    seed: int = 3,
    sources: Sources | None = None,
    recipe: SetRecipe = PUBLISHED_RECIPE,
    **settings: Any,
) -> SetJob:
    return SetJob(
        out=out,
        task=task,
        sample_rate_hz=sample_rate_hz,
        count=count,
        seed=seed,
        sources=sources or corpus_sources(corpus, sample_rate_hz, recipe),
        recipe=recipe,
        **settings,
    )


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("task", list(SetTask))
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_files_have_equal_names_lengths_and_the_hashes_of_the_manifest(
    corpus: Corpus, tmp_path: Path, task: SetTask, rate: int
) -> None:
    report = generate_set(job_of(corpus, tmp_path / "set", task=task, count=3, sample_rate_hz=rate))
    folders = sorted(p.name for p in report.out.iterdir() if p.is_dir())
    assert folders == sorted(
        ["clean", *(["noisy"] if task.has_noise else []), *(["reverberant"] if task.has_room else [])]
    )
    for line in lines_of(report.out):
        assert len({Path(file).name for file in line["files"].values()}) == 1
        for file in line["files"].values():
            info = soundfile.info(report.out / file)
            assert (info.samplerate, info.frames, info.subtype) == (rate, line["samples"], "PCM_16")
    assert verified(report.out).problems == {}


def test_a_set_has_the_clips_that_a_validator_draws(corpus: Corpus, tmp_path: Path) -> None:
    report = generate_set(job_of(corpus, tmp_path / "set", seed=11))
    assert [line["digest"] for line in lines_of(report.out)] == [
        draw_clip(PUBLISHED[0], 11, index, corpus=corpus).digest for index in range(6)
    ]


def test_the_same_bytes_for_any_number_of_workers(corpus: Corpus, tmp_path: Path) -> None:
    one = generate_set(job_of(corpus, tmp_path / "one", task=SetTask.BOTH, count=40), workers=1)
    two = generate_set(job_of(corpus, tmp_path / "two", task=SetTask.BOTH, count=40), workers=2)
    assert one.digest == two.digest
    assert bytes_of(one.out) == bytes_of(two.out)


def test_a_subset_has_the_same_bytes_as_in_the_whole(corpus: Corpus, tmp_path: Path) -> None:
    whole = generate_set(job_of(corpus, tmp_path / "whole", count=18))
    part = generate_set(job_of(corpus, tmp_path / "part", count=18, only=(17, 4)))
    assert [line["id"] for line in lines_of(part.out)] == ["000004", "000017"]
    for file in ("clean/000017.wav", "noisy/000004.wav"):
        assert (part.out / file).read_bytes() == (whole.out / file).read_bytes()


def test_a_set_completed_after_a_kill_is_the_set(corpus: Corpus, tmp_path: Path) -> None:
    whole = generate_set(job_of(corpus, tmp_path / "whole", count=3_000, only=tuple(range(64))))
    out = tmp_path / "killed"
    program = (
        "from pathlib import Path; from soundsright.data.clips import corpus_sources;"
        "from soundsright.data.corpora import Corpus; from soundsright.data.recipe import *;"
        "from soundsright.data import SetJob, generate_set; c = Corpus.open();"
        f"generate_set(SetJob(out=Path({str(out)!r}), task=SetTask.DENOISING, sample_rate_hz=16000, count=3000,"
        "seed=3, sources=corpus_sources(c, 16000, PUBLISHED_RECIPE), only=tuple(range(64))))"
    )
    # Items are slowed down, so that the kill arrives between units on a machine of any speed.
    slow = "import soundsright.data.making as g, time; real = g._make_unit;" + (
        "g._make_unit = lambda j, u: (time.sleep(0.3), real(j, u))[1];"
    )
    process = subprocess.Popen([sys.executable, "-c", slow + program])
    journal = out / ".journal.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (journal.exists() and journal.read_bytes().count(b"\n") > 16):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with journal.open("ab") as stream:
        stream.write(b'{"index": 63, "line": {"id": "0000')  # Torn in the middle of a line.
    assert not (out / "set.json").exists()
    report = generate_set(job_of(corpus, out, count=3_000, only=tuple(range(64))), resume=True)
    assert 0 < report.made_now < 64
    assert bytes_of(out) == bytes_of(whole.out)


def begun(out: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the program with two workers in a new process group, and wait for its first items."""
    command = [sys.executable, "-m", "soundsright.data.generate", "--workers", "2", "--out", str(out), *arguments]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    journal = out / ".journal.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (journal.exists() and journal.read_bytes().count(b"\n") > 16):
        time.sleep(0.02)
    return process


def fail_if_workers_live_on(group: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    pytest.fail("workers live on after their parent")


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    with begun(tmp_path / "set", "--n", "100000") as process:
        process.kill()
    fail_if_workers_live_on(process.pid)


@pytest.mark.parametrize("gap_s", [0.0, 0.05])
def test_a_second_interruption_neither_hangs_nor_harms_the_set(tmp_path: Path, gap_s: float) -> None:
    arguments = ["--n", "400", "--task", "dereverberation"]
    with begun(tmp_path / "set", *arguments) as process:
        for _ in range(2):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(gap_s)
        try:
            stderr = process.communicate(timeout=20)[1]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    message = f"Stopped. {tmp_path / 'set'} is kept. To continue, run the same command with --resume."
    assert (process.returncode, stderr.strip()) == (130, message)
    fail_if_workers_live_on(process.pid)
    command = [sys.executable, "-m", "soundsright.data.generate", "--resume", "--out", str(tmp_path / "set")]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True).stdout
    assert done.startswith("400 items")
    assert " 400 made now" not in done
    assert verified(tmp_path / "set").problems == {}


def test_resume_remakes_deleted_files(corpus: Corpus, tmp_path: Path) -> None:
    report = generate_set(job_of(corpus, tmp_path / "set"))
    before = bytes_of(report.out)
    (report.out / "noisy" / "000003.wav").unlink()
    again = generate_set(job_of(corpus, tmp_path / "set"), resume=True)
    assert again.made_now == 1
    assert bytes_of(report.out) == before


@pytest.mark.parametrize("fmt", [SetFormat.WAV, SetFormat.WEBDATASET])
def test_resume_remakes_damaged_files(corpus: Corpus, tmp_path: Path, fmt: SetFormat) -> None:
    job = job_of(corpus, tmp_path / "set", format=fmt, shards=2)
    report = generate_set(job)
    before = bytes_of(report.out)
    damaged = next(path for path in before if path.endswith((".wav", ".tar")))
    (report.out / damaged).write_bytes(before[damaged] + b"?")
    again = generate_set(job, resume=True)
    assert again.made_now == (1 if fmt is SetFormat.WAV else 3)
    assert bytes_of(report.out) == before


def test_resume_remakes_files_that_a_stopped_run_left_damaged(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(done: int, total: int) -> None:
        if done >= 32:
            raise KeyboardInterrupt

    job = job_of(corpus, tmp_path / "set", count=40)
    with pytest.raises(KeyboardInterrupt):
        generate_set(job, progress=stop)
    samples = (job.out / "clean/000005.wav").read_bytes()
    (job.out / "clean/000005.wav").write_bytes(bytes(len(samples)))  # As after a power cut: the size is right.
    counts: list[int] = []
    report = generate_set(job, resume=True, progress=lambda done, total: counts.append(done))
    assert (report.made_now, counts[0], counts[-1]) == (9, 1, 40)
    assert (job.out / "clean/000005.wav").read_bytes() == samples
    assert verified(job.out).problems == {}


def test_a_full_disk_is_one_line_and_the_set_can_be_completed(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = generate_set(job_of(corpus, tmp_path / "whole", count=40))
    real = generate_module._write
    written: list[Path] = []

    def write(path: Path, data: bytes) -> None:
        if len(written) >= 50:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        written.append(path)
        real(path, data)

    monkeypatch.setattr(generate_module, "_write", write)
    with pytest.raises(UsageError, match=r"disk is full at .*\.wav\. Free some space .* --resume"):
        generate_set(job_of(corpus, tmp_path / "set", count=40))
    monkeypatch.setattr(generate_module, "_write", real)
    report = generate_set(job_of(corpus, tmp_path / "set", count=40), resume=True)
    assert 0 < report.made_now < 40
    assert bytes_of(report.out) == bytes_of(whole.out)


def test_another_set_in_the_same_place_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    generate_set(job_of(corpus, tmp_path / "set"))
    with pytest.raises(UsageError, match="already has a set"):
        generate_set(job_of(corpus, tmp_path / "set"))
    before = bytes_of(tmp_path / "set")
    for change, message in (
        ({"seed": 4}, "--seed is 3 there and 4 here"),
        ({"count": 7, "only": (0, 2)}, "--n is 6 there and 7 here; --only is not set there and 0 2 here"),
        ({"recipe": SetRecipe(snr_db=(0.0, 5.0))}, "--snr is -2.5 17.5 there and 0.0 5.0 here"),
        ({"provenance": {"noise": [{"name": "white"}]}}, "--noise is not set there and white here"),
    ):
        with pytest.raises(UsageError, match=f"has another set: {re.escape(message)}[.] Choose another --out"):
            generate_set(job_of(corpus, tmp_path / "set", **change), resume=True)
    assert bytes_of(tmp_path / "set") == before


def test_a_directory_with_other_files_is_left_alone(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        generate_set(job_of(corpus, tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_flac_has_the_same_samples_as_wav(corpus: Corpus, tmp_path: Path) -> None:
    wav = generate_set(job_of(corpus, tmp_path / "wav"))
    flac = generate_set(job_of(corpus, tmp_path / "flac", format=SetFormat.FLAC))
    assert wav.digest == flac.digest
    a, b = (soundfile.read(s.out / f"noisy/000002{e}")[0] for s, e in ((wav, ".wav"), (flac, ".flac")))
    assert np.array_equal(a, b)


def test_float_files_round_to_the_same_set(corpus: Corpus, tmp_path: Path) -> None:
    fine = generate_set(job_of(corpus, tmp_path / "float", subtype=Subtype.FLOAT))
    coarse = generate_set(job_of(corpus, tmp_path / "pcm"))
    assert fine.digest == coarse.digest
    samples, rate = soundfile.read(fine.out / "clean/000000.wav", dtype="float32")
    assert soundfile.info(fine.out / "clean/000000.wav").subtype == "FLOAT"
    assert np.abs(samples - soundfile.read(coarse.out / "clean/000000.wav")[0]).max() <= 0.5 / 32768 + 1e-9
    assert rate == 16_000


def test_shards_spread_the_files_over_folders_of_equal_size(corpus: Corpus, tmp_path: Path) -> None:
    report = generate_set(job_of(corpus, tmp_path / "set", count=10, shards=3))
    sizes = [len(list(p.iterdir())) for p in sorted((report.out / "clean").iterdir())]
    assert sorted(sizes) == [3, 3, 4]
    assert verified(report.out).problems == {}


def test_webdataset_shards_contain_audio_and_description(corpus: Corpus, tmp_path: Path) -> None:
    report = generate_set(job_of(corpus, tmp_path / "set", format=SetFormat.WEBDATASET, shards=2), workers=2)
    assert sorted(p.name for p in report.out.glob("*.tar")) == ["set-00000.tar", "set-00001.tar"]
    with tarfile.open(report.out / "set-00001.tar") as tar:
        names = tar.getnames()
        assert names[:3] == ["000003.clean.flac", "000003.noisy.flac", "000003.json"]
        noisy, description = tar.extractfile("000003.noisy.flac"), tar.extractfile("000003.json")
        assert noisy is not None
        assert description is not None
        samples, _ = soundfile.read(io.BytesIO(noisy.read()), dtype="float32")
        line = json.loads(description.read())
    plain = generate_set(job_of(corpus, tmp_path / "plain"))
    assert np.array_equal(samples, soundfile.read(plain.out / "noisy/000003.wav", dtype="float32")[0])
    assert line["snr_db"] == lines_of(plain.out)[3]["snr_db"]
    assert plain.digest == report.digest
    assert verified(report.out).problems == {}


@pytest.mark.filterwarnings("ignore")
def test_the_datasets_library_opens_a_folder_and_parquet(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets", reason="the datasets library is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = generate_set(job_of(corpus, tmp_path / "folder"))
    opened = datasets.load_dataset("audiofolder", data_dir=str(folder.out), cache_dir=str(tmp_path / "c"))["train"]
    assert opened.num_rows == 6
    assert {"clean", "noisy", "snr_db", "speaker"} <= set(opened.column_names)
    raw = opened.cast_column("noisy", datasets.Audio(decode=False))
    assert [Path(row["noisy"]["path"]).name for row in raw] == [f"{i:06d}.wav" for i in range(6)]

    parquet = generate_set(job_of(corpus, tmp_path / "parquet", format=SetFormat.PARQUET, shards=2))
    files = str(parquet.out / "data" / "*.parquet")
    opened = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "c"))["train"]
    assert isinstance(opened.features["clean"], datasets.Audio)
    row = opened.cast_column("clean", datasets.Audio(decode=False))[4]
    samples, _ = soundfile.read(io.BytesIO(row["clean"]["bytes"]), dtype="float32")
    assert np.array_equal(samples, soundfile.read(folder.out / "clean/000004.wav", dtype="float32")[0])


def test_both_tasks_keep_ratio_and_level_of_one_clean_signal(corpus: Corpus, tmp_path: Path) -> None:
    report = generate_set(job_of(corpus, tmp_path / "set", task=SetTask.BOTH))
    for line in lines_of(report.out):
        clean, noisy, wet = (
            soundfile.read(report.out / line["files"][role])[0] for role in ("clean", "noisy", "reverberant")
        )
        level = active_level(clean, 16_000).level_db
        assert level - power_db(noisy - clean) == pytest.approx(line["snr_db"], abs=0.5)
        assert active_level(wet, 16_000).level_db == pytest.approx(level, abs=0.6)
        assert max(np.abs(s).max() for s in (clean, noisy, wet)) <= 0.99 + 1 / 32768


def test_noise_in_the_room_is_added_to_the_reverberant_speech(corpus: Corpus, tmp_path: Path) -> None:
    recipe = SetRecipe(noise_in_room=True)
    report = generate_set(job_of(corpus, tmp_path / "set", task=SetTask.BOTH, recipe=recipe))
    for line in lines_of(report.out):
        noisy, wet = (soundfile.read(report.out / line["files"][role])[0] for role in ("noisy", "reverberant"))
        ratio = active_level(wet, 16_000).level_db - power_db(noisy - wet)
        assert ratio == pytest.approx(line["snr_db"], abs=0.5)


def test_further_degradations_are_in_the_manifest(corpus: Corpus, tmp_path: Path) -> None:
    recipe = SetRecipe(band_limit=1.0, clipping=1.0, packet_loss=1.0)
    report = generate_set(job_of(corpus, tmp_path / "set", recipe=recipe))
    for line in lines_of(report.out):
        assert {"band_limit_hz", "clipped_share", "packet_loss"} <= set(line["extra"])


def test_recordings_that_cannot_be_used_are_counted_and_listed(corpus: Corpus, tmp_path: Path) -> None:
    good = corpus.speech_for(16_000).recordings[:3]
    nan = tmp_path / "nan.wav"
    soundfile.write(nan, np.full(64_000, np.nan, dtype=np.float32), 16_000, subtype="FLOAT")
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(64_000), 16_000)
    bad = [Recording(p.name, p, 16_000, 4.0, "nobody") for p in (nan, silent)]
    shipped = corpus_sources(corpus, 16_000, PUBLISHED_RECIPE)
    sources = Sources(RecordingSet([*good, *bad]), shipped.noise, shipped.rooms)
    one = generate_set(job_of(corpus, tmp_path / "one", count=20, sources=sources))
    two = generate_set(job_of(corpus, tmp_path / "two", count=20, sources=sources), workers=2)
    summary = json.loads((one.out / "set.json").read_text())
    assert summary["skipped_count"] == 2
    assert "NaN" in summary["skipped"][str(nan)]
    assert "silent" in summary["skipped"][str(silent)]
    assert {line["speaker"] for line in lines_of(one.out)} <= {"Allison Smith", "June Wallack"}
    assert bytes_of(one.out) == bytes_of(two.out)


def test_an_utterance_that_was_cut_has_no_text(corpus: Corpus, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    recordings = []
    for seconds in (4, 9):
        path = tmp_path / f"{seconds}.wav"
        soundfile.write(path, 0.1 * rng.standard_normal(seconds * 16_000), 16_000)
        recordings.append(Recording(path.stem, path, 16_000, seconds, "anna", text=f"{seconds} seconds of hiss"))
    sources = Sources(RecordingSet(recordings), corpus_sources(corpus, 16_000, PUBLISHED_RECIPE).noise)
    recipe = SetRecipe(variation=False)
    report = generate_set(job_of(corpus, tmp_path / "set", sources=sources, count=12, recipe=recipe))
    assert {(line["speech"], line["text"]) for line in lines_of(report.out)} == {
        ("4", "4 seconds of hiss"), ("9", None),
    }  # fmt: skip


def test_a_set_of_only_bad_recordings_is_an_error(corpus: Corpus, tmp_path: Path) -> None:
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(64_000), 16_000)
    shipped = corpus_sources(corpus, 16_000, PUBLISHED_RECIPE)
    sources = Sources(RecordingSet([Recording("s", silent, 16_000, 4.0)]), shipped.noise)
    with pytest.raises(UsageError, match=r"recordings in a row cannot be used, .*silent\.wav: is silent"):
        generate_set(job_of(corpus, tmp_path / "set", sources=sources))
    # No folder remains that would make the next try fail.
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "0 items"),
        ({"seed": -1}, "negative"),
        ({"only": (6,)}, "Item 6 is not in a set of 6"),
        ({"shards": 7}, "6 items cannot fill 7 shards"),
        ({"format": SetFormat.FLAC, "subtype": Subtype.FLOAT}, "has no float samples"),
    ],
)
def test_impossible_sets_are_refused(corpus: Corpus, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        job_of(corpus, tmp_path / "set", **change)


@pytest.mark.parametrize("name", list(KINDS))
def test_the_digest_of_the_default_set_is_the_one_on_record(corpus: Corpus, tmp_path: Path, name: str) -> None:
    """After a change that should change every set, run `python tests/data/golden_sets.py`."""
    golden = json.loads((Path(__file__).parent / "golden_sets.json").read_text())
    recipe, noise = KINDS[name]
    for task in SetTask:
        for rate in (16_000, 48_000):
            job = job_of(
                corpus, tmp_path / f"{task}{rate}", task=task, count=4, sample_rate_hz=rate, recipe=recipe,
                sources=corpus_sources(corpus, rate, recipe, noise=noise),
            )  # fmt: skip
            report = generate_set(job)
            assert report.digest == golden[f"{task}_{rate}{name}"], f"{task} at {rate} Hz"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("_no_balance", r"is without balance there.* add --no-balance, and --noise recordings"),
        ("_no_variation", r"is without variation and balance there.* add --no-variation --no-balance"),
    ],
)
def test_a_set_of_an_older_version_is_completed_without_its_later_settings(
    corpus: Corpus, tmp_path: Path, name: str, message: str
) -> None:
    recipe, noise = KINDS[name]
    sources = corpus_sources(corpus, 16_000, recipe, noise=noise)
    provenance = {"noise": [{"name": "shipped"}]}
    older = job_of(corpus, tmp_path / "set", recipe=recipe, sources=sources, provenance=provenance)
    report = generate_set(older)
    before = bytes_of(report.out)
    # Older versions wrote none of these settings.
    assert not {name[4:], "balance", "fresh_share"} & json.loads(before["set.json"])["recipe"].keys()
    assert "fresh" not in lines_of(report.out)[0]
    assert ("pieces" in lines_of(report.out)[0]) is recipe.variation
    (report.out / "clean" / "000002.wav").unlink()
    with pytest.raises(UsageError, match=message):
        generate_set(job_of(corpus, tmp_path / "set", provenance=provenance), resume=True)
    assert generate_set(older, resume=True).made_now == 1
    assert bytes_of(report.out) == before
