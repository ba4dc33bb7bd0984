"""`soundsright federation demo` writes only to a folder of its own, and all validators agree in spite of a liar."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from soundsright.cli.commands.federation import demo
from soundsright.cli.main import cli, run
from soundsright.cli.shared.demos import started_chain
from soundsright.cli.shared.programs import Programs
from soundsright.core.shipped import models_folder
from soundsright.library import organiser_of
from soundsright.services.records import read_federation_table


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert run(cli, ["federation", "demo", "--out", str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_rules_and_models_of_the_demo_can_be_used(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(demo._RULES)
    federation = organiser_of(str(rules), begun=True).federation
    assert federation is not None
    assert federation.epoch_blocks >= 3 * federation.interval_blocks
    assert all((models_folder() / model).is_dir() for model in demo.MINERS.values())


def test_all_keys_are_registered_before_a_program_uses_them(tmp_path: Path) -> None:
    with Programs(tmp_path, {}) as programs:
        chain = started_chain(tmp_path, programs, ["judge"], ["entrant"], block_s=60.0)
        assert {programs.address("judge"), programs.address("entrant")} <= {n.hotkey for n in chain.neurons()}


def test_a_killed_program_is_not_missed(tmp_path: Path) -> None:
    with Programs(tmp_path, {}) as programs:
        programs.start("chain", ["chain", "serve", "--port", "0"])
        programs.kill("chain")
        assert programs.wait(lambda: True, "nothing", timeout_s=1.0)
        programs.start("other", ["--version"])
        programs.kill("other")


@pytest.mark.skipif(not os.environ.get("SOUNDSRIGHT_DEMO"), reason="`make demo-federation-test` runs it")
def test_five_validators_agree_although_one_lies_and_one_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(cli, ["federation", "demo", "--out", str(tmp_path / "demo")])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert re.search(r"block \d+: \w+ is killed in its turn", out)
    assert "All validators that live set the same weights." in out
    assert len(re.findall(r"^weights of \w+: ", out, re.M)) == len(demo.VALIDATORS) - 1
    table = read_federation_table(tmp_path / "demo" / "table")
    (winner,) = table.winners.values()
    assert table.name(winner) not in (demo.FRIEND,)
    assert {turn.state.value for turn in table.turns} >= {"on time", "backup", "missing"}
    assert list((tmp_path / "demo" / "site" / "federation" / "audio").rglob("*.flac"))
