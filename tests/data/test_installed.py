"""A corpus of another package, chosen by its name."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import soundsright
from soundsright.cli.commands.generate import command as generate_command
from soundsright.core.errors import UsageError
from soundsright.core.shipped import datasets_folder
from soundsright.data.corpora import Corpus
from soundsright.data.installed import CORPORA, corpus_folder, installed_corpora
from tests.plugins import install_package

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    return functools.partial(install_package, tmp_path, monkeypatch, group=CORPORA.group)


@pytest.fixture
def ours(install: Install) -> None:
    """The shipped recordings as the corpus `ours` of another package."""
    install(name="corpus_ours", code=f"def folder(): return {str(datasets_folder())!r}", ours="corpus_ours:folder")


@pytest.mark.usefixtures("ours")
def test_its_name_opens_it() -> None:
    assert installed_corpora() == ("ours",)
    assert Corpus.open("ours").digest == Corpus.open().digest
    assert Corpus.open(Path("ours")).root == datasets_folder()


@pytest.mark.usefixtures("ours")
def test_it_gives_speech_noise_and_rooms(tmp_path: Path) -> None:
    options = [
        "--task=both",
        "--n=1",
        "--speech=ours",
        "--noise=ours,white",
        "--rooms=ours",
        f"--out={tmp_path / 's'}",
    ]
    result = CliRunner().invoke(generate_command, options)
    assert result.exit_code == 0, result.output
    sources = json.loads((tmp_path / "s" / "set.json").read_text())["sources"]
    assert [sources[role][0]["name"] for role in ("speech", "noise", "rooms")] == ["ours"] * 3
    assert sources["speech"][0]["digest"] == Corpus.open().digest


@pytest.mark.usefixtures("ours")
def test_it_can_replace_the_shipped_corpus() -> None:
    (chosen,) = soundsright.generate(count=1, corpus="ours")
    (shipped,) = soundsright.generate(count=1)
    assert chosen.digest == shipped.digest


@pytest.mark.usefixtures("ours")
def test_a_folder_of_the_same_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ours").mkdir()
    monkeypatch.chdir(tmp_path)
    assert corpus_folder("ours") == Path("ours")


def test_an_unknown_name_is_refused_with_the_known_ones(install: Install) -> None:
    install(name="corpus_a", code="def folder(): return '/'", a="corpus_a:folder")
    with pytest.raises(UsageError, match=r"no corpus at b\. .*Installed corpora: a\."):
        Corpus.open("b")


def test_a_package_that_fails_is_named(install: Install) -> None:
    install(name="corpus_bad", code="def folder(): raise OSError('no disk')", bad="corpus_bad:folder")
    with pytest.raises(UsageError, match="The corpus 'bad' did not return its folder: OSError: no disk"):
        Corpus.open("bad")
