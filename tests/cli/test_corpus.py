"""`soundsright corpus` as a user runs it: on speech of espeak-ng, and on real recordings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from soundsright.adapters.peers import Hotkey
from soundsright.cli.commands.corpus import command
from soundsright.cli.main import run as run_command
from soundsright.core.shipped import datasets_folder
from soundsright.corpus import PrivateCorpus
from soundsright.data import Corpus

ORIGIN = ("--licence", "CC-BY-SA-3.0", "--source", "shipped with SoundsRight", "--allow-public")
needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def failed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of a misuse."""
    assert isinstance(command, click.Command)
    assert run_command(command, [str(a) for a in arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a private corpus `private` of shipped recordings: 20 of speech, 10 of noise."""
    home = tmp_path_factory.mktemp("real")
    for kind, source, count in (("speech", "speech/16k", 20), ("noise", "noise", 10)):
        (home / kind).mkdir()
        for path in sorted((datasets_folder() / source).glob("*.flac"))[:count]:
            shutil.copy2(path, home / kind)
    folders = ("--speech", home / "speech", "--noise", home / "noise")
    run("build", home / "private", *folders, *ORIGIN, "--uses", 3, "--fresh", 4)
    return home


def test_status_counts_the_recordings_of_a_round(real: Path) -> None:
    facts = json.loads(run("status", real / "private", "--round", 1, "--json").output)
    assert facts["recordings"]["speech"] == {"fresh": 4, "used before": 8, "not used yet": 4, "retired": 4}
    assert facts["rounds_left"] == 2
    assert "corpus add" in facts["next_steps"][0]
    assert facts["root"] in run("status", real / "private").output


def test_the_life_of_a_recording_is_shown_and_a_retired_one_refused(
    real: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = PrivateCorpus.open(real / "private", real / "private.key")
    retired = next(iter({r.id for r in corpus.at(0).speech} - corpus.living(1)))
    assert "is used in rounds 0 to 0" in run("status", real / "private", "--recording", retired).output
    asked = ("status", real / "private", "--recording", retired, "--round")
    assert f"{retired} retired after round 0; this is round 2" in failed(capsys, *asked, 2)
    assert "has no recording 'x'" in failed(capsys, "status", real / "private", "--recording", "x")


def test_recordings_retire_are_published_and_anyone_can_check_them(real: Path, tmp_path: Path) -> None:
    shutil.copytree(real / "private", tmp_path / "private")
    shutil.copy2(real / "private.key", tmp_path / "private.key")
    out = tmp_path / "retired"
    root = json.loads(run("status", tmp_path / "private", "--json").output)["root"]
    run("publish", tmp_path / "private", "--through", 1, "--out", out, "--yes")
    assert len(Corpus.open(out).speech) == 8
    assert "12 recordings checked, none wrong" in run("verify", out, "--root", root).output
    assert "30 recordings checked, none wrong" in run("verify", tmp_path / "private").output
    path = next((out / "speech").glob("*.flac"))
    path.write_bytes(path.read_bytes()[:-1] + b"\x00\x01")
    result = CliRunner().invoke(command, ["verify", str(out)])
    assert result.exit_code == 1
    assert f"{path}: differs from the SHA-256" in result.output


def test_a_question_protects_from_publishing_too_early(real: Path, tmp_path: Path) -> None:
    arguments = ["publish", str(real / "private"), "--through", "1", "--out", str(tmp_path / "retired")]
    result = CliRunner().invoke(command, arguments, input="n\n")
    assert result.exit_code == 1
    assert not (tmp_path / "retired").exists()


def test_another_validator_gets_the_corpus(real: Path, tmp_path: Path) -> None:
    wallets = tmp_path / "wallets"
    Hotkey.of_seed("bob").write(wallets / "bob" / "hotkeys" / "default")
    wallet = ("--wallet", "bob", "--wallet-path", wallets)
    card = tmp_path / "card.json"
    card.write_text(run("key-card", "--secret", tmp_path / "bob.secret", *wallet).output)
    address = Hotkey.of_seed("bob").address
    run("export", real / "private", "--for", address, "--card", card, "--out", tmp_path / "bob.zip")
    theirs = json.loads(run("status", real / "private", "--round", 2, "--json").output)
    secret, root = ("--secret", tmp_path / "bob.secret"), ("--root", theirs["root"])
    run("import", tmp_path / "bob.zip", "--out", tmp_path / "mine", *secret, *root)
    mine = json.loads(run("status", tmp_path / "mine", "--round", 2, "--json").output)
    assert mine | {"next_steps": []} == theirs | {"next_steps": []}


@needs_espeak
def test_a_corpus_of_new_speech_is_built_and_grows(real: Path, tmp_path: Path) -> None:
    folder = tmp_path / "private"
    made = ("--make-noise", 3)
    run("build", folder, "--speak", "espeak-ng", "--count", 6, *made, "--uses", 2, "--fresh", 2)
    assert "enough for rounds 0 to 4" in run("add", folder, "--speech", real / "speech", *made, *ORIGIN).output
    facts = json.loads(run("status", folder, "--json").output)
    assert sum(facts["recordings"]["speech"].values()) == 26
    assert not (tmp_path / "private.speaking").exists()
    assert (tmp_path / "private.key").stat().st_mode & 0o777 == 0o600
    run("publish", folder, "--through", 0, "--out", tmp_path / "retired", "--yes")
    published = Corpus.open(tmp_path / "retired")
    assert published.speech[0].licence == "CC0-1.0"
    assert published.speech[0].text


def test_misuse_is_one_line_with_the_value_and_a_remedy(
    real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new, private = tmp_path / "new", real / "private"
    assert "Give --speech and --noise" in failed(capsys, "build", new)
    assert not list(tmp_path.iterdir())
    assert "is already in the shipped recordings" in failed(
        capsys, "build", new, "--speech", "shipped", "--noise", "shipped"
    )
    assert not list(tmp_path.iterdir())
    assert "licence" in failed(capsys, "build", new, "--speech", real / "speech")
    assert "is a private corpus already" in failed(capsys, "build", private, "--make-noise", 5)
    assert "lost.key: the corpus key cannot be read" in failed(
        capsys, "status", private, "--key", tmp_path / "lost.key"
    )
    assert "is not a private corpus" in failed(capsys, "status", tmp_path)
    assert "is not the root of a corpus" in failed(capsys, "verify", private, "--root", "abc")
    assert "No recording retires with round 50" in failed(
        capsys, "publish", private, "--through", 50, "--out", new, "--yes"
    )
    assert "too few" in failed(capsys, "build", new, "--make-noise", 5)
    assert not list(tmp_path.iterdir())


def test_missing_noise_is_refused_before_anything_is_spoken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speak = ("--speak", "espeak-ng", "--make-noise", 4)
    said = failed(capsys, "build", tmp_path / "new", *speak)
    assert (
        "Too few recordings of noise are given: 4, and the least is 5. Give --noise or a larger --make-noise."
        in said
    )
    assert not list(tmp_path.iterdir())
