"""What the commands of the services share: settings, the chain and hub that they name, logs, and stopping.

The composition root of miner and validator: here their settings become adapters.
"""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from soundsright.config import MinerSettings, Settings, ValidatorSettings, misspelt_names, read_settings
from soundsright.core.errors import UsageError, printable

if TYPE_CHECKING:
    import socket

    from pydantic import SecretStr

    from soundsright.adapters.peers import Hotkey
    from soundsright.cli.shared.sandboxes import SandboxChoice
    from soundsright.core.ports import LiveChain, Sandbox
    from soundsright.services.miner import Entry, EntryCommitment

S = TypeVar("S", bound=Settings)

ENV_FILE = click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    envvar="SOUNDSRIGHT_ENV_FILE",
    show_envvar=True,
    help="File of NAME=value lines. [default: .env, where there is one]",
)


class Finite(click.FloatRange):
    """A number within bounds. `nan` is neither below nor above any: it is refused like what lies outside."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{number} is not in the range {self._describe_range()}.", param, ctx)
        return number


POLL = click.option(
    "--poll",
    "poll_s",
    default=12.0,
    show_default=True,
    envvar="SOUNDSRIGHT_POLL_S",
    show_envvar=True,
    type=Finite(0.05, 600),
    help="Seconds between looks at the chain.",
)


def settings_from(kind: type[S], flags: dict[str, Any], env_file: Path | None) -> S:
    """The settings of a command: flags over environment over the file, whose misspelt names are told."""
    if env_file is None and Path(".env").is_file():
        env_file = Path(".env")
    settings = read_settings(kind, flags=flags, env_file=env_file)
    if env_file is not None:
        for told in misspelt_names(env_file, _variables()):
            click.echo(f"Warning: {printable(told)}", err=True)
    return settings


def _variables() -> set[str]:
    """Every variable that some command reads: one file may serve them all."""
    from soundsright.cli.main import cli

    found = {name.upper() for kind in (MinerSettings, ValidatorSettings) for name in kind.model_fields}
    commands: list[click.Command] = [cli]
    context = click.Context(cli)
    while commands:
        command = commands.pop()
        found |= {param.envvar for param in command.params if isinstance(param.envvar, str)}
        if isinstance(command, click.Group):
            parts = (command.get_command(context, name) for name in command.list_commands(context))
            commands += [part for part in parts if part is not None]
    return found


def secrets_of(settings: Settings) -> list[str]:
    """Every secret among the settings, to be kept out of the logs."""
    values = [getattr(settings, name) for name in type(settings).model_fields]
    secrets: list[SecretStr] = [value for value in values if hasattr(value, "get_secret_value")]
    return [secret.get_secret_value() for secret in secrets]


def health_socket(settings: Settings) -> socket.socket:
    """A socket for the health-check API.

    Raises:
        UsageError: the port is taken, or the address is not this machine's.
    """
    from soundsright.services.http import listening

    return listening(
        settings.healthcheck_api_host,
        settings.healthcheck_api_port,
        host_variable="HEALTHCHECK_API_HOST",
        port_variable="HEALTHCHECK_API_PORT",
    )


def opened_chain(settings: Settings, account: Hotkey | None) -> LiveChain:
    """The chain that the settings name.

    Raises:
        UsageError: something else answers there.
        ChainUnavailable: nothing does.
    """
    if settings.is_bittensor:
        from soundsright.adapters.chains import BittensorChain

        return BittensorChain(settings.subtensor_chain_endpoint, settings.netuid, account)
    from soundsright.adapters.chains import HttpChain

    return HttpChain(settings.subtensor_chain_endpoint, account)


def check_clock(chain: LiveChain, now_s: float) -> None:
    """See that this machine's clock is the chain's, within what signed requests allow.

    Raises:
        UsageError: it is not.
        ChainUnavailable: the chain does not answer.
    """
    from soundsright.adapters.peers import MAX_AGE_S

    offset_s = chain.clock_offset_s(now_s)
    if abs(offset_s) > MAX_AGE_S:
        raise UsageError(
            f"This machine's clock is {abs(offset_s):.0f} s {'behind' if offset_s > 0 else 'ahead of'} the chain's",
            "Set it by NTP (`timedatectl set-ntp true`): others refuse what is signed at another time.",
        )


def committing_of(settings: MinerSettings, entry: Entry) -> EntryCommitment:
    """How the organiser's file says that entries are committed; as digests where there is none.

    Raises:
        UsageError: the file cannot be used.
    """
    from soundsright.services.miner import EntryCommitment

    if not settings.soundsright_ruleset.endswith(".toml"):
        return EntryCommitment(entry, settings.folder)
    from soundsright.adapters.chains import DrandTimelock
    from soundsright.cli.commands.rules import organiser_of

    organiser = organiser_of(settings.soundsright_ruleset, begun=True)
    return EntryCommitment(
        entry, settings.folder, organiser.commitment, timelock=DrandTimelock(()), schedule=organiser.schedule
    )


def sandbox_choice(settings: ValidatorSettings) -> SandboxChoice:
    """What the settings say of the sandbox."""
    from soundsright.cli.shared.sandboxes import SandboxChoice

    return SandboxChoice(
        kind=settings.soundsright_sandbox,
        python=settings.soundsright_model_python,
        build_network=settings.soundsright_build_network,
        registries=settings.soundsright_registries,
        runtime=settings.soundsright_runtime,
        gpus=settings.soundsright_gpus,
        trust=settings.soundsright_trust,
    )


def opened_sandbox(settings: ValidatorSettings, choice: SandboxChoice) -> Sandbox:
    """The sandbox that the settings name; `auto`: the first that holds a stranger and can be used.

    Raises:
        UsageError: none can be used.
        EngineUnavailable: a GPU is asked for and the machine has none.
    """
    from soundsright.adapters.containers import Engine
    from soundsright.cli.shared.sandboxes import chosen_sandbox

    engine = Engine(None if settings.use_docker or "DOCKER_HOST" in os.environ else _podman_socket())
    return chosen_sandbox(choice, local=False, round_id="validator", auto=("docker", "bubblewrap"), engine=engine)


def _podman_socket() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    rootless = Path(runtime) / "podman" / "podman.sock"
    return f"unix://{rootless if rootless.exists() else '/run/podman/podman.sock'}"


@contextmanager
def stopped_by_signals(on_stop: Callable[[], None] = lambda: None) -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; `on_stop` is called with the first."""
    stop = threading.Event()

    def handle(_number: int, _frame: object) -> None:
        if not stop.is_set():
            stop.set()
            on_stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
