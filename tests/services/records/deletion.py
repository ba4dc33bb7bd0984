"""A run in which an entry deletes a part of real speech, so that its output looks hallucinated."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from soundsright.core.audio import Audio
from soundsright.data.corpora import Corpus
from soundsright.services.records.runs import read_run
from soundsright.services.rounds import write_wav
from tests.services.records.runs import write_run

COMPETITION, CLIP, ENTRY = "DENOISING_16000HZ", "000000", "1-alpine"
DELETED_S = (1.0, 1.4)


def write_deletion(folder: Path) -> Path:
    """A finished run of two clips. The first one is real speech, and the best entry deletes 0.4 s of it."""
    competition = read_run(write_run(folder, clips=2), "first").competition(COMPETITION)
    assert competition
    speech = Corpus.open().speech_for(16_000)
    clean = next(speech.samples(i, 16_000) for i in range(len(speech)) if speech.duration_s(i) > 3.0)
    noise = np.random.default_rng(1).standard_normal(len(clean)).astype(np.float32)
    degraded = clean + np.float32(0.003) * noise
    times = np.arange(len(clean)) / 16_000
    output = np.where((times >= DELETED_S[0]) & (times < DELETED_S[1]), np.float32(0.0), degraded)
    for name, samples in (("clean", clean), ("degraded", degraded), (ENTRY, output)):
        path = competition.signal(name, CLIP)
        assert path
        write_wav(path, Audio(samples.astype(np.float32), 16_000))
    return folder
