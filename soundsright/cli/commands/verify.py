"""`soundsright verify`: run a model as a validator will, on a few clips, and say what to mend."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.commands.rules import organiser_of, ruleset_option
from soundsright.cli.shared.sandboxes import SandboxChoice, chosen_sandbox, sandbox_options
from soundsright.core.competition import Competition, competition_by_id
from soundsright.core.entry_rules import remedy_of
from soundsright.core.errors import EntryRefused, UsageError, printable

if TYPE_CHECKING:
    from soundsright.config import MinerSettings
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.core.fetch_limits import FetchLimits
    from soundsright.core.ports import Sandbox
    from soundsright.core.sources import ModelRef
    from soundsright.core.submission import FetchedModel
    from soundsright.services.local import Step, Verification

_LOG_LINES = 12
_NOT_THERE = ("not_found", "revision_not_found")


@click.command("verify")
@click.argument("target", required=False)
@click.option(
    "--competition", "competition_id", metavar="ID", help="What it enters. [default: the first of the rules]"
)
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
    help="Folder of a private competition's models, instead of --hf-endpoint.",
)
@click.option(
    "--hf-endpoint",
    envvar="HF_ENDPOINT",
    show_envvar=True,
    help="Address of the models' hub. [default: the Hugging Face Hub]",
)
@click.option("--hf-token", envvar="HF_TOKEN", show_envvar=True, help="Token for a private repository there.")
@click.option("--clips", default=3, show_default=True, type=click.IntRange(1, 100), help="Sample clips.")
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    envvar="SOUNDSRIGHT_CORPUS",
    show_envvar=True,
    help="Folder of recordings with a manifest. [default: datasets]",
)
@ruleset_option
@sandbox_options
def command(
    target: str | None,
    competition_id: str | None,
    sample_rate: str | None,
    model_namespace: str | None,
    model_name: str | None,
    model_revision: str | None,
    hub: Path | None,
    hf_endpoint: str | None,
    hf_token: str | None,
    clips: int,
    corpus: Path | None,
    ruleset: str,
    sandbox: SandboxChoice,
) -> int:
    """Run TARGET as a validator will, and say PASS or FAIL with the reason and the remedy.

    TARGET is a model's folder, or namespace/name@revision in a hub.
    """  # fmt: skip
    target = _target(target, model_namespace, model_name, model_revision)
    organiser = organiser_of(ruleset, begun=True)
    competition = _competition(competition_id, sample_rate, organiser.competitions)
    # Before anything is fetched: what cannot be run needs not be there.
    chosen = chosen_sandbox(sandbox, local=Path(target).is_dir(), round_id="verify")
    flags = {"soundsright_hub": hub, "hf_endpoint": hf_endpoint, "hf_token": hf_token}
    try:
        with _fetched(target, competition, flags, organiser.fetch_limits) as model:
            return _verified(model, competition, organiser, chosen, clips, corpus)
    except EntryRefused as refused:
        _say_failed(refused.sentence, remedy_of(refused.code))
        return 1


def _target(target: str | None, namespace: str | None, name: str | None, revision: str | None) -> str:
    parts = (namespace, name, revision)
    if target is not None:
        if any(parts):
            raise UsageError(f"Both {target} and --model-… are given", "Name the model once.")
        return target
    if not all(parts):
        raise UsageError("No model is named", "Give a folder, or namespace/name@revision.")
    return f"{namespace}/{name}@{revision}"


def _competition(
    competition_id: str | None, sample_rate: str | None, offered: Sequence[Competition]
) -> Competition:
    if competition_id is not None:
        chosen = competition_by_id(competition_id, offered)
        if sample_rate is not None and chosen.sample_rate_hz != int(sample_rate):
            raise UsageError(f"{chosen.id} is not at {sample_rate} Hz", "Leave --sample-rate out.")
        return chosen
    rate = int(sample_rate or offered[0].sample_rate_hz)
    found = next((c for c in offered if c.sample_rate_hz == rate), None)
    if found is None:
        raise UsageError(f"No competition of the rules is at {rate} Hz", "Name one with --competition.")
    return found


@contextlib.contextmanager
def _fetched(
    target: str, competition: Competition, hub: Mapping[str, Any], limits: FetchLimits
) -> Iterator[FetchedModel]:
    """The model as a validator's hub hands it over.

    Raises:
        EntryRefused: the files exceed a limit.
    """
    from platformdirs import user_cache_path

    from soundsright.cli.shared.hub import opened_hub
    from soundsright.config import Settings, read_settings
    from soundsright.core.submission import Submission
    from soundsright.library import model_of_folder

    if Path(target).is_dir():
        with model_of_folder(Path(target), competition, limits) as model:
            yield model
        return
    ref = _reference(target)
    # Kept, so that a large model is fetched once.
    cache = user_cache_path("soundsright") / "verify"
    opened = opened_hub(read_settings(Settings, flags={**hub, "state_folder": cache}, environment={}))
    click.echo(f"Fetching {ref}")
    submission = Submission(uid=0, hotkey="verify", competition=competition, source=ref, block=0)
    try:
        model = opened.fetch(submission, limits=limits)
    except EntryRefused as refused:
        if refused.code not in _NOT_THERE:
            raise
        raise UsageError(refused.sentence, "Give the name and the commit as on the hub.") from refused
    yield model


def _reference(target: str) -> ModelRef:
    from soundsright.core.sources import ModelRef

    repository, _, revision = target.partition("@")
    namespace, slash, name = repository.partition("/")
    if not slash or not revision:
        raise UsageError(
            f"{target} is neither a folder nor namespace/name@revision", "Give one that exists, or the other."
        )
    try:
        return ModelRef(namespace, name, revision)
    except EntryRefused as refused:
        raise UsageError(
            refused.sentence, "Give namespace/name@revision with the commit's 40 hex digits."
        ) from refused


def _verified(
    model: FetchedModel,
    competition: Competition,
    organiser: CompetitionRules,
    sandbox: Sandbox,
    clips: int,
    corpus: Path | None,
) -> int:
    from soundsright.library import verified_entry

    click.echo(f"{competition.title}, {clips} sample clips")
    verification = verified_entry(model, competition, organiser, sandbox, clips=clips, corpus=corpus, on_step=_tell)
    _show(verification, competition)
    return 0 if verification.passed else 1


def _tell(step: Step) -> None:
    mark = click.style("ok  ", fg="green") if step.passed else click.style("FAIL", fg="red")
    click.echo(f"{mark} {step.name + ':':<20} {step.message}")


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
    for line in last_lines(verification.log):
        click.echo(line)
    _say_failed(verification.reason, verification.remedy)


def _say_failed(reason: str, remedy: str) -> None:
    click.echo(click.style("FAIL", fg="red", bold=True) + f"  {reason}\n      {remedy}")


def last_lines(log: str) -> list[str]:
    """The end of what a model wrote, to be shown: none of it may steer the terminal."""
    lines = [line for line in log.splitlines() if line.strip()]
    return ["  log | " + printable(line[:200]) for line in lines[-_LOG_LINES:]]


def verified_model(settings: MinerSettings, model: ModelRef, competition: Competition) -> int:
    """Fetch the model as a validator will, and run it as `soundsright verify` does; its exit code.

    Raises:
        UsageError: what a validator would refuse, or what is needed to run it here is missing.
    """
    from soundsright.cli.shared.hub import opened_hub
    from soundsright.core.submission import Submission

    entry = Submission(uid=0, hotkey="verify", competition=competition, source=model, block=0)
    try:
        limits = organiser_of(settings.soundsright_ruleset, begun=True).fetch_limits
        fetched = opened_hub(settings).fetch(entry, limits=limits)
    except EntryRefused as refused:
        raise UsageError(f"{model}: {refused.sentence}", "A validator would refuse it too.") from refused
    words = [str(fetched.path), "--competition", competition.id, "--ruleset", settings.soundsright_ruleset]
    code = command.main(words, standalone_mode=False)
    return int(code or 0)
