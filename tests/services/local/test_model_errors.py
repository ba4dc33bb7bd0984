"""The words of a model's own error, and the package that its server lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.services.local.model_errors import missing_server_package, model_error

TRACEBACK = """INFO: started
Traceback (most recent call last):
  File "/tmp/x/app/server.py", line 80, in load_model
    from . import enhance as model
  File "/tmp/x/app/enhance.py", line 24
    def enhance(
               ^
SyntaxError: '(' was never closed
"""


def test_the_error_of_a_model_names_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "enhance.py").touch()
    assert model_error(TRACEBACK, tmp_path) == "app/enhance.py, line 24: SyntaxError: '(' was never closed"
    assert model_error("killed", tmp_path) == ""


@pytest.mark.parametrize(
    ("log", "package"),
    [
        ("ModuleNotFoundError: No module named 'fastapi'", "fastapi"),
        ('RuntimeError: Form data requires "python-multipart" to be installed. \nYou can', "python-multipart"),
        ("ModuleNotFoundError: No module named 'torch'", None),
        ("ModuleNotFoundError: No module named 'fastapi'\nValueError: no weights", None),
    ],
)
def test_a_missing_package_of_the_server_is_recognised(log: str, package: str | None) -> None:
    assert missing_server_package(log) == package
