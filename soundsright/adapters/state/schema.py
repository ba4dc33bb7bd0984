"""The tables of the state, as SQLAlchemy knows them. Imported only by `state`: it loads SQLAlchemy.

Nothing here holds a time of the wall clock but `leases`, so that a validator that was killed and restarted ends
with the very rows of one that was not. `position` counts rows in the order in which they were written.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

# SQLite numbers rows by itself only under the type name INTEGER.
_COUNTED = BigInteger().with_variant(Integer(), "sqlite")

ROUNDS = Table(
    "rounds",
    METADATA,
    Column("position", _COUNTED, primary_key=True, autoincrement=True),
    Column("round_id", String(128), nullable=False, unique=True),
    Column("facts", Text, nullable=False),
)

STEPS = Table(
    "steps",
    METADATA,
    Column("round_id", String(128), ForeignKey("rounds.round_id", ondelete="CASCADE"), primary_key=True),
    Column("step", String(255), primary_key=True),
    Column("facts", Text, nullable=False),
)

CLIP_RESULTS = Table(
    "clip_results",
    METADATA,
    Column("round_id", String(128), ForeignKey("rounds.round_id", ondelete="CASCADE"), primary_key=True),
    Column("entry_id", String(128), primary_key=True),
    Column("clip_id", String(128), primary_key=True),
    Column("scores", Text),
    Column("failure_code", String(64)),
    Column("failure_detail", Text),
)

# Nothing is written here any more: a table that every database has by its first migration.
FIRST_SEEN = Table(
    "first_seen",
    METADATA,
    Column("hotkey", String(128), primary_key=True),
    Column("digest", String(128), primary_key=True),
    Column("block", BigInteger, nullable=False),
    Index("ix_first_seen_block", "block"),
)

LEASES = Table(
    "leases",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("holder", String(255), nullable=False),
    Column("expires_at_s", Float(53), nullable=False),
)

HEAD_REVISION = "0001"
"""The migration that leads to these tables; a test compares the two."""
