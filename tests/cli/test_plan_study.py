"""`soundsright plan-study`: the answer, its table, JSON and plot, and bad input in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

import soundsright
from soundsright.cli.commands.plan_study import command
from soundsright.cli.main import main
from soundsright.core.errors import UsageError

BASE = ["--metric", "PESQ_WB", "--effect", "0.05"]


def test_the_answer_names_clips_and_noises_and_what_it_assumes() -> None:
    plan = soundsright.plan_study("PESQ_WB", 0.05)
    assert plan.typical is not None
    assert plan.cautious is not None
    assert plan.typical.power >= 0.9
    assert plan.cautious.clips > plan.typical.clips
    printed = CliRunner().invoke(command, BASE)
    assert printed.exit_code == 0
    assert f"You need at least {plan.typical.clips} clips with " in printed.output
    assert "to find a difference of 0.05 MOS-LQO with a probability of 90%." in printed.output
    assert "Assumed: a two-sided test at 0.05 for new material" in printed.output
    assert "benchmarks/variance_components.py" in printed.output


def test_json_has_the_plan_and_the_plot_has_a_line_per_number_of_noises(tmp_path: Path) -> None:
    drawing = tmp_path / "power.svg"
    printed = CliRunner().invoke(command, [*BASE, "--json", "-", "--plot", str(drawing)])
    fields = json.loads(printed.stdout)
    assert fields["typical"]["clips"] == soundsright.plan_study("PESQ_WB", 0.05).typical.clips  # type: ignore[union-attr]
    assert fields["components"]["typical"]["factors"].keys() >= {"noise", "prompt"}
    assert all(0 <= cell["power"] <= 1 for cell in fields["table"])
    root = ElementTree.fromstring(drawing.read_text(encoding="utf-8"))
    lines = [each for each in root.iter() if each.get("class") == "line"]
    assert len(lines) == min(4, len({cell["groups"] for cell in fields["table"]}))


def test_too_few_noises_are_named_with_the_power_that_they_allow() -> None:
    printed = CliRunner().invoke(command, ["--metric", "PESQ_WB", "--effect", "0.02", "--noises", "10"])
    assert printed.exit_code == 0
    assert "No number of clips with 10 noises is enough" in printed.output
    assert "Add noises, or plan for a larger difference." in printed.output


def test_a_smaller_effect_more_power_and_a_stricter_level_need_more_clips() -> None:
    def clips(effect: float, **settings: float) -> int:
        need = soundsright.plan_study("ESTOI", effect, **settings).typical  # type: ignore[arg-type]
        assert need is not None
        return need.clips

    assert clips(0.005) > clips(0.01) > clips(0.02)
    assert clips(0.01, power=0.95) > clips(0.01) > clips(0.01, power=0.8)
    assert clips(0.01, alpha=0.01) > clips(0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--metric", "NOPE", "--effect", "0.1"], "NOPE"),
        (["--metric", "PESQ_WB", "--effect", "0"], "An effect of 0 cannot be planned for"),
        (["--metric", "PESQ_WB", "--effect", "-1"], "An effect of -1 cannot be planned for"),
        (["--metric", "PESQ_WB", "--effect", "nan"], "An effect of nan cannot be planned for"),
        ([*BASE, "--power", "0.5"], "A power of 0.5 is not between 0.5 and 1"),
        ([*BASE, "--power", "1"], "A power of 1 is not between 0.5 and 1"),
        ([*BASE, "--power", "nan"], "A power of nan"),
        ([*BASE, "--alpha", "0"], "A level of 0"),
        ([*BASE, "--noises", "2"], "2 noises cannot be planned for"),
        ([*BASE, "--noise-cost", "nan"], "A noise cannot cost nan clips"),
        (["--metric", "CSIG", "--effect", "0.1"], "SoundsRight has no variance components of CSIG"),
        ([*BASE, "--competition", "DENOISING_8000HZ"], "Unknown competition 'DENOISING_8000HZ'"),
        ([*BASE, "--competition", "DENOISING_48000HZ"], "no variance components of PESQ_WB for DENOISING_48000HZ"),
        ([*BASE, "--run", "nowhere"], "nowhere"),
        ([*BASE, "--plot", "power.gif"], "power.gif"),
    ],
)
def test_bad_input_gets_one_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["soundsright", "plan-study", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert "Traceback" not in printed


def test_reports_and_their_manifest_belong_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="belong together"):
        soundsright.plan_study("ESTOI", 0.01, reports=["a.json", "b.json"])
    with pytest.raises(UsageError, match="not from both"):
        soundsright.plan_study("ESTOI", 0.01, run=tmp_path, reports=["a.json", "b.json"], manifest=tmp_path)
