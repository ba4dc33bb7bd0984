"""Rounds, steps, clip results and leases get a scope; titles become rows; the unused `first_seen` is dropped.

The titles of rounds that were decided before are read from their recorded steps when the next round needs them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

revision = "0002"
down_revision = "0001"

_COUNTED = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OF_ROUNDS = {"steps": ["round_id", "step"], "clip_results": ["round_id", "entry_id", "clip_id"]}


def _scope() -> sa.Column[str]:
    return sa.Column("scope", sa.String(64), nullable=False, server_default="")


def upgrade() -> None:
    # SQLite cannot change constraints: there, each batch copies its table, and foreign keys are off meanwhile.
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if not is_sqlite:
        for table in _OF_ROUNDS:
            op.drop_constraint(f"fk_{table}_round_id", table, type_="foreignkey")
    with op.batch_alter_table("rounds") as batch:
        batch.add_column(_scope())
        batch.drop_constraint("uq_rounds_round_id", type_="unique")
        batch.create_unique_constraint("uq_rounds_round_id_scope", ["round_id", "scope"])
    for table, key in _OF_ROUNDS.items():
        with op.batch_alter_table(table) as batch:
            if is_sqlite:
                batch.drop_constraint(f"fk_{table}_round_id", type_="foreignkey")
            _add_scope_to_key(batch, table, key)
            batch.create_foreign_key(
                f"fk_{table}_round_id", "rounds", ["round_id", "scope"], ["round_id", "scope"], ondelete="CASCADE"
            )
    with op.batch_alter_table("leases") as batch:
        _add_scope_to_key(batch, "leases", ["name"])
    op.create_table(
        "titles",
        sa.Column("position", _COUNTED, autoincrement=True, nullable=False),
        sa.Column("scope", sa.String(64), nullable=False),
        sa.Column("competition_id", sa.String(128), nullable=False),
        sa.Column("metric", sa.String(64), nullable=False),
        sa.Column("round_id", sa.String(128), nullable=False),
        sa.Column("champion", sa.Text()),
        sa.PrimaryKeyConstraint("position", name="pk_titles"),
        sa.UniqueConstraint("scope", "competition_id", "metric", "round_id", name="uq_titles_scope_competition_id"),
    )
    op.drop_index("ix_first_seen_block", "first_seen")
    op.drop_table("first_seen")


def _add_scope_to_key(batch: BatchOperations, table: str, key: list[str]) -> None:
    batch.add_column(_scope())
    batch.drop_constraint(f"pk_{table}", type_="primary")
    batch.create_primary_key(f"pk_{table}", [*key, "scope"])


def downgrade() -> None:
    raise NotImplementedError("Restore the backup that was made before the upgrade.")
