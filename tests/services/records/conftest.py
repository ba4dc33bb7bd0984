"""Fixtures of the tests of bundles."""

from pathlib import Path

import pytest

from soundsright.services.records import write_bundle
from tests.services.records.bundles import SIGNER, RecordedRun, recorded_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RecordedRun:
    """A finished round whose record `SIGNER` signed."""
    return recorded_run(tmp_path_factory.mktemp("round"), SIGNER)


@pytest.fixture(scope="module")
def whole(run: RecordedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of that round with audio, as a folder."""
    out = tmp_path_factory.mktemp("bundle") / "whole"
    write_bundle(run.folder, out)
    return out
