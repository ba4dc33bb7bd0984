"""New tables: records, counters with their marks and closed intervals, accounts with their events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_MAX_COUNT = 2**53 - 1
_MAX_RAO = 21_000_000 * 10**9


def _organiser() -> sa.Column[str]:
    return sa.Column("organiser", sa.String(64), nullable=False, server_default="")


def _position() -> sa.Column[int]:
    counted = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("position", counted, autoincrement=True, nullable=False)


def _text(name: str, length: int = 255, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=nullable)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def upgrade() -> None:
    _create_records()
    _create_counters()
    _create_accounts()


def _create_records() -> None:
    op.create_table(
        "records",
        _position(),
        _organiser(),
        _text("stream", 64),
        _text("key"),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_records"),
        sa.UniqueConstraint("organiser", "stream", "key", name="uq_records_organiser_stream_key"),
    )
    op.create_index("ix_records_organiser_stream_position", "records", ["organiser", "stream", "position"])


def _create_counters() -> None:
    op.create_table(
        "counters",
        _organiser(),
        _text("scope"),
        _text("name", 64),
        _number("value"),
        sa.PrimaryKeyConstraint("organiser", "scope", "name", name="pk_counters"),
        sa.CheckConstraint(f"value BETWEEN 0 AND {_MAX_COUNT}", name="value_range"),
    )
    op.create_table(
        "counter_marks",
        _organiser(),
        _text("scope"),
        _text("mark"),
        sa.Column("closed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("organiser", "scope", "mark", name="pk_counter_marks"),
    )
    op.create_index("ix_counter_marks_organiser_closed", "counter_marks", ["organiser", "closed"])
    op.create_table(
        "counter_intervals",
        _position(),
        _organiser(),
        _text("name"),
        sa.Column("counts", sa.Text()),
        sa.PrimaryKeyConstraint("position", name="pk_counter_intervals"),
        sa.UniqueConstraint("organiser", "name", name="uq_counter_intervals_organiser_name"),
    )


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        _organiser(),
        _text("coldkey"),
        _number("balance_rao"),
        sa.PrimaryKeyConstraint("organiser", "coldkey", name="pk_accounts"),
        sa.CheckConstraint(f"balance_rao BETWEEN 0 AND {_MAX_RAO}", name="balance_range"),
    )
    op.create_table(
        "account_events",
        _position(),
        _organiser(),
        _text("event_id"),
        _text("kind", 16),
        _text("coldkey"),
        _number("amount_rao"),
        _number("balance_rao"),
        _text("purpose"),
        _text("refunded", nullable=True),
        sa.PrimaryKeyConstraint("position", name="pk_account_events"),
        sa.ForeignKeyConstraint(
            ["organiser", "coldkey"],
            ["accounts.organiser", "accounts.coldkey"],
            name="fk_account_events_organiser",
        ),
        sa.UniqueConstraint("organiser", "event_id", name="uq_account_events_organiser_event_id"),
        sa.UniqueConstraint("organiser", "refunded", name="uq_account_events_organiser_refunded"),
        sa.CheckConstraint("kind IN ('credit', 'charge', 'refund')", name="kind"),
        sa.CheckConstraint("(kind = 'refund') = (refunded IS NOT NULL)", name="refund_of"),
        sa.CheckConstraint(f"amount_rao BETWEEN 1 AND {_MAX_RAO}", name="amount_range"),
        sa.CheckConstraint(f"balance_rao BETWEEN 0 AND {_MAX_RAO}", name="balance_range"),
    )
    for column in ("coldkey", "purpose"):
        op.create_index(
            f"ix_account_events_organiser_{column}", "account_events", ["organiser", column, "position"]
        )


def downgrade() -> None:
    raise NotImplementedError("Restore the backup that was made before the upgrade.")
