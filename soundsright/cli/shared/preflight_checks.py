"""The checks of a validator's machine. They read, and write nothing. Times are in seconds.

Each check returns a sentence about what it found. An error of this package says what is wrong and what to do.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import stat
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from soundsright.cli.shared.executor_payment import check_services, executor_clients
from soundsright.cli.shared.options import FiniteFloat, option
from soundsright.cli.shared.packages import INSTALL_REMEDY
from soundsright.cli.shared.settings_options import secrets_of
from soundsright.config import ValidatorSettings
from soundsright.core.errors import InfrastructureFault, SoundsRightError, UsageError, printable
from soundsright.core.executor_rules import executor_rules
from soundsright.core.ss58 import is_address
from soundsright.core.tiers_rules import tiers_rules
from soundsright.core.url_passwords import without_passwords

if TYPE_CHECKING:
    from soundsright.core.competition_rules import CompetitionRules

_Command = TypeVar("_Command", bound=Callable[..., Any])
_MIN_FREE_BYTES = 5_000_000_000
_BUCKETS = ("R2_OWN_BUCKET", "R2_SOURCE_BUCKET")


@dataclass(frozen=True)
class Finding:
    """The outcome of one check. `remedy` says what to do if it failed. `late` says that it did not end in time."""

    name: str
    ok: bool
    sentence: str
    remedy: str = ""
    late: bool = False


@dataclass(frozen=True)
class Preflight:
    """The machine and the settings to check. `variables` are those of the environment and the `.env` file."""

    settings: ValidatorSettings
    variables: Mapping[str, str]
    rules_digest: tuple[str, ...] = ()

    def checks(self) -> dict[str, Callable[[], str]]:
        """The checks by name, in the order in which a validator needs them."""
        return {
            "keys": self.keys,
            "chain": self.chain,
            "clock": self.clock,
            "rules": self.rules,
            "libraries": self.libraries,
            "engine": self.engine,
            "database": self.database,
            "counters": self.counters,
            "buckets": self.buckets,
            "executor": self.executor,
        }

    def keys(self) -> str:
        from soundsright.adapters.peers import Hotkey

        settings = self.settings
        account = Hotkey.read(settings.hotkey_file)
        if settings.hotkey_file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            raise UsageError(
                f"Every user of this machine can read {settings.hotkey_file}",
                f"Run `chmod 600 {settings.hotkey_file}`.",
            )
        if settings.burn_hotkey and not is_address(settings.burn_hotkey):
            raise UsageError(
                f"BURN_HOTKEY {settings.burn_hotkey[:60]!r} is not an address", "Give the SS58 address of a hotkey."
            )
        return f"{account.address} in {settings.hotkey_file}"

    def chain(self) -> str:
        from soundsright.adapters.peers import Hotkey
        from soundsright.cli.shared.opening import opened_chain
        from soundsright.services.validator import check_account

        account = Hotkey.read(self.settings.hotkey_file)
        with closing(opened_chain(self.settings, account)) as chain:
            block = chain.finalized()
            check_account(chain, account.address, sets_weights=True)
        return f"{self.settings.subtensor_chain_endpoint} is at block {block.number}, and the hotkey has a permit"

    def clock(self) -> str:
        from soundsright.cli.shared.opening import check_clock, opened_chain

        with closing(opened_chain(self.settings, None)) as chain:
            check_clock(chain, time.time())
        return "This machine's clock agrees with the chain's"

    def rules(self) -> str:
        from soundsright.library import organiser_of

        organiser = organiser_of(self.settings.soundsright_ruleset, begun=True)
        check_digests(self.rules_digest, digests := digests_of(organiser))
        check_services(self.settings, organiser.emission)
        shown = ", ".join(f"{digest} ({table})" if table else digest for table, digest in digests.items())
        return f"{self.settings.soundsright_ruleset} has the digest {shown}"

    def libraries(self) -> str:
        """Draw and score the golden clips, as the validator does before it judges."""
        from soundsright.services.self_check import check_machine

        return check_machine()

    def engine(self) -> str:
        from soundsright.cli.shared.opening import opened_sandbox, sandbox_choice

        sandbox = opened_sandbox(self.settings, sandbox_choice(self.settings))
        if sandbox.isolated:
            return f"Models run in {sandbox.name}"
        return f"Models run in {sandbox.name}, NOT isolated: run only models that you trust"

    def database(self) -> str:
        from soundsright.adapters.state import look_at_file

        free = self.check_folder()
        path = self.database_file
        if not path.exists():
            return f"{path} will be made at the first start; {free}"
        state = look_at_file(path)
        if state.problem:
            raise UsageError(f"{path}: {state.problem}", state.remedy)
        return f"{path} has version {state.revision}; {free}"

    @property
    def database_file(self) -> Path:
        """The SQLite file of the state."""
        return self.settings.folder / "state.db"

    def check_folder(self) -> str:
        """Check that STATE_FOLDER can be written and has space, and return the space in words."""
        folder = self.settings.folder
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            raise UsageError(
                f"STATE_FOLDER {folder} cannot be written", "Give a folder that this user may write to."
            )
        free_bytes = shutil.disk_usage(existing).free
        if free_bytes < _MIN_FREE_BYTES:
            raise UsageError(
                f"STATE_FOLDER {folder} has {free_bytes / 1e9:.1f} GB free", "Free 5 GB or more: rounds keep audio."
            )
        return f"{free_bytes / 1e9:.0f} GB free"

    def counters(self) -> str:
        server = self.settings.redis
        if server is None:
            return "The database keeps the counters"
        from soundsright.adapters.state import RedisCounters

        RedisCounters(server, read_only=True).close()
        return f"{server.title} keeps the counters"

    def buckets(self) -> str:
        named = [name for name in _BUCKETS if self.variables.get(name, "").strip()]
        if not named:
            return "No bucket is set"
        from soundsright.adapters.buckets import check_bucket, open_bucket, own_place, source_place

        places = {"R2_OWN_BUCKET": own_place, "R2_SOURCE_BUCKET": source_place}
        found = [places[name](self.variables) for name in named]
        for place in found:
            check_bucket(open_bucket(place), writes=False)
        return f"{' and '.join(place.name for place in found)} can be read"

    def executor(self) -> str:
        """Read the burn ratio from the coordinator and the table from the executor."""
        settings = self.settings
        if not settings.executor_url:
            return "No executor is set"
        from soundsright.adapters.peers import Hotkey
        from soundsright.cli.shared.executor_services import ServiceHotkeys
        from soundsright.cli.shared.opening import opened_chain

        account = Hotkey.read(settings.hotkey_file)
        with closing(opened_chain(settings, account)) as chain:
            board, table = executor_clients(settings, ServiceHotkeys(settings, chain), account)
        found = []
        if settings.subnet_api_url:
            found.append(f"{settings.subnet_api_url} burns {board.burn_ratio():g} of the winner's share")
        found.append(f"{settings.executor_url} has a table of {len(table.table().rows)} images")
        return ", and ".join(found)


def digests_of(organiser: CompetitionRules) -> dict[str, str]:
    """The digest of the ruleset under the empty name, and those of the tables of systems that the file has."""
    digests = {"": organiser.ruleset.digest}
    if organiser.executor is not None or "executor" in organiser.emission.paying:
        digests["[emission]"] = organiser.emission.digest
        digests["[executor]"] = (organiser.executor or executor_rules()).digest
    if organiser.federation is not None:
        digests["[emission]"] = organiser.emission.digest
        digests["[federation]"] = organiser.federation.digest
    if organiser.tiers is not None or "tiers" in organiser.emission.paying:
        digests["[emission]"] = organiser.emission.digest
        digests["[tiers]"] = (organiser.tiers or tiers_rules()).digest
    return digests


def check_digests(announced: tuple[str, ...], digests: Mapping[str, str]) -> None:
    """Check that each announced digest is that of the rules or of one of their tables.

    Raises:
        UsageError: one is not.
    """
    for digest in announced:
        if digest.strip().lower() not in digests.values():
            own = ", ".join(f"{own} of {table}" if table else own for table, own in digests.items())
            raise UsageError(
                f"The rules have the digest {own}, not {digest.strip()[:80]}",
                "Get the organiser's present file, or update soundsright: others decide by other rules.",
            )


def preflight_options(command: _Command) -> _Command:
    """The options of a preflight: `--json`, `--timeout` and `--rules-digest`."""
    for each in (
        option(
            "--rules-digest",
            multiple=True,
            help="Digest that the organiser announced, of the rules or of a table such as [executor]; repeat it "
            "for more. The check fails if yours is another.",
        ),
        option(
            "--timeout", "timeout_s", default=20.0, type=FiniteFloat(1, 600), help="Seconds that a check may take."
        ),
        option("--json", "as_json", is_flag=True, help="Print the findings as JSON."),
    ):
        command = each(command)
    return command


def report_findings(preflight: Preflight, *, as_json: bool, timeout_s: float) -> int:
    """Check, print what was found, and return the exit code: 1 if a check failed."""
    found = findings(preflight.checks(), timeout_s=timeout_s)
    ok = all(finding.ok for finding in found)
    if as_json:
        text = json.dumps({"ok": ok, "checks": [asdict(finding) for finding in found]}, indent=2)
    else:
        width = max(len(finding.name) for finding in found)
        text = "\n".join(
            f"{'ok    ' if finding.ok else 'FAILED'}  {finding.name:<{width}}  {finding.sentence}."
            + ("" if finding.ok else f" {finding.remedy}")
            for finding in found
        )
    for secret in secrets_of(preflight.settings):
        text = text.replace(secret, "***") if len(secret) >= 6 else text
    click.echo(without_passwords(text))
    if any(finding.late for finding in found):
        # A check that hangs can keep a library's threads alive, which Python would wait for.
        sys.stdout.flush()
        os._exit(1)
    return 0 if ok else 1


def findings(checks: Mapping[str, Callable[[], str]], *, timeout_s: float) -> list[Finding]:
    """The outcomes in the order of the checks, which run at the same time. None waits longer than `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    waiting = {name: _started(name, check) for name, check in checks.items()}
    return [_outcome(name, answers, deadline_s, timeout_s) for name, answers in waiting.items()]


def _started(name: str, check: Callable[[], str]) -> queue.SimpleQueue[Finding]:
    answers: queue.SimpleQueue[Finding] = queue.SimpleQueue()
    # A daemon, so that a check that hangs does not keep the process alive.
    threading.Thread(target=lambda: answers.put(_finding(name, check)), name=name, daemon=True).start()
    return answers


def _outcome(name: str, answers: queue.SimpleQueue[Finding], deadline_s: float, timeout_s: float) -> Finding:
    try:
        return answers.get(timeout=max(0.0, deadline_s - time.monotonic()))
    except queue.Empty:
        remedy = "Check the network and the service, or give a longer --timeout."
        return Finding(name, False, f"No answer within {timeout_s:g} s", remedy, late=True)


def _finding(name: str, check: Callable[[], str]) -> Finding:
    """The outcome of one check. No error of one check may hide the others."""
    try:
        return Finding(name, True, _line(check()))
    except (UsageError, InfrastructureFault) as error:
        return Finding(name, False, _line(error.problem), _line(error.remedy))
    except SoundsRightError as error:
        return Finding(name, False, _line(str(error)), "Correct it, then check again.")
    except ModuleNotFoundError as error:
        return Finding(name, False, f"The package {_line(error.name or '')} is not installed", INSTALL_REMEDY)
    except Exception as error:  # noqa: BLE001 (An unexpected error is one more finding.)
        return Finding(
            name, False, _line(f"{type(error).__name__}: {error}"), "Report this: no check should end like that."
        )


def _line(text: str) -> str:
    return printable(" ".join(text.split())).rstrip(".")


def merged_variables(env_file: Path | None) -> dict[str, str]:
    """The variables of the `.env` file and the environment, which wins."""
    from soundsright.config import read_env_file

    if env_file is None and Path(".env").is_file():
        env_file = Path(".env")
    return {**(read_env_file(env_file) if env_file is not None else {}), **os.environ}
