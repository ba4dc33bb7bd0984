"""The programs that need torch say so in one line if it is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MESSAGE = "Error: torch is not installed. Install the build for your machine, then run pip install -e '.[train]'.\n"


@pytest.mark.parametrize("program", ["train", "export", "place"])
def test_a_program_without_torch_ends_with_one_line(program: str, tmp_path: Path) -> None:
    missing = "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"
    (tmp_path / "torch.py").write_text(missing, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", f"examples.finetune.{program}", "--help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", MESSAGE)
