"""The deeper parts of `soundsright replay`: scoring on all processors, and running models on the redrawn sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundsright.cli.shared.progress_line import ProgressLine
from soundsright.cli.shared.stopping import resumable
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.cli.shared.replay_folder import ReplayFolder
    from soundsright.config import Settings
    from soundsright.core.ports import ModelHub, Runner
    from soundsright.library import SandboxChoice
    from soundsright.services.records import RoundBundle
    from soundsright.services.replay import CheckedScore, KeptWork, ReplayReport, Sample, ScoredPair
    from soundsright.services.rounds import Unchecked

_LISTENED = "Listened to {done} of {total} answers for copies and signs of tuning, {left} left"


@dataclass(frozen=True)
class Sampling:
    """The number of results to draw, and the hash of the block that draws them, or the chain to read it from."""

    sample: int
    block_hash: str
    network: str
    netuid: int


@dataclass(frozen=True)
class Kept:
    """The file of results that were checked, and whether to continue it."""

    checked: Path | None
    resume: bool


@dataclass(frozen=True)
class RunChoice:
    """The sources of the models and recordings of `--run`, and the folder of its files."""

    corpus: Path | None
    work: Path | None


@dataclass(frozen=True)
class Deeper:
    """The options of a replay that scores the audio again and, with `run`, runs the models too."""

    run: bool
    sampling: Sampling
    kept: Kept
    sources: RunChoice
    sandbox: SandboxChoice
    settings: Settings
    workers: int
    env_file: Path | None


@dataclass(frozen=True)
class WantedPairs:
    """All results of a round, those to check, and the sample that they are, or None."""

    every: Sequence[ScoredPair]
    chosen: Sequence[ScoredPair]
    sample: Sample | None


def checked_deeper(
    bundle: RoundBundle, chosen: Deeper, write: Callable[[ReplayReport], None] = lambda _report: None
) -> ReplayReport:
    """Decide the round again, then score it and run it as chosen. The report ends with the first difference.

    Computed parts are kept until `write` has the report, so that it continues after Ctrl-C or a full disk.
    """
    from soundsright.cli.shared.replay_folder import replay_folder
    from soundsright.services.replay import ON_RECORD, decided_again

    report = decided_again(bundle)
    if not report.is_same:
        report = and_unchecked(report, ON_RECORD)
        write(report)
        return report
    wanted = wanted_pairs(bundle, chosen.sampling, chosen.env_file)
    again = "again" if chosen.kept.checked is None else "with --resume"
    state_folder = chosen.settings.folder
    with replay_folder(chosen.sources.work, state_folder, bundle.opened.sha256, again) as folder:
        # Wrong options show before the hours of scoring.
        models = _models(bundle, chosen, folder.path) if chosen.run else None
        report = scored(bundle, report, wanted, chosen.kept, chosen.workers, folder.kept)
        if models is not None and report.is_same:
            report = merged(report, ran(bundle, wanted, chosen, folder, models))
        write(report)
    return report


@dataclass(frozen=True)
class _Models:
    """The source of the models of a round, and the sandbox in which they run."""

    hub: ModelHub
    runner: Runner


def _models(bundle: RoundBundle, chosen: Deeper, folder: Path) -> _Models:
    from soundsright.cli.shared.opening import opened_hub
    from soundsright.cli.shared.sandboxes import chosen_sandbox

    round_id = f"replay-{bundle.document.round.id}"
    runner = chosen_sandbox(chosen.sandbox, local=False, round_id=round_id, kept_out=[folder])
    return _Models(opened_hub(chosen.settings.model_copy(update={"state_folder": folder})), runner)


def wanted_pairs(bundle: RoundBundle, sampling: Sampling, env_file: Path | None) -> WantedPairs:
    """The results to check: all of them, or those that a block draws.

    Raises:
        UsageError: the block is not known.
        BundleRefused: the signer did not commit to the bundle.
        ChainUnavailable: the chain does not answer.
    """
    from soundsright.cli.shared.round_bundles import chain_at
    from soundsright.services.records import committed_block
    from soundsright.services.replay import Sample, pairs_of, sample_block, sampled

    pairs = pairs_of(bundle)
    if not sampling.sample:
        return WantedPairs(pairs, pairs, None)
    block_hash, block, committed = sampling.block_hash, None, None
    if sampling.network:
        with chain_at(sampling.network, sampling.netuid, env_file) as chain:
            found = sample_block(chain, bundle.opened, committed_block(bundle.store))
        block_hash, block, committed = found.hash, found.number, found.committed
    drawn = sampled(pairs, sampling.sample, block_hash, bundle.opened.sha256)
    return WantedPairs(pairs, drawn, Sample(len(drawn), block_hash, block, committed))


def audio_of(wanted: WantedPairs) -> Iterator[str]:
    """The digests of the signals of the results to check."""
    for pair in wanted.chosen:
        yield from (each for each in (pair.clean, pair.degraded, pair.answer) if each is not None)


def scored(
    bundle: RoundBundle,
    decided: ReplayReport,
    wanted: WantedPairs,
    checked: Kept,
    workers: int,
    work: KeptWork,
) -> ReplayReport:
    """The report of scoring the results again, and of deciding again with what the audio says.

    `decided` is the report of deciding the round from its record. `work` has what a stopped replay computed.
    """
    from soundsright.adapters.machine import ProcessPool
    from soundsright.adapters.sandboxes import usable_cpus
    from soundsright.cli.shared.packages import check_packages
    from soundsright.metrics import warm_up
    from soundsright.services.replay import ON_RECORD, clips_again, decided_again, listening, scored_again

    check_packages(("numba", "pesq", "psutil"))
    with (
        _checked_file(bundle, checked, work) as (earlier, keep),
        closing(ProcessPool(workers or len(usable_cpus()), warm_up=warm_up)) as pool,
    ):
        with ProgressLine("Looked at {done} of {total} clips, {left} left") as progress:
            clips = clips_again(bundle, wanted.chosen, progress)
        if not clips.is_same:
            return merged(and_unchecked(decided, ON_RECORD), clips, wanted.sample)
        known = sum(pair.key in earlier for pair in wanted.chosen)
        with ProgressLine("Scored {done} of {total} results, {left} left", known=known) as progress:
            scores = scored_again(bundle, wanted.chosen, pool, earlier=earlier, keep=keep, progress=progress)
        report = merged(clips, scores)
        if not report.is_same:
            return merged(and_unchecked(decided, ON_RECORD), report, wanted.sample)
        with ProgressLine(_LISTENED, known=len(work.signs)) as progress:
            audio = listening(
                bundle, wanted.every, pool, sampled=wanted.sample is not None, kept=work, progress=progress
            )
            again = decided if audio.heard is None else decided_again(bundle, audio.heard)
        return merged(and_unchecked(again, *audio.unchecked), report, wanted.sample)


def ran(
    bundle: RoundBundle, wanted: WantedPairs, chosen: Deeper, work: ReplayFolder, models: _Models
) -> ReplayReport:
    """The report of running the models again, in the folder of the replay."""
    from soundsright.adapters.machine import ProcessPool
    from soundsright.adapters.sandboxes import usable_cpus
    from soundsright.core.material import Material
    from soundsright.services.replay import RunPorts, run_again

    number = chosen.workers or len(usable_cpus())
    with (
        closing(ProcessPool(number)) as pool,
        ProgressLine("Fetched {done} of {total} models, {left} left") as fetching,
        ProgressLine("Ran {done} of {total} results, {left} left", known=work.kept.answers) as progress,
    ):
        material = Material(chosen.sources.corpus)
        ports = RunPorts(
            models.hub, models.runner, pool, material, work.path, number, progress, fetching, work.kept
        )
        try:
            return run_again(bundle, wanted.chosen, ports, sampled=wanted.sample is not None)
        except KeyboardInterrupt:
            models.runner.stop()
            raise


def merged(first: ReplayReport, second: ReplayReport, sample: Sample | None = None) -> ReplayReport:
    """The report of two depths, of which the second was checked after the first."""
    return replace(
        second,
        difference=second.difference if first.difference is None else first.difference,
        checked={**first.checked, **second.checked},
        unchecked=(*first.unchecked, *second.unchecked),
        remarks=(*first.remarks, *second.remarks),
        sample=sample or first.sample,
        is_whole=first.is_whole and second.is_whole,
    )


def and_unchecked(report: ReplayReport, *parts: Unchecked) -> ReplayReport:
    """The report with these unchecked parts too."""
    return replace(report, unchecked=(*report.unchecked, *parts))


@contextmanager
def _checked_file(
    bundle: RoundBundle, kept: Kept, work: KeptWork
) -> Iterator[tuple[Mapping[Any, CheckedScore], Callable[[CheckedScore], None]]]:
    """The results of an earlier replay, and a function that keeps a new one: in --checked, or in `work`."""
    from soundsright.services.replay import line_of, read_checked, start_file

    if kept.checked is None:
        yield work.scores, work.add_score
        return
    path = kept.checked
    if path.exists() and not kept.resume:
        raise UsageError(f"{path} exists", "Continue it with --resume, or name another file.")
    earlier = read_checked(path, bundle.opened.sha256) if path.exists() else {}
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            start_file(file, bundle.opened.sha256, tuple(earlier.values()))
            part.replace(path)

            def keep(checked: CheckedScore) -> None:
                file.write(line_of(checked))
                file.flush()

            with resumable(str(path)):
                yield earlier, keep
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error})", "Give a file that you may write.") from error
