"""`pip install soundsright` from the wheels, outside a checkout: each command runs from an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import soundsright

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = """\
[[entry]]
miner = "gate"
model = "{models}/spectral-gate"
competition = "DENOISING_16000HZ"

[[entry]]
miner = "input"
model = "{models}/degraded"
competition = "DENOISING_16000HZ"

[[entry]]
miner = "absent"
model = "{models}/nsnet2"
competition = "DENOISING_16000HZ"
needs = ["no-such-package-anywhere"]
"""


def run(*words: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{words}\n{done.stdout[-2_000:]}\n{done.stderr[-2_000:]}"
    return done


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist and both wheels, built from this tree."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, ROOT / "scripts" / "build_wheels.py", folder, "--no-isolation", cwd=folder)
    return folder


@pytest.fixture(scope="session")
def bare(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has only the two wheels and, from this environment, the packages that they require.

    A whole install from the index takes minutes; the test of the metadata below sees that nothing is missing.
    """
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    site = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).stdout.strip()
    )
    run(sys.executable, ROOT / "scripts" / "copy_packages.py", site, *required(wheels), cwd=folder)
    built = sorted(wheels.glob("*.whl"))
    run(python, "-m", "pip", "install", "--no-index", "--no-deps", *built, cwd=folder)
    return folder / "bin"


def required(wheels: Path) -> list[str]:
    """The requirements of the main wheel and of its extra `demo`, from the wheel's metadata."""
    (wheel,) = wheels.glob("soundsright-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    packages = []
    for line in lines:
        if match := re.match(r"Requires-Dist: ([A-Za-z0-9._-]+)[^;]*(?:; extra == \"(\w+)\")?$", line):
            name, extra = match.groups()
            if extra in (None, "models") and not name.startswith("soundsright"):
                packages.append(name)
    return packages


def test_the_wheels_contain_the_program_the_template_and_the_recordings(wheels: Path) -> None:
    names: set[str] = set()
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            names |= set(archive.namelist())
    assert {
        "soundsright/py.typed",
        "soundsright/__init__.py",
        "soundsright/services/rounds/__init__.pyi",
        "soundsright/rulesets/published.toml",
        "soundsright/web/static/board.css",
        "soundsright_data/datasets/manifest.jsonl",
        "soundsright_data/models/demo.toml",
        "soundsright_data/models/template/.dockerignore",
    } <= names
    tracked = subprocess.run(["git", "ls-files", "datasets", "models"], cwd=ROOT, capture_output=True, text=True)
    assert {f"soundsright_data/{path}" for path in tracked.stdout.split()} <= names
    assert any(name.endswith("share/soundsright/template/Dockerfile") for name in names)
    assert not [
        name for name in names if name.endswith((".pyc", ".db")) or ("/tests/" in name and "template" not in name)
    ]


def test_an_index_would_accept_the_wheels(wheels: Path) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", *sorted(wheels.iterdir()), cwd=wheels)


def test_each_command_runs_from_an_empty_folder(bare: Path, tmp_path: Path) -> None:
    program = bare / "soundsright"
    assert run(program, "--version", cwd=tmp_path).stdout.startswith("soundsright")
    run(program, "init-model", "mine", cwd=tmp_path)
    assert (tmp_path / "mine" / "Dockerfile").is_file()
    run(program, "generate", "--n", "2", "--sample-rate", "16000", "--out", "set", cwd=tmp_path)
    scored = run(program, "score", "--clean", "set/clean", "--enhanced", "set/noisy", cwd=tmp_path)
    assert "PESQ_WB" in scored.stdout
    models = run(
        bare / "python", "-c", "import soundsright.core.shipped as s; print(s.models_folder())", cwd=tmp_path
    ).stdout.strip()
    assert models.startswith(str(bare.parent))
    (tmp_path / "entries.toml").write_text(ENTRIES.format(models=models))
    words = ("compete", "--clips", "2", "--entries", "entries.toml", "--out", "run", "--competition")
    ran = run(program, *words, "DENOISING_16000HZ", cwd=tmp_path)
    assert "gate/spectral-gate" in ran.stdout
    assert "Left out absent/nsnet2: no-such-package-anywhere is not installed." in ran.stderr
    run(program, "leaderboard", "build", "site", "--run", "run", cwd=tmp_path)
    assert (tmp_path / "site" / "index.html").is_file()


def test_without_the_recordings_one_line_says_how_to_get_them(bare: Path, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['soundsright_data'] = None; from soundsright.cli.main import main\n"
        "sys.argv = ['soundsright', 'generate', '--n', '1', '--out', 'x']; main()"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    words = [str(bare / "python"), "-c", program]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "pip install 'soundsright[demo]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_miner_needs_the_pinned_few_packages_of_the_whole() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    miner = [line for line in (ROOT / "requirements" / "miner.txt").read_text().splitlines() if line[:1].isalpha()]
    assert set(miner) <= set(project["dependencies"])
    chain = (ROOT / "requirements" / "miner-chain.txt").read_text().splitlines()
    assert set(project["optional-dependencies"]["chain"]) <= set(chain)


def test_both_wheels_have_one_version() -> None:
    data = tomllib.loads((ROOT / "packages" / "soundsright-data" / "pyproject.toml").read_text(encoding="utf-8"))
    assert data["project"]["version"] == soundsright.__version__
