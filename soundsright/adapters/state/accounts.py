"""The port `Accounts` in SQL. An event and the balance after it are written in one transaction.

Every write locks its account first, then the records. Therefore no two writes wait for each other. The database
itself refuses a balance below zero.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, Row, select

from soundsright.adapters.state.records import append_record, lock_appends
from soundsright.adapters.state.schema import ACCOUNT_EVENTS, ACCOUNTS
from soundsright.adapters.state.sql import SqlTables
from soundsright.core.errors import BalanceTooLow, RecordConflict, UsageError
from soundsright.core.ports import AccountEvent, NewRecord
from soundsright.core.ports.tables import MAX_RAO, check_page, checked_amount, checked_name


class SqlAccounts(SqlTables):
    """The `Accounts` port over SQLAlchemy, for SQLite and PostgreSQL."""

    def credit(
        self, event_id: str, coldkey: str, amount_rao: int, *, purpose: str = "", record: NewRecord | None = None
    ) -> AccountEvent:
        """Add to a balance. The first credit opens the account."""
        return self._apply(_new_event(event_id, "credit", coldkey, amount_rao, purpose), record)

    def charge(
        self, event_id: str, coldkey: str, amount_rao: int, *, purpose: str = "", record: NewRecord | None = None
    ) -> AccountEvent:
        """Take from a balance. `BalanceTooLow` means that nothing was written."""
        return self._apply(_new_event(event_id, "charge", coldkey, amount_rao, purpose), record)

    def refund(self, event_id: str, charge_id: str, *, record: NewRecord | None = None) -> AccountEvent:
        """Give a whole charge back to the coldkey that paid it."""
        checked_name(event_id, "event")
        checked_name(charge_id, "charge")
        with self._reading() as connection:
            charge = self._event(connection, charge_id)
        if charge is None or charge.kind != "charge":
            raise UsageError(f"There is no charge {charge_id!r}", "Give the event of a charge.")
        event = replace(charge, position=0, event_id=event_id, kind="refund", balance_rao=0, refunded=charge_id)
        return self._apply(event, record)

    def balance(self, coldkey: str) -> int:
        """The balance in RAO; 0 for a coldkey without an account."""
        checked_name(coldkey, "coldkey")
        query = select(ACCOUNTS.c.balance_rao).where(*self._is_account(coldkey))
        with self._reading() as connection:
            return int(connection.execute(query).scalar() or 0)

    def events(
        self, *, coldkey: str | None = None, purpose: str | None = None, after: int = 0, limit: int = 100
    ) -> tuple[AccountEvent, ...]:
        """The events after a position, oldest first: all, or those of a coldkey or a purpose."""
        check_page(after, limit)
        for name, meaning in ((coldkey, "coldkey"), (purpose, "purpose")):
            if name is not None:
                checked_name(name, meaning)
        query = ACCOUNT_EVENTS.select().where(
            ACCOUNT_EVENTS.c.organiser == self._scope, ACCOUNT_EVENTS.c.position > after
        )
        if coldkey is not None:
            query = query.where(ACCOUNT_EVENTS.c.coldkey == coldkey)
        if purpose is not None:
            query = query.where(ACCOUNT_EVENTS.c.purpose == purpose)
        with self._reading() as connection:
            rows = connection.execute(query.order_by(ACCOUNT_EVENTS.c.position).limit(limit))
            return tuple(map(_account_event, rows))

    def _apply(self, event: AccountEvent, record: NewRecord | None) -> AccountEvent:
        with self._writing() as connection:
            balance_rao = self._locked_balance(connection, event.coldkey)
            before = self._event(connection, event.event_id)
            if before is not None:
                return self._repeated(connection, event, before, record)
            self._check_not_refunded(connection, event)
            after_rao = balance_rao + (-event.amount_rao if event.kind == "charge" else event.amount_rao)
            if after_rao < 0:
                raise BalanceTooLow(event.coldkey, balance_rao, event.amount_rao)
            if after_rao > MAX_RAO:
                raise ValueError(f"{event.coldkey} would have {after_rao} RAO, more than {MAX_RAO}")
            update = ACCOUNTS.update().where(*self._is_account(event.coldkey))
            connection.execute(update.values(balance_rao=after_rao))
            # The lock of the records also orders the positions of events.
            lock_appends(connection)
            if record is not None and not append_record(connection, self._scope, record)[1]:
                raise RecordConflict(f"{record.stream}/{record.key}", "it is recorded, but not with this event")
            row = asdict(replace(event, balance_rao=after_rao)) | {"organiser": self._scope}
            del row["position"]
            self._insert(connection, ACCOUNT_EVENTS, [row], ("organiser", "event_id"))
            written = self._event(connection, event.event_id)
            assert written is not None
            if _essence(written) != _essence(event):
                # Another coldkey's transaction wrote it since we looked. The account's lock does not cover that.
                raise _other_event(event, written)
            return written

    def _locked_balance(self, connection: Connection, coldkey: str) -> int:
        """The balance. No other transaction changes it before this one ends."""
        row = {"organiser": self._scope, "coldkey": coldkey, "balance_rao": 0}
        self._insert(connection, ACCOUNTS, [row], ("organiser", "coldkey"))
        query = select(ACCOUNTS.c.balance_rao).where(*self._is_account(coldkey)).with_for_update()
        return int(connection.execute(query).scalar_one())

    def _repeated(
        self, connection: Connection, event: AccountEvent, before: AccountEvent, record: NewRecord | None
    ) -> AccountEvent:
        if _essence(before) != _essence(event):
            raise _other_event(event, before)
        if record is not None and append_record(connection, self._scope, record)[1]:
            raise RecordConflict(event.event_id, f"the event was written without {record.stream}/{record.key}")
        return before

    def _check_not_refunded(self, connection: Connection, event: AccountEvent) -> None:
        if event.refunded is None:
            return
        query = select(ACCOUNT_EVENTS.c.event_id).where(
            ACCOUNT_EVENTS.c.organiser == self._scope, ACCOUNT_EVENTS.c.refunded == event.refunded
        )
        other = connection.execute(query).scalar()
        if other is not None:
            raise RecordConflict(event.event_id, f"the charge {event.refunded} was refunded by {other}")

    def _event(self, connection: Connection, event_id: str) -> AccountEvent | None:
        query = ACCOUNT_EVENTS.select().where(
            ACCOUNT_EVENTS.c.organiser == self._scope, ACCOUNT_EVENTS.c.event_id == event_id
        )
        row = connection.execute(query).one_or_none()
        return None if row is None else _account_event(row)

    def _is_account(self, coldkey: str) -> tuple[Any, Any]:
        return ACCOUNTS.c.organiser == self._scope, ACCOUNTS.c.coldkey == coldkey


def _new_event(event_id: str, kind: Any, coldkey: str, amount_rao: int, purpose: str) -> AccountEvent:
    checked_name(event_id, "event")
    checked_name(coldkey, "coldkey")
    if purpose:
        checked_name(purpose, "purpose")
    return AccountEvent(0, event_id, kind, coldkey, checked_amount(amount_rao), 0, purpose)


def _essence(event: AccountEvent) -> AccountEvent:
    """The event without what the database adds."""
    return replace(event, position=0, balance_rao=0)


def _other_event(event: AccountEvent, recorded: AccountEvent) -> RecordConflict:
    return RecordConflict(
        event.event_id,
        f"the event is recorded as a {recorded.kind} of {recorded.amount_rao} RAO of {recorded.coldkey}",
    )


def _account_event(row: Row[Any]) -> AccountEvent:
    return AccountEvent(
        row.position,
        row.event_id,
        row.kind,
        row.coldkey,
        row.amount_rao,
        row.balance_rao,
        row.purpose,
        row.refunded,
    )
