"""`soundsright verify`: run a model the way a validator will, on a few clips, and say what to fix."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.model_log import last_lines
from soundsright.cli.shared.options import FOLDER, corpus_option, grouped, option, ruleset_option
from soundsright.cli.shared.sandboxes import chosen_sandbox, sandbox_options
from soundsright.core.competition import Competition, competition_by_id
from soundsright.core.entry_rules import remedy_of
from soundsright.core.errors import EntryRefused, UsageError
from soundsright.library import SandboxChoice, organiser_of

if TYPE_CHECKING:
    from soundsright.config import MinerSettings
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.core.fetch_limits import FetchLimits
    from soundsright.core.ports import Sandbox
    from soundsright.core.sources import ModelRef
    from soundsright.core.submission import FetchedModel
    from soundsright.services.local import Step, Verification

_NOT_ON_HUB = ("not_found", "revision_not_found")


@dataclass(frozen=True)
class _ModelParts:
    """A model on a hub as the published interface names it: three flags."""

    model_namespace: str | None
    model_name: str | None
    model_revision: str | None


@dataclass(frozen=True)
class _HubChoice:
    """The hub to fetch from. The field names are those of the settings, without SOUNDSRIGHT_."""

    hub: Path | None
    hf_endpoint: str | None
    hf_token: str | None


@click.command("verify")
@click.argument("target", required=False)
@option("--competition", "competition_id", metavar="ID", help="Competition. [default: the first of the rules]")
@option(
    "--sample-rate",
    "--sample_rate",
    type=click.Choice(["16000", "48000"]),
    help="Choose the first competition at this rate, in Hz.",
)
@grouped(
    _ModelParts,
    "parts",
    option("--model-namespace", "--model_namespace", help="Owner of the model. Use it instead of TARGET."),
    option("--model-name", "--model_name", help="Name of the model's repository. Use it instead of TARGET."),
    option("--model-revision", "--model_revision", help="Commit of the model. Use it instead of TARGET."),
)
@grouped(
    _HubChoice,
    "hub_choice",
    option(
        "--hub",
        type=FOLDER,
        envvar="SOUNDSRIGHT_HUB",
        help="Folder with a private competition's models. It replaces --hf-endpoint.",
    ),
    option(
        "--hf-endpoint",
        envvar="HF_ENDPOINT",
        help="Address of the hub with the models. [default: https://huggingface.co]",
    ),
    option("--hf-token", envvar="HF_TOKEN", help="Token for a private repository on that hub."),
)
@option("--clips", default=4, type=click.IntRange(1, 100), help="Number of sample clips.")
@corpus_option
@ruleset_option
@sandbox_options
def command(
    *,
    target: str | None,
    competition_id: str | None,
    sample_rate: str | None,
    parts: _ModelParts,
    hub_choice: _HubChoice,
    clips: int,
    corpus: Path | None,
    ruleset: str,
    sandbox: SandboxChoice,
) -> int:
    """Run a model the way a validator will and say what to fix.

    \b
    soundsright verify my-model
    soundsright verify my-lab/my-model@0123456789abcdef0123456789abcdef01234567

    TARGET is the folder of a model, or namespace/name@revision on a hub. The output ends with PASS,
    or with FAIL, the reason, and what to do.
    """
    target = _target(target, parts)
    organiser = organiser_of(ruleset, begun=True)
    competition = _competition(competition_id, sample_rate, organiser.competitions)
    # Choose the sandbox first. If no sandbox works here, there is no need to fetch the model.
    chosen = chosen_sandbox(
        sandbox, local=Path(target).is_dir(), round_id="verify", kept_out=[corpus, hub_choice.hub]
    )
    try:
        with _fetched(target, competition, hub_choice, organiser.fetch_limits) as model:
            return _verify(model, competition, organiser, chosen, clips, corpus)
    except EntryRefused as refused:
        _print_failure(refused.sentence, remedy_of(refused.code))
        return 1


def _target(target: str | None, parts: _ModelParts) -> str:
    three = (parts.model_namespace, parts.model_name, parts.model_revision)
    if target is not None:
        if any(three):
            raise UsageError(f"Both {target} and --model-… are given", "Give the model only once.")
        return target
    if not all(three):
        raise UsageError("No model is given", "Give a folder, or namespace/name@revision.")
    return f"{parts.model_namespace}/{parts.model_name}@{parts.model_revision}"


def _competition(
    competition_id: str | None, sample_rate: str | None, offered: Sequence[Competition]
) -> Competition:
    if competition_id is not None:
        chosen = competition_by_id(competition_id, offered)
        if sample_rate is not None and chosen.sample_rate_hz != int(sample_rate):
            raise UsageError(f"{chosen.id} is not at {sample_rate} Hz", "Leave out --sample-rate.")
        return chosen
    rate_hz = int(sample_rate or offered[0].sample_rate_hz)
    competition = next((c for c in offered if c.sample_rate_hz == rate_hz), None)
    if competition is None:
        raise UsageError(f"The rules have no competition at {rate_hz} Hz", "Choose one with --competition.")
    return competition


@contextlib.contextmanager
def _fetched(
    target: str, competition: Competition, hub_choice: _HubChoice, limits: FetchLimits
) -> Iterator[FetchedModel]:
    """The model as a validator gets it from a hub. A folder is first published to a temporary hub.

    Raises:
        EntryRefused: the files exceed a limit.
    """
    from platformdirs import user_cache_path

    from soundsright.cli.shared.opening import opened_hub
    from soundsright.config import Settings, read_settings
    from soundsright.core.submission import Submission
    from soundsright.library import model_of_folder

    if Path(target).is_dir():
        with model_of_folder(Path(target), competition, limits) as model:
            yield model
        return
    ref = _reference(target)
    # The cache stays, so that a large model is fetched only once.
    flags = {
        "soundsright_hub": hub_choice.hub,
        "hf_endpoint": hub_choice.hf_endpoint,
        "hf_token": hub_choice.hf_token,
        "state_folder": user_cache_path("soundsright") / "verify",
    }
    hub = opened_hub(read_settings(Settings, flags=flags, environment={}))
    click.echo(f"Fetching {ref}")
    submission = Submission(uid=0, hotkey="verify", competition=competition, source=ref, block=0)
    try:
        model = hub.fetch(submission, limits=limits)
    except EntryRefused as refused:
        if refused.code not in _NOT_ON_HUB:
            raise
        raise UsageError(
            refused.sentence, "Copy the name and the commit from the model's page on the hub."
        ) from refused
    yield model


def _reference(target: str) -> ModelRef:
    from soundsright.core.sources import ModelRef

    repository, _, revision = target.partition("@")
    namespace, slash, name = repository.partition("/")
    if not slash or not revision:
        raise UsageError(
            f"{target} is neither a folder nor namespace/name@revision",
            "Give a folder that exists, or a model on a hub.",
        )
    try:
        return ModelRef(namespace, name, revision)
    except EntryRefused as refused:
        raise UsageError(
            refused.sentence, "Give namespace/name@revision with the commit's 40 hex digits."
        ) from refused


def _verify(
    model: FetchedModel,
    competition: Competition,
    organiser: CompetitionRules,
    sandbox: Sandbox,
    clips: int,
    corpus: Path | None,
) -> int:
    from soundsright.library import verified_entry

    click.echo(f"{competition.title}, {clips} sample clip{'' if clips == 1 else 's'}")
    verification = verified_entry(
        model, competition, organiser, sandbox, clips=clips, corpus=corpus, on_step=_print_step
    )
    _print_verification(verification, competition)
    return 0 if verification.passed else 1


def _print_step(step: Step) -> None:
    mark = click.style("ok  ", fg="green") if step.passed else click.style("FAIL", fg="red")
    click.echo(f"{mark} {step.name + ':':<20} {step.message}")


def _print_verification(verification: Verification, competition: Competition) -> None:
    if verification.comparisons:
        click.echo(f"\n{'metric':<10}{'enhanced':>12}{'unprocessed':>13}{'change':>10}")
    for row in verification.comparisons:
        paid = "*" if row.metric in competition.metric_weights else " "
        verdict = {True: "better", False: "worse", None: "equal"}[row.better]
        change = row.enhanced - row.unprocessed
        values = f"{row.enhanced:>12.3f}{row.unprocessed:>13.3f}{change:>+10.3f}"
        click.echo(f"{row.metric + paid:<10}{values}  {verdict}")
    if verification.comparisons:
        click.echo("* counts for the prize in this competition\n")
    for hint in verification.hints:
        click.echo(click.style("HINT", fg="yellow") + f"  {hint}")
    if verification.passed:
        click.echo(click.style("PASS", fg="green", bold=True) + "  A validator would rank this model.")
        if not any(row.better for row in verification.comparisons if row.metric in competition.metric_weights):
            click.echo("      It would win nothing: it does not beat its input.")
        return
    for line in last_lines(verification.log):
        click.echo(line)
    if verification.log or verification.steps[-1].message != verification.reason:
        _print_failure(verification.reason, verification.remedy)
    else:  # The last step has just said it.
        click.echo(f"      {verification.remedy}")


def _print_failure(reason: str, remedy: str) -> None:
    click.echo(click.style("FAIL", fg="red", bold=True) + f"  {reason}\n      {remedy}")


def verified_model(
    settings: MinerSettings, model: ModelRef, competition: Competition, *, archive_key: str = ""
) -> int:
    """Fetch a miner's model and run `soundsright verify` on it. Returns the exit code.

    Raises:
        UsageError: a validator would refuse the model, or something needed to run it here is missing.
    """
    from soundsright.cli.shared.opening import opened_hub
    from soundsright.core.submission import Submission

    entry = Submission(
        uid=0, hotkey="verify", competition=competition, source=model, block=0, archive_key=archive_key
    )
    try:
        limits = organiser_of(settings.soundsright_ruleset, begun=True).fetch_limits
        fetched = opened_hub(settings).fetch(entry, limits=limits)
    except EntryRefused as refused:
        raise UsageError(f"{model}: {refused.sentence}", "Fix it: a validator would refuse it too.") from refused
    arguments = [str(fetched.path), "--competition", competition.id, "--ruleset", settings.soundsright_ruleset]
    code = command.main(arguments, standalone_mode=False)
    return int(code or 0)
