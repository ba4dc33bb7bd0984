"""Runs the models of a round again on the redrawn sets, and compares their answers.

Equal answers have equal digests. A model may differ in the last bits between two processors, or from run to run. So
an answer with another digest is compared with the recorded one clip by clip (`matching`). A second run shows which
models do not repeat themselves: a clip on which a model does not agree with itself cannot be checked. Neither can a
clip for which a model reached a limit of time or memory on one machine only.

Levels are in dB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from soundsright.core.audio import digest_of_signals
from soundsright.core.competition import Competition
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.core.results import Failure
from soundsright.core.schedule import seed_of_round
from soundsright.core.submission import FetchedModel, Submission
from soundsright.services.records import RoundBundle
from soundsright.services.replay.answering import GivenAnswers, RunPorts
from soundsright.services.replay.clips import set_of_bundle
from soundsright.services.replay.deciding import UNPROCESSED, record_of_bundle
from soundsright.services.replay.keeping import KeptWork
from soundsright.services.replay.matching import LEAST_AGREEMENT_DB, match_of
from soundsright.services.replay.plan import ScoredPair
from soundsright.services.replay.refusing import FoundModels, models_again
from soundsright.services.replay.report import ANSWERS, Depth, ReplayReport, counted
from soundsright.services.replay.scoring import signal_of
from soundsright.services.rounds import (
    ClipSet,
    Difference,
    RecordedRound,
    SetRequest,
    finish_set,
    material_digest,
    start_set,
    steps,
)

_NO_SAMPLE = "They rest on the record. Only a replay of all results finds them again."
_PRIVATE = "The recordings are private, so the set cannot be drawn."


@dataclass
class _Findings:
    """The findings so far."""

    answers: int = 0
    equal: int = 0
    difference: Difference | None = None
    unchecked: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    def take(self, found: FoundModels, *, sampled: bool) -> None:
        """Add what was found about the models."""
        self.difference = found.difference
        self.checked |= found.checked
        self.unchecked += found.unchecked
        if sampled:
            self.unchecked.append(("refusals", _NO_SAMPLE))


@dataclass
class _Shown:
    """The progress that is shown: `done` of `total` results."""

    show: Callable[[int, int], None]
    total: int
    done: int = -1

    def __call__(self, done: int, before: int = 0) -> None:
        if before + done != self.done:
            self.done = before + done
            self.show(self.done, self.total)


@dataclass(frozen=True)
class _Wanted:
    """The recorded results of one entry that its model has to give again."""

    submission: Submission
    pairs: tuple[ScoredPair, ...]


def run_again(
    bundle: RoundBundle, pairs: Sequence[ScoredPair], ports: RunPorts, *, sampled: bool = False
) -> ReplayReport:
    """Fetch the models by their content, draw the sets again, run the models, and find the first difference.

    Refusals that follow from files are found again too, unless `pairs` are a sample. Sets of private recordings and
    models that the hub no longer has count as unchecked.

    Raises:
        UsageError: the recordings here are not those of the round.
        InfrastructureFault: the hub, the sandbox or a worker failed.
    """
    record = record_of_bundle(bundle)
    findings = _Findings()
    own = [_wanted(record, competition, pairs) for competition in record.round_plan.rules.competitions]
    ids = [each.submission.entry_id for wanted in own for each in wanted]
    found = models_again(record, ports, ids if sampled else None)
    findings.take(found, sampled=sampled)
    if findings.difference is not None:
        return _report(findings)
    shown = _Shown(ports.progress, sum(len(each.pairs) for wanted in own for each in wanted))
    done = 0
    shown(done)
    for competition, wanted in zip(record.round_plan.rules.competitions, own, strict=True):
        clips = _redrawn(bundle, record, competition, ports, findings) if wanted else None
        for each in wanted:
            model = found.models.get(each.submission.entry_id)
            if clips is not None and model is not None:
                run = _Run(bundle, record, each, model, clips, ports)
                _check_entry(run, findings, partial(shown, before=done))
            done += len(each.pairs)
            shown(done)
            if findings.difference is not None:
                return _report(findings)
    return _report(findings)


def _report(findings: _Findings) -> ReplayReport:
    checked = {**findings.checked, ANSWERS: findings.answers, "of them equal by their digest": findings.equal}
    return ReplayReport(
        Depth.RUN, checked, findings.difference, counted(findings.unchecked), remarks=tuple(findings.remarks)
    )


def _wanted(record: RecordedRound, competition: Competition, pairs: Sequence[ScoredPair]) -> list[_Wanted]:
    """The entries of a competition with results among `pairs`, in the order of the entries."""
    entries = steps.RoundSteps(record.round_id, record.steps).get(steps.ENTRIES)
    own: dict[str, list[ScoredPair]] = {}
    for pair in pairs:
        if pair.line.competition == competition.id and pair.line.entry != UNPROCESSED:
            own.setdefault(pair.line.entry, []).append(pair)
    return [
        _Wanted(entry.submission({competition.id: competition}), tuple(own[entry.hotkey]))
        for entry in (entries.submissions if entries else ())
        if entry.competition_id == competition.id and entry.hotkey in own
    ]


def _redrawn(
    bundle: RoundBundle, record: RecordedRound, competition: Competition, ports: RunPorts, findings: _Findings
) -> ClipSet | None:
    """The set, drawn again from the seed. None if it cannot be drawn here, or differs."""
    plan, name = record.round_plan, competition.id
    if record.sets[name].hidden:
        return _set_of_bundle(bundle, record, competition, ports, findings)
    if plan.measures.material.speech_for(competition.sample_rate_hz) is not None:
        findings.unchecked.append((f"{name}: answers", "The speech was synthesised for the round."))
        return None
    material = replace(ports.material, noise=plan.measures.material.noise)
    if material_digest(material) != record.plan.get("corpus"):
        raise UsageError(
            f"The recordings here have digest {material_digest(material)[:12]}, and those of the round "
            f"{str(record.plan.get('corpus'))[:12]}",
            "Give the round's recordings with --corpus.",
        )
    request = SetRequest(
        competition,
        _seed(record, name),
        plan.measures.clips,
        material,
        ports.folder / "sets" / name,
        None,
        plan.values,
    )
    clips = _drawn_before(record, request, ports.kept)
    if clips is None:
        clips = finish_set(request, start_set(request, ports.pool, jobs=ports.workers))
        if ports.kept is not None:
            ports.kept.add_set(name)
    return _same_set(bundle, clips, findings)


def _drawn_before(record: RecordedRound, request: SetRequest, kept: KeptWork | None) -> ClipSet | None:
    """The set that a replay drew before it was stopped; None if it is not whole, or not the signed one."""
    name = request.competition.id
    if kept is None or not kept.has_set(name):
        return None
    digests = dict(record.sets[name].digests)
    if set(digests) != {f"{number:06d}" for number in range(request.count)}:
        return None
    durations_s: dict[str, float] = {}
    recipes = {clip: dict(recipe) for clip, recipe in record.sets[name].recipes.items()}
    clips = ClipSet(request.competition, request.seed, request.folder, digests, recipes, durations_s)
    for clip in clips.clip_ids:
        try:
            clean, degraded = clips.clean(clip), clips.degraded(clip).audio
        except InfrastructureFault:
            return None
        if digest_of_signals(clip, clean, degraded) != digests[clip]:
            return None
        durations_s[clip] = clean.duration_s
    return clips


def _seed(record: RecordedRound, competition_id: str) -> int:
    seed_hash = steps.RoundSteps(record.round_id, record.steps).get(steps.SEED)
    assert seed_hash is not None
    return seed_of_round(seed_hash.hash, competition_id)


def _set_of_bundle(
    bundle: RoundBundle, record: RecordedRound, competition: Competition, ports: RunPorts, findings: _Findings
) -> ClipSet | None:
    """The set of private recordings, from the bundle's audio. None if they are not disclosed, or it differs."""
    own, folder = record.sets[competition.id], ports.folder / "sets" / competition.id
    clips = None
    if own.is_shown:
        clips = set_of_bundle(bundle, competition, _seed(record, competition.id), own.recipes, folder)
    if clips is None:
        findings.unchecked.append((f"{competition.id}: answers", _PRIVATE))
        return None
    why = "Its recordings were private. The models hear the disclosed clips of the bundle."
    findings.unchecked.append((f"{competition.id}: drawing the set", why))
    return _same_set(bundle, clips, findings)


def _same_set(bundle: RoundBundle, clips: ClipSet, findings: _Findings) -> ClipSet | None:
    """The set, if it has the digest that was signed."""
    name = clips.competition.id
    recorded = next(c.set_digest for c in bundle.document.competitions if c.id == name)
    if clips.digest != recorded:
        findings.difference = Difference(name, "set", "digest", recorded, clips.digest)
        return None
    return clips


@dataclass(frozen=True)
class _Run:
    """The run of one entry's model on its set."""

    bundle: RoundBundle
    record: RecordedRound
    wanted: _Wanted
    model: FetchedModel
    clips: ClipSet
    ports: RunPorts

    def answers(self, run: Literal[1, 2]) -> GivenAnswers:
        return GivenAnswers(self.record.round_plan, self.model, self.clips, self.ports, run)


def _check_entry(run: _Run, findings: _Findings, show: Callable[[int], None]) -> None:
    """Run one entry's model, a second time on the clips that it answered differently, and compare.

    `show` gets the number of results that were computed.
    """
    wanted = run.wanted
    name, hotkey = wanted.submission.competition.id, wanted.submission.hotkey
    first, again = run.answers(1), run.answers(2)
    answers: dict[str, str | Failure] = {}
    ids, done = {pair.line.id for pair in wanted.pairs}, 0
    for clip_id, answer in first.to(_asked(run.record, wanted)):
        answers[clip_id] = answer
        done += clip_id in ids
        show(done)
    other = []
    for pair in wanted.pairs:
        recorded, own = _recorded(pair), answers[pair.line.id]
        if _text(recorded) == _text(own):
            findings.answers += 1
            findings.equal += 1
        elif isinstance(recorded, str) and isinstance(own, str):
            other.append(pair)
        elif any(isinstance(each, Failure) and each.is_limit for each in (recorded, own)):
            why = "The model reached a limit of time or memory, on one of the two machines only."
            findings.unchecked.append((f"{name}: answers of {hotkey}", why))
        else:
            place = f"{hotkey}, clip {pair.line.id}"
            findings.difference = Difference(name, "answers", place, _text(recorded), _text(own))
            return
    if not other:
        return
    repeated = dict(again.to(tuple(sorted(pair.line.id for pair in other))))
    unsteady = {clip_id for clip_id, answer in repeated.items() if _text(answer) != _text(answers[clip_id])}
    if unsteady:
        findings.remarks.append(
            f"{name}: {hotkey} does not repeat itself on {len(unsteady)} of {len(other)} clips."
        )
    second = {clip_id: again for clip_id in unsteady if isinstance(repeated[clip_id], str)}
    _check_agreement(run, other, first, second, findings)


def _asked(record: RecordedRound, wanted: _Wanted) -> tuple[str, ...]:
    """The clips to give to a model: those that are wanted, or all of its clips if one of them failed.

    A model that fails takes the other clips of its batch with it, and the later ones if it fails again.
    """
    ids = {pair.line.id for pair in wanted.pairs}
    if any(pair.answer is None for pair in wanted.pairs):
        ids |= record.sets[wanted.submission.competition.id].results[wanted.submission.hotkey].keys()
    return tuple(sorted(ids))


def _recorded(pair: ScoredPair) -> str | Failure:
    """The recorded answer: its SHA-256, or its failure."""
    if pair.answer is not None:
        return pair.answer
    failure = pair.line.failure
    return Failure("", "") if failure is None else Failure(failure.code, failure.detail)


def _text(answer: str | Failure) -> str:
    return answer if isinstance(answer, str) else f"the failure {answer.code}"


def _check_agreement(
    run: _Run,
    other: Sequence[ScoredPair],
    answers: GivenAnswers,
    second: Mapping[str, GivenAnswers],
    findings: _Findings,
) -> None:
    """Compare the answers that have another digest, each with its recorded audio.

    `second` has the second run for the clips on which it differs from the first.
    """
    bundle, wanted, clips = run.bundle, run.wanted, run.clips
    name, hotkey = wanted.submission.competition.id, wanted.submission.hotkey
    levels: list[float] = []
    for pair in other:
        clip_id = pair.line.id
        if pair.answer is None or not bundle.has_audio(pair.answer):
            why = "The answers have other digests, and the bundle has no audio to compare them with."
            findings.unchecked.append((f"{name}: answers of {hotkey}", why))
            continue
        signals = (clips.clean(clip_id).samples, clips.degraded(clip_id).audio.samples, answers.samples(clip_id))
        rate_hz = wanted.submission.competition.sample_rate_hz
        match = match_of(*signals, signal_of(bundle, pair.answer).samples, rate_hz)
        if match.agrees:
            findings.answers += 1
            levels.append(match.level_db)
        elif clip_id in second and not match_of(*signals, second[clip_id].samples(clip_id), rate_hz).agrees:
            why = "The model does not agree with itself from run to run."
            findings.unchecked.append((f"{name}: answers of {hotkey}", why))
        else:
            place = f"{hotkey}, clip {clip_id}"
            findings.difference = Difference(name, "answers", place, match.least, f"{match.level_db:.1f} dB")
            return
    if levels:
        findings.remarks.append(
            f"{name}: {len(levels)} answers of {hotkey} differ in bits and agree to {min(levels):.1f} dB or more "
            f"(at least {LEAST_AGREEMENT_DB:g} dB are needed on each clip)."
        )
