"""Durable state in SQLite or PostgreSQL, and artifacts on disk.

`SqlState` implements the port `StateStore`; each write is one transaction, and repeating it is safe.
The tables are created and upgraded by the migrations in this room.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
