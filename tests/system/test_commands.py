"""The commands of the services print what they do. Bad input is one line that names the variable, exit code 2."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from soundsright.adapters.chains.chain_file import authoring_lock
from soundsright.adapters.chains.local import LocalChain
from soundsright.adapters.hubs.folder import FolderHub
from soundsright.adapters.peers.keys import Hotkey
from soundsright.cli.main import run
from soundsright.config import MinerSettings, ValidatorSettings
from soundsright.testing.fakechain.http import ORGANISER, served_chain
from soundsright.testing.hub.repositories import HubRepository, HubServer
from soundsright.testing.hub.server import served_hub
from tests.ports import free_port
from tests.system.world import APPS, KIT

REVISION = "a" * 40
ALICE = Hotkey.of_seed("alice")
OWN_RULES = """
[entries]
needs_licence = true
[[competition]]
task = "DENOISING"
sample_rate_hz = 16_000
max_score = 50.0
remainder = 10.0
metrics = { ESTOI = 1.0 }
"""
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[tuple[LocalChain, str]]:
    with served_chain(tmp_path / "chain.db", open_registration=True) as served:
        yield served


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with served_hub() as server:
        files = {"Dockerfile": b"FROM scratch\n"}
        server.repositories["alice/gate"] = HubRepository({REVISION: files})
        server.repositories["alice/private"] = HubRepository({REVISION: files}, private=True)
        yield server


@pytest.fixture
def say(
    chain: tuple[LocalChain, str],
    hub: HubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Say:
    """A function that runs a command with valid settings, except for those that a test changes."""
    own = {name.upper() for kind in (MinerSettings, ValidatorSettings) for name in kind.model_fields}
    for name in own:
        monkeypatch.delenv(name, raising=False)
    for owner, key in (("alice", ALICE), ("organiser", ORGANISER)):
        key.write(tmp_path / "wallets" / owner / "hotkeys" / "default")
    monkeypatch.chdir(tmp_path)

    def run_with(line: str, **settings: str) -> tuple[int, str, str]:
        right = {
            "SUBTENSOR_CHAIN_ENDPOINT": chain[1],
            "WALLET": "alice",
            "WALLET_PATH": str(tmp_path / "wallets"),
            "STATE_FOLDER": str(tmp_path / "state"),
            "HF_ENDPOINT": hub.url,
            "HEALTHCHECK_API_PORT": str(free_port()),
            "AXON_PORT": str(free_port()),
            "AXON_EXTERNAL_IP": "127.0.0.1",
            "DENOISING_16000HZ_HF_MODEL_NAMESPACE": "alice",
            "DENOISING_16000HZ_HF_MODEL_NAME": "gate",
            "DENOISING_16000HZ_HF_MODEL_REVISION": REVISION,
        }
        for name, value in (right | settings).items():
            monkeypatch.setenv(name, value)
        module, *arguments = line.split()
        code = run(import_module(f"soundsright.cli.commands.{module}").command, arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return run_with


def test_a_member_makes_a_key_joins_and_is_listed(say: Say, chain: tuple[LocalChain, str]) -> None:
    code, out, _ = say("chain account", WALLET="new")
    assert code == 0
    address = out.split()[0]
    assert say("chain join", WALLET="new")[1] == f"{address} is uid 0\n"
    assert address in say("chain status")[1]
    code, _, err = say("chain account", WALLET="new")
    assert (code, f"already has a key: {address}." in err) == (2, True), err


def test_the_organiser_registers_a_validator_and_makes_blocks(say: Say, chain: tuple[LocalChain, str]) -> None:
    assert say(f"chain register {ALICE.address} --permit --stake 2000", WALLET="organiser")[0] == 0
    (neuron,) = chain[0].neurons()
    assert (neuron.permit, neuron.stake) == (True, 2_000.0)
    assert "block" in say("chain advance 5", WALLET="organiser")[1]
    code, _, err = say("chain advance", WALLET="alice")
    assert (code, err.count("\n")) == (2, 1)


def test_a_model_is_published_in_a_folder_and_entered_from_it(
    say: Say, chain: tuple[LocalChain, str], tmp_path: Path
) -> None:
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "Dockerfile").write_text("FROM scratch\n")
    _, out, _ = say(f"chain publish gate --namespace alice --hub {tmp_path / 'hub'}")
    revision = out.strip().rpartition("@")[2]
    chain[0].register(ALICE.address)
    own = {"SOUNDSRIGHT_HUB": str(tmp_path / "hub"), "DENOISING_16000HZ_HF_MODEL_REVISION": revision}
    assert say("miner --check", **own)[0] == 0
    code, _, err = say("miner --check", **own | {"DENOISING_16000HZ_HF_MODEL_REVISION": REVISION})
    assert (code, "SOUNDSRIGHT_HUB" in err) == (2, True)


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service stops as soon as it runs."""
    at_once = threading.Event()
    at_once.set()
    monkeypatch.setattr("soundsright.cli.shared.stopping.stopped_by_signals", lambda: nullcontext(at_once))


@pytest.mark.usefixtures("stopped")
def test_a_chain_is_served_by_one_process_at_a_time(say: Say, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with authoring_lock(tmp_path / "state" / "chain.db"):
        code, _, err = say("chain serve --port 0")
        assert (code, err.count("\n"), "Another process already serves the chain" in err) == (2, 1, True), err
    code, out, _ = say("chain serve --port 0")
    assert (code, "Chain of" in out) == (0, True)


@pytest.mark.usefixtures("stopped")
def test_a_chain_with_damage_in_its_middle_is_not_served(say: Say, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    file = tmp_path / "state" / "chain.db"
    LocalChain(file).advance(2_000)
    damaged = bytearray(file.read_bytes())
    damaged[100_000:140_000] = random.Random(0).randbytes(40_000)
    file.write_bytes(damaged)
    code, _, err = say("chain serve --port 0")
    assert (code, err.count("\n")) == (2, 1), err
    assert f"{file} is damaged" in err
    assert "Move it away" in err
    assert file.read_bytes() == damaged


@pytest.mark.usefixtures("stopped")
def test_a_rehearsed_chain_whose_time_is_ahead_is_not_served_in_real_time(say: Say, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    LocalChain(tmp_path / "state" / "chain.db", block_s=86_400.0).advance(22)
    code, _, err = say("chain serve --port 0")
    assert (code, err.count("\n")) == (2, 1), err
    assert "22 days ahead" in err
    assert "--block-seconds" in err
    assert say("chain serve --port 0 --block-seconds 3600")[0] == 0


def test_a_check_names_the_committed_entry(say: Say, chain: tuple[LocalChain, str]) -> None:
    chain[0].register(ALICE.address)
    code, out, _ = say("miner --check")
    assert code == 0
    assert f"{ALICE.address} enters alice/gate@{REVISION} for DENOISING_16000HZ" in out


def test_a_check_warns_of_settings_without_effect(say: Say, chain: tuple[LocalChain, str], tmp_path: Path) -> None:
    chain[0].register(ALICE.address)
    code, out, err = say("miner --check", AXON_EXTERNAL_IP="")
    assert (code, "All is well" in out) == (0, False)
    assert "Warning: AXON_EXTERNAL_IP is empty: no validator can ask" in err
    code, out, err = say("miner --check")
    assert (code, "All is well" in out, err) == (0, True, "")
    for hook in ("/nonexist/tool", "my_module:tune"):
        err = say("miner --check", FEEDBACK_HOOK=hook)[2]
        assert (err.count("\n"), f"Warning: FEEDBACK_HOOK {hook!r}" in err) == (1, True), err
    (tmp_path / "my_module.py").write_text("def tune(feedback): ...\n")
    assert say("miner --check", FEEDBACK_HOOK="my_module:tune")[2] == ""


def test_a_check_warns_of_a_competition_that_the_organiser_does_not_have(
    say: Say, chain: tuple[LocalChain, str], tmp_path: Path
) -> None:
    """The name must be exact, because the commitment is a hash of it."""
    chain[0].register(ALICE.address)
    (tmp_path / "rules.toml").write_text(
        '[[competition]]\nname = "summer"\ntask = "DENOISING"\nsample_rate_hz = 16000\n'
        "max_score = 50.0\nremainder = 10.0\nmetrics = { ESTOI = 1.0 }\n"
    )
    for name, named in (("", "DENOISING_16000HZ"), ("Summer", "Summer")):
        err = say("miner --check", SOUNDSRIGHT_RULESET="rules.toml", COMPETITION_NAME=name)[2]
        assert f"Warning: rules.toml has no competition {named}, so your entry will be refused" in err
    assert say("miner --check", SOUNDSRIGHT_RULESET="rules.toml", COMPETITION_NAME="summer")[2] == ""


@pytest.mark.slow
def test_verify_runs_the_model_before_it_is_entered(
    say: Say, chain: tuple[LocalChain, str], tmp_path: Path
) -> None:
    chain[0].register(ALICE.address)
    for name, app in (("good", APPS["copy"]), ("bad", APPS["crash"])):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "app.py").write_text(f"from server import *\n\n{app}\n")
        (folder / "Dockerfile").write_text('FROM scratch\nWORKDIR /app\nCOPY . .\nCMD ["python", "app.py"]\n')
        shutil.copy(KIT, folder / "server.py")
        revision = FolderHub(tmp_path / "hub", tmp_path / "cache").publish("alice", name, folder).revision
        code, out, _ = say(
            "miner --verify",
            SOUNDSRIGHT_SANDBOX="process",
            SOUNDSRIGHT_HUB=str(tmp_path / "hub"),
            DENOISING_16000HZ_HF_MODEL_NAME=name,
            DENOISING_16000HZ_HF_MODEL_REVISION=revision,
        )
        assert f"enters alice/{name}@{revision}" in out
        assert (code, "PASS" in out) == ((0, True) if name == "good" else (1, False)), out
    (tmp_path / "own.toml").write_text(OWN_RULES)
    code, out, _ = say(
        "miner --verify",
        SOUNDSRIGHT_SANDBOX="process",
        SOUNDSRIGHT_HUB=str(tmp_path / "hub"),
        SOUNDSRIGHT_RULESET="own.toml",
        DENOISING_16000HZ_HF_MODEL_NAME=name,
        DENOISING_16000HZ_HF_MODEL_REVISION=revision,
    )
    assert (code, "no licence file at its root" in out) == (1, True), out
    assert chain[0].commitments() == ()


@pytest.mark.parametrize(
    ("line", "settings", "message"),
    [
        ("miner --check", {"WALLET": "nobody"}, "HOTKEY"),
        ("miner --check", {"HOTKEY": "missing"}, "HOTKEY"),
        ("miner --check", {"DENOISING_16000HZ_HF_MODEL_REVISION": "main"}, "DENOISING_16000HZ_HF_MODEL_REVISION"),
        ("miner --check", {"DENOISING_16000HZ_HF_MODEL_NAME": "private"}, "_HF_MODEL_NAME"),
        ("miner --check", {"DENOISING_16000HZ_HF_MODEL_NAME": "missing"}, "_HF_MODEL_NAME"),
        ("miner --check", {"NETUID": "many"}, "NETUID"),
        ("miner --netuid many --check", {}, "NETUID"),
        ("miner --check", {"SUBTENSOR_CHAIN_ENDPOINT": "finney"}, "SUBTENSOR_CHAIN_ENDPOINT"),
        ("miner --check", {"FEEDBACK_HOOK": "say 'open"}, "FEEDBACK_HOOK"),
        ("miner --env-file missing.env", {}, "missing.env"),
        ("validator", {"WALLET": "nobody"}, "HOTKEY"),
        ("validator", {"SOUNDSRIGHT_COMPETITION": "ECHO"}, "SOUNDSRIGHT_COMPETITION"),
        (
            "validator",
            {"SOUNDSRIGHT_HUB": "/no/such/folder", "SOUNDSRIGHT_SANDBOX": "process", "SOUNDSRIGHT_TRUST": "true"},
            "SOUNDSRIGHT_HUB",
        ),
        ("validator", {"SOUNDSRIGHT_RULESET": "none"}, "none"),
        ("validator", {"BURN_HOTKEY": "nobody"}, "BURN_HOTKEY"),
        ("chain serve", {"WALLET": "nobody"}, "HOTKEY"),
        ("chain status", {"SUBTENSOR_CHAIN_ENDPOINT": "wss://somewhere"}, "SUBTENSOR_CHAIN_ENDPOINT"),
        ("miner --check", {"SOUNDSRIGHT_RULESET": "missing.toml"}, "missing.toml"),
        ("validator", {"DRAND_RELAYS": "api.drand.sh"}, "DRAND_RELAYS"),
        ("chain status", {"SUBTENSOR_CHAIN_ENDPOINT": "nonsense"}, "SUBTENSOR_CHAIN_ENDPOINT"),
        ("chain serve --port 99999", {}, "99999 is not in the range 0<=x<=65535"),
        ("chain serve", {"CHAIN_PORT": "-1"}, "CHAIN_PORT"),
        ("chain serve --block-every inf", {}, "inf is not in the range 0<=x<=60"),
        ("chain serve --block-every nan", {}, "nan is not in the range 0<=x<=60"),
        ("chain serve", {"CHAIN_BLOCK_EVERY": "61"}, "61.0 is not in the range 0<=x<=60"),
        ("chain serve", {"CHAIN_BLOCK_SECONDS": "100000"}, "100000.0 is not in the range 0<x<=86400"),
        ("miner --poll nan", {}, "nan is not in the range"),
        ("chain register xyz --permit", {"WALLET": "organiser"}, "'xyz' is not the address of a key"),
        (f"chain register {ALICE.address} --stake nan", {"WALLET": "organiser"}, "--stake"),
        ("chain advance 100000", {"WALLET": "organiser"}, "1<=x<=10000"),
        (
            "chain publish gate --namespace me/x --hub hub",
            {},
            "'me/x' is not a name that a hub allows. Use letters",
        ),
    ],
)
def test_bad_input_is_one_line_that_names_it(
    say: Say, chain: tuple[LocalChain, str], line: str, settings: dict[str, str], message: str
) -> None:
    chain[0].register(ALICE.address, permit=True)
    code, _, err = say(line, **settings)
    assert (code, err.count("\n")) == (2, 1), err
    assert message in err


@pytest.mark.parametrize("command", ["miner", "validator"])
def test_an_unregistered_hotkey_is_named(say: Say, command: str) -> None:
    code, _, err = say(
        command, SOUNDSRIGHT_SANDBOX="process", SOUNDSRIGHT_TRUST="true", HEALTHCHECK_API_PORT=str(free_port())
    )
    assert (code, err.count("\n")) == (2, 1), err
    assert "is not registered" in err


def test_a_validator_without_permit_is_refused(say: Say, chain: tuple[LocalChain, str]) -> None:
    chain[0].register(ALICE.address)
    code, _, err = say(
        "validator", SOUNDSRIGHT_SANDBOX="process", SOUNDSRIGHT_TRUST="true", HEALTHCHECK_API_PORT=str(free_port())
    )
    assert code == 2
    assert "no validator permit" in err


@pytest.mark.parametrize("command", ["miner", "validator"])
@pytest.mark.parametrize(("by_s", "message"), [(60.0, "60 s ahead of"), (-60.0, "60 s behind")])
def test_a_clock_that_is_a_minute_off_is_an_error_before_the_start(
    say: Say,
    chain: tuple[LocalChain, str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    by_s: float,
    message: str,
) -> None:
    chain[0].register(ALICE.address, permit=True)
    # Both clocks are stopped, so that the time of the request does not change the message.
    now_s = time.time()
    monkeypatch.setattr("soundsright.services.http.chain.time", SimpleNamespace(time=lambda: now_s))
    monkeypatch.setattr("soundsright.adapters.machine.clock.SystemClock.now", lambda _clock: now_s + by_s)
    code, _, err = say(command, SOUNDSRIGHT_SANDBOX="process", SOUNDSRIGHT_TRUST="true")
    assert (code, err.count("\n")) == (2, 1), err
    assert message in err
    assert "NTP" in err


@contextmanager
def taken_port() -> Iterator[int]:
    """A port on which another socket listens."""
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.mark.parametrize(
    ("command", "variable"),
    [("miner", "AXON_PORT"), ("miner", "HEALTHCHECK_API_PORT"), ("validator", "HEALTHCHECK_API_PORT")],
)
def test_a_taken_port_is_named(say: Say, chain: tuple[LocalChain, str], command: str, variable: str) -> None:
    chain[0].register(ALICE.address, permit=True)
    with taken_port() as port:
        code, _, err = say(command, **{variable: str(port)})
    assert (code, err.count("\n"), f"{variable} {port} is in use by another program" in err) == (2, 1, True), err


def test_a_check_beside_the_running_miner_warns_of_its_ports(say: Say, chain: tuple[LocalChain, str]) -> None:
    chain[0].register(ALICE.address)
    with taken_port() as axon, taken_port() as health:
        code, out, err = say("miner --check", AXON_PORT=str(axon), HEALTHCHECK_API_PORT=str(health))
    warnings = err.splitlines()
    assert (code, len(warnings), "All is well" in out) == (0, 2, False), err
    assert warnings[0].startswith(f"Warning: HEALTHCHECK_API_PORT {health} is in use by another program")
    assert warnings[1].startswith(f"Warning: AXON_PORT {axon} is in use by another program")


def test_a_line_of_the_file_that_does_not_parse_is_named(say: Say, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HOTKEY=default\nNETUID 105\n")
    code, _, err = say("miner --check")
    assert (code, err.count("\n")) == (2, 1)
    assert ".env, line 2: 'NETUID'" in err


def test_a_misspelt_name_of_the_file_is_named(say: Say, chain: tuple[LocalChain, str], tmp_path: Path) -> None:
    chain[0].register(ALICE.address)
    known = "CHAIN_PORT=1\nSOUNDSRIGHT_SLOTS=2\nSOUNDSRIGHT_LISTEN_PORT=3\nCOMPOSE_PROJECT_NAME=x\n"
    (tmp_path / ".env").write_text(f"{known}NETUIDD=4\nlog_level=DEBUG\n")
    code, _, err = say("miner --check")
    assert (code, err.splitlines()) == (
        0,
        [
            "Warning: .env, line 5: NETUIDD is not a setting. Did you mean NETUID?",
            "Warning: .env, line 6: log_level is not a setting. Did you mean LOG_LEVEL?",
        ],
    )


def test_a_secret_of_the_settings_is_in_no_error(say: Say) -> None:
    secret = {"HF_TOKEN": "hf_planted", "OPENAI_API_KEY": "sk-planted"}
    for line, settings in (("miner --check", {"NETUID": "x"}), ("miner --check", {"WALLET": "nobody"})):
        _, out, err = say(line, **secret, **settings)
        assert "planted" not in out + err


def test_help_loads_no_slow_package() -> None:
    code = (
        "import sys; from soundsright.cli.commands import chain, feedback, miner, validator; "
        "print(sorted({'fastapi', 'numba', 'bittensor', 'bittensor_core', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
