"""Another installed package can add a chain or a hub by its URL scheme. A bad one is one line, exit code 2."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.peers import Hotkey
from soundsright.cli.commands.miner import command as miner
from soundsright.cli.main import run
from soundsright.cli.shared.opening import opened_chain, opened_hub
from soundsright.config import MinerSettings, Settings, read_settings
from soundsright.core.errors import UsageError
from soundsright.core.sources import ModelRef
from soundsright.library.rulesets import organiser_of
from soundsright.services.scoring import chosen_metrics
from tests.plugins import install_package
from tests.ports import free_port

Install = Callable[..., None]

CHAIN = """
import tempfile
from pathlib import Path
from soundsright.adapters.chains import LocalChain

opened = []

def make_chain(options):
    opened.append(options)
    chain = LocalChain(Path(tempfile.mkdtemp(), "chain.db"))
    chain.register("{hotkey}")
    return chain
"""
HUB = """
from soundsright.core.errors import EntryRefused

class Hub:
    def __init__(self, options): self.options = options
    def fetch(self, submission, *, limits): {fetch}
    def cached(self, submission, content_hash): return None
    def forget(self, keep): return 0
"""
ALICE = Hotkey.of_seed("alice")
REVISION = "a" * 40


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """A function that installs a package with one module and one entry point of a group."""
    site = tmp_path / "site"
    site.mkdir()

    def install_one(package: str, code: str, group: str, name: str, target: str) -> None:
        install_package(site, monkeypatch, package, group, code, **{name: f"{package}:{target}"})

    return install_one


@pytest.fixture
def miner_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Settings of a miner that are right, except for the chain and the hub. They are also in the environment."""
    ALICE.write(tmp_path / "wallets" / "alice" / "hotkeys" / "default")
    settings = {
        "WALLET": "alice",
        "WALLET_PATH": str(tmp_path / "wallets"),
        "STATE_FOLDER": str(tmp_path / "state"),
        "HEALTHCHECK_API_PORT": str(free_port()),
        "AXON_PORT": str(free_port()),
        "AXON_EXTERNAL_IP": "127.0.0.1",
        "DENOISING_16000HZ_HF_MODEL_NAMESPACE": "alice",
        "DENOISING_16000HZ_HF_MODEL_NAME": "gate",
        "DENOISING_16000HZ_HF_MODEL_REVISION": REVISION,
    }
    for name in MinerSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return settings


def test_a_chain_is_chosen_by_its_scheme(install: Install) -> None:
    install("chain_good", CHAIN.format(hotkey=ALICE.address), "soundsright.chains", "ledger", "make_chain")
    environment = {"SUBTENSOR_CHAIN_ENDPOINT": "ledger://somewhere/7", "NETUID": "7"}
    chain = opened_chain(read_settings(Settings, environment=environment), ALICE)
    assert [neuron.hotkey for neuron in chain.neurons()] == [ALICE.address]
    (options,) = importlib.import_module("chain_good").opened
    assert (options.endpoint, options.netuid, options.account) == ("ledger://somewhere/7", 7, ALICE)


def test_a_hub_is_chosen_by_its_scheme(install: Install, tmp_path: Path) -> None:
    install("hub_good", HUB.format(fetch="return None"), "soundsright.hubs", "shelf", "Hub")
    environment = {"HF_ENDPOINT": "shelf://lab", "STATE_FOLDER": str(tmp_path), "HF_TOKEN": "hf_planted"}
    archives: Any = opened_hub(read_settings(Settings, environment=environment))
    options = archives._hubs[ModelRef].hub.options
    assert (options.endpoint, options.cache, options.token) == ("shelf://lab", tmp_path / "cache", "hf_planted")
    assert "hf_planted" not in repr(options)


def test_a_miner_checks_its_model_on_a_plugged_hub(
    install: Install,
    miner_settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    install("chain_of_miner", CHAIN.format(hotkey=ALICE.address), "soundsright.chains", "ledger", "make_chain")
    refuses = "raise EntryRefused('not_found', 'there is no such model')"
    install("hub_of_miner", HUB.format(fetch=refuses), "soundsright.hubs", "shelf", "Hub")
    monkeypatch.setenv("SUBTENSOR_CHAIN_ENDPOINT", "ledger://here")
    monkeypatch.setenv("HF_ENDPOINT", "shelf://lab")
    code = run(miner, ["--check"])
    err = capfd.readouterr().err
    assert (code, err.count("\n")) == (2, 1), err
    assert f"alice/gate@{REVISION}: there is no such model" in err


def test_the_schemes_of_installed_packages_are_offered(install: Install) -> None:
    install("chain_offered", CHAIN.format(hotkey="x"), "soundsright.chains", "ledger", "make_chain")
    with pytest.raises(UsageError, match="ledger:// for the chain of an installed package"):
        read_settings(Settings, environment={"SUBTENSOR_CHAIN_ENDPOINT": "legder://typo"})
    install("hub_offered", HUB.format(fetch="return None"), "soundsright.hubs", "shelf", "Hub")
    with pytest.raises(UsageError, match=r"https:// address .*, or shelf:// for the hub of an installed package"):
        read_settings(Settings, environment={"HF_ENDPOINT": "shlef://typo"})


def test_a_plugin_cannot_replace_a_built_in_scheme(install: Install) -> None:
    install("hub_greedy", HUB.format(fetch="return None"), "soundsright.hubs", "http", "Hub")
    with pytest.raises(UsageError, match=r"'http://' cannot be used\. Give an http:// or https:// address"):
        read_settings(Settings, environment={"HF_ENDPOINT": "http://"})


@pytest.mark.parametrize(
    ("variable", "group", "code", "words"),
    [
        ("SUBTENSOR_CHAIN_ENDPOINT", "chains", "raise OSError('no \\x1b[2J key')", "cannot be imported from"),
        (
            "SUBTENSOR_CHAIN_ENDPOINT",
            "chains",
            "made = 3",
            "is of type int, not a function",
        ),
        ("SUBTENSOR_CHAIN_ENDPOINT", "chains", "def made(options): return 1 / 0", "ZeroDivisionError"),
        (
            "SUBTENSOR_CHAIN_ENDPOINT",
            "chains",
            "def made(options): return object()",
            "made an object of type object, which lacks",
        ),
        ("HF_ENDPOINT", "hubs", "import no_such_package_at_all", "cannot be imported from"),
        ("HF_ENDPOINT", "hubs", "made = 'text'", "is of type str, not a function that takes HubOptions"),
        ("HF_ENDPOINT", "hubs", "def made(options): return {}['x']", "KeyError"),
        ("HF_ENDPOINT", "hubs", "def made(options): return object()", "made an object of type object, which lacks"),
    ],
)
def test_a_bad_plugin_is_one_line_and_exit_code_2(
    install: Install,
    miner_settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    variable: str,
    group: str,
    code: str,
    words: str,
) -> None:
    good = CHAIN.format(hotkey=ALICE.address)
    install(f"good_for_{abs(hash(code))}", good, "soundsright.chains", "ledger", "make_chain")
    install(f"bad_{group}_{abs(hash(code))}", code, f"soundsright.{group}", "broken", "made")
    monkeypatch.setenv("SUBTENSOR_CHAIN_ENDPOINT", "ledger://here")
    monkeypatch.setenv(variable, "broken://here")
    assert run(miner, ["--check"]) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1, err
    assert words in err
    assert "\x1b" not in err


def test_a_broken_metric_that_nobody_uses_does_no_harm(install: Install, tmp_path: Path) -> None:
    install("broken_metric", "raise RuntimeError('boom')", "soundsright.metrics", "boom", "METRIC")
    file = tmp_path / "rules.toml"
    competition = """[[competition]]
task = "DENOISING"
sample_rate_hz = 16000
max_score = 10.0
remainder = 3.0
metrics = { METRIC = 1.0 }
"""
    file.write_text(competition.replace("METRIC", "ESTOI"))
    assert organiser_of(str(file), begun=True).competitions[0].metric_weights == {"ESTOI": 1.0}
    assert chosen_metrics(["ESTOI"], sample_rate_hz=16_000, has_noisy=False) == ("ESTOI",)
    file.write_text(competition.replace("METRIC", "BOOM"))
    with pytest.raises(UsageError, match="package broken_metric 1\\.2 cannot be imported"):
        organiser_of(str(file), begun=True)
    with pytest.raises(UsageError, match="package broken_metric 1\\.2 cannot be imported"):
        chosen_metrics(["BOOM"], sample_rate_hz=16_000, has_noisy=False)
