"""Look at a validator's database file without changing it, or any file beside it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from soundsright.adapters.state.database import DatabaseState, database_errors, examine
from soundsright.core.errors import UsageError


def look_at_file(path: Path) -> DatabaseState:
    """The version of a SQLite database, and what is wrong with it. A validator may write to it meanwhile.

    Raises:
        UsageError: it is not a database, or it is corrupt.
        StateUnavailable: it cannot be read.
    """
    from sqlalchemy import create_engine

    with_log = path.with_name(f"{path.name}-wal").exists()
    # Without `immutable`, SQLite would make the two files of a write-ahead log and leave them there.
    url = f"file:{quote(str(path.absolute()))}?mode=ro{'' if with_log else '&immutable=1'}"
    engine = create_engine(
        f"sqlite:///{path}", creator=lambda: sqlite3.connect(url, uri=True, timeout=2.0, check_same_thread=False)
    )
    try:
        with database_errors(engine), engine.connect() as connection:
            state = examine(connection)
            if state.revision is None and not state.problem:
                raise UsageError(f"{path} has no tables", "Remove it: the validator makes a new one.")
            return state
    finally:
        engine.dispose()
