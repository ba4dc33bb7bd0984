"""`soundsright compete`: a whole competition on this machine, on embedded adapters, by a validator's own code."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.commands.rules import organiser_of, ruleset_option
from soundsright.cli.shared.run_folder import LEASE, claim_folder, read_run
from soundsright.cli.shared.sandboxes import (
    SandboxChoice,
    chosen_concurrency,
    chosen_sandbox,
    concurrency_option,
    sandbox_options,
)
from soundsright.core.competition import competition_by_id
from soundsright.core.errors import UnpublishableFolder, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.core.ports import Sandbox
    from soundsright.services.local import Staged, TrialEntry
    from soundsright.services.records import Results
    from soundsright.services.rounds import RoundOutcome

DEFAULT_CLIPS = 30
_FILE_COLUMNS = 140
BURN_UID = 0
"""The validator of a trial registers first: what is not paid goes to it."""
METRICS = ("PESQ_WB", "ESTOI", "SI_SDR", "SI_SIR", "SI_SAR")
ROUND_ID = "trial"
_NEEDED_PACKAGES = ("sqlalchemy", "numba", "pesq", "psutil", "jinja2", "matplotlib")


@dataclass(frozen=True)
class Request:
    """What the user asked for. A stopped run continues only if all except `out` and `force` are the same."""

    rules: CompetitionRules
    clips: int
    seed: int
    entries: tuple[TrialEntry, ...]
    corpus: Path | None
    out: Path
    force: bool

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those that are always shown, and any other that pays."""
        paying = [name for competition in self.rules.competitions for name in competition.metric_weights]
        return tuple(dict.fromkeys((*METRICS, *paying)))

    def needed_bytes(self) -> float:
        """About what the run writes: the clips, the answers, and two copies of each model."""
        from soundsright.data import PUBLISHED_RECIPE

        clip_s = sum(PUBLISHED_RECIPE.duration_s) / 2
        total = 0.0
        for competition in self.rules.competitions:
            signals = 2 + sum(entry.competition.id == competition.id for entry in self.entries)
            total += self.clips * signals * clip_s * competition.sample_rate_hz * 2
        for folder in {entry.folder for entry in self.entries}:
            total += 2 * sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return total

    def identity(self) -> dict[str, Any]:
        from soundsright.rules import entries_facts

        return {
            "competitions": [
                [c.id, dict(c.metric_weights), c.max_score, c.remainder] for c in self.rules.competitions
            ],
            "clips": self.clips,
            "seed": self.seed,
            "ruleset": self.rules.ruleset.digest,
            "rules_of_entry": entries_facts(self.rules),
            "entries": [[e.miner, _content_of(e.folder), e.competition.id, e.incumbent] for e in self.entries],
            "corpus": str(self.corpus.resolve()) if self.corpus else None,
        }


def _content_of(folder: Path) -> str:
    """The hash of what an entry is published as, or why it cannot be."""
    from soundsright.adapters.hubs import folder_hash

    try:
        return folder_hash(folder)
    except UnpublishableFolder as error:
        return error.problem


@dataclass(frozen=True)
class Means:
    """What models run in, how many at a time, and how many processes draw and score beside them."""

    sandbox: Sandbox
    slots: int
    workers: int


@click.command("compete")
@click.option(
    "--competition",
    "competition_ids",
    multiple=True,
    metavar="ID",
    envvar="SOUNDSRIGHT_COMPETITION",
    show_envvar=True,
    help="One of the four, such as DENOISING_16000HZ; repeat for several. [default: all that have an entry]",
)
@click.option(
    "--clips",
    default=DEFAULT_CLIPS,
    show_default=True,
    envvar="SOUNDSRIGHT_CLIPS",
    show_envvar=True,
    help="Clips in each set.",
)
@click.option(
    "--seed",
    default=1,
    show_default=True,
    envvar="SOUNDSRIGHT_SEED",
    show_envvar=True,
    help="Decides the chain's block hashes, and so the clips.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    envvar="SOUNDSRIGHT_OUT",
    show_envvar=True,
    help="Folder for everything that is written. [default: runs/seed-SEED]",
)
@click.option(
    "--entries",
    "entries_file",
    type=click.Path(path_type=Path),
    default=None,
    envvar="SOUNDSRIGHT_ENTRIES",
    show_envvar=True,
    help="TOML file that lists the entries. [default: the demo's]",
)
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    envvar="SOUNDSRIGHT_CORPUS",
    show_envvar=True,
    help="Folder of recordings with a manifest. [default: datasets]",
)
@ruleset_option
@sandbox_options
@concurrency_option
@click.option(
    "--workers",
    default=0,
    envvar="SOUNDSRIGHT_WORKERS",
    show_envvar=True,
    help="Processes that draw and score. [default: one per processor]",
)
@click.option("--force", is_flag=True, help="Replace a finished run, or one with other settings, in --out.")
def command(
    competition_ids: tuple[str, ...],
    clips: int,
    seed: int,
    out: Path | None,
    entries_file: Path | None,
    corpus: Path | None,
    ruleset: str,
    sandbox: SandboxChoice,
    slots: int,
    workers: int,
    force: bool,
) -> None:
    """Run a whole competition on this machine: real recordings, real models, no account and no network.

    Miners register on a local chain, commit and reveal; a block fixes the seed; clips are drawn; every model runs
    in a sandbox and is scored; prizes are decided, weights set, and each miner gets feedback. The run ends with a
    leaderboard per competition and report.html. A run that was stopped goes on where it was.
    """  # fmt: skip
    from soundsright.core.ports import SandboxLimits
    from soundsright.core.shipped import models_folder
    from soundsright.data import checked_clip_count
    from soundsright.services.local import read_entries

    # The rules' order, whatever order was asked for: the set of competitions decides, not the typing of it.
    organiser = organiser_of(ruleset, begun=True)
    offered = organiser.competitions
    wanted = {competition_by_id(name, offered).id for name in competition_ids} or {c.id for c in offered}
    entries = read_entries(entries_file or models_folder() / "demo.toml", offered, wanted)
    if sandbox.kind != "docker" and sandbox.python is None:
        entries = _runnable(entries)
    entered = {entry.competition.id for entry in entries}
    competitions = tuple(c for c in offered if c.id in entered)
    checked_clip_count(clips)
    for name, value in (("--seed", seed), ("--workers", workers)):
        if not 0 <= value < 2**63:
            raise UsageError(f"{name} {value} is out of range", "Give a number from 0.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    request = Request(
        rules=replace(organiser, competitions=competitions),
        clips=clips,
        seed=seed,
        entries=entries,
        corpus=corpus,
        out=out if out is not None else Path("runs") / f"seed-{seed}",
        force=force,
    )
    _check(request)
    # An engine would first build an image for every entry: only where it is asked for.
    held = chosen_sandbox(sandbox, local=True, round_id=ROUND_ID, auto=("bubblewrap",))
    claim_folder(request.out, request.identity(), request.needed_bytes(), force=force)
    _run(request, Means(held, chosen_concurrency(sandbox, SandboxLimits(), slots), workers or cores))


def _runnable(entries: Sequence[TrialEntry]) -> tuple[TrialEntry, ...]:
    """The entries whose packages are installed here; each other entry is named on stderr."""
    runnable = tuple(entry for entry in entries if not entry.missing_packages)
    for package in sorted({name for entry in entries for name in entry.missing_packages}):
        left_out = [f"{e.miner}/{e.folder.name}" for e in entries if package in e.missing_packages]
        problem = f"Left out {', '.join(left_out)}: {package} is not installed."
        click.echo(f"{problem} Run: pip install --no-deps {package}", err=True)
    if not runnable:
        raise UsageError("No entry can run here", "Install the packages named above.")
    return runnable


def _check(request: Request) -> None:
    """Everything that can be told to be wrong before anything is written or begun.

    Raises:
        UsageError: a value cannot be used.
    """
    from soundsright.cli.shared.packages import check_packages
    from soundsright.data import Corpus

    check_packages(_NEEDED_PACKAGES)
    corpus = Corpus.open(request.corpus)
    for competition in request.rules.competitions:
        corpus.speech_for(competition.sample_rate_hz)


def _run(request: Request, means: Means) -> None:
    """Run, show and write."""
    from rich.console import Console

    from soundsright.adapters.machine import MemoryWatch
    from soundsright.cli.shared.tables import print_tables
    from soundsright.services.records import results_of

    started = time.monotonic()
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, width=_FILE_COLUMNS)
    staged = _staged(request)
    with MemoryWatch() as memory:
        outcome = _run_round(request, means, staged, console)
        results = results_of(outcome)
        print_tables(console, results.competitions, request.metrics)
        wall_s = time.monotonic() - started
        _write(request.out, outcome, results.with_cost(wall_s=wall_s, peak_memory_bytes=memory.peak_bytes))
    _print_summary(console, request, outcome, time.monotonic() - started, memory.peak_bytes)


def _staged(request: Request) -> Staged:
    """Stage the competition, or read how it was staged."""
    from dataclasses import asdict

    from soundsright.adapters.chains import LocalChain, seeded_entropy
    from soundsright.adapters.hubs import FolderHub
    from soundsright.core.schedule import Round
    from soundsright.core.sources import ModelRef
    from soundsright.core.submission import Reveal
    from soundsright.services.local import Staged, stage
    from soundsright.services.records import write_json

    out = request.out
    if (out / "run.json").exists():
        run = read_run(out)
        reveals = {k: Reveal(ModelRef(**v["model"]), v["competition_id"]) for k, v in run["reveals"].items()}
        return Staged(Round(**run["round"]), reveals)
    chain = LocalChain(out / "chain.db", entropy=seeded_entropy(request.seed))
    staged = stage(request.entries, chain=chain, hub=FolderHub(out / "hub", out / "cache"), round_id=ROUND_ID)
    write_json(
        out / "run.json",
        {
            "request": request.identity(),
            "round": asdict(staged.round),
            "reveals": {miner: asdict(reveal) for miner, reveal in staged.reveals.items()},
        },
    )
    return staged


def _run_round(request: Request, means: Means, staged: Staged, console: Console) -> RoundOutcome:
    from soundsright.adapters.chains import LocalChain, seeded_entropy
    from soundsright.adapters.hubs import FolderHub
    from soundsright.adapters.machine import ProcessPool, SystemClock
    from soundsright.adapters.state import SqlState
    from soundsright.cli.shared.progress import RoundDisplay
    from soundsright.core.competition_rules import Measures
    from soundsright.metrics import floors, warm_up
    from soundsright.services.local import VALIDATOR, StagedHub
    from soundsright.services.rounds import RoundContext, RoundPlan, RoundService
    from soundsright.services.validator import sole_process

    out = request.out
    plan = RoundPlan(
        staged.round,
        request.rules,
        Measures(request.clips, request.metrics, floors(request.metrics), request.corpus),
        burn_uid=BURN_UID,
        incumbents={e.competition.id: e.miner for e in request.entries if e.incumbent},
    )
    state = SqlState(out / "state.db")
    pool = ProcessPool(means.workers, warm_up=warm_up)
    try:
        with RoundDisplay(console, entries=len(request.entries), clips=request.clips) as display:
            context = RoundContext(
                plan,
                chain=LocalChain(out / "chain.db", entropy=seeded_entropy(request.seed)),
                hub=StagedHub(
                    FolderHub(out / "hub", out / "cache"), {entry.miner: entry.folder for entry in request.entries}
                ),
                sandbox=means.sandbox,
                state=state,
                pool=pool,
                clock=SystemClock(),
                folder=out,
                validator=VALIDATOR,
                slots=means.slots,
                workers=means.workers,
                observe=display.observe,
            )
            service = RoundService(context, staged.reveals)
            try:
                with sole_process(state, LEASE, clock=SystemClock(), lost=service.cancel):
                    return service.run()
            except KeyboardInterrupt:
                service.cancel()
                raise
    finally:
        pool.close()
        state.close()


def _write(out: Path, outcome: RoundOutcome, results: Results) -> None:
    from soundsright.services.records import feedback_of, scores_of, write_json
    from soundsright.services.report import write_round

    (out / "feedback").mkdir(exist_ok=True)
    for name, feedback in feedback_of(outcome, results).items():
        write_json(out / "feedback" / f"{name}.json", feedback.as_json())
    write_round(out, results, scores_of(outcome))


def _print_summary(
    console: Console, request: Request, outcome: RoundOutcome, wall_s: float, peak_bytes: int
) -> None:
    weights = ", ".join(f"{uid}: {weight:.3f}" for uid, weight in outcome.weights.by_uid.items())
    stages = ("fetch", "generate", "load", "enhance", "score", "decide")
    spent = "  ".join(f"{stage} {outcome.busy_s.get(stage, 0.0):.1f} s" for stage in stages)
    sets = "  ".join(f"{c} {s.digest[:12]}" for c, s in outcome.sets.items())
    console.print()
    console.print(
        "Ordered by share; * pays. Beside or under the rank are the ranks that the scores leave open, on any metric"
        " that pays, with 95 % confidence. ± is half the 95 % interval over the clips; a failed clip scores the"
        " floor. RTF is wall time on one processor, beside other work. At 48 kHz, PESQ-WB is computed at 16 kHz.",
        soft_wrap=True,
    )
    paid = 1 - outcome.weights.by_uid.get(BURN_UID, 0.0)
    console.print(f"Weights    set in block {outcome.weights_block} (uid: weight)  {weights}", soft_wrap=True)
    console.print(f"Paid       {paid:.1%} of the emission; uid {BURN_UID} burns the rest", soft_wrap=True)
    console.print(f"Sets       {sets}", soft_wrap=True)
    console.print(f"Work       {spent}  (summed over processes)", soft_wrap=True)
    console.print(f"Took       {wall_s:.0f} s, at most {peak_bytes / 1e9:.2f} GB of memory in all processes")
    console.print(f"Open       {(request.out / 'report.html').resolve()}", soft_wrap=True)
