"""Errors from workers keep their messages and values."""

from __future__ import annotations

import importlib
import pickle
import queue
import re
from pathlib import Path

import pytest

from soundsright.adapters.machine.pool import ProcessPool
from soundsright.core import errors
from soundsright.core.errors import FaultClass, fault_class, fault_class_of_status
from soundsright.data.corpora import Corpus
from tests.layers import modules

EXAMPLES = [
    errors.UsageError("Rate 7 is odd", "Choose another."),
    errors.AudioFileError("a.wav", "is empty"),
    errors.SilentRecording("a.wav", "is silent"),
    errors.BundleRefused("round.json was changed"),
    errors.LogRefused("the log was rewritten"),
    errors.ModelCrashed("ended", 3),
    errors.ImageNotPulled("its registry is away", passing=True),
    errors.ModelTimeout("enhance", 2.0),
    errors.AudioRejected("000001", "length", "3 samples, 4 expected"),
    errors.EntryRefused("banned", "It is banned", {"until": "9"}),
    errors.HubUnavailable("It is down", "Wait."),
    errors.WorkerDied("job ended its process"),
    errors.BucketMissing("a: there is no such object"),
    errors.BucketUnavailable("It is away", own=True, status=429),
    errors.BucketForbidden("It is refused", own=True),
]

CLASSES = {
    "SoundsRightError": FaultClass.LOCAL,
    "UsageError": FaultClass.LOCAL,
    "BundleRefused": FaultClass.LOCAL,
    "LogRefused": FaultClass.LOCAL,
    "OtherColdkey": FaultClass.LOCAL,
    "AudioFileError": FaultClass.LOCAL,
    "SilentRecording": FaultClass.LOCAL,
    "UnpublishableFolder": FaultClass.LOCAL,
    "PortTaken": FaultClass.LOCAL,
    "ModelFault": FaultClass.PERMANENT,
    "ModelCrashed": FaultClass.PERMANENT,
    "ImageNotPulled": FaultClass.PERMANENT,
    "ModelTimeout": FaultClass.PERMANENT,
    "ProtocolViolation": FaultClass.PERMANENT,
    "AudioRejected": FaultClass.PERMANENT,
    "Unscorable": FaultClass.PERMANENT,
    "EntryRefused": FaultClass.PERMANENT,
    "RequestRefused": FaultClass.PERMANENT,
    "CoolingDown": FaultClass.PERMANENT,
    "RecordConflict": FaultClass.PERMANENT,
    "BalanceTooLow": FaultClass.PERMANENT,
    "BucketRefusal": FaultClass.PERMANENT,
    "BucketMissing": FaultClass.PERMANENT,
    "BucketExists": FaultClass.PERMANENT,
    "BucketTooLarge": FaultClass.PERMANENT,
    "BucketForbidden": FaultClass.PERMANENT,
    "HubUnavailable": FaultClass.TRANSIENT,
    "RegistryUnavailable": FaultClass.TRANSIENT,
    "PeerUnavailable": FaultClass.TRANSIENT,
    "ChainUnavailable": FaultClass.TRANSIENT,
    "HistoryGone": FaultClass.TRANSIENT,
    "BucketUnavailable": FaultClass.TRANSIENT,
    "InfrastructureFault": FaultClass.LOCAL,
    "EngineUnavailable": FaultClass.LOCAL,
    "StateUnavailable": FaultClass.LOCAL,
    "BucketUnsuitable": FaultClass.LOCAL,
    "WorkerDied": FaultClass.LOCAL,
    "JobTimeout": FaultClass.LOCAL,
    "EntryStuck": FaultClass.LOCAL,
    "ProgramFault": FaultClass.LOCAL,
    "Cancelled": FaultClass.LOCAL,
    "Violation": FaultClass.LOCAL,
}
"""The class of every error of the package. Who adds an error decides its class here."""


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


def error_classes() -> dict[str, str]:
    """Every subclass of `SoundsRightError` in the package's source, with its module."""
    classes = [
        (name, set(re.findall(r"\w+", bases)), module)
        for module, path in modules().items()
        for name, bases in re.findall(r"^ *class (\w+)\(([^)]*)\)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    known = {"SoundsRightError": "core.errors"}
    while more := {name: module for name, bases, module in classes if bases & set(known) and name not in known}:
        known |= more
    return known


def test_every_error_of_the_package_has_a_class() -> None:
    found = error_classes()
    assert set(found) == set(CLASSES), "decide the class of each new error in CLASSES above"
    kinds = [getattr(importlib.import_module(f"soundsright.{module}"), name) for name, module in found.items()]
    for kind in kinds:
        error = kind.__new__(kind)
        for name, value in (("own", False), ("status", 403)):
            error.__dict__[name] = value
        assert fault_class(error) is CLASSES[kind.__name__], kind


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.RequestRefused("busy", "Later", status=429), FaultClass.BUSY),
        (errors.RequestRefused("broken", "Sorry", status=503), FaultClass.TRANSIENT),
        (errors.RequestRefused("unsigned", "No", status=401), FaultClass.PERMANENT),
        (errors.BucketUnavailable("x", status=429), FaultClass.BUSY),
        (errors.BucketUnavailable("x", status=404), FaultClass.TRANSIENT),
        (errors.BucketUnavailable("x", status=429, own=True), FaultClass.LOCAL),
        (errors.BucketForbidden("x", own=True), FaultClass.LOCAL),
        (errors.ImageNotPulled("away", passing=True), FaultClass.TRANSIENT),
        (queue.Full(), FaultClass.BUSY),
        (OSError(28, "No space left on device"), FaultClass.LOCAL),
        (MemoryError(), FaultClass.LOCAL),
        (KeyError("nobody foresaw this"), FaultClass.LOCAL),
    ],
)
def test_the_class_of_an_error_follows_from_who_is_to_blame(error: Exception, expected: FaultClass) -> None:
    assert fault_class(error) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (301, FaultClass.PERMANENT),
        (400, FaultClass.PERMANENT),
        (404, FaultClass.PERMANENT),
        (408, FaultClass.TRANSIENT),
        (409, FaultClass.TRANSIENT),
        (425, FaultClass.TRANSIENT),
        (429, FaultClass.BUSY),
        (500, FaultClass.TRANSIENT),
        (503, FaultClass.TRANSIENT),
    ],
)
def test_the_class_of_a_status(status: int, expected: FaultClass) -> None:
    assert fault_class_of_status(status) is expected
