"""`soundsright`: the list of commands, and how their errors become one line and an exit code.

A command's module is imported only when the command runs, so that `soundsright --help` answers at once.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from importlib import import_module
from typing import NamedTuple

import click

from soundsright import __version__
from soundsright.cli.shared.packages import INSTALL_REMEDY
from soundsright.cli.shared.stopping import EXIT_INTERRUPTED
from soundsright.core.errors import SoundsRightError, UsageError, printable
from soundsright.core.url_passwords import without_passwords


class Listed(NamedTuple):
    """A command in the list: its module in `soundsright.cli.commands`, and the first line of its help."""

    module: str
    summary: str


SECTIONS = {
    "Everyone": {
        "compete": Listed("compete", "Run a whole competition on this machine."),
        "generate": Listed("generate", "Make a set of clean and noisy or reverberant speech."),
        "score": Listed("score", "Score a folder of enhanced recordings against the clean ones."),
        "compare": Listed("compare", "Compare two scored systems clip by clip."),
        "plan-study": Listed("plan_study", "Plan how many clips, noises and speakers a comparison needs."),
        "metrics": Listed("metrics", "List the metrics with their range, unit and source."),
        "datasets": Listed("datasets", "List, fetch and check corpora of speech, noise and rooms."),
        "leaderboard": Listed("leaderboard", "Show the results of runs as web pages."),
        "report": Listed("report", "Write a report of a finished run or of scored folders."),
        "bundle": Listed("bundle", "Make and check bundles: signed rounds that anyone can check."),
        "replay": Listed("replay", "Compute a finished round again from its bundle."),
        "log": Listed("log", "Keep and follow a log of signed rounds."),
        "publish": Listed("publish", "Publish a finished run on a hub or in an experiment tracker."),
        "status": Listed("status", "Show how far a running round is, or what a validator pays."),
        "watch": Listed("watch", "Follow a running round live in the terminal."),
    },
    "Miners": {
        "init-model": Listed("init_model", "Write a model template that passes `verify`."),
        "verify": Listed("verify", "Run a model the way a validator will and say what to fix."),
        "seal": Listed("seal", "Encrypt the model in FOLDER, to publish it before entries close."),
        "miner": Listed("miner", "Run a miner: commit to a model and answer validators."),
        "feedback": Listed("feedback", "List, show and verify the feedback of validators."),
    },
    "Validators": {
        "validator": Listed("validator", "Run a validator: judge rounds, set weights, send feedback."),
        "preflight": Listed("preflight", "Check a validator's machine before the first round."),
        "corpus": Listed("corpus", "Keep a private corpus: recordings that nobody knows until they retire."),
        "disclose": Listed("disclose", "Publish what a run kept private, once its recordings have retired."),
        "db": Listed("db", "Check, back up and upgrade a validator's database."),
    },
    "Organisers": {
        "init-competition": Listed("init_competition", "Write the files of a competition of your own."),
        "rules": Listed("rules", "Show, simulate and check the rules that decide prizes."),
        "chain": Listed("chain", "Serve a private competition's chain and take part in it."),
        "executor": Listed("executor", "Rank images by quality, time and memory."),
        "federation": Listed("federation", "Judge in turns with other validators, and agree on the winners."),
        "tiers": Listed("tiers", "Serve the model that you committed, and verify those who do."),
        "listen": Listed("listen", "Run a blind listening test on a run's entries."),
        "simulate": Listed(
            "simulate",
            "Simulate rounds with planted faults and check the invariants, or measure what an attack earns.",
        ),
    },
}
"""The commands, grouped by their users. The summaries are here so that listing them imports no command."""
COMMANDS = {name: listed for section in SECTIONS.values() for name, listed in section.items()}

_OS_REMEDIES = {
    errno.ENOSPC: "Free some disk space, then run the command again.",
    errno.EDQUOT: "Free some of your disk quota, then run the command again.",
    errno.EROFS: "Give a folder on a disk that is not read-only.",
    errno.EACCES: "Change its permissions, or give another path.",
    errno.EPERM: "Change its permissions, or give another path.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), or use fewer --slots.",
    errno.ENAMETOOLONG: "Give a shorter path.",
}

EXIT_FAILED = 1
EXIT_MISUSE = 2


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"soundsright.cli.commands.{COMMANDS[cmd_name].module}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(name, COMMANDS, n=1)
            ctx.fail(f"No such command {name!r}." + (f" Did you mean {close[0]}?" if close else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), listed.summary) for name, listed in section.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="soundsright")
def cli() -> None:
    """Run open competitions for speech enhancement, or enter one.

    \b
    Start here:
      soundsright compete
      soundsright COMMAND --help

    Exit codes: 0 done, 1 failed, 2 wrong use, 3 not valid or not the same, 130 stopped.
    """


def main() -> None:
    """Run a command and exit. SIGTERM stops a command the way Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run(cli))


def run(command: click.Command, arguments: list[str] | None = None, *, program: str = "soundsright") -> int:
    """Run a command and return its exit code. An error becomes one line on stderr.

    `arguments` are those of this process by default. `program` is the name to show in messages.
    """
    try:
        result = command.main(arguments, prog_name=program, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _end("Stopped.", EXIT_INTERRUPTED)
    except click.ClickException as error:
        return _end_of_misuse(error)
    except UsageError as error:
        return _end(f"Error: {error}", error.exit_code)
    except SoundsRightError as error:
        return _end(f"Failed: {error}", EXIT_FAILED)
    except BrokenPipeError:
        # The reader of our output has gone, as with `| head`. Python must not fail again when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "soundsright"):
            raise
        return _end(f"Error: This command needs the package {package}. {INSTALL_REMEDY}", EXIT_MISUSE)
    except OSError as error:
        path = f"{error.filename}: " if error.filename is not None else ""
        remedy = _OS_REMEDIES.get(
            error.errno or 0, "Check that it exists and can be used, then run the command again."
        )
        return _end(f"Failed: {path}{error.strerror or error}. {remedy}", EXIT_FAILED)
    except MemoryError:
        return _end("Failed: No memory is left. Close other programs, or use fewer --slots.", EXIT_FAILED)


def _end_of_misuse(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return EXIT_MISUSE
    context = getattr(error, "ctx", None)
    hint = f" Try: {context.command_path} --help" if context is not None else ""
    message = error.format_message()
    sentence = message if message.endswith("?") else f"{message.rstrip('.')}."
    return _end(f"Error: {sentence}{hint}", EXIT_MISUSE)


def _end(line: str, code: int) -> int:
    click.echo(printable(without_passwords(" ".join(line.split()))), err=True)
    return code
