"""Options that several commands share, and helpers that declare options and pass them on in groups."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """`click.option` that shows the option's environment variable and its default in the help."""
    default = settings.get("default")
    settings.setdefault("show_envvar", "envvar" in settings)
    settings.setdefault("show_default", default is not None and default is not False and default != "")
    return click.option(*names, **settings)


def grouped(record: type, name: str, *options: Callable[[F], F]) -> Callable[[F], F]:
    """A decorator that adds `options` to a command and passes their values as one argument, called `name`.

    `record` is the dataclass of that argument. Each parameter of an option is one of its fields. A field without an
    option keeps its default.
    """

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def with_record(*args: Any, **values: Any) -> Any:
            given = {field.name: values.pop(field.name) for field in fields(record) if field.name in values}
            values[name] = record(**given)
            return command(*args, **values)

        decorated: Any = with_record
        for add in reversed(options):
            decorated = add(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


class FiniteFloat(click.FloatRange):
    """A number within bounds. Unlike its base class, it refuses `nan`, which is neither below nor above."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{number} is not in the range {self._describe_range()}.", param, ctx)
        return number


FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
FILE_OR_STDOUT = click.Path(dir_okay=False, path_type=Path, allow_dash=True)
ANY_PATH = click.Path(path_type=Path)

env_file_option = option(
    "--env-file",
    type=ANY_PATH,
    envvar="SOUNDSRIGHT_ENV_FILE",
    help="File with settings, one NAME=value per line. [default: .env, if it exists]",
)
poll_option = option(
    "--poll",
    "poll_s",
    default=12.0,
    envvar="SOUNDSRIGHT_POLL_S",
    type=FiniteFloat(0.05, 600),
    help="Seconds between two reads of the chain.",
)
corpus_option = option(
    "--corpus",
    type=ANY_PATH,
    envvar="SOUNDSRIGHT_CORPUS",
    help="Folder of recordings with a manifest. [default: the shipped recordings]",
)
corpus_key_option = option(
    "--corpus-key",
    type=FILE,
    envvar="SOUNDSRIGHT_CORPUS_KEY",
    help="Key file of a private corpus, which --corpus then names.",
)
corpus_round_option = option(
    "--corpus-round",
    type=click.IntRange(0),
    envvar="SOUNDSRIGHT_CORPUS_ROUND",
    help="Number of the round in the life of a private corpus. [default: the next one]",
)
pay_on_public_corpus_option = option(
    "--pay-on-public-corpus",
    is_flag=True,
    envvar="SOUNDSRIGHT_PAY_ON_PUBLIC_CORPUS",
    help="Pay prizes also on recordings that anybody may have heard. An entry could then contain the clean speech.",
)
ruleset_option = option(
    "--ruleset",
    default="soundsright-v5",
    envvar="SOUNDSRIGHT_RULESET",
    help="Name of a ruleset, such as soundsright-v5, or an organiser's TOML file.",
)

cluster_options = (
    option(
        "--manifest",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="The set's manifest (JSON lines), which says what the clips share. [default: the one beside the clean "
        "recordings, or the groups in the reports]",
    ),
    option(
        "--cluster-by",
        default="auto",
        help="What makes clips depend on each other. auto: their noise or room, and their prompt, if the manifest "
        "says them. none: each clip counts as independent. Or fields of the manifest, separated by commas.",
    ),
)


@dataclass(frozen=True)
class Connections:
    """How many connections a server holds: in all, and of one client."""

    connections: int
    connections_per_client: int


def listening_options(variable: str, port: int) -> Callable[[F], F]:
    """A decorator that adds --host, --port, and numbers of connections, which the command gets as `connections`.

    The variables of the host and the port are `variable` with _HOST and _PORT.
    """

    def decorate(command: F) -> F:
        command = _connection_options(command)
        command = option(
            "--port",
            default=port,
            type=click.IntRange(0, 65_535),
            envvar=f"{variable}_PORT",
            help="Port on which to listen. 0: any free port.",
        )(command)
        return option("--host", default="127.0.0.1", envvar=f"{variable}_HOST", help="Address on which to listen.")(
            command
        )

    return decorate


_connection_options = grouped(
    Connections,
    "connections",
    option(
        "--connections",
        default=512,
        type=click.IntRange(8, 65_536),
        envvar="SOUNDSRIGHT_CONNECTIONS",
        help="Connections that the server holds at the same time.",
    ),
    option(
        "--connections-per-client",
        default=64,
        type=click.IntRange(0, 65_536),
        envvar="SOUNDSRIGHT_CONNECTIONS_PER_CLIENT",
        help="Connections of one address (IPv6: of one /64). 0: no limit, behind a proxy that has one.",
    ),
)


def audio_mib_option(default: int, destination: str) -> Callable[[F], F]:
    """The option --audio-mib: how much audio goes into `destination`."""
    return option(
        "--audio-mib",
        default=default,
        type=click.IntRange(0, 16_384),
        envvar="SOUNDSRIGHT_AUDIO_MIB",
        help=f"Most audio to put into {destination}, in MiB. Clips on which entries differ most come first.",
    )
