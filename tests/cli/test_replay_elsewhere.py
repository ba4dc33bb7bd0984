"""`soundsright replay` needs nothing but the bundle: another process with an empty home and folder agrees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import soundsright
from tests.services.replay.bundled import Bundled
from tests.services.replay.test_depths import with_one_score

PACKAGE_ROOT = str(Path(soundsright.__file__).parents[1])


def replayed_by_a_stranger(bundle: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """The replay of a copy of the bundle, in a process that has no state and no settings."""
    home, work = folder / "home", folder / "work"
    home.mkdir(parents=True)
    work.mkdir()
    shutil.copy(bundle, work / "round.zip")
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": PACKAGE_ROOT}
    arguments = ("replay", "round.zip", "--unsigned-ok", "--score", "--workers", "1")
    result = subprocess.run(
        [sys.executable, "-m", "soundsright", *arguments],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert [each.name for each in work.iterdir()] == ["round.zip"], "a replay writes nothing that was not asked for"
    return result


def test_a_stranger_with_the_bundle_alone_finds_the_same_or_names_the_lie(tmp_path: Path) -> None:
    world = Bundled(tmp_path / "round")
    bundles = {"honest": world.bundle("honest"), "lie": world.bundle("lie", scores=with_one_score)}
    kept = {name: Path(shutil.move(path, tmp_path / f"{name}.zip")) for name, path in bundles.items()}
    shutil.rmtree(tmp_path / "round")
    honest = replayed_by_a_stranger(kept["honest"], tmp_path / "a")
    assert (honest.returncode, honest.stdout.splitlines()[-1]) == (
        0,
        "Same       Nothing that was checked differs.",
    )
    assert "Unchecked" not in honest.stdout
    lie = replayed_by_a_stranger(kept["lie"], tmp_path / "b")
    assert (lie.returncode, lie.stdout.splitlines()[-1][:9]) == (3, "Different")
