"""`soundsright chain`: keep a private competition's chain, and take part in one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.service import ENV_FILE, Finite, settings_from
from soundsright.config import Settings
from soundsright.core.ss58 import is_address

if TYPE_CHECKING:
    from soundsright.adapters.chains import HttpChain
    from soundsright.adapters.peers import Hotkey

_MAX_AHEAD_S = 3_600.0
_MAX_BLOCK_EVERY_S = 60
"""A miner gives a commitment up that no block shows within three minutes, and makes it again."""
_BLOCK_WAIT_S = 60.0
_LOOK_EVERY_S = 0.5
_SHARED = ("subtensor_chain_endpoint", "wallet", "hotkey", "wallet_path", "state_folder")


def _account_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags of a command that acts under an account."""
    for name in reversed(_SHARED):
        field = Settings.model_fields[name]
        command = click.option(
            f"--{name.replace('_', '-')}", name, envvar=name.upper(), show_envvar=True, help=field.description
        )(command)
    return ENV_FILE(command)


def _settings(flags: dict[str, Any], env_file: Path | None) -> Settings:
    return settings_from(Settings, flags, env_file)


def _opened(settings: Settings) -> tuple[HttpChain, Hotkey]:
    """The chain for the account of WALLET and HOTKEY."""
    from soundsright.adapters.peers import Hotkey

    account = Hotkey.read(settings.hotkey_file)
    return _chain(settings, account), account


def _chain(settings: Settings, account: Hotkey | None = None) -> HttpChain:
    from soundsright.adapters.chains import HttpChain
    from soundsright.core.errors import UsageError

    if settings.is_bittensor:
        raise UsageError(
            f"SUBTENSOR_CHAIN_ENDPOINT {settings.subtensor_chain_endpoint} is no private chain",
            "Give its http:// address; for Bittensor use `btcli`.",
        )
    return HttpChain(settings.subtensor_chain_endpoint, account)


@click.group("chain")
def command() -> None:
    """A private competition's chain: serve it, register, look at it."""


@command.command("serve")
@_account_options
@click.option("--host", default="127.0.0.1", show_default=True, envvar="CHAIN_HOST", show_envvar=True)
@click.option(
    "--port",
    default=9944,
    show_default=True,
    envvar="CHAIN_PORT",
    show_envvar=True,
    type=click.IntRange(0, 65_535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--block-every",
    default=12.0,
    type=Finite(0, _MAX_BLOCK_EVERY_S),
    show_default=True,
    envvar="CHAIN_BLOCK_EVERY",
    show_envvar=True,
    help="Seconds from one block to the next, at most 60, whoever writes; 0: each write makes one, and "
    "`soundsright chain advance`.",
)
@click.option(
    "--block-seconds",
    type=Finite(0, 86_400, min_open=True),
    envvar="CHAIN_BLOCK_SECONDS",
    show_envvar=True,
    help="Chain time of a block, to rehearse days in minutes. [default: the real time]",
)
@click.option("--open", "open_registration", is_flag=True, help="Let every key register itself, without stake.")
@click.option("--log-level", default="INFO", show_default=True, envvar="LOG_LEVEL", show_envvar=True)
def serve(
    host: str,
    port: int,
    block_every: float,
    block_seconds: float | None,
    open_registration: bool,
    log_level: str,
    env_file: Path | None,
    **flags: Any,
) -> None:
    """Serve the chain in STATE_FOLDER/chain.db until stopped. WALLET and HOTKEY are the organiser's.

    Reads are free for all; put a proxy with TLS before it where the network is not your own.
    """
    from soundsright.adapters.chains import LocalChain, sole_author
    from soundsright.adapters.peers import Gate, Hotkey, RateLimit
    from soundsright.cli.shared.service import stopped_by_signals
    from soundsright.services.http import HttpService, chain_app, configure_logging, listening

    settings = _settings({**flags, "log_level": log_level}, env_file)
    configure_logging(settings.log_level)
    account = Hotkey.read(settings.hotkey_file)
    settings.folder.mkdir(parents=True, exist_ok=True)
    file = settings.folder / "chain.db"
    with sole_author(file):
        # Where time makes the blocks, nobody who writes may: it would be theirs to say when entries close.
        chain = LocalChain(file, block_s=block_seconds, block_per_write=not block_every)
        chain.check()
        if block_seconds is None:
            _see_that_time_passes(chain.ahead_s())
        app = chain_app(
            chain,
            address=account.address,
            organiser=account.address,
            admit=Gate(account.address).admit,
            throttle=RateLimit(per_minute=600, burst=200).check,
            is_address=is_address,
            open_registration=open_registration,
        )
        sock = listening(host, port, host_variable="CHAIN_HOST", port_variable="CHAIN_PORT")
        service = HttpService(app, sock, name="chain").start()
        click.echo(f"Chain of {account.address} at http://{host}:{service.port}, block {chain.head().number}")
        with stopped_by_signals() as stop:
            while not stop.wait(block_every or 3_600.0):
                if block_every:
                    chain.advance()
        service.close()


def _see_that_time_passes(ahead_s: float) -> None:
    """A chain's time never goes back: one that is far ahead would stand still until the clock has caught up."""
    from soundsright.core.errors import UsageError

    if ahead_s > _MAX_AHEAD_S:
        hours = ahead_s / 3_600
        shown = f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.1f} hours"
        raise UsageError(
            f"The chain's time is {shown} ahead of this machine's",
            "Use another STATE_FOLDER, or go on with --block-seconds.",
        )


@command.command("account")
@_account_options
def account(env_file: Path | None, **flags: Any) -> None:
    """Make the key WALLET/HOTKEY, in the form of a Bittensor wallet, and print its address."""
    from soundsright.adapters.peers import new_hotkey

    settings = _settings(flags, env_file)
    key = new_hotkey()
    key.write(settings.hotkey_file)
    click.echo(f"{key.address}  {settings.hotkey_file}")


@command.command("join")
@_account_options
def join(env_file: Path | None, **flags: Any) -> None:
    """Register one's own key on a chain whose registration is open, and wait for the block that shows it."""
    chain, own = _opened(_settings(flags, env_file))
    _registered(chain, own.address)


@command.command("register")
@_account_options
@click.argument("address")
@click.option(
    "--stake",
    default=0.0,
    type=Finite(0, 1e15),
    show_default=True,
    help="Its stake: what a miner asks of a validator.",
)
@click.option("--permit", is_flag=True, help="It may set weights: a validator.")
def register(address: str, stake: float, permit: bool, env_file: Path | None, **flags: Any) -> None:
    """Register the key ADDRESS, as the organiser, and wait for the block that shows it."""
    from soundsright.core.errors import UsageError

    if not is_address(address):
        raise UsageError(
            f"ADDRESS {address[:80]!r} is no address of a key", "Give what `soundsright chain account` printed."
        )
    chain, _own = _opened(_settings(flags, env_file))
    _registered(chain, address, stake=stake, permit=permit)


def _registered(chain: HttpChain, address: str, *, stake: float = 0.0, permit: bool = False) -> None:
    """Register a key, and say its uid once the chain shows it; a chain of slow blocks is not waited for."""
    uid = chain.register(address, stake=stake, permit=permit)
    deadline_s = time.monotonic() + _BLOCK_WAIT_S
    while address not in (neuron.hotkey for neuron in chain.neurons()):
        if time.monotonic() >= deadline_s:
            click.echo(f"{address} is uid {uid} from the next block on")
            return
        time.sleep(_LOOK_EVERY_S)
    click.echo(f"{address} is uid {uid}")


@command.command("advance")
@_account_options
@click.argument("blocks", default=1, type=click.IntRange(1, 10_000))
def advance(blocks: int, env_file: Path | None, **flags: Any) -> None:
    """Make BLOCKS blocks at once, as the organiser."""
    chain, _own = _opened(_settings(flags, env_file))
    click.echo(f"block {chain.advance(blocks).number}")


@command.command("publish")
@_account_options
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--hub", required=True, envvar="SOUNDSRIGHT_HUB", show_envvar=True, type=click.Path(path_type=Path))
@click.option("--namespace", required=True, help="Owner of the model on the hub.")
def publish(folder: Path, hub: Path, namespace: str, env_file: Path | None, **flags: Any) -> None:
    """Copy the model in FOLDER to a private competition's hub, and print its revision."""
    from soundsright.adapters.hubs import FolderHub
    from soundsright.core.errors import EntryRefused, UsageError

    settings = _settings(flags, env_file)
    name = folder.name or folder.resolve().name  # `.` has one too.
    try:
        model = FolderHub(hub.expanduser(), settings.folder / "cache").publish(namespace, name, folder)
    except EntryRefused as refused:
        raise UsageError(
            refused.sentence,
            "Use letters, digits and - _ . (not -- or ..) in --namespace and in the folder's name.",
        ) from refused
    click.echo(str(model))


@command.command("status")
@_account_options
def status(env_file: Path | None, **flags: Any) -> None:
    """Show the head, and each hotkey with its commitment and endpoint."""
    snapshot = _chain(_settings(flags, env_file)).snapshot()
    click.echo(f"block {snapshot.block.number}  {snapshot.block.hash}")
    committed = {c.hotkey: f"block {c.block}  {c.digest[:16]}" for c in snapshot.commitments}
    for neuron in snapshot.neurons:
        role = f"validator, stake {neuron.stake:g}" if neuron.permit else "miner"
        click.echo(
            f"{neuron.uid:>4}  {neuron.hotkey}  {role:<24}  {neuron.endpoint or '-':<22}  "
            f"{committed.get(neuron.hotkey, '-')}"
        )
