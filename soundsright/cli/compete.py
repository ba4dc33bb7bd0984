"""`soundsright compete`: a whole competition on this machine, on embedded adapters, by a validator's own code."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.sandboxes import chosen_sandbox, sandbox_options
from soundsright.core.competition import Competition, competition_by_id
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from soundsright.core.ports import Sandbox
    from soundsright.ranking.rulesets import Ruleset
    from soundsright.services.round_types import RoundOutcome
    from soundsright.services.summary import Table
    from soundsright.services.trial import Staged, TrialEntry

DEFAULT_CLIPS = 30
_FILE_COLUMNS = 140
BURN_UID = 0
"""The validator of a trial registers first: what is not paid goes to it."""
METRICS = ("PESQ_WB", "ESTOI", "SI_SDR", "SI_SIR", "SI_SAR")
ROUND_ID = "trial"
CHECKOUT = Path(__file__).resolve().parents[2]
_OWN_NAMES = frozenset(
    {
        "run.json",
        "chain.db",
        "state.db",
        "state.db-wal",
        "state.db-shm",
        "hub",
        "cache",
        "sets",
        "enhanced",
        "feedback",
    }
    | {"results.json", "scores.jsonl", "report.html", "chain.db-journal", "state.db-journal", ".probe"}
    | {".run.json.part", ".results.json.part", ".scores.jsonl.part", ".report.html.part"}
)


@dataclass(frozen=True)
class Request:
    """What was asked. The first five decide the result; a run goes on only where they are the same."""

    competitions: tuple[Competition, ...]
    clips: int
    seed: int
    ruleset: Ruleset
    entries: tuple[TrialEntry, ...]
    corpus: Path | None
    out: Path
    sandbox: Sandbox
    slots: int
    workers: int
    force: bool

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those that are always shown, and any other that pays."""
        paying = [name for competition in self.competitions for name in competition.metric_weights]
        return tuple(dict.fromkeys((*METRICS, *paying)))

    def identity(self) -> dict[str, Any]:
        from soundsright.adapters.hub_folder import folder_hash

        return {
            "competitions": [[c.id, dict(c.metric_weights), c.max_score, c.remainder] for c in self.competitions],
            "clips": self.clips,
            "seed": self.seed,
            "ruleset": self.ruleset.digest,
            "entries": [[e.miner, folder_hash(e.folder), e.competition.id, e.incumbent] for e in self.entries],
            "corpus": str(self.corpus.resolve()) if self.corpus else None,
        }


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
    default=CHECKOUT / "models" / "demo.toml",
    envvar="SOUNDSRIGHT_ENTRIES",
    show_envvar=True,
    help="Who enters what. [default: models/demo.toml]",
)
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    envvar="SOUNDSRIGHT_CORPUS",
    show_envvar=True,
    help="Folder of recordings with a manifest. [default: datasets]",
)
@click.option(
    "--ruleset",
    default="soundsright-v3",
    show_default=True,
    envvar="SOUNDSRIGHT_RULESET",
    show_envvar=True,
    help="soundsright-v3, soundsright-v2, or your TOML file of competitions and rules: docs/rules.md.",
)
@sandbox_options
@click.option(
    "--slots",
    default=0,
    envvar="SOUNDSRIGHT_SLOTS",
    show_envvar=True,
    help="Models that run at a time. [default: one per processor]",
)
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
    entries_file: Path,
    corpus: Path | None,
    ruleset: str,
    sandbox: str,
    python: Path | None,
    build_network: str,
    runtime: str | None,
    gpus: str,
    slots: int,
    workers: int,
    force: bool,
) -> None:
    """Run a whole competition on this machine: real recordings, real models, no account and no network.

    Miners register on a local chain, commit and reveal; a block fixes the seed; clips are drawn; every model runs
    in a sandbox and is scored; prizes are decided, weights set, and each miner gets feedback. The run ends with a
    leaderboard per competition and report.html. A run that was stopped goes on where it was.
    """  # fmt: skip
    from soundsright.cli.rules import organiser_of
    from soundsright.data.clips import checked_clip_count
    from soundsright.services.trial import read_entries

    # The rules' order, whatever order was asked for: the set of competitions decides, not the typing of it.
    organiser = organiser_of(ruleset, begun=True)
    offered = organiser.competitions
    wanted = {competition_by_id(name, offered).id for name in competition_ids} or {c.id for c in offered}
    entries = read_entries(entries_file, offered, wanted)
    entered = {entry.competition.id for entry in entries}
    competitions = tuple(c for c in offered if c.id in entered)
    checked_clip_count(clips)
    for name, value in (("--seed", seed), ("--slots", slots), ("--workers", workers)):
        if not 0 <= value < 2**63:
            raise UsageError(f"{name} {value} is out of range", "Give a number from 0.")
    if python is not None and not os.access(python, os.X_OK):
        raise UsageError(f"--python {python} is not a program", "Give the interpreter of the models' environment.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    run_request(
        Request(
            competitions=competitions,
            clips=clips,
            seed=seed,
            ruleset=organiser.ruleset,
            entries=entries,
            corpus=corpus,
            out=out if out is not None else Path("runs") / f"seed-{seed}",
            sandbox=chosen_sandbox(
                sandbox,
                python.absolute() if python else None,
                build_network=build_network,
                runtime=runtime,
                gpus=gpus,
                allow_process=True,
                round_id=ROUND_ID,
                # An engine would first build an image for every entry: only where it is asked for.
                auto=("bubblewrap",),
            ),
            slots=slots or cores,
            workers=workers or cores,
            force=force,
        )
    )


def run_request(request: Request) -> None:
    """Run, show and write.

    Raises:
        UsageError: a value cannot be used; nothing was written.
    """
    from rich.console import Console

    from soundsright.adapters.memory import MemoryWatch
    from soundsright.cli.tables import print_tables
    from soundsright.data.corpora import Corpus
    from soundsright.services.summary import tables

    started = time.monotonic()
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, width=_FILE_COLUMNS)
    corpus = Corpus.open(request.corpus)
    for competition in request.competitions:
        corpus.speech_for(competition.sample_rate_hz)
    _claim_out(request)
    staged = _staged(request)
    with MemoryWatch() as memory:
        outcome = _run_round(request, staged, console)
        result = tables(outcome)
        print_tables(console, result, request.metrics)
        reporting = time.monotonic()
        cost = {"wall_s": reporting - started, "busy_s": dict(outcome.busy_s)}
        _write(request, outcome, result, cost, memory.peak_bytes)
    _print_summary(console, request, outcome, time.monotonic() - started, memory.peak_bytes)


def _claim_out(request: Request) -> None:
    """Make the folder, or go on in it, or refuse it. Nothing is removed but what a run of this program wrote."""
    out = request.out
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is not a folder", "Name another one.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"--out {out} cannot be written ({error.strerror})", "Name a folder of your own."
        ) from error
    present = {path.name for path in out.iterdir()}
    if not present:
        return
    if "run.json" not in present:
        if present <= _OWN_NAMES:
            # A run that was stopped before it had begun.
            _clear(out)
            return
        raise UsageError(f"--out {out} holds files that are not a run", "Name an empty or new folder.")
    same = _read_run(out)["request"] == request.identity()
    finished = "results.json" in present
    if same and not finished and not request.force:
        return
    if not request.force:
        what = "a finished run" if finished else "an unfinished run with other settings"
        raise UsageError(f"--out {out} holds {what}", "Name another folder, or replace it with --force.")
    _clear(out)


def _clear(out: Path) -> None:
    # run.json first: without it, what is left of a run that was half removed is no run to go on with.
    for name in sorted(_OWN_NAMES, key=lambda name: name != "run.json"):
        path = out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _read_run(out: Path) -> dict[str, Any]:
    try:
        run = json.loads((out / "run.json").read_text())
        if not isinstance(run, dict) or not {"request", "round", "reveals"} <= set(run):
            raise ValueError("no run of this program")
        return run
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{out / 'run.json'} cannot be read ({error})", "Remove the folder or name another."
        ) from error


def _staged(request: Request) -> Staged:
    """Stage the competition, or read how it was staged."""
    from dataclasses import asdict

    from soundsright.adapters.chain_local import LocalChain, seeded_entropy
    from soundsright.adapters.hub_folder import FolderHub
    from soundsright.core.schedule import Round
    from soundsright.core.submission import ModelRef, Reveal
    from soundsright.services.results import write_json
    from soundsright.services.trial import Staged, stage

    out = request.out
    if (out / "run.json").exists():
        run = _read_run(out)
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


def _run_round(request: Request, staged: Staged, console: Console) -> RoundOutcome:
    from soundsright.adapters.chain_local import LocalChain, seeded_entropy
    from soundsright.adapters.clock import SystemClock
    from soundsright.adapters.hub_folder import FolderHub
    from soundsright.adapters.pool import ProcessPool
    from soundsright.adapters.state import SqlState
    from soundsright.cli.progress import RoundDisplay
    from soundsright.metrics.suite import floors, warm_up
    from soundsright.services.round import RoundService
    from soundsright.services.round_types import RoundPlan
    from soundsright.services.trial import VALIDATOR

    out = request.out
    plan = RoundPlan(
        round=staged.round,
        competitions=request.competitions,
        clips=request.clips,
        metrics=request.metrics,
        ruleset=request.ruleset,
        floors=floors(request.metrics),
        corpus_root=request.corpus,
        burn_uid=BURN_UID,
        incumbents={e.competition.id: e.miner for e in request.entries if e.incumbent},
    )
    state = SqlState(out / "state.db")
    pool = ProcessPool(request.workers, warm_up=warm_up)
    try:
        with RoundDisplay(console, entries=len(request.entries), clips=request.clips) as display:
            service = RoundService(
                plan,
                chain=LocalChain(out / "chain.db", entropy=seeded_entropy(request.seed)),
                hub=FolderHub(out / "hub", out / "cache"),
                sandbox=request.sandbox,
                state=state,
                pool=pool,
                clock=SystemClock(),
                folder=out,
                validator=VALIDATOR,
                reveals=staged.reveals,
                slots=request.slots,
                workers=request.workers,
                observe=display.observe,
            )
            try:
                return service.run()
            except KeyboardInterrupt:
                service.cancel()
                raise
    finally:
        pool.close()
        state.close()


def _write(
    request: Request, outcome: RoundOutcome, result: tuple[Table, ...], cost: dict[str, Any], peak_bytes: int
) -> None:
    from soundsright.services.clipset import write_text
    from soundsright.services.report import report_html
    from soundsright.services.results import feedback_documents, results_document, score_lines, write_json

    out = request.out
    (out / "feedback").mkdir(exist_ok=True)
    for name, document in feedback_documents(outcome, result).items():
        write_json(out / "feedback" / f"{name}.json", document)
    write_text(out / "scores.jsonl", "\n".join(score_lines(outcome)) + "\n")
    document = results_document(outcome, result, {**cost, "peak_memory_bytes": peak_bytes})
    write_text(out / "report.html", report_html(outcome, result, document, out / "enhanced"))
    # Last: its presence says that the run is finished.
    write_json(out / "results.json", document)


def _print_summary(
    console: Console, request: Request, outcome: RoundOutcome, wall_s: float, peak_bytes: int
) -> None:
    weights = ", ".join(f"{uid}: {weight:.3f}" for uid, weight in outcome.weights.by_uid.items())
    stages = ("fetch", "generate", "load", "enhance", "score", "decide")
    spent = "  ".join(f"{stage} {outcome.busy_s.get(stage, 0.0):.1f} s" for stage in stages)
    sets = "  ".join(f"{c} {s.digest[:12]}" for c, s in outcome.sets.items())
    console.print()
    console.print(
        "Ordered by share; * pays. ± is half the 95 % interval over the clips; a failed clip scores the floor."
        " RTF is wall time on one processor, beside other work. At 48 kHz, PESQ-WB is computed at 16 kHz.",
        soft_wrap=True,
    )
    paid = 1 - outcome.weights.by_uid.get(BURN_UID, 0.0)
    console.print(f"Weights    set in block {outcome.weights_block} (uid: weight)  {weights}", soft_wrap=True)
    console.print(f"Paid       {paid:.1%} of the emission; uid {BURN_UID} burns the rest", soft_wrap=True)
    console.print(f"Sets       {sets}", soft_wrap=True)
    console.print(f"Work       {spent}  (summed over processes)", soft_wrap=True)
    console.print(f"Took       {wall_s:.0f} s, at most {peak_bytes / 1e9:.2f} GB of memory in all processes")
    console.print(f"Open       {(request.out / 'report.html').resolve()}", soft_wrap=True)
