"""`soundsright verify`: run a model as a validator will, on a few clips, and say what to mend."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.sandboxes import chosen_sandbox, sandbox_options
from soundsright.core.competition import PUBLISHED, Competition, competition_by_id
from soundsright.core.errors import UsageError, printable

if TYPE_CHECKING:
    from soundsright.core.ports import Sandbox
    from soundsright.core.submission import FetchedModel
    from soundsright.services.verify import Step, Verification

_LOG_LINES = 12
_SEED = 20_260_101


@click.command("verify")
@click.argument("target", required=False)
@click.option("--competition", "competition_id", metavar="ID", help="What it enters.  [default: DENOISING_16000HZ]")
@click.option(
    "--sample-rate",
    "--sample_rate",
    type=click.Choice(["16000", "48000"]),
    help="Instead of --competition: its rate.",
)
@click.option("--model-namespace", "--model_namespace", help="With the next two, instead of TARGET.")
@click.option("--model-name", "--model_name", help="The repository.")
@click.option("--model-revision", "--model_revision", help="The commit.")
@click.option(
    "--hub",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="SOUNDSRIGHT_HUB",
    show_envvar=True,
    help="The folder hub that holds namespace/name@revision.",
)
@click.option("--clips", default=3, show_default=True, type=click.IntRange(1, 100), help="Sample clips.")
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    envvar="SOUNDSRIGHT_CORPUS",
    show_envvar=True,
    help="Folder of recordings with a manifest. [default: datasets]",
)
@sandbox_options
@click.option("--trust", is_flag=True, help="Run a model from a hub with --sandbox process, which holds nothing.")
def command(
    target: str | None,
    competition_id: str | None,
    sample_rate: str | None,
    model_namespace: str | None,
    model_name: str | None,
    model_revision: str | None,
    hub: Path | None,
    clips: int,
    corpus: Path | None,
    sandbox: str,
    python: Path | None,
    build_network: str,
    runtime: str | None,
    gpus: str,
    trust: bool,
) -> int:
    """Run TARGET as a validator will, and say PASS or FAIL with the reason and the remedy.

    TARGET is a model's folder, or namespace/name@revision in a hub.
    """  # fmt: skip
    target = _target(target, model_namespace, model_name, model_revision)
    competition = _competition(competition_id, sample_rate)
    local = Path(target).is_dir()
    if not local and sandbox == "process" and not trust:
        raise UsageError(
            f"{target} is a stranger's model and the process sandbox holds nothing",
            "Use another --sandbox, or add --trust if the model is your own.",
        )
    with _fetched(target, hub, competition) as model:
        chosen = chosen_sandbox(
            sandbox,
            python,
            build_network=build_network,
            runtime=runtime,
            gpus=gpus,
            allow_process=local,
            round_id="verify",
        )
        return _verified(model, competition, chosen, clips, corpus)


def _target(target: str | None, namespace: str | None, name: str | None, revision: str | None) -> str:
    parts = (namespace, name, revision)
    if target is not None:
        if any(parts):
            raise UsageError(f"Both {target} and --model-… are given", "Name the model once.")
        return target
    if not all(parts):
        raise UsageError("No model is named", "Give a folder, or namespace/name@revision.")
    return f"{namespace}/{name}@{revision}"


def _competition(competition_id: str | None, sample_rate: str | None) -> Competition:
    if competition_id is not None:
        chosen = competition_by_id(competition_id)
        if sample_rate is not None and chosen.sample_rate_hz != int(sample_rate):
            raise UsageError(f"{chosen.id} is not at {sample_rate} Hz", "Leave --sample-rate out.")
        return chosen
    rate = int(sample_rate or PUBLISHED[0].sample_rate_hz)
    return next(c for c in PUBLISHED if c.sample_rate_hz == rate)


@contextlib.contextmanager
def _fetched(target: str, hub: Path | None, competition: Competition) -> Iterator[FetchedModel]:
    """The model as a hub hands it over: a folder is first published to a hub of its own."""
    from soundsright.adapters.hub_folder import FolderHub
    from soundsright.core.ports import FetchLimits
    from soundsright.core.submission import ModelRef, Submission

    with tempfile.TemporaryDirectory(prefix="verify-") as name:
        # Below the temporary directory's own mode, 0700, the model's user could read nothing.
        Path(name).chmod(0o755)
        if Path(target).is_dir():
            own = FolderHub(Path(name, "hub"), Path(name, "cache"))
            ref = own.publish("local", "model", Path(target))
        else:
            repository, _, revision = target.partition("@")
            namespace, _, model_name = repository.partition("/")
            if hub is None or not revision:
                raise UsageError(
                    f"{target} is neither a folder nor in a hub",
                    "Give a folder that exists, or --hub and namespace/name@revision.",
                )
            ref = ModelRef(namespace, model_name, revision)
            own = FolderHub(hub, Path(name, "cache"))
        submission = Submission(uid=0, hotkey="verify", competition=competition, model=ref, block=0)
        yield own.fetch(submission, limits=FetchLimits())


def _verified(
    model: FetchedModel, competition: Competition, sandbox: Sandbox, clips: int, corpus: Path | None
) -> int:
    from soundsright.core.ports import SandboxLimits
    from soundsright.data.clips import draw_clips
    from soundsright.data.corpora import Corpus
    from soundsright.services.verify import verify

    click.echo(f"{competition.title}, {clips} sample clips")
    drawn = tuple(draw_clips(competition, _SEED, clips, corpus=Corpus.open(corpus)))
    verification = verify(model, drawn, sandbox=sandbox, limits=SandboxLimits(), tell=_tell)
    _show(verification, competition)
    return 0 if verification.passed else 1


def _tell(step: Step) -> None:
    mark = click.style("ok  ", fg="green") if step.passed else click.style("FAIL", fg="red")
    click.echo(f"{mark} {step.name + ':':<20} {step.found}")


def _show(verification: Verification, competition: Competition) -> None:
    if verification.comparisons:
        click.echo(f"\n{'metric':<10}{'enhanced':>12}{'unprocessed':>13}{'change':>10}")
    for row in verification.comparisons:
        paid = "*" if row.metric in competition.metric_weights else " "
        verdict = {True: "better", False: "worse", None: "equal"}[row.better]
        change = row.enhanced - row.unprocessed
        values = f"{row.enhanced:>12.3f}{row.unprocessed:>13.3f}{change:>+10.3f}"
        click.echo(f"{row.metric + paid:<10}{values}  {verdict}")
    if verification.comparisons:
        click.echo("* pays in this competition\n")
    if verification.passed:
        click.echo(click.style("PASS", fg="green", bold=True) + "  A validator would rank this model.")
        return
    lines = [line for line in verification.log.splitlines() if line.strip()][-_LOG_LINES:]
    for line in lines:
        click.echo("  log | " + printable(line[:200]))
    click.echo(click.style("FAIL", fg="red", bold=True) + f"  {verification.reason}\n      {verification.remedy}")
