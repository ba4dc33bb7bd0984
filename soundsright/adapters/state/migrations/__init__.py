"""Alembic migrations of the state. `soundsright db upgrade` runs them."""
