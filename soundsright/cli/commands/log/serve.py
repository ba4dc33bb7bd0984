"""`soundsright log serve`: keep a log of signed documents, or serve a mirror of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.options import FOLDER, env_file_option, option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import Settings
from soundsright.core.errors import InfrastructureFault, UsageError

if TYPE_CHECKING:
    import threading

    from soundsright.services.http import Health
    from soundsright.services.log import Admission, TransparencyLog

_SETTINGS = (
    *("netuid", "subtensor_chain_endpoint", "wallet", "hotkey", "wallet_path", "state_folder", "log_level"),
    *("healthcheck_api_host", "healthcheck_api_port"),
    *("soundsright_connections", "soundsright_connections_per_client"),
)
_CHECK_EVERY_S = 12.0


@click.command("serve")
@env_file_option
@option("--host", envvar="LOG_API_HOST", default="0.0.0.0", help="Address on which the log listens.")
@option("--port", envvar="LOG_API_PORT", type=click.IntRange(0, 65_535), default=9100, help="Port of the log.")
@option(
    "--signer",
    "signers",
    envvar="LOG_SIGNERS",
    metavar="HOTKEY",
    multiple=True,
    help="A hotkey whose documents the log takes. Repeat it for more. "
    "[default: validators with a permit, and the chain's owner]",
)
@option(
    "--state",
    envvar="LOG_STATE",
    help="Database: a file, or postgresql://USER@HOST/NAME. [default: log.db in STATE_FOLDER]",
)
@option("--mirror", type=FOLDER, help="Serve the mirror in FOLDER again. It takes no documents.")
@settings_options(Settings, _SETTINGS)
def command(
    *,
    env_file: Path | None,
    host: str,
    port: int,
    signers: tuple[str, ...],
    state: str | None,
    mirror: Path | None,
    **flags: Any,
) -> None:
    """Keep a log of signed documents, or serve a mirror of one.

    \b
    soundsright log serve --signer 5F... --signer 5G...
    soundsright log serve --mirror copy --port 9101

    The hotkey of the wallet signs the log's heads and is its name. Documents of signers that the log does not
    know are refused. Two different documents of one signer for one round are both kept: they are evidence.
    """
    settings = settings_from(Settings, flags, env_file)
    if mirror is not None and (signers or state):
        raise UsageError("--mirror serves what was mirrored", "Leave out --signer and --state.")
    with ExitStack() as stack:
        if mirror is not None:
            log, admission = _mirror(mirror), None
        else:
            log, admission = stack.enter_context(_own(settings, signers, state))
        _serve(settings, log, admission, host, port)


@contextmanager
def _own(
    settings: Settings, signers: tuple[str, ...], state: str | None
) -> Iterator[tuple[TransparencyLog, Admission]]:
    """The log of this hotkey, and the documents that it takes."""
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.peers import Hotkey, valid_signature
    from soundsright.adapters.state import SqlRecords
    from soundsright.cli.shared.addresses import checked_hotkey
    from soundsright.cli.shared.opening import opened_chain
    from soundsright.services.executor_api import PermittedValidators
    from soundsright.services.log import Admission, HeadSigner, OwnLog, RecordStore

    for signer in signers:
        checked_hotkey(signer, "--signer")
    account = Hotkey.read(settings.hotkey_file)
    if state is None:
        settings.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        records = stack.enter_context(
            closing(SqlRecords(state or settings.folder / "log.db", scope=account.address))
        )
        check = None
        if not signers:
            chain = stack.enter_context(closing(opened_chain(settings, None)))
            check = PermittedValidators(chain).check
        log = OwnLog(RecordStore(records), HeadSigner(account, SystemClock()))
        click.echo(f"The log is {account.address}")
        yield log, Admission(valid_signature, frozenset(signers), check)


def _mirror(folder: Path) -> TransparencyLog:
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.log import MirrorLog

    return MirrorLog(folder, valid_signature=valid_signature)


def _serve(settings: Settings, log: TransparencyLog, admission: Admission | None, host: str, port: int) -> None:
    """Answer requests until a signal stops it."""
    from soundsright import __version__
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.peers import RateLimit
    from soundsright.cli.shared.opening import health_socket, http_limits
    from soundsright.cli.shared.settings_options import secrets_of
    from soundsright.cli.shared.stopping import stopped_by_signals
    from soundsright.services.http import (
        EmptyView,
        Health,
        HttpService,
        configure_logging,
        health_app,
        listening,
    )
    from soundsright.services.log import counted, log_app

    configure_logging(settings.log_level, secrets=secrets_of(settings))
    log.refresh()
    health = Health(SystemClock())
    limit, write_limit = RateLimit(per_minute=600, burst=300), RateLimit(per_minute=30, burst=60)
    app = log_app(log, throttle=limit.check, throttle_writes=write_limit.check, admission=admission)
    with (
        health_socket(settings) as health_sock,
        listening(host, port, host_variable="LOG_API_HOST", port_variable="LOG_API_PORT") as sock,
        stopped_by_signals() as stop,
    ):
        limits = http_limits(settings)
        own_app = health_app(health, EmptyView(), service="log", version=__version__)
        services = [
            HttpService(own_app, health_sock, name="health", limits=limits),
            HttpService(app, sock, name="log", limits=limits),
        ]
        for service in services:
            service.start()
        click.echo(f"{counted(log.size)} at http://{host}:{services[1].port}")
        _watch(log, health, stop)
        for service in services:
            service.close()


def _watch(log: TransparencyLog, health: Health, stop: threading.Event) -> None:
    """Tell the health check whether the log can be read, until `stop` is set."""
    health.set("neuron_running", True)
    while not stop.is_set():
        try:
            health.add("iterations")
            log.head()
            health.problem("log", None)
        except InfrastructureFault as error:
            health.problem("log", str(error))
        health.problem("start", None)
        stop.wait(_CHECK_EVERY_S)
    health.set("neuron_running", False)
