"""From evaluations to weights: near copies, signs of tuning, prizes, and the weights on the chain."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future
from dataclasses import replace

from soundsright.copies import DuplicateRule, Unique, without_duplicates
from soundsright.core.competition import Competition
from soundsright.core.errors import InfrastructureFault, ModelFault
from soundsright.core.results import Leaderboard, Refusal, Weights
from soundsright.metrics import ClipEvidence
from soundsright.ranking import Flag, champions_after, decide, flags, shipped_honest_systems, weights_of
from soundsright.services.rounds import steps
from soundsright.services.rounds.chain_weights import set_weights
from soundsright.services.rounds.context import RoundContext
from soundsright.services.rounds.examine import examined
from soundsright.services.rounds.fetch_models import unread_files
from soundsright.services.rounds.fingerprints import near_copy_pairs, same_image_pairs
from soundsright.services.rounds.job_results import result_of
from soundsright.services.rounds.outcome import scores_of
from soundsright.services.rounds.progress import Event
from soundsright.services.rounds.run_models import EvaluatedEntries
from soundsright.services.rounds.scoring import DECIDED_DECIMALS, start_evidence
from soundsright.services.rounds.titles import Titles, champions_before, titles_before


def without_near_copies(
    context: RoundContext, unique: Unique, evaluated: EvaluatedEntries
) -> tuple[Unique, EvaluatedEntries]:
    """The entries without those whose image or enhanced audio is that of an earlier entry.

    Near copies are only reported, unless the organiser asks to refuse them.
    """

    def compute() -> steps.NearCopiesStep:
        unread = unread_files(context)
        # The images exist only now, after the models ran.
        pairs = same_image_pairs(unique.kept, context.sandbox)
        for c in context.plan.rules.competitions:
            entries = evaluated.evaluations[c.id]
            clips = evaluated.sets[c.id]
            pairs += near_copy_pairs(clips, context.enhanced, entries, unread=unread, read=context.read)
        return steps.NearCopiesStep(tuple(pairs))

    with context.busy.measured("decide"):
        pairs = context.step(steps.NEAR_COPIES, compute).pairs
    reported_only = () if context.plan.rules.exclude_near_copies else (DuplicateRule.NEAR_COPY,)
    with_results = {e.submission.entry_id for entries in evaluated.evaluations.values() for e in entries}
    models = [model for model in unique.kept if model.submission.entry_id in with_results]
    checked = without_duplicates(models, likenesses=pairs, reported_only=reported_only)
    kept_ids = {model.submission.entry_id for model in checked.kept}
    evaluations = {
        competition_id: tuple(e for e in entries if e.submission.entry_id in kept_ids)
        for competition_id, entries in evaluated.evaluations.items()
    }
    return (
        Unique(checked.kept, (*unique.duplicates, *checked.duplicates), checked.suspected),
        replace(evaluated, evaluations=evaluations),
    )


def signs_of_tuning(context: RoundContext, evaluated: EvaluatedEntries) -> dict[str, tuple[Flag, ...]]:
    """Signs that an entry was tuned to a metric, by entry id. They are shown and do not influence ranks."""

    def compute() -> steps.FlagsStep:
        evidence = [
            (e, start_evidence(evaluated.sets[c], e, context.enhanced / e.submission.entry_id, context.pool))
            for c, entries in evaluated.evaluations.items()
            for e in entries
        ]
        by_entry: dict[str, tuple[Flag, ...]] = {}
        for evaluation, started in evidence:
            if not started.clip_ids:
                continue
            competition = evaluation.submission.competition
            own = scores_of(evaluation, started.clip_ids)
            noisy = scores_of(evaluated.unprocessed[competition.id], started.clip_ids)
            honest = shipped_honest_systems(competition.task)
            # Rounded, because the last bits of sums differ between processors.
            signs = tuple(
                replace(flag, value=round(flag.value, DECIDED_DECIMALS))
                for flag in flags(own, noisy, _available_evidence(started.jobs), honest=honest)
            )
            if signs:
                by_entry[evaluation.submission.entry_id] = signs
        return steps.FlagsStep(by_entry)

    with context.busy.measured("decide"):
        return dict(context.step(steps.FLAGS, compute).by_entry)


def _available_evidence(jobs: Sequence[Future[ClipEvidence]]) -> list[ClipEvidence]:
    """The evidence of the clips that a worker could examine."""
    available = []
    for job in jobs:
        try:
            available.append(result_of(job))
        except ModelFault:
            continue
    return available


def decide_all(
    context: RoundContext, evaluated: EvaluatedEntries, unique: Unique, refusals: Sequence[Refusal]
) -> tuple[Leaderboard, ...]:
    """The leaderboards of all competitions. The titles that follow from them are recorded.

    Raises:
        InfrastructureFault: the recorded result of a competition differs from the computed one.
    """
    context.observe(Event("decide"))
    with context.busy.measured("decide"):
        return tuple(_decided(context, c, evaluated, unique, refusals) for c in context.plan.rules.competitions)


def _decided(
    context: RoundContext,
    competition: Competition,
    evaluated: EvaluatedEntries,
    unique: Unique,
    refusals: Sequence[Refusal],
) -> Leaderboard:
    plan = context.plan
    entries = evaluated.evaluations[competition.id]
    titles = titles_before(context, competition)
    champions = champions_before(context, competition, [evaluation.submission for evaluation in entries])
    board = decide(
        competition,
        context.round_id,
        entries,
        champions,
        plan.rules.ruleset,
        evaluated.unprocessed[competition.id],
        floors=plan.measures.floors,
        at_block=plan.round.seed_block,
        copies={e.submission.hotkey: unique.copies_of(e.submission) for e in entries},
        refusals=[r for r in refusals if r.competition_id in (competition.id, None)],
        examined=examined(context, competition, evaluated, unique, champions),
        stops=evaluated.stops.get(competition.id),
        groups=evaluated.sets[competition.id].groups,
    )
    after = champions_after(board, champions, at_block=plan.round.seed_block)
    shares: dict[str, float] = {}
    for standing in board.standings:
        hotkey = standing.submission.hotkey
        shares[hotkey] = shares.get(hotkey, 0.0) + standing.share
    decided = steps.DecideStep(
        {metric: steps.RecordedChampion.of_champion(champion) for metric, champion in after.items()},
        shares,
        {d.metric: d.sentence for d in board.decisions},
    )
    recorded = context.step(
        steps.decide(competition.id),
        lambda: decided,
        titles_of=lambda record: (titles or Titles({})).rows_after(competition, context.round_id, record),
    )
    if recorded.shares != shares:
        raise InfrastructureFault(
            f"Round {context.round_id}: the recorded shares of {competition.id} are not those computed now",
            "The program has changed since: start a new round.",
        )
    return board


def pay(
    context: RoundContext, boards: Sequence[Leaderboard], *, unpaid: Collection[str] = ()
) -> tuple[Weights, int | None]:
    """The weights that follow from the leaderboards, and the block in which they were set.

    The prizes of the competitions in `unpaid` burn.

    Raises:
        InfrastructureFault: the chain refused the weights, or its answer is unknown.
    """
    context.observe(Event("weights"))
    paying = [_without_shares(board) if board.competition.id in unpaid else board for board in boards]
    weights = weights_of(paying, burn_uid=context.plan.burn_uid)

    def compute() -> steps.WeightsStep:
        if not weights.by_uid:
            return steps.WeightsStep(weights.by_uid, None)
        hotkeys = {neuron.uid: neuron.hotkey for neuron in context.chain.snapshot().neurons}
        by_hotkey = {hotkeys[uid]: weight for uid, weight in weights.by_uid.items()}
        result = set_weights(context.chain, context.validator, by_hotkey, pause=context.pause)
        if not result.ok:
            raise InfrastructureFault(
                f"The chain refused the weights: {result.message or result.code}",
                "Check that the validator is registered and has a permit.",
            )
        return steps.WeightsStep(weights.by_uid, result.block)

    return weights, context.step(steps.WEIGHTS, compute).block


def _without_shares(board: Leaderboard) -> Leaderboard:
    return replace(board, standings=tuple(replace(standing, share=0.0) for standing in board.standings))
