"""The deeper parts of `soundsright replay`: scoring on all processors, and running models on the redrawn sets."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundsright.cli.shared.progress_line import ProgressLine
from soundsright.cli.shared.stopping import resumable
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.config import Settings
    from soundsright.library import SandboxChoice
    from soundsright.services.records import RoundBundle
    from soundsright.services.replay import CheckedScore, ReplayReport, Sample, ScoredPair
    from soundsright.services.rounds import Unchecked


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
class WantedPairs:
    """All results of a round, those to check, and the sample that they are, or None."""

    every: Sequence[ScoredPair]
    chosen: Sequence[ScoredPair]
    sample: Sample | None


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


def scored(
    bundle: RoundBundle, decided: ReplayReport, wanted: WantedPairs, kept: Kept, workers: int
) -> ReplayReport:
    """The report of scoring the results again, and of deciding again with what the audio says.

    `decided` is the report of deciding the round from its record.
    """
    from soundsright.adapters.machine import ProcessPool
    from soundsright.adapters.sandboxes import usable_cpus
    from soundsright.cli.shared.packages import check_packages
    from soundsright.metrics import warm_up
    from soundsright.services.replay import ON_RECORD, clips_again, decided_again, listening, scored_again

    check_packages(("numba", "pesq", "psutil"))
    with (
        _checked_file(bundle, kept) as (earlier, keep),
        closing(ProcessPool(workers or len(usable_cpus()), warm_up=warm_up)) as pool,
        ProgressLine("Scored {done} of {total} results, {left} left") as progress,
    ):
        clips = clips_again(bundle, wanted.chosen)
        if not clips.is_same:
            return merged(and_unchecked(decided, ON_RECORD), clips, wanted.sample)
        scores = scored_again(bundle, wanted.chosen, pool, earlier=earlier, keep=keep, progress=progress)
        report = merged(clips, scores)
        if not report.is_same:
            return merged(and_unchecked(decided, ON_RECORD), report, wanted.sample)
        audio = listening(bundle, wanted.every, pool, sampled=wanted.sample is not None)
        again = decided if audio.heard is None else decided_again(bundle, audio.heard)
        return merged(and_unchecked(again, *audio.unchecked), report, wanted.sample)


def ran(
    bundle: RoundBundle,
    pairs: Sequence[ScoredPair],
    choice: RunChoice,
    sandbox: SandboxChoice,
    settings: Settings,
    workers: int,
) -> ReplayReport:
    """The report of running the models again."""
    from soundsright.adapters.machine import ProcessPool
    from soundsright.adapters.sandboxes import usable_cpus
    from soundsright.cli.shared.opening import opened_hub
    from soundsright.cli.shared.sandboxes import chosen_sandbox
    from soundsright.core.material import Material
    from soundsright.services.replay import RunPorts, run_again

    number = workers or len(usable_cpus())
    with (
        _work_folder(choice.work) as folder,
        closing(ProcessPool(number)) as pool,
        ProgressLine("Ran {done} of {total} results, {left} left") as progress,
    ):
        runner = chosen_sandbox(
            sandbox, local=False, round_id=f"replay-{bundle.document.round.id}", kept_out=[folder]
        )
        hub = opened_hub(settings.model_copy(update={"state_folder": folder}))
        ports = RunPorts(hub, runner, pool, Material(choice.corpus), folder, number, progress)
        try:
            return run_again(bundle, pairs, ports)
        except KeyboardInterrupt:
            runner.stop()
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
    )


def and_unchecked(report: ReplayReport, *parts: Unchecked) -> ReplayReport:
    """The report with these unchecked parts too."""
    return replace(report, unchecked=(*report.unchecked, *parts))


@contextmanager
def _work_folder(work: Path | None) -> Iterator[Path]:
    """The folder for models, sets and answers. Without a name it is a temporary one."""
    if work is None:
        with tempfile.TemporaryDirectory(prefix="soundsright-replay-") as folder:
            yield Path(folder)
        return
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--work {work} cannot be made ({error.strerror})", "Give another folder.") from error
    yield work.resolve()


@contextmanager
def _checked_file(
    bundle: RoundBundle, kept: Kept
) -> Iterator[tuple[Mapping[Any, CheckedScore], Callable[[CheckedScore], None]]]:
    """The results of an earlier replay, and a function that keeps a new one."""
    from soundsright.services.replay import line_of, read_checked, start_file

    if kept.checked is None:
        yield {}, lambda _checked: None
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
