"""`soundsright`: the commands, each loaded when it is called, so that `--help` answers at once."""

from __future__ import annotations

import errno
import os
import signal
import sys
from importlib import import_module

import click

from soundsright import __version__
from soundsright.cli.shared.packages import INSTALL_REMEDY
from soundsright.core.errors import InfrastructureFault, SoundsRightError, UsageError, printable

# name -> (module in `soundsright.cli.commands`, help). With the help here, listing the commands imports none.
COMMANDS = {
    "compete": ("compete", "Run a whole competition on this machine."),
    "generate": ("generate", "Make a set of clean and noisy or reverberant utterances."),
    "datasets": ("datasets", "List, fetch and verify corpora."),
    "score": ("score", "Score a folder of enhanced audio against clean references."),
    "compare": ("compare", "Compare two scored systems clip by clip."),
    "metrics": ("metrics", "List the metrics: range, direction, unit, floor, source."),
    "verify": ("verify", "Run a model as a validator will, and say what to mend."),
    "init-model": ("init_model", "Write a model template that passes `verify`."),
    "init-competition": (
        "init_competition",
        "Write the files of a competition of one's own.",
    ),
    "leaderboard": (
        "leaderboard",
        "Show the results of runs as pages, served or as static files.",
    ),
    "report": (
        "report",
        "Report a finished run or scored folders as html, md, tex, bib or csv.",
    ),
    "listen": ("listen", "Let people judge entries blindly, by ear."),
    "status": ("status", "Show how far the running round is."),
    "watch": ("watch", "Watch the running round, live in the terminal."),
    "rules": ("rules", "Show, simulate and check the rules of payment."),
    "simulate": (
        "simulate",
        "Simulate whole rounds with faults and check their invariants.",
    ),
    "miner": ("miner", "Run a miner: commit, answer validators, take their feedback."),
    "validator": ("validator", "Run a validator: rounds, weights, feedback."),
    "feedback": ("feedback", "List, show and verify feedback from validators."),
    "chain": ("chain", "A private competition's chain: serve it, register, look at it."),
    "db": ("db", "Check, back up and upgrade a validator's database."),
}

_OS_REMEDIES = {
    errno.ENOSPC: "Free some disk space, then run again.",
    errno.EDQUOT: "Free some of your disk quota, then run again.",
    errno.EROFS: "Name a folder on a disk that can be written.",
    errno.EACCES: "Change its permissions, or name another.",
    errno.EPERM: "Change its permissions, or name another.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), or run with fewer --slots.",
    errno.ENAMETOOLONG: "Give a shorter path.",
}

EXIT_FAILED = 1
EXIT_MISUSE = 2
EXIT_INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"soundsright.cli.commands.{COMMANDS[cmd_name][0]}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="soundsright")
def cli() -> None:
    """The open competition harness for speech enhancement."""


def main() -> None:
    """Run a command. Exit codes: 0 done, 1 failed, 2 misuse, 130 stopped by Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run(cli))


def run(command: click.Command, arguments: list[str] | None = None, *, program: str = "soundsright") -> int:
    """The exit code of a command; errors become one line on stderr. `program` is how the command is called."""
    try:
        result = command.main(arguments, prog_name=program, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.exceptions.Abort:
        return _say("Stopped.", EXIT_INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return EXIT_MISUSE
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        more = f" Try: {context.command_path} --help" if context is not None else ""
        return _say(f"Error: {error.format_message().rstrip('.')}.{more}", EXIT_MISUSE)
    except KeyboardInterrupt:
        return _say("Stopped.", EXIT_INTERRUPTED)
    except UsageError as error:
        return _say(f"Error: {error}", EXIT_MISUSE)
    except (InfrastructureFault, SoundsRightError) as error:
        return _say(f"Failed: {error}", EXIT_FAILED)
    except BrokenPipeError:
        # The reader of our output is gone, as with `| head`; nothing is left to say, and to nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "soundsright"):
            raise
        return _say(f"Error: This needs the package {package}. {INSTALL_REMEDY}", EXIT_MISUSE)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        remedy = _OS_REMEDIES.get(error.errno or 0, "See that it exists and can be used, then run again.")
        return _say(f"Failed: {where}{error.strerror or error}. {remedy}", EXIT_FAILED)
    except MemoryError:
        return _say("Failed: No memory is left. Close other programs, or run with fewer --slots.", EXIT_FAILED)


def _say(line: str, code: int) -> int:
    click.echo(printable(" ".join(line.split())), err=True)
    return code
