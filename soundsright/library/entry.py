"""One model, run the way a validator will: the result of `soundsright verify` as a record."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.errors import EntryRefused, UsageError
from soundsright.library.rulesets import organiser_of
from soundsright.library.sandboxes import SandboxChoice, check_folder, opened_sandbox

if TYPE_CHECKING:
    from soundsright.core.competition import Competition
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.core.fetch_limits import FetchLimits
    from soundsright.core.ports import Sandbox
    from soundsright.core.submission import FetchedModel
    from soundsright.services.local import Step, Verification

_SEED = 20_260_101


def verify(
    folder: str | os.PathLike[str],
    *,
    competition: str | None = None,
    ruleset: str = "soundsright-v5",
    clips: int = 4,
    corpus: str | os.PathLike[str] | None = None,
    sandbox: str | SandboxChoice = "auto",
    on_step: Callable[[Step], None] = lambda step: None,
) -> Verification:
    """Run a model's folder the way a validator will, and find out what to fix.

    Args:
        folder: the model, laid out like `models/template`.
        competition: the competition's id, such as `DENOISING_16000HZ`; the default is the first of the rules.
        ruleset: a shipped ruleset, or an organiser's TOML file.
        clips: number of sample clips, 1 to 100.
        corpus: the folder or installed corpus that the clips are drawn from; the default is the shipped one.
        sandbox: `auto`, `bubblewrap`, `docker` or `process`, or a `SandboxChoice`. With `auto`, a machine without
            an isolating sandbox runs the model as a plain process, with a warning.
        on_step: is called after each step.

    Returns:
        The `Verification`: `passed`, or the `reason` and the `remedy`; each step, and each metric's mean beside
        that of the unprocessed input.

    Raises:
        UsageError: the folder, the competition or the corpus does not exist, or no sandbox can be used.
        InfrastructureFault: the sandbox failed, which says nothing about the model.

    Example:
        import soundsright
        result = soundsright.verify("my-model", competition="DENOISING_16000HZ")
        print("PASS" if result.passed else f"{result.reason} {result.remedy}")
        for row in result.comparisons:
            print(row.metric, row.enhanced, row.unprocessed)
    """
    from soundsright.core.competition import competition_by_id
    from soundsright.core.entry_rules import remedy_of
    from soundsright.services.local import Verification

    if not Path(folder).is_dir():
        raise UsageError(f"There is no folder {os.fspath(folder)}", "Give the folder of a model.")
    if not 1 <= clips <= 100:
        raise UsageError(f"{clips} sample clips is out of range", "Choose 1 to 100.")
    organiser = organiser_of(ruleset, begun=True)
    offered = organiser.competitions
    chosen = offered[0] if competition is None else competition_by_id(competition, offered)
    opened = opened_sandbox(
        SandboxChoice(sandbox) if isinstance(sandbox, str) else sandbox,
        local=True,
        round_id="verify",
        kept_out=[] if corpus is None else [Path(corpus)],
        warn=lambda warning: warnings.warn(warning, stacklevel=4),
    )
    try:
        with model_of_folder(Path(folder), chosen, organiser.fetch_limits) as model:
            return verified_entry(
                model,
                chosen,
                organiser,
                opened,
                clips=clips,
                corpus=None if corpus is None else Path(corpus),
                on_step=on_step,
            )
    except EntryRefused as refused:
        return Verification((), reason=refused.sentence, remedy=remedy_of(refused.code))


@contextlib.contextmanager
def model_of_folder(folder: Path, competition: Competition, limits: FetchLimits) -> Iterator[FetchedModel]:
    """The folder's model as a validator's hub hands it over: published to a temporary hub, then fetched.

    Raises:
        EntryRefused: the files exceed a limit.
        UnpublishableFolder: the folder cannot be published.
        UsageError: it contains the wallets or a service's state.
    """
    from soundsright.adapters.hubs import FolderHub
    from soundsright.core.submission import Submission

    check_folder(folder)
    with tempfile.TemporaryDirectory(prefix="verify-") as name:
        # With the temporary directory's own mode, 0700, the model's user could read nothing below it.
        Path(name).chmod(0o755)
        hub = FolderHub(Path(name, "hub"), Path(name, "cache"))
        published = hub.publish("local", "model", folder)
        entry = Submission(uid=0, hotkey="verify", competition=competition, source=published, block=0)
        yield hub.fetch(entry, limits=limits)


def verified_entry(
    model: FetchedModel,
    competition: Competition,
    organiser: CompetitionRules,
    sandbox: Sandbox,
    *,
    clips: int,
    corpus: Path | None,
    on_step: Callable[[Step], None],
) -> Verification:
    """Run a fetched model on freshly drawn sample clips. The clips are the same in every run.

    Raises:
        UsageError: the corpus does not exist or lacks recordings for this competition.
        InfrastructureFault: the sandbox failed.
    """
    from soundsright.core.ports import SandboxLimits
    from soundsright.data import VALUES_VERSION, Corpus, draw_clips
    from soundsright.services.local import METRICS, verify
    from soundsright.services.rounds import unfit_of

    unfit = unfit_of(VALUES_VERSION, tuple(competition.metric_weights))
    return verify(
        model,
        tuple(draw_clips(competition, _SEED, clips, corpus=Corpus.open(corpus), unfit=unfit)),
        sandbox=sandbox,
        limits=SandboxLimits(),
        metrics=tuple(dict.fromkeys((*METRICS, *competition.metric_weights))),
        rules=organiser.entry_rules,
        tiers=organiser.tiers,
        on_step=on_step,
    )
