"""Alembic migrations of the state. A database is brought up to date by `soundsright db upgrade`."""
