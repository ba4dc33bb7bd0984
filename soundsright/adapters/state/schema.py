"""The tables of the state, as SQLAlchemy knows them. Only this room imports it, because it loads SQLAlchemy.

Only `leases` has times of the wall clock. Therefore a validator that was killed and restarted ends with the same
rows as one that was not. `position` counts rows in the order in which they were written.

`scope` separates the rounds of organisers who share one database. It is empty if there is only one organiser.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
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

HEAD_REVISION = "0002"
"""The migration that leads to these tables. A test compares the two."""
