"""Errors from workers keep their messages and values."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from soundsright.adapters.machine.pool import ProcessPool
from soundsright.core import errors
from soundsright.data.corpora import Corpus

EXAMPLES = [
    errors.UsageError("Rate 7 is odd", "Choose another."),
    errors.AudioFileError("a.wav", "is empty"),
    errors.SilentRecording("a.wav", "is silent"),
    errors.ModelCrashed("ended", 3),
    errors.ModelTimeout("enhance", 2.0),
    errors.AudioRejected("000001", "length", "3 samples, 4 expected"),
    errors.EntryRefused("banned", "It is banned", {"until": "9"}),
    errors.HubUnavailable("It is down", "Wait."),
    errors.WorkerDied("job ended its process"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: type(e).__name__)
def test_a_pickled_error_keeps_its_values(error: errors.SoundsRightError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.__dict__ == error.__dict__


def test_a_missing_recording_found_by_a_worker_reaches_the_caller() -> None:
    pool = ProcessPool(1)
    try:
        with pytest.raises(errors.UsageError, match="/no/such/corpus"):
            pool.submit(Corpus.open, Path("/no/such/corpus")).result(timeout=60)
    finally:
        pool.close()
