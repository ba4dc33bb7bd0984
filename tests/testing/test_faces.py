"""The folders of `soundsright.testing` give every name that their faces list, and load it when it is used."""

import importlib
import subprocess
import sys

import pytest

FOLDERS = ("attacks", "fakechain", "hub", "simulation")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_face_gives_every_name_it_lists(folder: str) -> None:
    face = importlib.import_module(f"soundsright.testing.{folder}")
    assert face.__all__
    for name in face.__all__:
        assert getattr(face, name) is not None


def test_the_fakes_do_not_load_the_servers() -> None:
    code = "import sys, soundsright.testing.fakechain; sys.exit('bittensor_core' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
