import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import AudioFileError, UsageError
from soundsright.core.shipped import datasets_folder
from soundsright.data.audio_files import read_file
from soundsright.data.clips import draw_clip
from soundsright.data.corpora import Corpus
from soundsright.data.levels import active_level
from soundsright.data.spectrum import bandwidth_hz, share_above_db


@pytest.fixture(scope="module")
def shipped() -> Corpus:
    return Corpus.open()


def corpus_with(tmp_path: Path, *entries: dict[str, Any], audio: np.ndarray | None = None) -> Path:
    (tmp_path / "a.wav").parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(0).standard_normal(64_000) * 0.1 if audio is None else audio
    soundfile.write(tmp_path / "a.wav", samples, 16_000)
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))
    return tmp_path


SPEECH = {"id": "s", "kind": "speech", "file": "a.wav"}
NOISE = {"id": "n", "kind": "noise", "file": "a.wav"}


def test_the_shipped_recordings_agree_with_the_manifest(shipped: Corpus) -> None:
    shipped.verify()
    assert sum(p.stat().st_size for p in datasets_folder().rglob("*") if p.is_file()) <= 25_000_000


def test_every_shipped_recording_has_a_commercial_licence_and_its_text(shipped: Corpus) -> None:
    for line in (shipped.root / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        assert "NC" not in entry["licence"]
        assert entry["source"]
        assert (shipped.root / entry["licence_file"]).stat().st_size > 500


def test_shipped_files_are_all_in_the_manifest(shipped: Corpus) -> None:
    listed = {r.path for r in (*shipped.speech, *shipped.noise, *shipped.rirs)}
    assert set(shipped.root.rglob("*.flac")) == listed


def test_shipped_48_khz_speech_has_content_above_8_khz(shipped: Corpus) -> None:
    for recording in shipped.speech_for(48_000).recordings:
        audio = read_file(recording.path)
        assert bandwidth_hz(audio.samples, audio.sample_rate_hz) >= 12_000
        assert share_above_db(audio.samples, audio.sample_rate_hz) > -50


def test_shipped_speech_is_neither_silent_nor_clipped(shipped: Corpus) -> None:
    for recording in shipped.speech:
        audio = read_file(recording.path)
        assert active_level(audio.samples, audio.sample_rate_hz).level_db > -45
        assert np.abs(audio.samples).max() < 0.999


def test_shipped_noise_has_no_digital_silence(shipped: Corpus) -> None:
    for recording in shipped.noise:
        audio = read_file(recording.path)
        block = audio.sample_rate_hz // 20
        blocks = audio.samples[: len(audio) // block * block].reshape(-1, block)
        assert np.sqrt((blocks**2).mean(axis=1)).min() > 1e-5, recording.id


def test_a_missing_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no corpus at .*nowhere"):
        Corpus.open(tmp_path / "nowhere")


def test_a_folder_without_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no manifest"):
        Corpus.open(tmp_path)


def test_a_broken_manifest_is_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(UsageError, match="line 1, has no 'kind'"):
        Corpus.open(tmp_path)
    (tmp_path / "manifest.jsonl").write_text("{not json\n")
    with pytest.raises(UsageError, match="line 1, is not JSON"):
        Corpus.open(tmp_path)


def test_a_file_outside_the_corpus_is_refused(tmp_path: Path) -> None:
    root = corpus_with(tmp_path / "c", {**SPEECH, "file": "../a.wav"})
    with pytest.raises(UsageError, match="not allowed"):
        Corpus.open(root)


def test_a_corrupt_wav_is_named(tmp_path: Path) -> None:
    root = corpus_with(tmp_path, SPEECH)
    (root / "a.wav").write_bytes(b"RIFFnothing of the kind")
    with pytest.raises(AudioFileError, match=r"a\.wav"):
        Corpus.open(root)


def test_a_truncated_wav_is_named(tmp_path: Path) -> None:
    root = corpus_with(tmp_path, SPEECH)
    data = (root / "a.wav").read_bytes()
    (root / "a.wav").write_bytes(data[: len(data) // 2])
    with pytest.raises(AudioFileError, match="truncated"):
        Corpus.open(root)


def test_an_empty_wav_is_named(tmp_path: Path) -> None:
    root = corpus_with(tmp_path, SPEECH)
    (root / "a.wav").write_bytes(b"")
    with pytest.raises(AudioFileError, match="empty"):
        Corpus.open(root)


def test_a_changed_file_is_found_by_its_hash(tmp_path: Path) -> None:
    root = corpus_with(tmp_path, {**SPEECH, "sha256": "0" * 64})
    corpus = Corpus.open(root)
    with pytest.raises(AudioFileError, match="differs from its SHA-256"):
        corpus.verify()


def test_a_corpus_with_nothing_for_the_rate_is_refused(tmp_path: Path) -> None:
    corpus = Corpus.open(corpus_with(tmp_path, SPEECH, NOISE))
    with pytest.raises(UsageError, match="has no speech for a set at 48000 Hz"):
        draw_clip(PUBLISHED[2], 1, 0, corpus=corpus)


def test_silent_speech_is_named(tmp_path: Path) -> None:
    corpus = Corpus.open(corpus_with(tmp_path, SPEECH, NOISE, audio=np.zeros(64_000)))
    with pytest.raises(AudioFileError, match=r"a\.wav: is silent"):
        draw_clip(PUBLISHED[0], 1, 0, corpus=corpus)


def test_speech_with_nan_is_refused_by_name(tmp_path: Path) -> None:
    corpus_with(tmp_path, SPEECH, NOISE)
    samples = np.full(64_000, np.nan, dtype=np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(AudioFileError, match="NaN"):
        draw_clip(PUBLISHED[0], 1, 0, corpus=Corpus.open(tmp_path))


def test_a_corpus_can_be_in_any_folder(tmp_path: Path, shipped: Corpus) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(shipped.root, copy)
    assert (
        draw_clip(PUBLISHED[0], 1, 0, corpus=Corpus.open(copy)).digest
        == draw_clip(PUBLISHED[0], 1, 0, corpus=shipped).digest
    )
