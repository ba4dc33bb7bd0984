"""`soundsright compete`: run a whole competition on this machine, with the code of a validator."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.competition_request import CompetitionRequest
from soundsright.cli.shared.corpus_round import note_round, numbered
from soundsright.cli.shared.needed_packages import runnable_entries
from soundsright.cli.shared.options import (
    ANY_PATH,
    corpus_key_option,
    corpus_option,
    corpus_round_option,
    grouped,
    option,
    pay_on_public_corpus_option,
    ruleset_option,
)
from soundsright.cli.shared.run_folder import LEASE, OTHER_FOLDER, claim_folder, read_run
from soundsright.cli.shared.sandboxes import (
    chosen_concurrency,
    chosen_sandbox,
    concurrency_option,
    sandbox_options,
)
from soundsright.core.competition import competition_by_id
from soundsright.core.errors import UsageError
from soundsright.core.material import Material
from soundsright.library import SandboxChoice, check_folder, organiser_of

if TYPE_CHECKING:
    from rich.console import Console

    from soundsright.core.ports import Sandbox
    from soundsright.services.local import Staged
    from soundsright.services.records import Results
    from soundsright.services.rounds import RoundOutcome, RoundPlan

DEFAULT_CLIPS = 30
_FILE_COLUMNS = 140
BURN_UID = 0
"""The uid of the validator, which registers first. It gets the weight of the prizes that nobody won."""
ROUND_ID = "trial"
_NEEDED_PACKAGES = ("sqlalchemy", "numba", "pesq", "psutil", "jinja2", "matplotlib")


@dataclass(frozen=True)
class Execution:
    """The sandbox, the number of models that run at the same time, and the processes that draw and score clips."""

    sandbox: Sandbox
    slots: int
    workers: int


@dataclass(frozen=True)
class _SetChoice:
    """Which clips the models get, and whether prizes are paid on public ones."""

    clips: int
    seed: int
    corpus: Path | None
    corpus_key: Path | None
    corpus_round: int | None
    pay_on_public_corpus: bool


@dataclass(frozen=True)
class _RunFolder:
    """The folder to write to, and whether to replace a run in it."""

    out: Path | None
    force: bool


@click.command("compete")
@option(
    "--competition",
    "competition_ids",
    multiple=True,
    metavar="ID",
    envvar="SOUNDSRIGHT_COMPETITION",
    help="Competition to run, such as DENOISING_16000HZ. Repeat it for more. [default: all that have an entry]",
)
@grouped(
    _SetChoice,
    "set_choice",
    option("--clips", default=DEFAULT_CLIPS, envvar="SOUNDSRIGHT_CLIPS", help="Number of clips in each set."),
    option(
        "--seed",
        default=1,
        envvar="SOUNDSRIGHT_SEED",
        help="Seed of the local chain's block hashes, and so of the clips.",
    ),
    corpus_option,
    corpus_key_option,
    corpus_round_option,
    pay_on_public_corpus_option,
)
@option(
    "--entries",
    "entries_file",
    type=ANY_PATH,
    envvar="SOUNDSRIGHT_ENTRIES",
    help="TOML file that lists the entries. [default: the demo's]",
)
@ruleset_option
@sandbox_options
@concurrency_option
@option(
    "--workers",
    default=0,
    show_default=False,
    envvar="SOUNDSRIGHT_WORKERS",
    help="Processes that draw and score clips. [default: one per processor]",
)
@grouped(
    _RunFolder,
    "folder",
    option(
        "--out",
        type=ANY_PATH,
        envvar="SOUNDSRIGHT_OUT",
        help="Folder to write to. [default: runs/seed-SEED]",
    ),
    option("--force", is_flag=True, help="Replace a finished run, or one with other settings, in --out."),
)
def command(
    *,
    competition_ids: tuple[str, ...],
    set_choice: _SetChoice,
    entries_file: Path | None,
    ruleset: str,
    sandbox: SandboxChoice,
    slots: int,
    workers: int,
    folder: _RunFolder,
) -> int:
    """Run a whole competition on this machine.

    \b
    soundsright compete
    soundsright compete --entries mine/entries.toml --ruleset mine/competition.toml --out runs/mine

    It uses real recordings and real models, and needs no account and no network. Miners register on a local chain,
    commit to their models and reveal them. A block fixes the seed, from which the clips are drawn. Every model runs
    in a sandbox and is scored. The run ends with prizes, weights, feedback for each miner, a leaderboard per
    competition, and report.html. If you stop a run, the same command continues it.
    """
    from soundsright.adapters.sandboxes import usable_cpus
    from soundsright.core.ports import SandboxLimits

    request = _request(competition_ids, set_choice, entries_file, ruleset, folder)
    if sandbox.kind != "docker" and sandbox.python is None:
        entries = runnable_entries(request.entries)
        entered = {entry.competition.id for entry in entries}
        competitions = tuple(c for c in request.rules.competitions if c.id in entered)
        request = replace(request, entries=entries, rules=replace(request.rules, competitions=competitions))
    for name, value in (("--seed", set_choice.seed), ("--workers", workers)):
        if not 0 <= value < 2**63:
            raise UsageError(f"{name} {value} is out of range", "Give 0 or a larger number.")
    _check(request)
    # `auto` leaves out Docker, which would first build an image for every entry.
    own = [path for path in (request.out, set_choice.corpus, set_choice.corpus_key) if path is not None]
    for entry in request.entries:
        check_folder(entry.folder, own)
    kept_out = [*own, *(entry.folder for entry in request.entries)]
    opened = chosen_sandbox(sandbox, local=True, round_id=ROUND_ID, auto=("bubblewrap",), kept_out=kept_out)
    claim_folder(request.out, request.identity(), request.needed_bytes(), force=folder.force)
    note_round(request.material, request.out)
    models_at_once = chosen_concurrency(sandbox, SandboxLimits(), slots)
    return _run(request, Execution(opened, models_at_once, workers or len(usable_cpus())))


def _request(
    competition_ids: Sequence[str],
    set_choice: _SetChoice,
    entries_file: Path | None,
    ruleset: str,
    folder: _RunFolder,
) -> CompetitionRequest:
    """The competition that the flags describe. Its competitions have the order of the rules."""
    from soundsright.core.shipped import models_folder
    from soundsright.data import checked_clip_count
    from soundsright.services.local import read_entries

    organiser = organiser_of(ruleset, begun=True)
    offered = organiser.competitions
    chosen = {competition_by_id(name, offered).id for name in competition_ids} or {c.id for c in offered}
    entries = read_entries(entries_file or models_folder() / "demo.toml", offered, chosen)
    entered = {entry.competition.id for entry in entries}
    checked_clip_count(set_choice.clips)
    out = folder.out if folder.out is not None else Path("runs") / f"seed-{set_choice.seed}"
    material = Material(set_choice.corpus, set_choice.corpus_key, set_choice.corpus_round, noise=organiser.noise)
    return CompetitionRequest(
        rules=replace(organiser, competitions=tuple(c for c in offered if c.id in entered)),
        clips=set_choice.clips,
        seed=set_choice.seed,
        entries=entries,
        material=numbered(material, out, force=folder.force),
        pay_on_public_corpus=set_choice.pay_on_public_corpus,
        out=out,
    )


def _check(request: CompetitionRequest) -> None:
    """Check what can be checked before anything is written.

    Raises:
        UsageError: a package or recordings are missing.
    """
    from soundsright.cli.shared.packages import check_packages
    from soundsright.services.rounds import opened

    check_packages(_NEEDED_PACKAGES)
    corpus = opened(request.material).corpus
    for competition in request.rules.competitions:
        corpus.speech_for(competition.sample_rate_hz)


def _run(request: CompetitionRequest, execution: Execution) -> int:
    """Run the competition, then print and write its results. Returns 1 if no entry was scored, otherwise 0."""
    from rich.console import Console

    from soundsright.adapters.machine import MemoryWatch
    from soundsright.cli.shared.failures import warn_of_failures
    from soundsright.cli.shared.tables import print_remarks, print_summary, print_tables
    from soundsright.services.records import results_of

    started = time.monotonic()
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, width=_FILE_COLUMNS)
    staged = _staged(request)
    with MemoryWatch() as memory:
        outcome = _run_round(request, execution, staged, console)
        results = results_of(outcome)
        print_tables(console, results.competitions, request.metrics)
        print_remarks(console, results)
        wall_s = time.monotonic() - started
        _write(request.out, outcome, results.with_cost(wall_s=wall_s, peak_memory_bytes=memory.peak_bytes))
    print_summary(
        console,
        outcome,
        burn_uid=BURN_UID,
        wall_s=time.monotonic() - started,
        peak_bytes=memory.peak_bytes,
        page=request.out / "report.html",
    )
    folders = {entry.miner: entry.folder for entry in request.entries}
    evaluations = [each for entries in outcome.evaluations.values() for each in entries]
    return warn_of_failures(evaluations, folders)


def _staged(request: CompetitionRequest) -> Staged:
    """Register the entries on a new local chain, or read how an earlier run did it."""
    from dataclasses import asdict

    from soundsright.adapters.chains import LocalChain, seeded_block_entropy
    from soundsright.adapters.hubs import FolderHub
    from soundsright.core.schedule import Round
    from soundsright.core.sources import ModelRef
    from soundsright.core.submission import Reveal
    from soundsright.services.local import Staged, stage
    from soundsright.services.records import write_json
    from soundsright.services.rounds import commitment_to

    out = request.out
    if (out / "run.json").exists():
        run = read_run(out)
        reveals = {k: Reveal(ModelRef(**v["model"]), v["competition_id"]) for k, v in run["reveals"].items()}
        return Staged(Round(**run["round"]), reveals)
    chain = LocalChain(out / "chain.db", entropy=seeded_block_entropy(request.seed))
    staged = stage(
        request.entries,
        chain=chain,
        hub=FolderHub(out / "hub", out / "cache"),
        round_id=ROUND_ID,
        corpus=commitment_to(request.material, request.clips) if request.material.is_private else None,
    )
    write_json(
        out / "run.json",
        {
            "request": request.identity(),
            "round": asdict(staged.round),
            "reveals": {miner: asdict(reveal) for miner, reveal in staged.reveals.items()},
        },
    )
    return staged


def _run_round(request: CompetitionRequest, execution: Execution, staged: Staged, console: Console) -> RoundOutcome:
    from soundsright.adapters.chains import LocalChain, seeded_block_entropy
    from soundsright.adapters.hubs import FolderHub
    from soundsright.adapters.machine import ProcessPool, SystemClock
    from soundsright.adapters.state import SqlState
    from soundsright.cli.shared.progress import RoundDisplay
    from soundsright.cli.shared.stopping import stopping_at_once
    from soundsright.metrics import warm_up
    from soundsright.services.local import VALIDATOR, StagedHub
    from soundsright.services.rounds import RoundContext, RoundService
    from soundsright.services.validator import sole_process

    out = request.out
    folders = {entry.miner: entry.folder for entry in request.entries}
    services: list[RoundService] = []

    def cancel() -> None:
        for service in services:
            service.cancel()

    with (
        stopping_at_once(),
        closing(SqlState(out / "state.db")) as state,
        # The workers end before the lease does, so that no second run works beside them.
        sole_process(state, LEASE, clock=SystemClock(), lost=cancel, used=str(out), elsewhere=OTHER_FOLDER),
        closing(ProcessPool(execution.workers, warm_up=warm_up)) as pool,
        RoundDisplay(console, entries=len(request.entries), clips=request.clips) as display,
    ):
        context = RoundContext(
            _plan(request, staged),
            chain=LocalChain(out / "chain.db", entropy=seeded_block_entropy(request.seed)),
            hub=StagedHub(FolderHub(out / "hub", out / "cache"), folders),
            sandbox=execution.sandbox,
            state=state,
            pool=pool,
            clock=SystemClock(),
            folder=out,
            validator=VALIDATOR,
            slots=execution.slots,
            workers=execution.workers,
            observe=display.observe,
        )
        service = RoundService(context, staged.reveals)
        services.append(service)
        try:
            return service.run()
        except KeyboardInterrupt:
            service.cancel()
            raise


def _plan(request: CompetitionRequest, staged: Staged) -> RoundPlan:
    from soundsright.core.competition_rules import Measures
    from soundsright.metrics import floors
    from soundsright.services.local import trial_rules
    from soundsright.services.rounds import RoundPlan

    return RoundPlan(
        staged.round,
        trial_rules(request.rules),
        Measures(request.clips, request.metrics, floors(request.metrics), request.material),
        burn_uid=BURN_UID,
        pay_on_public_corpus=request.pay_on_public_corpus,
        incumbents={entry.competition.id: entry.miner for entry in request.entries if entry.incumbent},
    )


def _write(out: Path, outcome: RoundOutcome, results: Results) -> None:
    from soundsright.adapters.state import SqlState
    from soundsright.services.records import feedback_of, round_record, scores_of, write_json, write_record
    from soundsright.services.report import write_round

    with closing(SqlState(out / "state.db")) as state:
        # Before results.json, whose presence says that the round is finished.
        write_record(round_record(outcome, results, scores_of(outcome), state, out), out, None)
    (out / "feedback").mkdir(exist_ok=True)
    for name, feedback in feedback_of(outcome, results).items():
        write_json(out / "feedback" / f"{name}.json", feedback.as_json())
    write_round(out, results, scores_of(outcome))
