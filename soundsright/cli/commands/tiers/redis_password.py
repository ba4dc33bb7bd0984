"""`soundsright tiers redis-password`: a new password for Redis, which keeps a verifier's counters."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import click

from soundsright.cli.shared.options import ANY_PATH, option
from soundsright.config import read_env_file
from soundsright.core.errors import UsageError

_NAME = "DATABASE_PASSWORD"
_LINE = re.compile(rf"^[ \t]*(?:export[ \t]+)?{_NAME}[ \t]*=[^\r\n]*", re.MULTILINE)
_BYTES = 32
_MAX_ENV_BYTES = 64_000


@click.command("redis-password")
@option("--write", type=ANY_PATH, metavar="FILE", help="Set DATABASE_PASSWORD in this file, such as .env.")
@option("--force", is_flag=True, help="Replace a password that the file already has.")
def command(write: Path | None, force: bool) -> None:
    """Make a new password for Redis, which keeps a verifier's counters.

    \b
    soundsright tiers redis-password
    soundsright tiers redis-password --write .env

    It has 256 random bits. Without --write the command prints it. With --write it sets DATABASE_PASSWORD in the
    file, prints nothing secret, and lets only the file's owner read it. Then restart Redis and the verifier.
    """
    password = secrets.token_urlsafe(_BYTES)
    if write is None:
        if force:
            raise UsageError("--force needs --write", "Name the file to change, or leave out --force.")
        click.echo(password)
        return
    _set_password(write, password, force=force)
    click.echo(f"{write} has a new {_NAME}, and only its owner can read it. Restart Redis and the verifier.")


def _set_password(path: Path, password: str, *, force: bool) -> None:
    """Set the password in a file of settings. Every other line stays as it is.

    Raises:
        UsageError: the file cannot be used, or it has a password already.
        InfrastructureFault: it cannot be written.
    """
    from soundsright.core.text_files import text_of_file
    from soundsright.services.miner import write_secret

    path = path.resolve()
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is not a folder", "Give a file in a folder that exists.")
    text = ""
    if path.exists():
        values = read_env_file(path)
        if values.get("REDIS_URL"):
            raise UsageError(
                f"{path} sets REDIS_URL, which has a password of its own", "Change it there, or remove REDIS_URL."
            )
        old = values.get(_NAME, "")
        if old and not force:
            raise UsageError(f"{path} already has a {_NAME}", "Add --force to replace it.")
        if "\n" in old:
            raise UsageError(f"{_NAME} in {path} has several lines", "Remove it, then try again.")
        text = text_of_file(path, _MAX_ENV_BYTES, "Give a UTF-8 file of NAME=value lines.")
    line = f"{_NAME}={password}"
    changed, count = _LINE.subn(line, text)
    if not count:
        changed = f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}\n"
    write_secret(path, changed)
