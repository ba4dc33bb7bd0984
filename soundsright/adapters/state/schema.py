"""The tables of the state, as SQLAlchemy knows them. Only this room imports it, because it loads SQLAlchemy.

Only `leases` has times of the wall clock. Therefore a validator that was killed and restarted ends with the same
rows as one that was not. `position` counts rows in the order in which they were written.

`scope` separates the rounds of organisers who share one database. It is empty if there is only one organiser.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from soundsright.core.ports.tables import MAX_COUNT, MAX_RAO

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

# SQLite numbers rows automatically only in a column of the type INTEGER.
_COUNTED = BigInteger().with_variant(Integer(), "sqlite")


def _scope(*, primary_key: bool = False) -> Column[str]:
    return Column("scope", String(64), primary_key=primary_key, nullable=False, server_default="")


def _of_a_round() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["round_id", "scope"], ["rounds.round_id", "rounds.scope"], ondelete="CASCADE")


ROUNDS = Table(
    "rounds",
    METADATA,
    Column("position", _COUNTED, primary_key=True, autoincrement=True),
    Column("round_id", String(128), nullable=False),
    Column("facts", Text, nullable=False),
    _scope(),
    UniqueConstraint("round_id", "scope", name="uq_rounds_round_id_scope"),
)

STEPS = Table(
    "steps",
    METADATA,
    Column("round_id", String(128), primary_key=True),
    Column("step", String(255), primary_key=True),
    Column("facts", Text, nullable=False),
    _scope(primary_key=True),
    _of_a_round(),
)

CLIP_RESULTS = Table(
    "clip_results",
    METADATA,
    Column("round_id", String(128), primary_key=True),
    Column("entry_id", String(128), primary_key=True),
    Column("clip_id", String(128), primary_key=True),
    Column("scores", Text),
    Column("failure_code", String(64)),
    Column("failure_detail", Text),
    _scope(primary_key=True),
    _of_a_round(),
)

# It has no foreign key, because titles outlive forgotten rounds.
TITLES = Table(
    "titles",
    METADATA,
    Column("position", _COUNTED, primary_key=True, autoincrement=True),
    Column("scope", String(64), nullable=False),
    Column("competition_id", String(128), nullable=False),
    Column("metric", String(64), nullable=False),
    Column("round_id", String(128), nullable=False),
    Column("champion", Text),
    UniqueConstraint("scope", "competition_id", "metric", "round_id", name="uq_titles_scope_competition_id"),
)

LEASES = Table(
    "leases",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("holder", String(255), nullable=False),
    Column("expires_at_s", Float(53), nullable=False),
    _scope(primary_key=True),
)

# The tables of services that are not rounds. Here the organiser is called `organiser`: a counter has its own scope.


def _organiser(*, primary_key: bool = False) -> Column[str]:
    return Column("organiser", String(64), primary_key=primary_key, nullable=False, server_default="")


def _position() -> Column[int]:
    return Column("position", _COUNTED, primary_key=True, autoincrement=True)


RECORDS = Table(
    "records",
    METADATA,
    _position(),
    _organiser(),
    Column("stream", String(64), nullable=False),
    Column("key", String(255), nullable=False),
    Column("facts", Text, nullable=False),
    UniqueConstraint("organiser", "stream", "key", name="uq_records_organiser_stream_key"),
    Index("ix_records_organiser_stream_position", "organiser", "stream", "position"),
)

COUNTERS = Table(
    "counters",
    METADATA,
    _organiser(primary_key=True),
    Column("scope", String(255), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
    CheckConstraint(f"value BETWEEN 0 AND {MAX_COUNT}", name="value_range"),
)

# Additions that must not count twice. `closed` is the number of intervals that were closed before.
COUNTER_MARKS = Table(
    "counter_marks",
    METADATA,
    _organiser(primary_key=True),
    Column("scope", String(255), primary_key=True),
    Column("mark", String(255), primary_key=True),
    Column("closed", Integer, nullable=False),
    Index("ix_counter_marks_organiser_closed", "organiser", "closed"),
)

# `counts` is NULL if they were removed.
COUNTER_INTERVALS = Table(
    "counter_intervals",
    METADATA,
    _position(),
    _organiser(),
    Column("name", String(255), nullable=False),
    Column("counts", Text),
    UniqueConstraint("organiser", "name", name="uq_counter_intervals_organiser_name"),
)

ACCOUNTS = Table(
    "accounts",
    METADATA,
    _organiser(primary_key=True),
    Column("coldkey", String(255), primary_key=True),
    Column("balance_rao", BigInteger, nullable=False),
    CheckConstraint(f"balance_rao BETWEEN 0 AND {MAX_RAO}", name="balance_range"),
)

ACCOUNT_EVENTS = Table(
    "account_events",
    METADATA,
    _position(),
    _organiser(),
    Column("event_id", String(255), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("coldkey", String(255), nullable=False),
    Column("amount_rao", BigInteger, nullable=False),
    Column("balance_rao", BigInteger, nullable=False),
    Column("purpose", String(255), nullable=False),
    Column("refunded", String(255)),
    ForeignKeyConstraint(["organiser", "coldkey"], ["accounts.organiser", "accounts.coldkey"]),
    UniqueConstraint("organiser", "event_id", name="uq_account_events_organiser_event_id"),
    UniqueConstraint("organiser", "refunded", name="uq_account_events_organiser_refunded"),
    CheckConstraint("kind IN ('credit', 'charge', 'refund')", name="kind"),
    CheckConstraint("(kind = 'refund') = (refunded IS NOT NULL)", name="refund_of"),
    CheckConstraint(f"amount_rao BETWEEN 1 AND {MAX_RAO}", name="amount_range"),
    CheckConstraint(f"balance_rao BETWEEN 0 AND {MAX_RAO}", name="balance_range"),
    Index("ix_account_events_organiser_coldkey", "organiser", "coldkey", "position"),
    Index("ix_account_events_organiser_purpose", "organiser", "purpose", "position"),
)

HEAD_REVISION = "0003"
"""The migration that leads to these tables. A test compares the two."""
