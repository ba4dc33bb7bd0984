"""`soundsright executor`: rank images by quality, time and memory.

Each module has a `command`. It is imported only when the command is called.
"""

from __future__ import annotations

from importlib import import_module

import click

SUBCOMMANDS: dict[str, str] = {
    "validate": "Pay the best image: a validator without rounds.",
}
"""The commands: the first line of their help, by the name of their module."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        found = import_module(f"soundsright.cli.commands.executor.{cmd_name}").command
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(SUBCOMMANDS.items()))


@click.group("executor", cls=_LazyGroup)
def command() -> None:
    """Rank images by quality, time and memory.

    \b
    soundsright executor submit --image-ref lab/gate@sha256:DIGEST    # a miner
    soundsright executor coordinate                                   # the organiser
    """
