"""`soundsright federation audit`: compute a validator's verdict on a task again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.options import env_file_option, option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import FederationSettings
from soundsright.core.errors import RequestRefused, printable

if TYPE_CHECKING:
    from soundsright.cli.shared.federation_audit import PublishedVerdict
    from soundsright.services.replay import ReplayReport


@click.command("audit")
@click.argument("task", type=click.IntRange(1))
@option("--validator", default="", help="Audit the verdict of this hotkey. [default: the one that counts]")
@option("--run", "runs_models", is_flag=True, help="Also fetch the models and run them again.")
@option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@env_file_option
@settings_options(FederationSettings)
def command(
    *, task: int, validator: str, runs_models: bool, as_json: bool, env_file: Path | None, **flags: Any
) -> int:
    """Compute a validator's verdict on a task again.

    \b
    soundsright federation audit 1234               # all scores, from the published audio
    soundsright federation audit 1234 --run         # all answers too, from the models
    soundsright federation audit 1234 --validator 5Grw...

    It reads verdict and audio from the validator's bucket, draws the clips from the task's seed, and scores the
    audio again. No wallet is needed. It exits with 0 if all means come out the same after rounding, with 1 if it
    could check nothing, for example because your recordings are others, and with 3 at the first difference, which
    it names.
    """
    from soundsright.cli.shared.federation_audit import audit_ports, published_verdict, settings_of_task
    from soundsright.cli.shared.federation_parts import agreed_rules
    from soundsright.cli.shared.opening import opened_chain
    from soundsright.cli.shared.progress_line import ProgressLine
    from soundsright.cli.shared.report_lines import DIFFERENT, exit_code_of
    from soundsright.services.federation import audited

    settings = settings_from(FederationSettings, flags, env_file)
    agreed = agreed_rules(settings)
    with closing(opened_chain(settings, None)) as chain:
        try:
            published = published_verdict(settings, agreed, chain, task, validator)
        except RequestRefused as refused:
            click.echo(f"Different  {printable(refused.sentence)}")
            return DIFFERENT
        own = settings_of_task(settings, agreed, chain, task)
    with (
        tempfile.TemporaryDirectory(prefix="soundsright-audit-") as folder,
        audit_ports(settings, published.bucket, Path(folder), runs_models=runs_models) as ports,
        ProgressLine("Checked {done} of {total} miners, {left} left") as progress,
    ):
        verdict = published.signed.verdict
        report = audited(verdict, own, published.block_hash, replace(ports, progress=progress))
    for line in [_json(published, report)] if as_json else _lines(published, report):
        click.echo(line)
    return exit_code_of(report)


def _lines(published: PublishedVerdict, report: ReplayReport) -> Iterator[str]:
    from soundsright.cli.shared.report_lines import report_lines

    verdict = published.signed.verdict
    yield f"Task       {verdict.task}, of block {verdict.block} and seed {verdict.block_hash[:14]}"
    yield f"Verdict    {published.signed.digest} of {verdict.validator}, {len(verdict.rows)} miners"
    yield from report_lines(report)


def _json(published: PublishedVerdict, report: ReplayReport) -> str:
    verdict = published.signed.verdict
    facts = {
        "task": verdict.task,
        "validator": verdict.validator,
        "verdict": published.signed.digest,
        "checked": dict(report.checked),
        "unchecked": [asdict(each) for each in report.unchecked],
        "difference": None if report.difference is None else asdict(report.difference),
        "remarks": list(report.remarks),
        "same": report.is_same and report.is_checked,
    }
    return json.dumps(facts)
