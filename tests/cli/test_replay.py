"""`soundsright replay`: its exit codes, what it prints, and the attestation that it signs."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from soundsright.adapters.peers import Hotkey, new_hotkey, valid_signature
from soundsright.cli.commands.replay import command
from soundsright.core.errors import BundleRefused, UsageError
from soundsright.services.records import open_document
from soundsright.services.replay import REPLAY
from tests.services.replay.bundled import Bundled
from tests.services.replay.test_depths import with_one_score
from tests.services.rounds.subnet import COMPETITION

BLOCK = "0x" + "5d" * 32


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Bundled:
    return Bundled(tmp_path_factory.mktemp("world") / "round")


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


def test_a_sample_is_scored_and_kept_and_the_block_is_printed(honest: str, tmp_path: Path) -> None:
    checked = tmp_path / "checked.jsonl"
    sampling = ("--sample", "2", "--block-hash", BLOCK, "--workers", "1")
    code, result = replay(honest, "--score", *sampling, "--checked", str(checked))
    assert code == 0
    assert "Checked    2 scores computed again" in result.output
    assert f"Sample     2 results, drawn by the block hash {BLOCK}. The signer could not" in result.output
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
