"""`soundsright federation whose-turn` and `window`: the rotation, and the tasks that count."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.federation_allowlist import AllowlistFile
from soundsright.cli.shared.federation_parts import agreed_rules
from soundsright.cli.shared.options import FILE, env_file_option, option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import RULES_OF_SETTINGS, FederationSettings
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.cli.shared.federation_parts import AgreedRules
    from soundsright.services.federation import EpochReading

_CHAIN = ("netuid", "subtensor_chain_endpoint", "state_folder", "soundsright_ruleset", *RULES_OF_SETTINGS)
_SOURCE = (
    *("r2_endpoint", "r2_region", "r2_source_bucket", "r2_videos_read_access_key"),
    "r2_videos_read_secret_key",
)
READING = (*_CHAIN, *_SOURCE, "peer_validators", "aggregation_read_concurrency")


@click.command("whose-turn")
@option("--block", type=click.IntRange(0, 10**12), help="Block to look at. [default: the last final one]")
@option("--allowlist", "path", type=FILE, help="File with the list of validators. Then no bucket is read.")
@option("--json", "as_json", is_flag=True, help="Print JSON.")
@env_file_option
@settings_options(FederationSettings, (*_CHAIN, *_SOURCE))
def whose_turn(block: int | None, path: Path | None, as_json: bool, env_file: Path | None, **flags: Any) -> None:
    """Print whose turn a block is, and when the next turn begins.

    \b
    soundsright federation whose-turn
    soundsright federation whose-turn --block 123449 --allowlist allowlist.json
    """
    from soundsright.ranking import failover_order, own_turn_blocks, turn

    settings = settings_from(FederationSettings, flags, env_file)
    agreed = agreed_rules(settings)
    rules = agreed.rules
    block, validators = _at(settings, agreed, block, path)
    count = len(validators)
    now = turn(block, count, rules.interval_blocks, rules.grace_blocks)
    end = (now.task + 1) * rules.interval_blocks
    turns = []
    for number in failover_order(now.task, count):
        blocks = own_turn_blocks(now.task, number, count, rules.interval_blocks, rules.grace_blocks)
        if blocks:
            turns.append((validators[number], blocks.start, blocks.stop - 1))
    if as_json:
        facts = {
            "block": block,
            "task": now.task,
            "step": now.step,
            "primary": validators[now.primary],
            "sampler": validators[now.sampler],
            "turns": [
                {"hotkey": hotkey, "first_block": first, "last_block": last} for hotkey, first, last in turns
            ],
        }
        click.echo(json.dumps(facts, indent=1))
        return
    click.echo(f"Block {block} is in task {now.task}, which ends with block {end - 1}.")
    for hotkey, first, last in turns:
        mark = "now " if first <= block <= last else "    "
        click.echo(f"{mark}{hotkey}  blocks {first} to {last}")
    click.echo("A backup judges only if the validators before it certainly show no verdict.")


def _at(
    settings: FederationSettings, agreed: AgreedRules, block: int | None, path: Path | None
) -> tuple[int, tuple[str, ...]]:
    """The block, and the validators in the order of the list that holds there."""
    from soundsright.cli.shared.federation_reading import known_list
    from soundsright.cli.shared.opening import opened_chain

    listed = None if path is None else AllowlistFile(path).read()
    if path is not None and listed is not None:
        AllowlistFile(path).check_interval(listed, agreed.rules.interval_blocks)
        if block is not None:
            return block, tuple(sorted(listed.validators))
    with closing(opened_chain(settings, None)) as chain:
        finalized = chain.finalized().number
        at = finalized if block is None else block
        if listed is not None:
            return at, tuple(sorted(listed.validators))
        first = at // agreed.rules.interval_blocks * agreed.rules.interval_blocks
        if first > finalized:
            raise UsageError(
                f"Task {at // agreed.rules.interval_blocks} has not begun at the final block {finalized}",
                "Give an earlier --block, or the list of validators in --allowlist.",
            )
        return at, known_list(settings, agreed, chain, first).validators


@click.command("window")
@option("--json", "as_json", is_flag=True, help="Print JSON.")
@env_file_option
@settings_options(FederationSettings, READING)
def window(as_json: bool, env_file: Path | None, **flags: Any) -> None:
    """Print the tasks that count in the present epoch, and who judged them.

    \b
    soundsright federation window

    It reads the verdicts in the buckets of PEER_VALIDATORS. Validators decide by what the views of all have
    settled, which can be less.
    """
    from soundsright.cli.shared.federation_reading import opened_reader
    from soundsright.ranking import window as window_of

    settings = settings_from(FederationSettings, flags, env_file)
    agreed = agreed_rules(settings)
    with opened_reader(settings, agreed) as reader:
        reading = reader.read()
    tasks = window_of(reading.canonical, reading.epoch_block, agreed.rules)
    if as_json:
        rows = [{"task": task, "validator": _author(reading, task)} for task in tasks]
        click.echo(json.dumps({"epoch_block": reading.epoch_block, "tasks": rows}, indent=1))
        return
    if not tasks:
        click.echo(f"No task counts yet in the epoch of block {reading.epoch_block}.")
        return
    click.echo(
        f"{len(tasks)} tasks count in the epoch of block {reading.epoch_block}, from {tasks[0]} to {tasks[-1]}."
    )
    for task in tasks:
        click.echo(f"{task:>8}  {_author(reading, task) or 'nobody: two verdicts'}")


def _author(reading: EpochReading, task: int) -> str | None:
    found = reading.canonical[task]
    return None if found is None else found.verdict.validator
