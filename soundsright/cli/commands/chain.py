"""`soundsright chain`: serve a private competition's chain and take part in it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.commands.chain_payments import balance, mint, transfer
from soundsright.cli.shared.chain_accounts import (
    account_options,
    account_settings,
    check_address,
    coldkey_account,
    private_chain,
    private_chain_with_account,
)
from soundsright.cli.shared.options import (
    ANY_PATH,
    Connections,
    FiniteFloat,
    grouped,
    listening_options,
    option,
)
from soundsright.core.errors import UsageError
from soundsright.core.ss58 import is_address

if TYPE_CHECKING:
    from fastapi import FastAPI

    from soundsright.adapters.chains import HttpChain, LocalChain
    from soundsright.adapters.peers import Hotkey
    from soundsright.services.http import HttpService

_MAX_AHEAD_S = 3_600.0
_MAX_BLOCK_EVERY_S = 60
"""A miner repeats a commitment that no block shows within three minutes."""
_BLOCK_WAIT_S = 60.0
_LOOK_EVERY_S = 0.5


@click.group("chain")
def command() -> None:
    """Serve a private competition's chain and take part in it.

    \b
    soundsright chain account                # make a key
    soundsright chain serve --open           # the organiser
    soundsright chain join                   # everybody else
    """


for _payment in (balance, mint, transfer):
    command.add_command(_payment)


@dataclass(frozen=True)
class _BlockTimes:
    """Seconds between blocks, and the chain's own seconds that a block lasts (None: real time)."""

    block_every: float
    block_seconds: float | None


@dataclass(frozen=True)
class _ClientLimits:
    """The limits of one client (an IPv4 address, or the /64 of an IPv6 address). 0 means no limit."""

    read_share: float
    registrations: int


@command.command("serve")
@account_options
@listening_options("CHAIN", 9944)
@grouped(
    _BlockTimes,
    "times",
    option(
        "--block-every",
        default=12.0,
        type=FiniteFloat(0, _MAX_BLOCK_EVERY_S),
        envvar="CHAIN_BLOCK_EVERY",
        help="Seconds between two blocks. 0: each write makes a block, and so does `soundsright chain advance`.",
    ),
    option(
        "--block-seconds",
        type=FiniteFloat(0, 86_400, min_open=True),
        envvar="CHAIN_BLOCK_SECONDS",
        help="Seconds of the chain's own time per block, to rehearse days in minutes. [default: real time]",
    ),
)
@grouped(
    _ClientLimits,
    "client_limits",
    option(
        "--read-share",
        default=0.25,
        type=FiniteFloat(0, 64),
        envvar="CHAIN_READ_SHARE",
        help="Share of a processor core that the reads of one address may use. 0: no limit, behind a proxy.",
    ),
    option(
        "--registrations-per-day",
        "registrations",
        default=32,
        type=click.IntRange(0, 4_096),
        envvar="CHAIN_REGISTRATIONS_PER_DAY",
        help="Keys that register themselves from one address in a day, with --open. 0: no limit, behind a proxy.",
    ),
)
@option("--open", "open_registration", is_flag=True, help="Let every key register itself, without stake.")
@option("--log-level", default="INFO", envvar="LOG_LEVEL", help="Lowest level of messages to log.")
def serve(
    host: str,
    port: int,
    connections: Connections,
    times: _BlockTimes,
    client_limits: _ClientLimits,
    open_registration: bool,
    log_level: str,
    env_file: Path | None,
    **flags: Any,
) -> None:
    """Serve the chain in STATE_FOLDER/chain.db until it is stopped.

    \b
    soundsright chain serve --wallet organiser --open

    WALLET and HOTKEY are the organiser's. Everybody who reaches the port can read the chain. If the network is not
    your own, put a proxy with TLS in front of it.
    """
    from soundsright.adapters.chains import LocalChain, authoring_lock
    from soundsright.adapters.peers import Hotkey
    from soundsright.cli.shared.serving import limits_of
    from soundsright.services.http import HttpService, configure_logging, listening

    settings = account_settings({**flags, "log_level": log_level}, env_file)
    configure_logging(settings.log_level)
    account = Hotkey.read(settings.hotkey_file)
    settings.folder.mkdir(parents=True, exist_ok=True)
    file = settings.folder / "chain.db"
    with authoring_lock(file):
        # If blocks come with time, writes make none. Otherwise a writer could decide when entries close.
        chain = LocalChain(file, block_s=times.block_seconds, block_per_write=not times.block_every)
        chain.check()
        _check_organiser(chain, account, settings.hotkey_file, file)
        chain.appoint(account.address)
        if times.block_seconds is None:
            _check_time(chain.ahead_s())
        app = _chain_app(chain, account, client_limits, open_registration=open_registration)
        sock = listening(host, port, host_variable="CHAIN_HOST", port_variable="CHAIN_PORT")
        service = HttpService(app, sock, name="chain", limits=limits_of(connections))
        _serve_blocks(chain, service, f"Chain of {account.address} at http://{host}", times.block_every)


def _chain_app(chain: LocalChain, account: Hotkey, limits: _ClientLimits, *, open_registration: bool) -> FastAPI:
    from soundsright.adapters.peers import RateLimit, RequestGate, valid_signature
    from soundsright.services.http import ChainAccess, chain_app

    # A client that was quiet for two minutes may read that much at once.
    reads = RateLimit(per_minute=60_000 * limits.read_share, burst=round(120_000 * limits.read_share) or 1)
    daily = RateLimit(per_minute=limits.registrations / 1_440, burst=limits.registrations)
    return chain_app(
        chain,
        ChainAccess(
            address=account.address,
            organiser=account.address,
            admit=RequestGate(account.address).admit,
            throttle=RateLimit(per_minute=600, burst=200).check,
            is_address=is_address,
            open_registration=open_registration,
            reads=reads if limits.read_share else None,
            registrations=daily.check if limits.registrations else None,
            valid_signature=valid_signature,
        ),
    )


def _serve_blocks(chain: LocalChain, service: HttpService, title: str, block_every_s: float) -> None:
    """Serve the chain and make blocks until a signal stops it."""
    from soundsright.cli.shared.stopping import stopped_by_signals

    service.start()
    click.echo(f"{title}:{service.port}, block {chain.head().number}")
    with stopped_by_signals() as stop:
        while not stop.wait(block_every_s or 3_600.0):
            if block_every_s:
                chain.advance()
    service.close()


def _check_organiser(chain: LocalChain, account: Hotkey, key_file: Path, chain_file: Path) -> None:
    """Check that the key is the organiser's of a chain that has one.

    Raises:
        UsageError: the chain has another organiser.
    """
    organiser = chain.owner()
    if organiser not in {None, account.address}:
        raise UsageError(
            f"The chain in {chain_file} has the organiser {organiser}, and {key_file} is the key {account.address}",
            "Set --wallet and --hotkey (WALLET, HOTKEY) to the organiser's key. For a new chain, set another "
            "--state-folder (STATE_FOLDER).",
        )


def _check_time(ahead_s: float) -> None:
    """Check that the chain's time is not far ahead. It never goes back, so a chain that is ahead would stop.

    Raises:
        UsageError: it is more than an hour ahead.
    """
    if ahead_s > _MAX_AHEAD_S:
        hours = ahead_s / 3_600
        shown = f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.1f} hours"
        raise UsageError(
            f"The chain's time is {shown} ahead of this machine's",
            "Use another STATE_FOLDER, or continue with --block-seconds.",
        )


@command.command("account")
@account_options
@option("--coldkey", is_flag=True, help="Make the coldkey of WALLET instead. It pays fees.")
def account(coldkey: bool, env_file: Path | None, **flags: Any) -> None:
    """Make the key WALLET/HOTKEY and print its address.

    \b
    soundsright chain account --wallet alice

    The key has the form of a Bittensor wallet, without a password.
    """
    from soundsright.adapters.peers import new_hotkey

    settings = account_settings(flags, env_file)
    key, file = new_hotkey(), settings.coldkey_file if coldkey else settings.hotkey_file
    key.write(file)
    click.echo(f"{key.address}  {file}")


@command.command("join")
@account_options
@option("--coldkey", is_flag=True, help="Name the coldkey of WALLET as the owner of the key.")
def join(coldkey: bool, env_file: Path | None, **flags: Any) -> None:
    """Register your own key on a chain with open registration.

    \b
    soundsright chain join --wallet alice --subtensor-chain-endpoint http://127.0.0.1:9944

    The command waits for the block that shows the key.
    """
    settings = account_settings(flags, env_file)
    chain, own_key = private_chain_with_account(settings)
    own_coldkey = coldkey_account(settings) if coldkey else None
    _wait_for(chain, own_key.address, chain.register(own_key.address, coldkey_account=own_coldkey))


@command.command("register")
@account_options
@click.argument("address")
@option(
    "--stake",
    default=0.0,
    type=FiniteFloat(0, 1e15),
    help="Stake of the key. Miners answer only validators with enough stake.",
)
@option("--permit", is_flag=True, help="Let the key set weights, as a validator.")
@option("--coldkey", help="Address of the coldkey that owns the key. It stays while the key is registered.")
def register(
    address: str, stake: float, permit: bool, coldkey: str | None, env_file: Path | None, **flags: Any
) -> None:
    """Register the key ADDRESS, as the organiser.

    \b
    soundsright chain register 5F3sa2TJAWMqDhXG6jhV4N8ko9SxwGy8TpaNS1repo5EYjQX --permit --stake 2000

    The command waits for the block that shows the key.
    """
    check_address("ADDRESS", address)
    if coldkey is not None:
        check_address("--coldkey", coldkey)
    chain, _organiser = private_chain_with_account(account_settings(flags, env_file))
    _wait_for(chain, address, chain.register(address, stake=stake, permit=permit, coldkey=coldkey))


def _wait_for(chain: HttpChain, address: str, uid: int) -> None:
    """Print the uid of a key once a block shows it. If that takes too long, stop waiting."""
    deadline_s = time.monotonic() + _BLOCK_WAIT_S
    while address not in (neuron.hotkey for neuron in chain.neurons()):
        if time.monotonic() >= deadline_s:
            click.echo(f"{address} is uid {uid} from the next block on")
            return
        time.sleep(_LOOK_EVERY_S)
    click.echo(f"{address} is uid {uid}")


@command.command("advance")
@account_options
@click.argument("blocks", default=1, type=click.IntRange(1, 10_000))
def advance(blocks: int, env_file: Path | None, **flags: Any) -> None:
    """Make blocks at once, as the organiser.

    \b
    soundsright chain advance 25 --wallet organiser
    """
    chain, _organiser = private_chain_with_account(account_settings(flags, env_file))
    click.echo(f"block {chain.advance(blocks).number}")


@command.command("publish")
@account_options
@click.argument("folder", type=ANY_PATH)
@option("--hub", required=True, envvar="SOUNDSRIGHT_HUB", type=ANY_PATH, help="Folder of the competition's hub.")
@option("--namespace", required=True, help="Owner of the model on the hub.")
def publish(folder: Path, hub: Path, namespace: str, env_file: Path | None, **flags: Any) -> None:
    """Copy the model in FOLDER to a private competition's hub.

    \b
    soundsright chain publish my-model --hub /srv/hub --namespace alice

    The command prints the model's revision, which a miner's settings need.
    """
    from soundsright.adapters.hubs import FolderHub
    from soundsright.core.errors import EntryRefused
    from soundsright.library import check_folder

    settings = account_settings(flags, env_file)
    check_folder(folder, [settings.wallet_path, settings.folder])
    name = folder.name or folder.resolve().name  # The folder `.` has an empty name.
    try:
        model = FolderHub(hub.expanduser(), settings.folder / "cache").publish(namespace, name, folder)
    except EntryRefused as refused:
        raise UsageError(
            refused.sentence,
            "Use letters, digits and - _ . (not -- or ..) in --namespace and in the folder's name.",
        ) from refused
    click.echo(str(model))


@command.command("status")
@account_options
def status(env_file: Path | None, **flags: Any) -> None:
    """Show the latest block, and each hotkey with its endpoint and commitment.

    \b
    soundsright chain status --subtensor-chain-endpoint http://127.0.0.1:9944
    """
    snapshot = private_chain(account_settings(flags, env_file)).snapshot()
    click.echo(f"block {snapshot.block.number}  {snapshot.block.hash}")
    commitments = {c.hotkey: f"block {c.block}  {c.digest[:16]}" for c in snapshot.commitments}
    for neuron in snapshot.neurons:
        role = f"validator, stake {neuron.stake:g}" if neuron.permit else "miner"
        click.echo(
            f"{neuron.uid:>4}  {neuron.hotkey}  {role:<24}  {neuron.endpoint or '-':<22}  "
            f"{commitments.get(neuron.hotkey, '-')}"
        )
