"""First tables: rounds, their steps and clip results, commitments first seen, leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_COUNTED = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "rounds",
        sa.Column("position", _COUNTED, autoincrement=True, nullable=False),
        sa.Column("round_id", sa.String(128), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_rounds"),
        sa.UniqueConstraint("round_id", name="uq_rounds_round_id"),
    )
    op.create_table(
        "steps",
        sa.Column("round_id", sa.String(128), nullable=False),
        sa.Column("step", sa.String(255), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["round_id"], ["rounds.round_id"], name="fk_steps_round_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("round_id", "step", name="pk_steps"),
    )
    op.create_table(
        "clip_results",
        sa.Column("round_id", sa.String(128), nullable=False),
        sa.Column("entry_id", sa.String(128), nullable=False),
        sa.Column("clip_id", sa.String(128), nullable=False),
        sa.Column("scores", sa.Text()),
        sa.Column("failure_code", sa.String(64)),
        sa.Column("failure_detail", sa.Text()),
        sa.ForeignKeyConstraint(
            ["round_id"], ["rounds.round_id"], name="fk_clip_results_round_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("round_id", "entry_id", "clip_id", name="pk_clip_results"),
    )
    op.create_table(
        "first_seen",
        sa.Column("hotkey", sa.String(128), nullable=False),
        sa.Column("digest", sa.String(128), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hotkey", "digest", name="pk_first_seen"),
    )
    op.create_index("ix_first_seen_block", "first_seen", ["block"])
    op.create_table(
        "leases",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("holder", sa.String(255), nullable=False),
        sa.Column("expires_at_s", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )


def downgrade() -> None:
    for table in ("leases", "first_seen", "clip_results", "steps", "rounds"):
        op.drop_table(table)
