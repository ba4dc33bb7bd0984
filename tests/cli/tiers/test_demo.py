"""`soundsright tiers demo` writes only to a folder of its own, and its ladder tells honest provers from others."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from soundsright.cli.commands.tiers import demo
from soundsright.cli.main import cli, run
from soundsright.core.shipped import models_folder
from soundsright.core.tiers_rules import tier_index
from soundsright.library import organiser_of

PLACE = r"[│|] *{name} *[│|] *\w+… *[│|] *(\w+) *[│|] *(\d+)/(\d+) *[│|] *([^│|]*?) *[│|]"


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert run(cli, ["tiers", "demo", "--out", str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_rules_and_models_of_the_demo_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(demo._RULES)
    organiser = organiser_of(str(path), begun=True)
    assert organiser.tiers is not None
    assert organiser.emission.paying == {"tiers": 1.0}
    assert organiser.tiers.min_attempts <= organiser.tiers.bank_clips
    models = [part.model for part in demo.PROVERS.values()]
    # Of two equal commitments, only the first one is asked.
    assert len(set(models)) == len(models) == 6
    assert all((models_folder() / model / "app").is_dir() for model in (*models, demo._BETTER))


def place(out: str, name: str) -> tuple[str, int, int, str]:
    """The tier, passes, attempts and failures of a prover in the printed ladder."""
    found = re.search(PLACE.format(name=name), out)
    assert found is not None, out
    tier, passes, attempts, failures = found.groups()
    return tier, int(passes), int(attempts), failures


def processes_of(folder: Path) -> list[str]:
    """The processes that work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if path.resolve(strict=True).is_relative_to(folder):
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.skipif(not os.environ.get("SOUNDSRIGHT_DEMO"), reason="`make demo-tiers-test` runs it")
def test_honest_provers_climb_and_the_others_do_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(cli, ["tiers", "demo", "--out", str(tmp_path / "demo")])
    out, err = capsys.readouterr()
    assert code == 0, err
    for name in ("honest", "threads"):
        tier, passes, attempts, _ = place(out, name)
        assert tier_index(tier) >= tier_index("Gold")
        assert passes == attempts
    assert re.search(r"better climbs from Bronze to Silver", out)
    assert re.search(r"better falls from \w+ to", out)
    for name in ("input", "proxy"):
        tier, passes, _, failures = place(out, name)
        assert (tier, passes) == ("Bronze", 0)
        assert set(re.findall("[a-z_]+", failures)) <= {"different", "gain"}
    assert re.search(r"(honest|threads) \(\w+\) answered in \d+ ms, verified", out)
    assert (tmp_path / "demo" / "after.wav").is_file()
    site = tmp_path / "demo" / "site" / "tiers"
    assert "Bronze" in (site / "index.html").read_text()
    assert list(site.glob("*/audio/*.flac"))
    assert processes_of(tmp_path) == []


@pytest.mark.skipif(not os.environ.get("SOUNDSRIGHT_DEMO"), reason="`make demo-tiers-test` runs it")
def test_ctrl_c_leaves_no_program_behind(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "soundsright", "tiers", "demo", "--out", str(tmp_path / "demo")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout as output:
        next(line for line in output if b"interval 1 of" in line)
        _check_ctrl_c(process, tmp_path)


def _check_ctrl_c(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert processes_of(tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    deadline_s = time.monotonic() + 10
    while processes_of(tmp_path) and time.monotonic() < deadline_s:
        time.sleep(0.2)
    assert processes_of(tmp_path) == []
