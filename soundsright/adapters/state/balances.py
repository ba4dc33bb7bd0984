"""Compares the balances of accounts with the sums of their events. `soundsright db check` does it."""

from __future__ import annotations

from sqlalchemy import Connection, case, func, select

from soundsright.adapters.state.schema import ACCOUNT_EVENTS, ACCOUNTS


def wrong_balance(connection: Connection) -> str | None:
    """A sentence about the first balance that is not the sum of its events, or None if all are."""
    events = ACCOUNT_EVENTS.c
    signed = case((events.kind == "charge", -events.amount_rao), else_=events.amount_rao)
    total = func.coalesce(func.sum(signed), 0)
    query = (
        select(ACCOUNTS.c.coldkey, ACCOUNTS.c.balance_rao, total.label("total"))
        .outerjoin(
            ACCOUNT_EVENTS, (events.organiser == ACCOUNTS.c.organiser) & (events.coldkey == ACCOUNTS.c.coldkey)
        )
        .group_by(ACCOUNTS.c.organiser, ACCOUNTS.c.coldkey, ACCOUNTS.c.balance_rao)
        .having(total != ACCOUNTS.c.balance_rao)
        .order_by(ACCOUNTS.c.coldkey)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else f"{row.coldkey} has {row.balance_rao} RAO, and its events sum to {row.total}"
