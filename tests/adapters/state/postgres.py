"""A PostgreSQL server for the tests. Its data and its socket are in a private folder, and it has no TCP port.

PostgreSQL refuses to run as root. If the tests run as root, the server runs as the user `postgres` or `nobody`.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

START_TIMEOUT_S = 60
SQL = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
"""The kinds of databases, as parameters of fixtures."""


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, or None if PostgreSQL is not installed."""
    candidates = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    initdb = shutil.which("initdb")
    if initdb:
        candidates.insert(0, Path(initdb).resolve().parent)
    return next((c for c in candidates if (c / "initdb").exists() and (c / "pg_ctl").exists()), None)


@contextmanager
def server_or_skip() -> Iterator[str]:
    """Start a server as `server` does. Skip the test if PostgreSQL or its driver is not installed."""
    if programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    pytest.importorskip("pg8000", reason="PostgreSQL needs soundsright[postgres]")
    with server() as url:
        yield url


@contextmanager
def server() -> Iterator[str]:
    """Start a server; yields the URL of its empty database `postgres`, to which others can be added."""
    bin_folder = programs()
    assert bin_folder is not None
    # The path of a socket has at most 107 bytes, so pytest's own folder is too deep.
    folder = Path(tempfile.mkdtemp(prefix="sr-pg-"))
    owner = _unprivileged_owner()
    if owner is not None:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    data, log = folder / "data", folder / "log"

    def run(*command: str | Path) -> None:
        as_owner: dict[str, Any] = (
            {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        )
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(folder)},
            **as_owner,
        )
        if done.returncode:
            server_log = log.read_text() if log.exists() else ""
            raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}{server_log}")

    try:
        run(bin_folder / "initdb", "-D", data, "-U", "sr", "-A", "trust", "-E", "UTF8", "--no-sync")
        # Use a log file, because pg_ctl gives its output pipes to the server, which would keep them open.
        options = f"-c listen_addresses='' -k {folder} -c fsync=off"
        run(bin_folder / "pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start")
        try:
            yield f"postgresql+pg8000://sr@/postgres?unix_sock={folder}/.s.PGSQL.5432"
        finally:
            run(bin_folder / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def _unprivileged_owner() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return pwd.getpwnam("postgres" if "postgres" in names else "nobody")
