"""`soundsright chain balance`, `mint` and `transfer`: the coldkeys of a private chain and their RAO."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.chain_accounts import (
    account_options,
    account_settings,
    check_address,
    coldkey_account,
    private_chain,
    private_chain_with_account,
)
from soundsright.core.errors import ChainUnavailable, UsageError
from soundsright.core.ports.tables import MAX_RAO

if TYPE_CHECKING:
    from soundsright.core.ports import TxResult

_AMOUNT = click.IntRange(1, MAX_RAO)
_RAO_PER_TAO = 1_000_000_000


@click.command("balance")
@account_options
@click.argument("address", required=False)
def balance(address: str | None, env_file: Path | None, **flags: Any) -> None:
    """Show the balance of ADDRESS, or of the coldkey of WALLET.

    \b
    soundsright chain balance --wallet alice
    """
    settings = account_settings(flags, env_file)
    if address is None:
        address = coldkey_account(settings).address
    check_address("ADDRESS", address)
    _show_balance(address, private_chain(settings).balance_rao(address))


@click.command("mint")
@account_options
@click.argument("to")
@click.argument("amount_rao", type=_AMOUNT)
def mint(to: str, amount_rao: int, env_file: Path | None, **flags: Any) -> None:
    """Make AMOUNT_RAO new RAO for the address TO, as the organiser.

    \b
    soundsright chain mint 5F3sa2TJAWMqDhXG6jhV4N8ko9SxwGy8TpaNS1repo5EYjQX 5000000000 --wallet organiser

    1 TAO is 1000000000 RAO. All addresses together have at most 21 million TAO.
    """
    check_address("TO", to)
    chain, _organiser = private_chain_with_account(account_settings(flags, env_file))
    _check_done(chain.mint(to, amount_rao))
    _show_balance(to, chain.balance_rao(to))


@click.command("transfer")
@account_options
@click.argument("to")
@click.argument("amount_rao", type=_AMOUNT)
def transfer(to: str, amount_rao: int, env_file: Path | None, **flags: Any) -> None:
    """Send AMOUNT_RAO from the coldkey of WALLET to the address TO.

    \b
    soundsright chain transfer 5F3sa2TJAWMqDhXG6jhV4N8ko9SxwGy8TpaNS1repo5EYjQX 250000000 --wallet alice

    1 TAO is 1000000000 RAO. TO must be the coldkey of a registered key, or an address that the organiser minted to.
    """
    check_address("TO", to)
    settings = account_settings(flags, env_file)
    coldkey = coldkey_account(settings)
    chain = private_chain(settings, coldkey)
    _check_done(chain.transfer(coldkey.address, to, amount_rao))
    _show_balance(coldkey.address, chain.balance_rao(coldkey.address))


def _check_done(result: TxResult) -> None:
    """Check that the payment is on the chain.

    Raises:
        ChainUnavailable: nobody knows, or the chain cannot do it now.
        UsageError: the chain refuses it.
    """
    if result.ok:
        return
    if result.unknown:
        raise ChainUnavailable(
            f"No answer, so the payment may be done or not ({result.message})",
            "Look at `soundsright chain balance` before you try again.",
        )
    if result.retryable:
        raise ChainUnavailable(f"The chain refused: {result.message}", "Try again later.")
    raise UsageError(f"The chain refused: {result.message}", "Nothing was paid.")


def _show_balance(address: str, rao: int) -> None:
    click.echo(f"{address}  {rao} RAO  ({rao // _RAO_PER_TAO}.{rao % _RAO_PER_TAO:09d} TAO)")
