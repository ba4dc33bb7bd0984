"""`soundsright replay`: its exit codes, what it prints, and the attestation that it signs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from soundsright.adapters.peers import Hotkey, new_hotkey, valid_signature
from soundsright.cli.commands import replay as replay_command
from soundsright.cli.commands.replay import command
from soundsright.cli.main import cli, run
from soundsright.cli.shared import replaying
from soundsright.core.errors import BundleRefused, InfrastructureFault, UsageError
from soundsright.core.folder_lock import locked
from soundsright.services.records import open_bundle, open_document
from soundsright.services.replay import REPLAY, pairs_of
from soundsright.services.replay.scoring import score_stored
from soundsright.testing import InlinePool
from tests.services.replay.bundled import CLIPS, MODELS, Bundled, FunctionModels
from tests.services.replay.test_depths import with_one_score, without_audio
from tests.services.replay.test_resuming import Counted
from tests.services.rounds.subnet import COMPETITION

BLOCK = "0x" + "5d" * 32


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Bundled:
    return Bundled(tmp_path_factory.mktemp("world") / "round")


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_FOLDER", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def honest(world: Bundled) -> str:
    return str(world.bundle("honest"))


def replay(*arguments: str) -> tuple[int, Result]:
    """The exit code of the command, and what it printed."""
    result = CliRunner().invoke(command, [*arguments, "--unsigned-ok"], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result


def signing(folder: Path, out: Path) -> tuple[str, ...]:
    """Options that sign an attestation with a new key."""
    wallets = folder / "wallets"
    new_hotkey().write(wallets / "stranger" / "hotkeys" / "default")
    return "--sign", str(out), "--wallet-path", str(wallets), "--wallet", "stranger"


def test_an_honest_round_ends_with_0_and_a_lie_with_3(world: Bundled, honest: str) -> None:
    code, result = replay(honest)
    assert code == 0
    assert result.output.splitlines()[-2:] == [
        "Unchecked  near_copies, flags: They rest on the record. --score computes them from the audio.",
        "Same       Nothing that was checked differs.",
    ]
    code, result = replay(str(world.bundle("lie", scores=with_one_score)))
    assert code == 3
    assert result.output.splitlines()[-1].startswith("Different  ")


def test_a_depth_at_which_nothing_could_be_checked_is_not_called_the_same(world: Bundled, tmp_path: Path) -> None:
    silent = str(world.bundle("silent", audio=False))
    out = tmp_path / "attestation.json"
    code, result = replay(silent, "--score", "--workers", "1", *signing(tmp_path, out))
    assert code == 1
    assert result.output.splitlines()[-2] == "Unchecked  Nothing of this depth could be checked."
    assert "Same" not in result.output
    assert open_document(REPLAY, out.read_bytes(), valid_signature=valid_signature).facts["same"] is None


def test_a_round_without_the_audio_of_one_result_is_not_called_the_same(
    world: Bundled, honest: str, tmp_path: Path
) -> None:
    with open_bundle(Path(honest)) as bundle:
        gone = next(str(pair.answer) for pair in pairs_of(bundle) if pair.line.entry == "bob")
    part = str(without_audio(Path(honest), tmp_path / "part.zip", gone))
    out = tmp_path / "attestation.json"
    code, result = replay(part, "--score", "--workers", "1", *signing(tmp_path, out))
    assert code == 1
    assert "Unchecked  Nothing that was checked differs, but not all of this depth" in result.output
    assert "Same" not in result.output
    assert open_document(REPLAY, out.read_bytes(), valid_signature=valid_signature).facts["same"] is None
    sampling = ("--sample", "100", "--block-hash", BLOCK)
    assert replay(part, "--score", "--workers", "1", *sampling)[0] == 1


def test_an_attestation_that_cannot_be_written_is_refused_before_the_work(honest: str, tmp_path: Path) -> None:
    out = tmp_path / "missing" / "attestation.json"
    with pytest.raises(UsageError, match="cannot be written"):
        replay(honest, "--score", "--workers", "1", *signing(tmp_path, out))
    assert not (tmp_path / "state" / "replays").exists()


def test_the_work_is_kept_until_the_attestation_is_written(
    honest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise InfrastructureFault("The disk is full", "Try again.")

    monkeypatch.setattr(replay_command, "_write_attestation", full)
    with pytest.raises(InfrastructureFault, match="disk is full"):
        replay(honest, "--score", "--workers", "1", *signing(tmp_path, tmp_path / "attestation.json"))
    (kept,) = (tmp_path / "state" / "replays").glob("*/kept.jsonl")
    assert kept.read_text().count('"kind":"score"') == (len(MODELS) + 1) * CLIPS


def test_a_sample_is_scored_and_kept_and_the_block_is_printed(honest: str, tmp_path: Path) -> None:
    checked = tmp_path / "checked.jsonl"
    sampling = ("--sample", "2", "--block-hash", BLOCK, "--workers", "1")
    code, result = replay(honest, "--score", *sampling, "--checked", str(checked))
    assert code == 0
    assert "Checked    2 scores computed again" in result.output
    assert f"Sample     2 results, drawn by the block with the hash {BLOCK}. The signer could not" in result.output
    assert len(checked.read_text().splitlines()) == 3
    with pytest.raises(UsageError, match="exists"):
        replay(honest, "--score", "--checked", str(checked))
    assert replay(honest, "--score", *sampling, "--checked", str(checked), "--resume")[0] == 0


def test_near_copies_and_flags_of_all_audio_are_computed_again(honest: str) -> None:
    code, result = replay(honest, "--score", "--workers", "1")
    assert (code, "Unchecked" in result.output) == (0, False)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--sample", "3"), "--sample needs --score or --run"),
        (("--checked", "x.jsonl"), "--checked needs --score or --run"),
        (("--score", "--sample", "3"), "belong"),
        (("--score", "--block-hash", BLOCK), "belong"),
        (("--score", "--network", "http://127.0.0.1:9"), "belong"),
        (("--score", "--sample", "3", "--block-hash", BLOCK, "--network", "http://127.0.0.1:9"), "belong"),
        (("--score", "--resume"), "--resume needs --checked"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(
    honest: str, options: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(UsageError, match=problem) as refused:
        replay(honest, *options)
    assert not isinstance(refused.value, BundleRefused)


def test_an_unsigned_bundle_and_another_signer_are_refused(honest: str) -> None:
    with pytest.raises(BundleRefused, match="not signed"):
        CliRunner().invoke(command, [honest], standalone_mode=False, catch_exceptions=False)
    with pytest.raises(BundleRefused, match="not signed"):
        replay(honest, "--signer", Hotkey.of_seed("vera").address)
    with pytest.raises(UsageError, match="'5Nope' is not the address of a hotkey"):
        replay(honest, "--signer", "5Nope")


def test_the_attestation_of_a_lie_names_the_difference(world: Bundled, tmp_path: Path) -> None:
    out = tmp_path / "attestation.json"
    path = str(world.bundle("lie", scores=with_one_score))
    code, result = replay(path, *signing(tmp_path, out))
    opened = open_document(REPLAY, out.read_bytes(), valid_signature=valid_signature)
    assert (code, str(opened.signer) in result.output) == (3, True)
    assert opened.signer == Hotkey.read(tmp_path / "wallets/stranger/hotkeys/default").address
    assert (opened.facts["depth"], opened.facts["same"]) == ("decide", False)
    assert opened.facts["difference"]["competition"] == COMPETITION.id


def test_a_replay_says_how_deep_it_looked_and_what_a_deeper_one_adds(honest: str) -> None:
    lines = replay(honest)[1].output.splitlines()
    assert "Depth      decisions and weights, from the recorded scores. The audio was not looked at." in lines
    (deeper,) = [line for line in lines if line.startswith("Deeper")]
    assert "--score computes the scores from the audio. --run also runs the models" in deeper
    lines = replay(honest, "--score", "--workers", "1")[1].output.splitlines()
    assert "No model was run." in lines[2]
    assert lines[3] == "Deeper     --run also fetches the models and runs them on the redrawn sets."


class Stops:
    """Scores results until Ctrl-C comes at one of them, and counts."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.scored = 0

    def __call__(self, *arguments: Any) -> dict[str, float]:
        if self.scored == self.at:
            raise KeyboardInterrupt
        self.scored += 1
        return score_stored(*arguments)


def stoppable(monkeypatch: pytest.MonkeyPatch, at: int) -> Stops:
    stops = Stops(at)
    monkeypatch.setattr(
        "soundsright.adapters.machine.ProcessPool", lambda *_a, **_k: InlinePool({score_stored: stops})
    )
    return stops


def test_scoring_continues_after_ctrl_c_with_the_same_command(
    honest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["replay", honest, "--unsigned-ok", "--score", "--state-folder", str(tmp_path / "state")]
    stoppable(monkeypatch, 3)
    monkeypatch.setattr("soundsright.services.replay.scoring._AT_ONCE", 1)
    assert run(cli, arguments) == 130
    (folder,) = (tmp_path / "state" / "replays").iterdir()
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"Stopped. What was computed is kept in {folder}. To continue, run the same command again."
    )
    rest = stoppable(monkeypatch, 99)
    assert run(cli, arguments) == 0
    total = (len(MODELS) + 1) * CLIPS
    assert f"Checked    {total} scores computed again" in capsys.readouterr().out
    assert rest.scored == total - 3
    assert not folder.exists()
    with_all = stoppable(monkeypatch, 99)
    assert run(cli, arguments) == 0
    assert with_all.scored == total, "a replay that ended leaves nothing for the next one"


def test_running_continues_after_ctrl_c_with_the_same_command(
    world: Bundled, honest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["replay", honest, "--unsigned-ok", "--run", "--work", str(tmp_path / "work")]
    stoppable(monkeypatch, 99)
    stopped, rest = Counted(stop_at=CLIPS + 2), Counted()
    for models, code in ((stopped, 130), (rest, 0)):
        parts = replaying._Models(world.subnet.hub, FunctionModels(models.models))
        monkeypatch.setattr(replaying, "_models", lambda *_a, parts=parts: parts)
        assert run(cli, arguments) == code
    said = capsys.readouterr()
    assert f"What was computed is kept in {tmp_path / 'work'}. To continue" in said.err
    assert f"Checked    {len(MODELS) * CLIPS} answers given again" in said.out
    assert rest.calls.total() == len(MODELS) * CLIPS - (CLIPS + 1)
    assert not (tmp_path / "work" / "kept.jsonl").exists()


def test_two_replays_do_not_share_a_folder(
    honest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stoppable(monkeypatch, 99)
    with locked(tmp_path):
        assert run(cli, ["replay", honest, "--unsigned-ok", "--score", "--work", str(tmp_path)]) == 2
    assert "Another process is changing" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_work_of_another_user_is_not_believed(honest: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    work.chmod(0o777)
    with pytest.raises(UsageError, match="everybody may write it"):
        replay(honest, "--score", "--workers", "1", "--work", str(work))
